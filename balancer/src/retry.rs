//! Whether a request may be sent to another replica, and what to say when it may not:
//! pure, and the one place where it is decided.
//!
//! A read may be sent again as long as none of its answer has gone to the client. A
//! mutation may be sent again only where it *cannot have happened*: no byte of it was
//! sent, or the answer itself says that it was not applied. Everything else leaves it
//! open, and the client is told so (`outcome: unknown`), because only the client knows
//! whether a repeat does harm.
//!
//! What every replica refused so, for now, is not refused to the client at once: while a
//! primary or a leader is replaced it waits ([`may_pass`]), and is then sent again. Between
//! two rounds of asking lies [`FIRST_PAUSE`] at least, and up to [`LONGEST_PAUSE`] while
//! nothing is heard of a change; a later round asks one replica.
//!
//! With an `Idempotency-Key` the client says that it does none: such a mutation is executed
//! once however often it is sent. So is one that the balancer named (`shared::repeat`),
//! which are all others while every replica knows names, but for those that make a token. It is sent again as a read is. But
//! once an attempt may have been executed, that a later one was refused doesn't mean that
//! nothing happened.

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, Uri, header};
use shared::client::SendError;
use shared::deadline;
use shared::problem::{Body, Outcome, Problem, Retryable};

use crate::pool::{Intent, Pool, To};

/// What a read says that needs no quorum.
const LOCAL: &str = "consistency=local";

/// Where queries are asked, by POST for want of a safe method with a body.
const QUERIES: &str = "/v1/sql";
/// Where keys are rolled back, …
const ROLLBACK: &str = "/v1/rollback";
/// … unless it is only asked what that would change.
const DRY_RUN: [&str; 3] = ["dry_run", "dry_run=true", "dry_run=1"];

/// What any replica knows without a quorum.
const OF_ANY_REPLICA: [&str; 3] = ["/v1/cluster", "/v1/events", "/openapi.json"];
/// Where tokens are made.
const TOKENS: &str = "/v1/tokens";
const OF_TOKENS: &str = "/v1/tokens/";
/// Where locks are asked for.
const LOCKS: &str = "/v1/locks/";
/// No request waits longer for one.
const LONGEST_LOCK_WAIT: Duration = Duration::from_secs(600);

/// What a request asks of a replica: safe methods (RFC 9110, section 9.2.1), queries
/// and dry runs read, and without a quorum where they say so or ask of the cluster itself.
pub(crate) fn intent_of(method: &Method, uri: &Uri) -> Intent {
    let says = |words: &[&str]| {
        uri.query().is_some_and(|query| query.split('&').any(|pair| words.contains(&pair)))
    };
    let says_local = || says(&[LOCAL]);
    let is_query = method == Method::POST
        && (uri.path() == QUERIES || uri.path() == ROLLBACK && says(&DRY_RUN));
    if !method.is_safe() && !is_query {
        Intent::Mutation
    } else if OF_ANY_REPLICA.contains(&uri.path()) || says_local() {
        Intent::LocalRead
    } else {
        Intent::Read
    }
}

/// Whether a request asks for a lock.
pub(crate) fn asks_for_lock(method: &Method, path: &str) -> bool {
    method == Method::PUT && path.starts_with(LOCKS)
}

/// How long a request waits for a lock, at most, where it asks for one and does not say how
/// long it may take: its wait comes on top of the time that a request has.
pub(crate) fn lock_wait(method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Duration {
    #[derive(serde::Deserialize)]
    struct LockBody {
        #[serde(default)]
        wait_ms: u64,
    }
    if !asks_for_lock(method, uri.path()) || headers.contains_key(deadline::HEADER) {
        return Duration::ZERO;
    }
    let asked = serde_json::from_slice(body).unwrap_or(LockBody { wait_ms: 0 });
    Duration::from_millis(asked.wait_ms).min(LONGEST_LOCK_WAIT)
}

/// Whether a request may be sent again by a name, as one that is executed once. Each time
/// that a token is asked for, another one is drawn.
pub(crate) fn may_be_named(method: &Method, path: &str) -> bool {
    method != Method::POST || !(path == TOKENS || path.starts_with(OF_TOKENS))
}

/// Whether it does harm to have a request executed by two replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It does none: a read, or a mutation with an `Idempotency-Key` or a name.
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

/// A request is not waited with, nor a mutation sent again, once more lives of replicas than
/// this broke off while they had it: it may be what kills them.
pub(crate) const MOST_BROKEN: usize = 2;

/// What the client is told where the replica became unable to answer, and no other did.
pub(crate) fn lost(intent: Intent, endpoint: &str) -> Problem {
    let detail = format!("{endpoint} was asked and is not able to answer any more");
    unknown(intent, Problem::unavailable(detail))
}

/// The shortest time from the end of one round of asking to the next: a request is sent at
/// most so often, whatever changes.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest one: a replica may be able to answer before the balancer hears of it.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// How long to wait after so many rounds without an answer and without news.
pub(crate) fn pause(rounds: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(rounds)).min(LONGEST_PAUSE)
}

