//! Whether a request may be sent to another replica, and what to say when it may not:
//! pure, and the one place where it is decided.
//!
//! A read may be sent again as long as none of its answer has gone to the client. A
//! mutation may be sent again only where it *cannot have happened*: no byte of it was
//! sent, or the answer itself says that it was not applied. Everything else leaves it
//! open, and the client is told so (`outcome: unknown`), because only the client knows
//! whether a repeat does harm.
//!
//! With an `Idempotency-Key` the client says that it does none: such a mutation is executed
//! once however often it is sent. It is sent again as a read is. But once an attempt may
//! have been executed, that a later one was refused doesn't mean that nothing happened.

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, Uri, header};
use shared::client::SendError;
use shared::deadline;
use shared::problem::{Body, Outcome, Problem, Retryable};

use crate::pool::Intent;

/// What a read says that needs no quorum.
const LOCAL: &str = "consistency=local";

/// Where queries are asked, by POST for want of a safe method with a body.
const QUERIES: &str = "/v1/sql";

/// What any replica knows without a quorum.
const OF_ANY_REPLICA: [&str; 2] = ["/v1/cluster", "/openapi.json"];
/// Where locks are asked for.
const LOCKS: &str = "/v1/locks/";
/// No request waits longer for one.
const LONGEST_LOCK_WAIT: Duration = Duration::from_secs(600);

/// What a request asks of a replica: safe methods (RFC 9110, section 9.2.1) and queries
/// read, and without a quorum where they say so or ask of the cluster itself.
pub(crate) fn intent_of(method: &Method, uri: &Uri) -> Intent {
    let says_local = || uri.query().is_some_and(|query| query.split('&').any(|pair| pair == LOCAL));
    let is_query = method == Method::POST && uri.path() == QUERIES;
    if !method.is_safe() && !is_query {
        Intent::Mutation
    } else if OF_ANY_REPLICA.contains(&uri.path()) || says_local() {
        Intent::LocalRead
    } else {
        Intent::Read
    }
}

/// How long a request waits for a lock, at most, where it asks for one and does not say how
/// long it may take: its wait comes on top of the time that a request has.
pub(crate) fn lock_wait(method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Duration {
    #[derive(serde::Deserialize)]
    struct Asked {
        #[serde(default)]
        wait_ms: u64,
    }
    let asks = method == Method::PUT && uri.path().starts_with(LOCKS);
    if !asks || headers.contains_key(deadline::HEADER) {
        return Duration::ZERO;
    }
    let asked = serde_json::from_slice(body).unwrap_or(Asked { wait_ms: 0 });
    Duration::from_millis(asked.wait_ms).min(LONGEST_LOCK_WAIT)
}

/// Whether it does harm to have a request executed by two replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It does none: a read, or a mutation with an `Idempotency-Key`.
    Harmless,
    /// It may.
    Harmful,
}

/// Whether it does harm to send a request with this header twice.
pub(crate) fn repeat_of(intent: Intent, headers: &HeaderMap) -> Repeat {
    if is_read(intent) || headers.contains_key("idempotency-key") {
        Repeat::Harmless
    } else {
        Repeat::Harmful
    }
}

/// Why an attempt brought no answer for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection, or one that closed before it took the request.
    NeverSent(String),
    /// The connection broke, or said something that isn't HTTP, before the answer's
    /// header was read.
    Broken(String),
    /// It closed the connection before it had taken the whole request, and without an
    /// answer. That may be the request's fault, so it says nothing of the endpoint.
    NotTaken(String),
    /// The request's time is up.
    TimedOut(Duration),
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        match error {
            SendError::NeverSent(reason) => Self::NeverSent(reason),
            SendError::NotTaken(reason) => Self::NotTaken(reason),
            SendError::Broken(reason) => Self::Broken(reason),
        }
    }
}

/// Whether a request that failed so may be sent to another replica.
pub(crate) fn may_go_elsewhere(repeat: Repeat, failure: &Failure) -> bool {
    match failure {
        Failure::NeverSent(_) => true,
        Failure::Broken(_) | Failure::NotTaken(_) => repeat == Repeat::Harmless,
        Failure::TimedOut(_) => false,
    }
}

