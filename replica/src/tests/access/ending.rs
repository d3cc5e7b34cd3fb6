//! When a token ends, and what breaks off then.

use super::*;

#[tokio::test]
async fn a_list_that_streams_breaks_off_when_its_token_ends() {
    let guarded = Guarded::start().await;
    let (accessor, secret) = guarded.with_rules("big", &[("big/", &["read", "list"])]).await;
    // More than the sockets between take ahead of a reader who waits.
    for key in 0..24 {
        let path = format!("/v1/kv/big/{key:03}");
        let put = guarded.ask(0, Method::PUT, &path, &guarded.root).body(vec![b'x'; 1_000_000]);
        assert_eq!(send(put).await.status, 201);
    }
    let asked = guarded.ask(0, Method::GET, "/v1/kv?prefix=big/", &secret);
    let mut stream = asked.header("accept", "application/x-ndjson").send().await.unwrap();
    assert!(stream.chunk().await.unwrap().is_some());
    assert_eq!(guarded.delete(&format!("/v1/tokens/{accessor}")).await.status, 200);
    assert!(is_broken_off(stream).await, "what was left out passes for what is not there");
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the wall clock says when a token ends")]
async fn a_token_that_ends_says_when_in_seconds_since_1970() {
    let guarded = Guarded::start().await;
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let made = async |body: Value| {
        send(guarded.ask(1, Method::POST, "/v1/tokens", &guarded.root).json(&body)).await.json()
    };
    let (before, ends) = (now(), made(json!({"policies": [], "ttl_ms": 3_600_000})).await);
    let expires = ends["expires"].as_u64().unwrap_or_else(|| panic!("{ends}"));
    assert!((before + 3_600..=now() + 3_600).contains(&expires), "{before}: {ends}");
    let fields = |made: &Value| made.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(fields(&ends), ["accessor", "expires", "policies", "revision", "secret"]);
    let unending = made(json!({"policies": []})).await;
    assert_eq!(fields(&unending), ["accessor", "policies", "revision", "secret"]);
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the wall clock says when a token ends")]
async fn a_token_that_is_answered_late_ends_no_later() {
    let guarded = Guarded::start().await;
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    guarded.network.fake.behave(Behaviour::ChoosesLate);
    let asked = guarded.ask(0, Method::POST, "/v1/tokens", &guarded.root);
    let asked = asked.json(&json!({"policies": [], "ttl_ms": 3_600_000}));
    let before = now();
    let made = send(asked).await;
    let after = now();
    assert!(after >= before + LATE.as_secs());
    assert_eq!(made.status, 201, "{made:?}");
    let expires = made.json()["expires"].as_u64().unwrap();
    let counted_from = expires - 3_600;
    assert!((before..=after - LATE.as_secs()).contains(&counted_from), "{before}: {made:?}");
}