/// Whether what an attempt that may be repeated was answered may pass by itself: the replica
/// said "not now", or that the primary broke off. What else is wrong with an answer (a fault
/// of the replica, one too late) is no better for waiting.
pub(crate) fn may_pass(status: StatusCode) -> bool {
    [StatusCode::SERVICE_UNAVAILABLE, StatusCode::BAD_GATEWAY].contains(&status)
}

/// Whether what it failed with may: the replica was not there, or broke off. A mutation is
/// sent to it again until it is gone or answers; a read that breaks off twice at one replica
/// may be the reason.
pub(crate) fn failure_may_pass(intent: Intent, failure: &Failure, broke_before: bool) -> bool {
    match failure {
        Failure::NeverSent(_) => true,
        Failure::Broken(_) => intent == Intent::Mutation || !broke_before,
        Failure::NotTaken(_) | Failure::TimedOut(_) => false,
    }
}

/// What the client is told when so many requests wait already.
pub(crate) fn too_many_wait(intent: Intent, limit: usize) -> Problem {
    not_applied(
        intent,
        Problem::overloaded(format!(
            "{limit} requests wait for a replica that can answer (--max-waiting)"
        )),
    )
}

/// What the client is told when no replica is able to answer.
pub(crate) fn nobody_able(intent: Intent, pool: &Pool) -> Problem {
    let (known, healthy) = (pool.endpoints().count(), pool.healthy());
    let drained: Vec<&str> = pool.drained().map(|endpoint| endpoint.member.name.as_str()).collect();
    let full = pool.full(intent);
    let problem = if known == 0 {
        Problem::unavailable("no replica is known yet")
    } else if drained.len() == known {
        Problem::unavailable(format!(
            "all replicas are drained at this balancer ({}); \
             PUT /v1/balancer/endpoints/ID {{\"drain\": false}} puts one back",
            drained.join(", ")
        ))
    } else if healthy == 0 {
        Problem::unavailable(format!("none of the {known} known replicas is healthy"))
    } else if full > 0 {
        Problem::overloaded(format!(
            "{full} replicas work on as many requests as each may (--max-in-flight)"
        ))
    } else if !drained.is_empty() && pool.able(intent, To::Finish) > 0 {
        Problem::unavailable(format!(
            "the replicas that could answer are drained at this balancer ({}); \
             PUT /v1/balancer/endpoints/ID {{\"drain\": false}} puts one back",
            drained.join(", ")
        ))
    } else if pool.with_quorum() > 0 {
        Problem::unavailable(format!(
            "none of the {healthy} healthy replicas can get all that was chosen; \
             GET /readyz of each says what it lacks"
        ))
    } else {
        Problem::no_quorum(format!(
            "no quorum of acceptors answers any of the {healthy} healthy replicas; \
             reads with ?{LOCAL} are answered"
        ))
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

/// Whether an error says what became of a mutation of which an earlier attempt was left
/// open: it was executed, or refused by executing it, which is once, and then its problem names
/// the revision; or its key was used for another request. Any other refusal is of this attempt
/// only, and so is that the client may not. Where an attempt that waited in line was left, its
/// replica leaves the line, by another entry of the log than a refusal names here. The header
/// `Synod-Revision` says nothing of it: every answer has that.
pub(crate) fn settles(status: StatusCode, problem: Option<&Body>, waits_in_line: bool) -> bool {
    let is_forbidden = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status);
    let names_revision = problem.is_some_and(|problem| problem.revision.is_some());
    let is_refusal = status.is_client_error() && !is_forbidden && names_revision;
    problem.is_some_and(|problem| problem.outcome == Some(Outcome::Applied))
        || [StatusCode::PRECONDITION_FAILED, StatusCode::UNPROCESSABLE_ENTITY].contains(&status)
        || is_refusal && !waits_in_line
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
mod tests;