/// Whether a read that waits for an answer may be sent to one more replica meanwhile. A
/// query may take long because of what it asks, and would take as long there.
pub(crate) fn may_be_asked_twice(intent: Intent, method: &Method) -> bool {
    is_read(intent) && method.is_safe()
}

/// Whether an answer of this status may mean "not by me, not now", so that its problem is
/// to be looked into. Of what may be sent twice that is every way in which one replica fails
/// where another may not.
pub(crate) fn is_doubtful(repeat: Repeat, status: StatusCode) -> bool {
    status == StatusCode::SERVICE_UNAVAILABLE
        || repeat == Repeat::Harmless
            && [
                StatusCode::INTERNAL_SERVER_ERROR,
                StatusCode::BAD_GATEWAY,
                StatusCode::GATEWAY_TIMEOUT,
            ]
            .contains(&status)
}

/// Whether a doubtful answer means "not by me, not now": another replica may know better,
/// and trying does no harm.
///
/// To a mutation replicas say so with a problem of the kind `unavailable` that is not
/// applied: no primary is known, not ready, shutting down; and one that may be sent twice is
/// also sent again where it is unknown what became of it. To a read they say so with any
/// problem but overload, which goes to the client, since sending the request to all
/// replicas in turn would make it worse, and those that say that no repeat helps.
pub(crate) fn is_not_now(intent: Intent, repeat: Repeat, problem: Option<&Body>) -> bool {
    // Without a problem it is from something before the replica that speaks none.
    let is = |kind: Problem| problem.is_some_and(|problem| problem.kind == kind.body().kind);
    match intent {
        Intent::Read | Intent::LocalRead => {
            let is_for_good = problem.is_some_and(|problem| problem.retryable == Some(false));
            !is(Problem::overloaded("")) && !is_for_good
        }
        Intent::Mutation => match problem.and_then(|problem| problem.outcome) {
            Some(Outcome::NotApplied) => is(Problem::unavailable("")),
            Some(Outcome::Unknown) | None => repeat == Repeat::Harmless,
            Some(Outcome::Applied) => false,
        },
    }
}

/// What the client is told when the last attempt allowed has failed.
pub(crate) fn give_up(intent: Intent, endpoint: &str, failure: &Failure) -> Problem {
    match failure {
        Failure::NeverSent(reason) => not_applied(
            intent,
            Problem::unavailable(format!("{endpoint} cannot be reached: {reason}")),
        ),
        Failure::Broken(reason) | Failure::NotTaken(reason) => {
            let detail = format!("{endpoint} broke off before it answered: {reason}");
            unknown(intent, Problem::bad_gateway(detail).with_retryable(Retryable::Yes))
        }
        Failure::TimedOut(timeout) => unknown(
            intent,
            Problem::timeout(format!(
                "{endpoint} did not answer within {} ms",
                timeout.as_millis()
            )),
        ),
    }
}

/// What the client is told, at once, when no replica is able to answer: of those that are
/// known so many are healthy, and so many of these are answered by a quorum of acceptors.
pub(crate) fn nobody_able(
    intent: Intent,
    known: usize,
    healthy: usize,
    with_quorum: usize,
) -> Problem {
    let problem = match (known, healthy) {
        (0, _) => Problem::unavailable("no replica is known yet"),
        (known, 0) => {
            Problem::unavailable(format!("none of the {known} known replicas is healthy"))
        }
        (_, healthy) if with_quorum > 0 => Problem::unavailable(format!(
            "none of the {healthy} healthy replicas can get all that was chosen; \
             GET /readyz of each says what it lacks"
        )),
        (_, healthy) => Problem::no_quorum(format!(
            "no quorum of acceptors answers any of the {healthy} healthy replicas; \
             reads with ?{LOCAL} are answered"
        )),
    };
    not_applied(intent, problem)
}

