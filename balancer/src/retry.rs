//! Whether a request may be sent to another replica, and what to say when it may not:
//! pure, and the one place where it is decided.
//!
//! A read may be sent again as long as none of its answer has gone to the client. A
//! mutation may be sent again only where it *cannot have happened*: no byte of it was
//! sent, or the answer itself says that it was not applied. Everything else leaves it
//! open, and the client is told so (`outcome: unknown`), because only the client knows
//! whether a repeat does harm.

use std::time::Duration;

use http::{Method, StatusCode, header};
use shared::problem::{Body, Outcome, Problem, Retryable};

use crate::pool::Intent;

/// What a method asks of a replica: safe methods (RFC 9110, section 9.2.1) read.
pub(crate) fn intent_of(method: &Method) -> Intent {
    if method.is_safe() { Intent::Read } else { Intent::Mutation }
}

/// Why an attempt brought no answer for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection, or one that closed before it took the request.
    NeverSent(String),
    /// The connection broke, or said something that isn't HTTP, before the answer's
    /// header was read.
    Broken(String),
    /// The endpoint turned unhealthy while a read waited for it.
    Lost,
    /// The request's time is up.
    TimedOut(Duration),
}

/// Whether a request that failed so may be sent to another replica.
pub(crate) fn may_go_elsewhere(intent: Intent, failure: &Failure) -> bool {
    match (failure, intent) {
        (Failure::NeverSent(_), Intent::Read | Intent::Mutation) => true,
        (Failure::Broken(_) | Failure::Lost, Intent::Read) => true,
        (Failure::Broken(_) | Failure::Lost, Intent::Mutation) => false,
        (Failure::TimedOut(_), Intent::Read | Intent::Mutation) => false,
    }
}

/// Whether an answer means "not by me, not now": another replica may know better, and
/// trying does no harm.
///
/// Replicas say so with a problem of the kind `unavailable`: no primary is known, not
/// ready, shutting down. Overload is another kind and goes to the client, since sending
/// the request to all replicas in turn would make it worse.
pub(crate) fn is_not_now(intent: Intent, status: StatusCode, problem: Option<&Body>) -> bool {
    if status != StatusCode::SERVICE_UNAVAILABLE {
        return false;
    }
    match (problem, intent) {
        (Some(problem), Intent::Read) => problem.kind == Problem::unavailable("").body().kind,
        (Some(problem), Intent::Mutation) => {
            problem.kind == Problem::unavailable("").body().kind
                && problem.outcome == Some(Outcome::NotApplied)
        }
        // From something before the replica that speaks no problems.
        (None, Intent::Read) => true,
        (None, Intent::Mutation) => false,
    }
}

