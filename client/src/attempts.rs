//! When a request is sent again, and what is known of it when it is not: pure.
//!
//! A read may be sent often, and so may a mutation with an idempotency key, which is
//! executed once however often it comes. So what passes (no connection, no answer, 429 and
//! 5xx) is tried again, as long as there is time. But once an attempt may have been executed,
//! that a later one was refused says nothing of the first: only an answer that comes from
//! executing it does, or one by which no cluster would ever have taken it.

use std::time::Duration;

use http::StatusCode;
use shared::problem::Outcome;

use crate::error::{Error, Failure};

/// The first pause; each following one may be twice as long. Short, as most of what is
/// retried is a change of primary.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause of our own making.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long a pause a server may ask of us with `Retry-After`.
const LONGEST_ASKED_PAUSE: Duration = Duration::from_secs(5);

/// What a request does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing.
    Read,
    /// Something, once by this key; without one its repeat does no harm.
    Mutation { idempotency_key: Option<String> },
    /// Something whose answer could not be given again: it is not sent again once it may have
    /// been executed.
    Once,
}

/// What comes after an attempt that failed.
#[derive(Debug)]
pub(crate) enum Next {
    /// Another one, at the next address, after a pause.
    Again(Duration),
    /// Nothing.
    Over(Error),
}

/// The attempts at one request.
#[derive(Debug)]
pub(crate) struct Attempts {
    effect: Effect,
    /// How many addresses there are, and how many of them failed one after the other.
    addresses: usize,
    failed: usize,
    ceiling: Duration,
    may_be_executed: bool,
}

impl Attempts {
    pub(crate) fn new(effect: Effect, addresses: usize) -> Self {
        Self { effect, addresses, failed: 0, ceiling: FIRST_PAUSE, may_be_executed: false }
    }

    /// What comes next, when of all the time so much has passed, and so much is left. `share`
    /// is drawn from 0 to 1: how much of the second half of a pause is kept.
    pub(crate) fn failed(
        &mut self,
        failure: Failure,
        waited: Duration,
        left: Duration,
        share: f64,
    ) -> Next {
        let passing = match &failure {
            Failure::Unreachable { .. } => true,
            Failure::Lost { .. } => {
                self.may_be_executed = true;
                true
            }
            Failure::Answered { problem, retry_after, .. } => {
                let status = failure.status().unwrap_or_default();
                self.may_be_executed |= match problem.outcome {
                    Some(Outcome::NotApplied) => false,
                    Some(Outcome::Applied | Outcome::Unknown) => true,
                    None => status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE,
                };
                let is_asked_again = status == StatusCode::CONFLICT && retry_after.is_some();
                (is_passing(status) || is_asked_again) && problem.retryable != Some(false)
            }
        };
        let pause = self.pause(&failure, share);
        let may_go_on = self.effect != Effect::Once || !self.may_be_executed;
        if passing && may_go_on && pause < left {
            Next::Again(pause)
        } else {
            Next::Over(self.over(failure, passing, waited))
        }
    }

    /// An address that cannot be reached is no reason to wait before the next one is tried.
    fn pause(&mut self, failure: &Failure, share: f64) -> Duration {
        self.failed += 1;
        let asked = match failure {
            Failure::Unreachable { .. } | Failure::Lost { .. } => {
                if !self.failed.is_multiple_of(self.addresses) {
                    return Duration::ZERO;
                }
                None
            }
            Failure::Answered { retry_after, .. } => *retry_after,
        };
        // Between half and all of the ceiling: spread out, and never a busy loop.
        let own = self.ceiling.mul_f64(0.5 + share / 2.0);
        self.ceiling = (self.ceiling * 2).min(LONGEST_PAUSE);
        asked.map_or(own, |asked| asked.min(LONGEST_ASKED_PAUSE).max(own))
    }

    fn over(&self, last: Failure, passing: bool, waited: Duration) -> Error {
        let answered = match &last {
            Failure::Answered { problem, .. } => Some(problem),
            Failure::Unreachable { .. } | Failure::Lost { .. } => None,
        };
        let is_final = answered.is_some_and(|problem| match &self.effect {
            Effect::Read => !passing,
            Effect::Mutation { .. } | Effect::Once if self.may_be_executed => {
                settles(problem.status)
            }
            Effect::Mutation { .. } | Effect::Once => !passing,
        });
        match (answered, &self.effect) {
            (Some(problem), _) if is_final => Error::answered(problem.clone()),
            (_, Effect::Mutation { idempotency_key }) if self.may_be_executed => {
                Error::UnknownOutcome { idempotency_key: idempotency_key.clone(), last }
            }
            (_, Effect::Once) if self.may_be_executed => {
                Error::UnknownOutcome { idempotency_key: None, last }
            }
            _other => Error::Unavailable { waited, last },
        }
    }
}

/// Whether what is answered so may be answered otherwise later.
fn is_passing(status: StatusCode) -> bool {
    status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED
        || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status)
}

/// Whether what is answered so holds for every attempt: it is what executing it came to, or
/// the request itself is such that it was executed at no time.
fn settles(status: u16) -> bool {
    [400, 404, 405, 409, 410, 412, 413, 414, 415, 422, 431, 501].contains(&status)
}

#[cfg(test)]
mod tests;
