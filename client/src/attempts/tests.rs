use super::*;
use crate::problem;

const HOUR: Duration = Duration::from_secs(3600);

fn answered(status: u16, outcome: Option<&str>) -> Failure {
    let body = serde_json::json!({"detail": "because", "outcome": outcome}).to_string();
    let status = StatusCode::from_u16(status).unwrap();
    let problem = problem::read(status, body.as_bytes());
    Failure::Answered { problem, retry_after: None, secret: None }
}

fn unreachable() -> Failure {
    Failure::Unreachable { url: String::from("http://a"), reason: String::from("refused") }
}

fn lost() -> Failure {
    Failure::Lost { url: String::from("http://a"), reason: String::from("cut") }
}

fn mutation() -> Attempts {
    Attempts::new(Effect::Mutation { idempotency_key: Some(String::from("k")) }, 1)
}

/// What comes of attempts that fail so one after the other, the last when time is up.
fn end(mut attempts: Attempts, failures: impl IntoIterator<Item = Failure>) -> Error {
    let mut failures = failures.into_iter().peekable();
    while let Some(failure) = failures.next() {
        let left = if failures.peek().is_some() { HOUR } else { Duration::ZERO };
        if let Next::Over(error) = attempts.failed(failure, HOUR, left, 0.5) {
            assert!(failures.peek().is_none(), "{error}");
            return error;
        }
    }
    panic!("it goes on")
}

fn pauses(addresses: usize, failures: &[Failure]) -> Vec<Duration> {
    let mut attempts = Attempts::new(Effect::Read, addresses);
    let next = |failure: &Failure| match attempts.failed(failure.clone(), HOUR, HOUR, 0.5) {
        Next::Again(pause) => pause,
        Next::Over(error) => panic!("{error}"),
    };
    failures.iter().map(next).collect()
}

#[test]
fn what_passes_is_tried_again_and_a_request_at_fault_is_not() {
    let next = |status| {
        let mut attempts = mutation();
        attempts.failed(answered(status, Some("not_applied")), HOUR, HOUR, 0.5)
    };
    for status in [408, 429, 500, 502, 503, 504, 507] {
        assert!(matches!(next(status), Next::Again(_)), "{status}");
    }
    for status in [301, 400, 401, 404, 409, 410, 412, 413, 422, 431, 501] {
        assert!(matches!(next(status), Next::Over(_)), "{status}");
    }
}

#[test]
fn a_conflict_is_tried_again_where_the_answer_says_when() {
    let conflict = |retry_after| {
        let Failure::Answered { problem, secret, .. } = answered(409, Some("not_applied")) else {
            unreachable!("it is answered");
        };
        Failure::Answered { problem, retry_after, secret }
    };
    let unnamed = || Attempts::new(Effect::Mutation { idempotency_key: None }, 1);
    let overtaken = || conflict(Some(Duration::from_secs(1)));
    let next = unnamed().failed(overtaken(), HOUR, HOUR, 0.5);
    assert!(matches!(next, Next::Again(pause) if pause == Duration::from_secs(1)), "{next:?}");
    let late = end(unnamed(), [overtaken(), overtaken()]);
    assert!(matches!(&late, Error::Unavailable { .. }), "{late}");
    assert_eq!(late.problem().map(|problem| problem.status), Some(409), "it says what for");
    let refused = end(unnamed(), [overtaken(), conflict(None)]);
    assert!(matches!(refused, Error::Conflict(_)), "nothing but to wait does not help: {refused}");
}

#[test]
fn what_says_that_no_repeat_helps_is_not_tried_again() {
    let body = br#"{"detail":"not done after 2s","retryable":false}"#;
    let problem = problem::read(StatusCode::GATEWAY_TIMEOUT, body);
    let failure = Failure::Answered { problem, retry_after: None, secret: None };
    let next = Attempts::new(Effect::Read, 1).failed(failure, HOUR, HOUR, 0.5);
    assert!(matches!(next, Next::Over(Error::Refused(_))), "{next:?}");
}

#[test]
fn a_mutation_that_may_have_been_executed_is_of_unknown_outcome_whatever_refuses_its_repeat() {
    let refused = || answered(503, Some("not_applied"));
    assert!(matches!(end(mutation(), [refused()]), Error::Unavailable { .. }));
    assert!(matches!(end(mutation(), [unreachable()]), Error::Unavailable { .. }));
    for first in [lost(), answered(504, Some("unknown")), answered(502, None)] {
        let error = end(mutation(), [first, refused(), answered(401, None)]);
        assert!(matches!(error, Error::UnknownOutcome { .. }), "{error}");
    }
}

#[test]
fn what_executing_it_came_to_settles_what_was_unknown() {
    assert!(matches!(end(mutation(), [lost(), answered(412, None)]), Error::ConditionFailed(_)));
    assert!(matches!(end(mutation(), [lost(), answered(413, None)]), Error::Refused(_)));
}

#[test]
fn a_read_is_never_of_unknown_outcome() {
    let read = || Attempts::new(Effect::Read, 1);
    assert!(matches!(end(read(), [lost(), lost()]), Error::Unavailable { .. }));
    assert!(matches!(end(read(), [lost(), answered(404, None)]), Error::NotFound(_)));
    assert!(matches!(end(read(), [answered(403, None)]), Error::Denied(_)));
}

#[test]
fn pauses_grow_to_a_bound() {
    let pauses = pauses(1, &vec![answered(503, None); 12]);
    assert!(pauses[0] <= FIRST_PAUSE, "{pauses:?}");
    let bounds = FIRST_PAUSE / 2..=LONGEST_PAUSE;
    assert!(pauses.iter().all(|pause| bounds.contains(pause)), "{pauses:?}");
    assert!(pauses[11] >= LONGEST_PAUSE / 2, "{pauses:?}");
}

#[test]
fn a_server_may_ask_for_a_longer_pause_but_not_for_any() {
    let asking = |seconds| {
        let problem = problem::read(StatusCode::SERVICE_UNAVAILABLE, b"");
        let retry_after = Some(Duration::from_secs(seconds));
        Failure::Answered { problem, retry_after, secret: None }
    };
    assert_eq!(pauses(1, &[asking(1), asking(600)]), [Duration::from_secs(1), LONGEST_ASKED_PAUSE]);
}

#[test]
fn an_address_that_does_not_answer_is_left_at_once_for_the_next_one() {
    let pauses = pauses(3, &[unreachable(), lost(), unreachable(), unreachable()]);
    assert_eq!(pauses[..2], [Duration::ZERO; 2]);
    assert!(pauses[2] > Duration::ZERO, "all were tried: {pauses:?}");
    assert_eq!(pauses[3], Duration::ZERO);
}

#[test]
fn what_is_told_once_is_not_asked_for_again_once_it_may_have_been_done() {
    let once = || Attempts::new(Effect::Once, 1);
    for passing in [unreachable(), answered(503, Some("not_applied"))] {
        let next = once().failed(passing.clone(), HOUR, HOUR, 0.5);
        assert!(matches!(next, Next::Again(_)), "{passing}");
    }
    for unknown in [lost(), answered(504, Some("unknown"))] {
        let next = once().failed(unknown.clone(), HOUR, HOUR, 0.5);
        let is_told = matches!(next, Next::Over(Error::UnknownOutcome { .. }));
        assert!(is_told, "{unknown}");
    }
    let refused = end(once(), [unreachable(), answered(403, Some("not_applied"))]);
    assert!(matches!(refused, Error::Denied(_)), "{refused}");
}
