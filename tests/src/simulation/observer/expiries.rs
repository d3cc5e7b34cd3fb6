//! When leases end: when their time in the log is over, and never before.

use std::collections::BTreeMap;

use replica::machine::outcome::CommandOutcome;
use replica::machine::state::ReplicatedState;
use shared::ids::LeaseId;

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
    pub(super) fn invariant_a_lease_lasts_its_time(&self, lease: LeaseId, time_ms: u64) {
        let expires_ms = self.0.get(&lease);
        assert!(
            expires_ms.is_some_and(|expires_ms| *expires_ms <= time_ms),
            "invariant: a lease lasts its time: lease {lease} ended at {time_ms}, not at \
             {expires_ms:?}"
        );
    }

    /// Panics if a lease is there after its time.
    pub(super) fn invariant_no_lease_outlasts_its_time(&self, state: &ReplicatedState) {
        let time_ms = state.meta().time_ms;
        for (lease, _) in state.leases().iter() {
            let expires_ms = self.0.get(&lease);
            assert!(
                expires_ms.is_some_and(|expires_ms| *expires_ms > time_ms),
                "invariant: no lease outlasts its time: at {time_ms} lease {lease} is there, which \
                 ends at {expires_ms:?}"
            );
        }
    }
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
        let ends = |time_ms| {
            let expiries = &expiries;
            watch(|| expiries.invariant_a_lease_lasts_its_time(LeaseId(3), time_ms)).is_ok()
        };
        assert!(!ends(599) && ends(600));
        let renewed = CommandOutcome::LeaseRenewed { revision: Revision(4), ttl_ms: 500 };
        expiries.note(&Call::Tenure(TenureCall::Renew { lease: 3 }), &renewed, 599);
        let ends =
            |time_ms| watch(|| expiries.invariant_a_lease_lasts_its_time(LeaseId(3), time_ms));
        assert!(ends(1_098).is_err() && ends(1_099).is_ok());
    }
}