/// Whether an answer to a mutation leaves it open whether it happened.
pub(crate) fn leaves_open(intent: Intent, problem: Option<&Body>) -> bool {
    !is_read(intent)
        && match problem.and_then(|problem| problem.outcome) {
            Some(Outcome::Unknown) | None => true,
            Some(Outcome::NotApplied | Outcome::Applied) => false,
        }
}

/// Whether an answer says what became of a mutation of which an earlier attempt was left
/// open: it was executed, its guard failed, or its key was used for another request. Any
/// other refusal is of this attempt only.
pub(crate) fn settles(status: StatusCode) -> bool {
    status.is_success()
        || [StatusCode::PRECONDITION_FAILED, StatusCode::UNPROCESSABLE_ENTITY].contains(&status)
}

/// What the client is told where an attempt was refused so, and one before it left open.
pub(crate) fn left_open(status: StatusCode, detail: &str) -> Problem {
    Problem::unavailable(format!(
        "an attempt before this one may have been executed, and this one was answered {status}: \
         {detail}"
    ))
    .with_outcome(Outcome::Unknown)
}

/// The problem of a request that certainly did nothing.
pub(crate) fn not_applied(intent: Intent, problem: Problem) -> Problem {
    if is_read(intent) { problem } else { problem.with_outcome(Outcome::NotApplied) }
}

fn unknown(intent: Intent, problem: Problem) -> Problem {
    if is_read(intent) { problem } else { problem.with_outcome(Outcome::Unknown) }
}

fn is_read(intent: Intent) -> bool {
    match intent {
        Intent::Read | Intent::LocalRead => true,
        Intent::Mutation => false,
    }
}

