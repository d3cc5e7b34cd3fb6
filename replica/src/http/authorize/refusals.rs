//! What is counted and logged of refusals: never what came as a secret.

use shared::metrics::{Counter, Metrics};
use shared::telemetry::Seldom;

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

/// The counters, by reason.
#[derive(Debug)]
pub(crate) struct Refusals([Counter; REASONS.len()]);

impl Refusals {
    pub(crate) fn register(metrics: &mut Metrics) -> Self {
        Self(metrics.counters(
            "synod_replica_access_refused_total",
            "Requests that were refused for want of a token or a right",
            "reason",
            REASONS,
        ))
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
        self.0[reason].inc();
        if let Some(left_out) = SAID.may() {
            let reason = REASONS[reason];
            tracing::warn!(reason, left_out, "a request was refused: {detail}");
        }
    }
}
