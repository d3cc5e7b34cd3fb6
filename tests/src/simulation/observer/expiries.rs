//! When leases end: when their time in the log is over, and never before. In a log of an older
//! format that is at the millisecond at which they end, and in others after it.

use std::collections::BTreeMap;

use replica::machine::outcome::CommandOutcome;
use replica::machine::state::ReplicatedState;
use shared::ids::{LeaseId, LogFormat};

use crate::operations::{Call, TenureCall};

/// When each lease that was granted ends, by the time of the log. Milliseconds.
#[derive(Debug, Default)]
pub(super) struct Expiries(BTreeMap<LeaseId, u64>);

impl Expiries {
    /// What came of a call at a time of the log.
    pub(super) fn note(&mut self, call: &Call, outcome: &CommandOutcome, time_ms: u64) {
        let Call::Tenure(call) = call else { return };
        match (call, outcome) {
            (TenureCall::Grant { ttl_ms }, CommandOutcome::LeaseGranted { revision }) => {
                self.0.insert(LeaseId(revision.0), time_ms + ttl_ms);
            }
            (TenureCall::Renew { lease }, CommandOutcome::LeaseRenewed { ttl_ms, .. }) => {
                self.0.insert(LeaseId(*lease), time_ms + ttl_ms);
            }
            _ => {}
        }
    }

    /// Panics if a lease ended before its time.
    pub(super) fn invariant_a_lease_lasts_its_time(
        &self,
        lease: LeaseId,
        (time_ms, format): (u64, LogFormat),
    ) {
        let expires_ms = self.0.get(&lease);
        assert!(
            expires_ms.is_some_and(|expires_ms| is_over(*expires_ms, (time_ms, format))),
            "invariant: a lease lasts its time: lease {lease} ended at {time_ms}, not at \
             {expires_ms:?}"
        );
    }

    /// Panics if a lease is there after its time.
    pub(super) fn invariant_no_lease_outlasts_its_time(&self, state: &ReplicatedState) {
        let (time_ms, format) = (state.meta().time_ms, state.meta().format());
        for (lease, _) in state.leases().iter() {
            let expires_ms = self.0.get(&lease);
            assert!(
                expires_ms.is_some_and(|expires_ms| !is_over(*expires_ms, (time_ms, format))),
                "invariant: no lease outlasts its time: at {time_ms} lease {lease} is there, which \
                 ends at {expires_ms:?}"
            );
        }
    }
}

fn is_over(expires_ms: u64, (time_ms, format): (u64, LogFormat)) -> bool {
    expires_ms < time_ms || (expires_ms == time_ms && format < LogFormat(5))
}

#[cfg(test)]
mod tests {
    use shared::ids::Revision;

    use super::*;
    use crate::simulation::run::failure::watch;

    #[test]
    fn a_lease_ends_at_its_time_and_not_before() {
        let mut expiries = Expiries::default();
        let granted = CommandOutcome::LeaseGranted { revision: Revision(3) };
        expiries.note(&Call::Tenure(TenureCall::Grant { ttl_ms: 500 }), &granted, 100);
        let ends = |time_ms, format| {
            let at = (time_ms, LogFormat(format));
            let expiries = &expiries;
            watch(|| expiries.invariant_a_lease_lasts_its_time(LeaseId(3), at)).is_ok()
        };
        assert!(!ends(599, 4) && ends(600, 4));
        assert!(!ends(600, 5) && ends(601, 5));
        let renewed = CommandOutcome::LeaseRenewed { revision: Revision(4), ttl_ms: 500 };
        expiries.note(&Call::Tenure(TenureCall::Renew { lease: 3 }), &renewed, 599);
        let at = |time_ms| (time_ms, LogFormat(5));
        let ends =
            |time_ms| watch(|| expiries.invariant_a_lease_lasts_its_time(LeaseId(3), at(time_ms)));
        assert!(ends(1_099).is_err() && ends(1_100).is_ok());
    }
}