/// CONNECT asks for a tunnel, which nobody gets here.
pub(crate) fn refuse_connect() -> Problem {
    let allowed = header::HeaderValue::from_static("GET, HEAD, PUT, POST, DELETE");
    Problem::method_not_allowed("the balancer opens no tunnels").with_header(header::ALLOW, allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Repeat; 2] = [Repeat::Harmless, Repeat::Harmful];

    fn never_sent() -> Failure {
        Failure::NeverSent("connection refused".to_owned())
    }

    fn broken() -> Failure {
        Failure::Broken("connection reset".to_owned())
    }

    #[test]
    fn who_asks_for_a_lock_may_wait_for_it_beyond_the_time_of_a_request() {
        let wait = |method: Method, path: &str, headers: &HeaderMap, body: &str| {
            lock_wait(&method, &path.parse().unwrap(), headers, body.as_bytes())
        };
        let none = HeaderMap::new();
        let body = "{\"lease\": 7, \"wait_ms\": 30000}";
        let asked = |path| wait(Method::PUT, path, &none, body);
        assert_eq!(asked("/v1/locks/l"), Duration::from_secs(30));
        assert_eq!(asked("/v1/kv/l"), Duration::ZERO);
        assert_eq!(wait(Method::GET, "/v1/locks/l", &none, body), Duration::ZERO);
        let bounded = HeaderMap::from_iter([(
            http::HeaderName::from_static(deadline::HEADER),
            http::HeaderValue::from_static("2s"),
        )]);
        assert_eq!(wait(Method::PUT, "/v1/locks/l", &bounded, body), Duration::ZERO);
        let longest = "{\"wait_ms\": 18446744073709551615}";
        assert_eq!(wait(Method::PUT, "/v1/locks/l", &none, longest), LONGEST_LOCK_WAIT);
        assert_eq!(wait(Method::PUT, "/v1/locks/l", &none, "no JSON"), Duration::ZERO);
    }

    #[test]
    fn safe_methods_read_and_all_others_mutate() {
        let uri = Uri::from_static("/v1/kv/k?consistency=local");
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            assert_eq!(intent_of(&method, &uri), Intent::LocalRead, "{method}");
        }
        let unheard_of = Method::from_bytes(b"FROB").unwrap();
        for method in [Method::PUT, Method::POST, Method::DELETE, Method::PATCH, unheard_of] {
            assert_eq!(intent_of(&method, &uri), Intent::Mutation, "{method}");
        }
    }

    #[test]
    fn a_query_reads_once_though_it_is_posted() {
        let of = |method, uri| intent_of(&method, &Uri::from_static(uri));
        assert_eq!(of(Method::POST, "/v1/sql"), Intent::Read);
        assert_eq!(of(Method::POST, "/v1/sql?consistency=local"), Intent::LocalRead);
        assert_eq!(of(Method::PUT, "/v1/sql"), Intent::Mutation);
        assert_eq!(of(Method::POST, "/v1/kv/v1/sql"), Intent::Mutation);
        assert!(may_be_asked_twice(Intent::Read, &Method::GET));
        assert!(!may_be_asked_twice(Intent::Read, &Method::POST));
        let too_long = Problem::timeout("").with_retryable(Retryable::No);
        assert!(!is_not_now(Intent::Read, Repeat::Harmless, Some(too_long.body())));
        let late = Problem::timeout("");
        assert!(is_not_now(Intent::Read, Repeat::Harmless, Some(late.body())));
    }

    #[test]
    fn a_read_needs_a_quorum_unless_it_says_local_or_asks_of_the_cluster() {
        for (uri, intent) in [
            ("/v1/kv/k", Intent::Read),
            ("/v1/kv/consistency=local", Intent::Read),
            ("/v1/kv?prefix=a&consistency=linearizable", Intent::Read),
            ("/v1/log?from=3", Intent::Read),
            ("/v1/kv?prefix=a&consistency=local", Intent::LocalRead),
            ("/v1/cluster", Intent::LocalRead),
        ] {
            assert_eq!(intent_of(&Method::GET, &uri.parse().unwrap()), intent, "{uri}");
        }
    }

    #[test]
    fn what_was_never_sent_may_be_sent_elsewhere() {
        assert!(BOTH.iter().all(|repeat| may_go_elsewhere(*repeat, &never_sent())));
    }

    #[test]
    fn a_mutation_that_may_have_arrived_is_never_sent_again() {
        let not_taken = Failure::NotTaken("broken pipe".to_owned());
        for failure in [broken(), not_taken, Failure::TimedOut(Duration::from_secs(1))] {
            assert!(!may_go_elsewhere(Repeat::Harmful, &failure), "{failure:?}");
            let problem = give_up(Intent::Mutation, "replica-1", &failure);
            assert_eq!(problem.body().outcome, Some(Outcome::Unknown), "{failure:?}");
        }
    }

    #[test]
    fn a_read_is_sent_again_until_its_time_is_up() {
        assert!(may_go_elsewhere(Repeat::Harmless, &broken()));
        assert!(may_go_elsewhere(Repeat::Harmless, &Failure::NotTaken(String::new())));
        assert!(!may_go_elsewhere(Repeat::Harmless, &Failure::TimedOut(Duration::from_secs(1))));
    }

    #[test]
    fn a_mutation_that_cannot_have_happened_is_answered_so() {
        let problem = give_up(Intent::Mutation, "replica-1", &never_sent());
        assert_eq!(
            (problem.status(), problem.body().outcome),
            (StatusCode::SERVICE_UNAVAILABLE, Some(Outcome::NotApplied))
        );
        let problem = nobody_able(Intent::Mutation, 3, 0, 0);
        assert_eq!(
            (problem.status(), problem.body().outcome),
            (StatusCode::SERVICE_UNAVAILABLE, Some(Outcome::NotApplied))
        );
    }

    #[test]
    fn the_outcome_is_said_of_mutations_only() {
        for failure in [never_sent(), broken(), Failure::TimedOut(Duration::from_secs(1))] {
            assert_eq!(give_up(Intent::Read, "replica-1", &failure).body().outcome, None);
        }
        assert_eq!(nobody_able(Intent::Read, 0, 0, 0).body().outcome, None);
    }

    #[test]
    fn a_mutation_answered_503_goes_elsewhere_only_if_the_answer_says_not_applied() {
        let is_not_now = |problem: Problem| {
            is_doubtful(Repeat::Harmful, problem.status())
                && is_not_now(Intent::Mutation, Repeat::Harmful, Some(problem.body()))
        };
        assert!(is_not_now(
            Problem::unavailable("no primary is known").with_outcome(Outcome::NotApplied)
        ));
        assert!(!is_not_now(Problem::unavailable("").with_outcome(Outcome::Unknown)));
        assert!(!is_not_now(Problem::unavailable("")));
        assert!(!is_not_now(Problem::overloaded("queue").with_outcome(Outcome::NotApplied)));
        assert!(!is_not_now(Problem::timeout("").with_outcome(Outcome::NotApplied)));
        assert!(!is_not_now(Problem::no_quorum("").with_outcome(Outcome::NotApplied)));
        assert!(!is_not_now(Problem::internal("").with_outcome(Outcome::NotApplied)));
        assert!(!super::is_not_now(Intent::Mutation, Repeat::Harmful, None));
    }

    #[test]
    fn reads_and_mutations_with_a_key_may_be_sent_twice() {
        let with_key = HeaderMap::from_iter([(
            header::HeaderName::from_static("idempotency-key"),
            header::HeaderValue::from_static("k"),
        )]);
        for (intent, without) in [
            (Intent::Read, Repeat::Harmless),
            (Intent::LocalRead, Repeat::Harmless),
            (Intent::Mutation, Repeat::Harmful),
        ] {
            assert_eq!(repeat_of(intent, &HeaderMap::new()), without, "{intent:?}");
            assert_eq!(repeat_of(intent, &with_key), Repeat::Harmless, "{intent:?}");
        }
    }

    #[test]
    fn a_mutation_with_a_key_goes_elsewhere_while_its_outcome_is_unknown() {
        let is_not_now = |problem: Problem| {
            is_doubtful(Repeat::Harmless, problem.status())
                && is_not_now(Intent::Mutation, Repeat::Harmless, Some(problem.body()))
        };
        for problem in [Problem::timeout(""), Problem::bad_gateway("")] {
            assert!(is_not_now(problem.clone().with_outcome(Outcome::Unknown)), "{problem}");
            assert!(!is_not_now(problem.clone().with_outcome(Outcome::Applied)), "{problem}");
            assert!(!is_not_now(problem.clone().with_outcome(Outcome::NotApplied)), "{problem}");
        }
        assert!(!is_not_now(Problem::overloaded("keys").with_outcome(Outcome::NotApplied)));
    }

    #[test]
    fn a_refusal_after_an_attempt_that_was_left_open_settles_nothing() {
        let unknown = Problem::timeout("").with_outcome(Outcome::Unknown);
        let refused = Problem::unavailable("").with_outcome(Outcome::NotApplied);
        assert!(leaves_open(Intent::Mutation, Some(unknown.body())));
        assert!(leaves_open(Intent::Mutation, None));
        assert!(!leaves_open(Intent::Mutation, Some(refused.body())));
        assert!(!leaves_open(Intent::Read, None));
        for (status, is_settled) in [(200, true), (201, true), (412, true), (422, true)]
            .into_iter()
            .chain([400, 413, 429, 503, 504, 507].map(|status| (status, false)))
        {
            assert_eq!(settles(StatusCode::from_u16(status).unwrap()), is_settled, "{status}");
        }
        let said = left_open(StatusCode::SERVICE_UNAVAILABLE, "no primary");
        assert_eq!(said.body().outcome, Some(Outcome::Unknown));
    }

    #[test]
    fn a_read_that_fails_goes_elsewhere_unless_that_would_add_to_an_overload() {
        let is_not_now = |problem: Problem| {
            is_doubtful(Repeat::Harmless, problem.status())
                && is_not_now(Intent::Read, Repeat::Harmless, Some(problem.body()))
        };
        for problem in [
            Problem::unavailable("catching up"),
            Problem::no_quorum("cut off"),
            Problem::bad_gateway(""),
            Problem::timeout(""),
            Problem::internal("a damaged page"),
        ] {
            assert!(is_not_now(problem.clone()), "{problem}");
        }
        assert!(!is_not_now(Problem::overloaded("queue")));
        assert!(!is_not_now(Problem::not_found("no such key")));
        assert!(super::is_not_now(Intent::Read, Repeat::Harmless, None));
    }
}
