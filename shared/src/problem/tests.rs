//! What a problem says, and how.

use super::*;

#[test]
fn a_problem_is_rfc_9457_json_with_what_applies_and_nothing_else() {
    let response = Problem::unavailable("no quorum of acceptors answered")
        .with_outcome(Outcome::NotApplied)
        .with_revision(Revision(7))
        .to_http();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(response.headers()["synod-revision"], "7");
    let json: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
    let expected = serde_json::json!({
        "type": "urn:synod:problem:unavailable", "title": "Unavailable", "status": 503,
        "detail": "no quorum of acceptors answered", "revision": 7, "retryable": true, "outcome": "not_applied",
    });
    assert_eq!(json, expected);

    let plain = Problem::bad_request("the key is empty").to_http();
    let json: serde_json::Value = serde_json::from_slice(plain.body()).unwrap();
    let expected = serde_json::json!({
        "type": "urn:synod:problem:bad-request", "title": "Bad request", "status": 400, "detail": "the key is empty",
    });
    assert_eq!(json, expected);
    assert!(!plain.headers().contains_key("retry-after"));
}

#[test]
fn a_client_reads_back_what_was_sent() {
    let problem = Problem::timeout("10 s passed").with_outcome(Outcome::Unknown);
    let read: Body = serde_json::from_slice(problem.to_http().body()).unwrap();
    assert_eq!(&read, problem.body());
}

#[test]
fn retry_after_is_rounded_up_to_a_whole_second() {
    let after =
        |millis| Problem::unavailable("").with_retry_after(Duration::from_millis(millis)).to_http();
    assert_eq!(after(0).headers()["retry-after"], "1");
    assert_eq!(after(1_001).headers()["retry-after"], "2");
}
