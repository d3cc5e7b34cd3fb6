//! What is counted, logged and told of refusals: never what came as a secret.
#![expect(clippy::disallowed_methods, reason = "the shell reads clocks")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use shared::events::{Events, RefusalsHeard};
use shared::ids::Name;
use shared::metrics::{Counter, Metrics};
use shared::telemetry::Seldom;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::NotAllowed;
use crate::machine::access::authorize::Denied;

/// Why requests are refused.
const REASONS: [&str; 9] = [
    "not_bootstrapped",
    "no_token",
    "bad_token",
    "unknown_token",
    "keys",
    "cluster",
    "lease",
    "bad_jwt",
    "bootstrap",
];

/// While something is not told yet, it is looked so often whether it is to be told now.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The counters, by reason; a clone counts the same.
#[derive(Clone, Debug)]
pub(crate) struct Refusals {
    counters: [Counter; REASONS.len()],
    grown: Arc<Notify>,
}

impl Refusals {
    pub(crate) fn register(metrics: &mut Metrics) -> Self {
        let counters = metrics.counters(
            "synod_replica_access_refused_total",
            "Requests that were refused for want of a token or a right",
            "reason",
            REASONS,
        );
        Self { counters, grown: Arc::default() }
    }

    /// How many there were, by reason.
    pub(in crate::http) fn counts(&self) -> BTreeMap<String, u64> {
        let named = REASONS.iter().zip(&self.counters);
        named.map(|(reason, counter)| ((*reason).to_owned(), counter.get())).collect()
    }

    /// One was refused.
    pub(super) fn refused(&self, why: &NotAllowed) {
        static SAID: Seldom = Seldom::new();
        let (reason, detail) = match why {
            NotAllowed::NotBootstrapped => (0, "the first token is not made yet".to_owned()),
            NotAllowed::Denied(why @ Denied::NoToken) => (1, why.to_string()),
            NotAllowed::Bad(why) => (2, why.to_string()),
            NotAllowed::BadJwt(why) => (7, why.to_string()),
            NotAllowed::Denied(why @ Denied::UnknownToken) => (3, why.to_string()),
            // Keys are the clients' own business, and are not logged.
            NotAllowed::Denied(Denied::Key { right, .. } | Denied::WholePrefix { right, .. }) => {
                (4, format!("a token lacks the right {right} at the keys that it asked for"))
            }
            NotAllowed::Denied(Denied::NowhereUnder { rights, .. }) => {
                (4, format!("a token lacks the right {rights} at the keys that it asked for"))
            }
            NotAllowed::Denied(why @ Denied::Cluster { .. }) => (5, why.to_string()),
            NotAllowed::Denied(why @ Denied::Lease { .. }) => (6, why.to_string()),
            NotAllowed::Bootstrap(why) => (8, why.to_string()),
        };
        self.counters[reason].inc();
        self.grown.notify_one();
        if let Some(left_out) = SAID.may() {
            let reason = REASONS[reason];
            tracing::warn!(reason, left_out, "a request was refused: {detail}");
        }
    }
}

/// Tells what this replica refuses as events of its own: how much, by reason.
pub(crate) async fn tell_of_refusals(
    refusals: Refusals,
    events: Arc<Events>,
    replica: Name,
) -> Infallible {
    let (began, mut heard) = (Instant::now(), RefusalsHeard::default());
    loop {
        let counts = refusals.counts();
        events.tell_all(heard.take(began.elapsed(), replica.as_str(), &counts));
        if heard.is_behind() {
            tokio::time::sleep(LOOK_EVERY).await;
        } else {
            refusals.grown.notified().await;
        }
    }
}
