//! When to send a request again, for requests that may be sent twice without harm: reads,
//! mutations with an `Idempotency-Key`, and a `PUT` of the same bytes to the same key (an
//! import: a key for each file would only take the room of other clients' keys). For these
//! even an unknown outcome is simply tried again.

use std::time::{Duration, Instant};

use http::StatusCode;
use rand::RngExt;

use crate::client::Failure;

/// The first pause; each following one may be twice as long. Short, as most of what is
/// retried is a change of primary.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause of our own making.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long a pause a server may ask of us with `Retry-After`.
const LONGEST_ASKED_PAUSE: Duration = Duration::from_secs(5);

/// What a failure says about trying again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The same request will fail the same way.
    Final,
    /// It may pass; not before the pause, where one was asked for.
    Passing { asked: Option<Duration> },
}

/// Whether a repeat of an idempotent request may do better.
pub(crate) fn verdict(failure: &Failure) -> Verdict {
    match failure {
        Failure::Unreachable { .. } | Failure::Lost { .. } => Verdict::Passing { asked: None },
        Failure::Answered { status, retry_after, .. } => {
            let passing = status.is_server_error() && *status != StatusCode::NOT_IMPLEMENTED
                || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(status);
            if passing { Verdict::Passing { asked: *retry_after } } else { Verdict::Final }
        }
        Failure::Malformed { .. } => Verdict::Final,
    }
}

/// Pauses that grow, with jitter, up to a deadline.
pub(crate) struct Backoff {
    ceiling: Duration,
    deadline: Instant,
}

impl Backoff {
    /// Pauses for at most `patience` from now on.
    pub(crate) fn new(patience: Duration) -> Self {
        Self { ceiling: FIRST_PAUSE, deadline: Instant::now() + patience }
    }

    /// The pause before the next attempt; none when it would end past the deadline.
    pub(crate) fn next_pause(&mut self, asked: Option<Duration>) -> Option<Duration> {
        // Between half and all of the ceiling: spread out, and never a busy loop.
        let own = self.ceiling.mul_f64(rand::rng().random_range(0.5..=1.0));
        self.ceiling = (self.ceiling * 2).min(LONGEST_PAUSE);
        let pause = asked.map_or(own, |asked| asked.min(LONGEST_ASKED_PAUSE).max(own));
        (Instant::now() + pause < self.deadline).then_some(pause)
    }
}

/// An idempotent request that did not succeed.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Refused for good: this request, not the cluster, is at fault.
    Refused(Failure),
    /// The cluster could not serve it in all the time there was.
    Unavailable(Failure),
}

impl Outcome {
    pub(crate) fn into_failure(self) -> Failure {
        match self {
            Self::Refused(failure) | Self::Unavailable(failure) => failure,
        }
    }
}

/// Sends an idempotent request until it is answered for good or the patience is used up.
pub(crate) async fn persist<T>(
    patience: Duration,
    mut attempt: impl AsyncFnMut() -> Result<T, Failure>,
) -> Result<T, Outcome> {
    let mut backoff = Backoff::new(patience);
    loop {
        let failure = match attempt().await {
            Ok(value) => return Ok(value),
            Err(failure) => failure,
        };
        let asked = match verdict(&failure) {
            Verdict::Final => return Err(Outcome::Refused(failure)),
            Verdict::Passing { asked } => asked,
        };
        match backoff.next_pause(asked) {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Err(Outcome::Unavailable(failure)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, retry_after: Option<Duration>) -> Failure {
        Failure::Answered {
            status: StatusCode::from_u16(status).unwrap(),
            retry_after,
            detail: String::from("because"),
        }
    }

    #[test]
    fn an_unknown_outcome_of_an_idempotent_request_is_tried_again() {
        for status in [408, 429, 500, 502, 503, 504, 507] {
            assert_eq!(
                verdict(&answered(status, None)),
                Verdict::Passing { asked: None },
                "{status}"
            );
        }
        let asked = Some(Duration::from_secs(1));
        assert_eq!(verdict(&answered(503, asked)), Verdict::Passing { asked });
    }

    #[test]
    fn a_request_at_fault_is_not_tried_again() {
        for status in [301, 400, 404, 409, 410, 412, 413, 422, 431, 501] {
            assert_eq!(verdict(&answered(status, None)), Verdict::Final, "{status}");
        }
    }

    #[test]
    fn pauses_grow_to_a_bound_and_end_at_the_deadline() {
        let mut backoff = Backoff::new(Duration::from_secs(3600));
        let pauses: Vec<Duration> = (0..12).map(|_| backoff.next_pause(None).unwrap()).collect();
        assert!(pauses[0] <= FIRST_PAUSE, "{pauses:?}");
        assert!(
            pauses.iter().all(|pause| *pause >= FIRST_PAUSE / 2 && *pause <= LONGEST_PAUSE),
            "{pauses:?}"
        );
        assert!(pauses[11] >= LONGEST_PAUSE / 2, "{pauses:?}");
        assert_eq!(Backoff::new(Duration::ZERO).next_pause(None), None);
    }

    #[test]
    fn a_server_may_ask_for_a_longer_pause_but_not_for_any() {
        let mut backoff = Backoff::new(Duration::from_secs(3600));
        assert_eq!(backoff.next_pause(Some(Duration::from_secs(1))), Some(Duration::from_secs(1)));
        assert_eq!(backoff.next_pause(Some(Duration::from_secs(600))), Some(LONGEST_ASKED_PAUSE));
    }

    #[tokio::test]
    async fn what_passes_is_repeated_and_what_is_final_is_not() {
        let mut attempts = 0;
        let answer = persist(Duration::from_secs(60), async || {
            attempts += 1;
            if attempts < 3 { Err(answered(503, None)) } else { Ok(attempts) }
        })
        .await;
        assert_eq!(answer.unwrap(), 3);

        let mut attempts = 0;
        let answer: Result<(), Outcome> = persist(Duration::from_secs(60), async || {
            attempts += 1;
            Err(answered(413, None))
        })
        .await;
        assert!(matches!(
            answer,
            Err(Outcome::Refused(Failure::Answered { status: StatusCode::PAYLOAD_TOO_LARGE, .. }))
        ));
        assert_eq!(attempts, 1);
    }
}