/// What the client is told when the last attempt allowed has failed.
pub(crate) fn give_up(intent: Intent, endpoint: &str, failure: &Failure) -> Problem {
    match failure {
        Failure::NeverSent(reason) => not_applied(
            intent,
            Problem::unavailable(format!("{endpoint} cannot be reached: {reason}")),
        ),
        Failure::Broken(reason) => {
            let detail = format!("{endpoint} broke off before it answered: {reason}");
            unknown(intent, Problem::bad_gateway(detail).with_retryable(Retryable::Yes))
        }
        Failure::Lost => {
            unknown(intent, Problem::unavailable(format!("{endpoint} stopped answering")))
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

/// What the client is told, at once, when no replica is healthy.
pub(crate) fn nothing_healthy(intent: Intent, endpoints: usize) -> Problem {
    let detail = match endpoints {
        0 => "no replica is known yet".to_owned(),
        known => format!("none of the {known} known replicas is healthy"),
    };
    not_applied(intent, Problem::unavailable(detail))
}

/// The problem of a request that certainly did nothing.
pub(crate) fn not_applied(intent: Intent, problem: Problem) -> Problem {
    match intent {
        Intent::Read => problem,
        Intent::Mutation => problem.with_outcome(Outcome::NotApplied),
    }
}

fn unknown(intent: Intent, problem: Problem) -> Problem {
    match intent {
        Intent::Read => problem,
        Intent::Mutation => problem.with_outcome(Outcome::Unknown),
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

    const BOTH: [Intent; 2] = [Intent::Read, Intent::Mutation];

    fn never_sent() -> Failure {
        Failure::NeverSent("connection refused".to_owned())
    }

    fn broken() -> Failure {
        Failure::Broken("connection reset".to_owned())
    }

    #[test]
    fn safe_methods_read_and_all_others_mutate() {
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            assert_eq!(intent_of(&method), Intent::Read, "{method}");
        }
        let unheard_of = Method::from_bytes(b"FROB").unwrap();
        for method in [Method::PUT, Method::POST, Method::DELETE, Method::PATCH, unheard_of] {
            assert_eq!(intent_of(&method), Intent::Mutation, "{method}");
        }
    }

    #[test]
    fn what_was_never_sent_may_be_sent_elsewhere() {
        assert!(BOTH.iter().all(|intent| may_go_elsewhere(*intent, &never_sent())));
    }

    #[test]
    fn a_mutation_that_may_have_arrived_is_never_sent_again() {
        for failure in [broken(), Failure::Lost, Failure::TimedOut(Duration::from_secs(1))] {
            assert!(!may_go_elsewhere(Intent::Mutation, &failure), "{failure:?}");
            let problem = give_up(Intent::Mutation, "replica-1", &failure);
            assert_eq!(problem.body().outcome, Some(Outcome::Unknown), "{failure:?}");
        }
    }

    #[test]
    fn a_read_is_sent_again_until_its_time_is_up() {
        assert!(may_go_elsewhere(Intent::Read, &broken()));
        assert!(may_go_elsewhere(Intent::Read, &Failure::Lost));
        assert!(!may_go_elsewhere(Intent::Read, &Failure::TimedOut(Duration::from_secs(1))));
    }

    #[test]
    fn a_mutation_that_cannot_have_happened_is_answered_so() {
        let problem = give_up(Intent::Mutation, "replica-1", &never_sent());
        assert_eq!(
            (problem.status(), problem.body().outcome),
            (StatusCode::SERVICE_UNAVAILABLE, Some(Outcome::NotApplied))
        );
        let problem = nothing_healthy(Intent::Mutation, 3);
        assert_eq!(
            (problem.status(), problem.body().outcome),
            (StatusCode::SERVICE_UNAVAILABLE, Some(Outcome::NotApplied))
        );
    }

    #[test]
    fn the_outcome_is_said_of_mutations_only() {
        for failure in
            [never_sent(), broken(), Failure::Lost, Failure::TimedOut(Duration::from_secs(1))]
        {
            assert_eq!(give_up(Intent::Read, "replica-1", &failure).body().outcome, None);
        }
        assert_eq!(nothing_healthy(Intent::Read, 0).body().outcome, None);
    }

    #[test]
    fn a_mutation_answered_503_goes_elsewhere_only_if_the_answer_says_not_applied() {
        let is_not_now =
            |problem: Problem| is_not_now(Intent::Mutation, problem.status(), Some(problem.body()));
        assert!(is_not_now(
            Problem::unavailable("no primary is known").with_outcome(Outcome::NotApplied)
        ));
        assert!(!is_not_now(Problem::unavailable("").with_outcome(Outcome::Unknown)));
        assert!(!is_not_now(Problem::unavailable("")));
        assert!(!is_not_now(Problem::overloaded("queue").with_outcome(Outcome::NotApplied)));
        assert!(!is_not_now(Problem::timeout("").with_outcome(Outcome::NotApplied)));
        assert!(!super::is_not_now(Intent::Mutation, StatusCode::SERVICE_UNAVAILABLE, None));
    }

    #[test]
    fn a_read_answered_503_goes_elsewhere_unless_that_would_add_to_an_overload() {
        let is_not_now =
            |problem: Problem| is_not_now(Intent::Read, problem.status(), Some(problem.body()));
        assert!(is_not_now(Problem::unavailable("catching up")));
        assert!(!is_not_now(Problem::overloaded("queue")));
        assert!(!is_not_now(Problem::not_found("no such key")));
        assert!(super::is_not_now(Intent::Read, StatusCode::SERVICE_UNAVAILABLE, None));
    }
}
