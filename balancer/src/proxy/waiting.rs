//! Waiting for a replica that can answer, while a primary or a leader is replaced.
//!
//! A round of asking that found nobody, or only refusals for now, is followed by another
//! one: once the pool has changed, and after a pause if it has not, since a replica may be
//! able to answer before a check tells so. How long the pauses are is for `retry` to say.
//! A request waits until its deadline at most, its body in memory that is counted, and in
//! one of a limited number of places; while one is taken, health checks are quick.

use std::time::Duration;

use axum::body::Body;
use http::Response;
use shared::problem::Problem;
use shared::telemetry::RequestTrace;
use tokio::sync::futures::Notified;

use super::attempts::{Round, RoundResult};
use super::retry_state::RetryState;
use super::{Buffered, Proxy};
use crate::retry;

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Woken {
    /// The primary is another one, or more or fewer replicas are able to answer.
    Changed,
    /// Nothing was heard, but it is time to ask again.
    Paused,
    /// The request's time is up, or the balancer ends.
    Over,
}

impl Proxy {
    /// Asks replicas until the request is settled, or can be waited with no longer.
    pub(super) async fn forward_buffered(
        &self,
        request: &Buffered,
        trace: &RequestTrace,
    ) -> Result<Response<Body>, Problem> {
        let mut state = RetryState::new();
        let mut round = Round::First;
        let mut rounds_alike = 0;
        loop {
            // What changes while replicas are asked counts.
            let changed = self.endpoints.changed();
            match self.ask_around(request, trace, round, &mut state).await {
                RoundResult::Settled(settled) => return settled,
                RoundResult::InVain => return self.give_up(request, state),
                RoundResult::NotNow => {}
            }
            let limit = self.patience.max_waiting;
            let Some(_place) = self.endpoints.wait(limit) else {
                return Err(state.refuse(retry::too_many_wait(request.intent, limit)));
            };
            match self.wait(request, changed, retry::pause(rounds_alike)).await {
                Woken::Changed => rounds_alike = 0,
                Woken::Paused => rounds_alike = rounds_alike.saturating_add(1),
                Woken::Over => return self.give_up(request, state),
            }
            round = Round::Later;
        }
    }

    /// Waits for the pause, or less if the pool changes, but for the shortest pause at
    /// least. A request that has no more than that left is not sent again: nobody would
    /// know what became of it.
    async fn wait(&self, request: &Buffered, changed: Notified<'_>, pause: Duration) -> Woken {
        let woken = async {
            tokio::time::sleep(retry::FIRST_PAUSE).await;
            tokio::select! {
                () = changed => Woken::Changed,
                () = tokio::time::sleep(pause.saturating_sub(retry::FIRST_PAUSE)) => Woken::Paused,
            }
        };
        let left = request.asked_until.remaining().saturating_sub(retry::FIRST_PAUSE);
        tokio::select! {
            biased;
            () = tokio::time::sleep(left) => Woken::Over,
            () = self.shutdown.cancelled() => Woken::Over,
            woken = woken => woken,
        }
    }
}
