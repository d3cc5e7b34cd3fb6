//! What came of each slot is noted: for the checks to come, and for what a run has
//! reached.

use replica::machine::access::authorize::Denied;
use replica::machine::change::Change;
use replica::machine::command::limits;
use replica::machine::leases::LeaseEnd;
use replica::machine::outcome::{
    CommandOutcome, Delivery, Executed, ExecutedCommand, SlotOutcome, VoidReason,
};
use replica::machine::state::RemovedReplica;
use shared::ids::Slot;
use shared::message::{Removal, View};

use super::Golden;
use crate::linearizability::witness::Write;
use crate::operations::{
    AccessCall, AccessDeed, Answer, Call, OperationId, TenureAnswer, TenureCall,
};
use crate::simulation::environment::coverage::{Coverage, Reached};
use crate::simulation::observer::turn::Turn;

impl Golden {
    pub(super) fn note(
        &mut self,
        slot: Slot,
        turn: Turn,
        executed: &Executed,
        coverage: &mut Coverage,
    ) {
        match &executed.outcome {
            SlotOutcome::Noop => {}
            SlotOutcome::View(view) => self.note_view(slot, view, coverage),
            SlotOutcome::Batch { commands, .. } => self.note_batch(slot, turn, commands, coverage),
            SlotOutcome::Void(reason) => match reason {
                VoidReason::ViewOutOfOrder { .. } => coverage.hit(Reached::VoidView),
                VoidReason::OtherEpoch { .. } => coverage.hit(Reached::VoidOldEpoch),
                VoidReason::OutOfOrder { .. } => coverage.hit(Reached::VoidOutOfOrder),
                VoidReason::Undecodable
                | VoidReason::FormatNotReached { .. }
                | VoidReason::FormatLowered { .. }
                | VoidReason::ViewTooLarge { .. }
                | VoidReason::Unreadable { .. } => {
                    panic!("invariant: services propose what can be read: {reason}")
                }
            },
        }
    }

    /// Leases that a batch has ended after its commands.
    pub(super) fn note_ends(&mut self, executed: &Executed, coverage: &mut Coverage) {
        if !matches!(executed.outcome, SlotOutcome::Batch { .. }) {
            return;
        }
        let meta = self.state.meta();
        let at = (meta.time_ms, meta.format());
        let mut ended = 0;
        for change in &executed.changes {
            let Change::Lease { lease, end: LeaseEnd::Expired, .. } = change else { continue };
            coverage.hit(Reached::LeaseExpired);
            self.expiries.invariant_a_lease_lasts_its_time(*lease, at);
            let call = Call::Tenure(TenureCall::Expire { lease: lease.0 });
            if let Answer::Tenure(TenureAnswer::Ended(1..)) = self.reference.execute(&call).answer {
                coverage.hit(Reached::KeysExpired);
            }
            self.writes.push(Write { operation: OperationId::NOBODYS, call });
            ended += 1;
        }
        if ended < limits::LEASES_ENDED {
            self.expiries.invariant_no_lease_outlasts_its_time(&self.state);
        }
    }

    /// Who is out for good is remembered with where that was chosen, and nothing else changes
    /// who is.
    pub(super) fn note_removal(
        &self,
        removal: Option<Removal>,
        mut before: Vec<RemovedReplica>,
        executed: &Executed,
        coverage: &mut Coverage,
    ) {
        if let (Some(Removal { view, replica }), SlotOutcome::View(_)) =
            (removal, &executed.outcome)
        {
            coverage.hit(Reached::TakenOut);
            let last = self.views.last_key_value();
            if last.is_some_and(|(_, (_, last))| last.primary == replica) {
                coverage.hit(Reached::PrimaryTakenOut);
            }
            before.retain(|removed| removed.replica != replica);
            before.push(RemovedReplica { replica, slot: executed.slot, epoch: view.epoch });
        }
        let removed = &self.state.meta().removed;
        assert_eq!(
            **removed, before,
            "invariant: who was taken out, and no other, is remembered: after {}",
            executed.slot
        );
    }

    fn note_view(&mut self, slot: Slot, view: &View, coverage: &mut Coverage) {
        if self
            .views
            .last_key_value()
            .is_some_and(|(_, (_, before))| before.primary != view.primary)
        {
            coverage.hit(Reached::ViewChanged);
        }
        let before = self.views.last_key_value().map(|(_, (_, before))| before);
        let is_left = |before: &View| {
            let mut members = std::iter::once(&before.primary).chain(&before.backups);
            members.any(|name| !view.contains(name))
        };
        if before.is_some_and(is_left) {
            coverage.hit(Reached::ReplicaLeft);
        }
        self.views.insert(view.epoch, (slot, view.clone()));
    }

    fn note_batch(
        &mut self,
        slot: Slot,
        turn: Turn,
        commands: &[ExecutedCommand],
        coverage: &mut Coverage,
    ) {
        let Turn::Batch { calls, .. } = turn else { unreachable!("a batch was executed") };
        if commands.len() > 1 {
            coverage.hit(Reached::Batched);
        }
        for ((operation, call), executed) in calls.into_iter().zip(commands) {
            match executed.delivery {
                Delivery::First => {}
                Delivery::Replayed => {
                    coverage.hit(Reached::Replayed);
                    self.invariant_a_repeat_gets_the_first_answer(operation, slot, executed);
                    continue;
                }
            }
            if let CommandOutcome::TooManyKeys { .. } = executed.outcome {
                coverage.hit(Reached::TooManyKeys);
                continue;
            }
            let outcome = &executed.outcome;
            self.invariant_a_mutation_is_executed_once(operation, slot, outcome.clone());
            self.expiries.note(&call, outcome, self.state.meta().time_ms);
            if let CommandOutcome::LockAwaited { .. } = outcome {
                coverage.hit(Reached::LockAwaited);
            }
            note_access(&call, outcome, coverage);
            if let CommandOutcome::FenceFailed { .. } = outcome {
                coverage.hit(Reached::FenceFailed);
            }
            if self.is_overtaken_by_the_first_token(&call, outcome) {
                continue;
            }
            if self.invariant_executed_as_the_reference_does(slot, &call, outcome) {
                self.writes.push(Write { operation, call });
            }
        }
    }

    /// Whether a primary asked for a compaction by itself before it had executed that tokens
    /// are required, and had it executed after that: it is denied, and asked for again. What
    /// clients ask for is by a token wherever there may be one.
    fn is_overtaken_by_the_first_token(&self, call: &Call, outcome: &CommandOutcome) -> bool {
        let is_denied = matches!(outcome, CommandOutcome::Denied { why: Denied::NoToken, .. });
        is_denied && matches!(call, Call::Compact { .. }) && self.state.access().is_required()
    }
}

/// What a token may do, and what not.
fn note_access(call: &Call, outcome: &CommandOutcome, coverage: &mut Coverage) {
    let Call::Access(AccessCall { deed, .. }) = call else { return };
    match (deed, outcome) {
        (AccessDeed::Bootstrap, CommandOutcome::Access { .. }) => {
            coverage.hit(Reached::TokensRequired)
        }
        (
            AccessDeed::Put { .. },
            CommandOutcome::Created { .. } | CommandOutcome::Replaced { .. },
        ) => coverage.hit(Reached::TokenWrote),
        (_, CommandOutcome::Denied { why: Denied::UnknownToken, .. }) => {
            coverage.hit(Reached::TokenGone)
        }
        (_, CommandOutcome::Denied { .. }) => coverage.hit(Reached::TokenDenied),
        _ => {}
    }
}
