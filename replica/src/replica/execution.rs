//! Handing out what is learned, and what follows from its execution and its being stored.

use std::iter::{once, repeat};
use std::time::Duration;

use shared::ids::Slot;
use shared::message::{LogPrefix, View};

use super::Replica;
use crate::machine::execute::{
    Delivery, Executed, ExecutedCommand, ExecutionReport, SlotOutcome, VoidReason,
};
use crate::machine::format;
use crate::machine::state::Meta;
use crate::replica::batching::ReplicatedClock;
use crate::replica::event::{Answer, Effect, NotApplied, RequestId, Role, Stored};

impl Replica {
    pub(super) fn execute_next(&mut self, effects: &mut Vec<Effect>) {
        // Whose log it is has to be known before it is executed on this data.
        if self.cluster.is_some()
            && let Some(entries) = self.learner.take_run()
        {
            effects.push(Effect::Execute { entries });
        }
        self.look_for_dispute(effects);
    }

    /// Has stored at once what somebody waits to read.
    pub(super) fn store_awaited(&mut self, effects: &mut Vec<Effect>) {
        let is_ahead = self.stored.executed_below < self.meta.executed_below;
        if is_ahead && !self.is_storing && self.is_awaited() {
            self.is_storing = true;
            effects.push(Effect::Store);
        }
    }

    /// Whether a read waits for something that is executed.
    fn is_awaited(&self) -> bool {
        let by_slot = || self.reads.is_awaited(self.meta.executed_below);
        let revision = self.revision_waits.first().map(|(revision, _)| *revision);
        by_slot() || revision.is_some_and(|revision| revision <= self.meta.revision)
    }

    pub(super) fn stored(&mut self, now: Duration, stored: Stored, effects: &mut Vec<Effect>) {
        self.is_storing = false;
        let epoch_before = std::mem::replace(&mut self.stored, stored).epoch;
        self.learner.stored(stored.executed_below);
        self.release(effects);
        if stored.epoch > epoch_before {
            // The leader waits to hear that its view is executed.
            self.send_heartbeats(now, effects);
        }
    }

    pub(super) fn executed(
        &mut self,
        now: Duration,
        report: ExecutionReport,
        effects: &mut Vec<Effect>,
    ) {
        self.learner.executed(report.meta.executed_below);
        let epoch_before = self.meta.epoch();
        // The view of a primary is the last that it executes before its own batches.
        let clock = ReplicatedClock::starting_at(report.meta.time_ms, now);
        if !report.slots.is_empty() {
            self.time_as_of = Some(now);
        }
        for slot in report.slots {
            self.settle(slot, &clock, effects);
        }
        self.meta = report.meta;
        let Meta { executed_below: below, hash, .. } = self.meta;
        let is_linked = self.meta.format() >= format::LINKED;
        self.batching.note_executed(is_linked.then_some(LogPrefix { below, hash }));
        self.next_expiry_ms = report.next_expiry_ms;
        self.reads.executed(self.meta.executed_below);
        if self.meta.epoch() > epoch_before
            && let Some(view) = self.meta.view.clone()
        {
            effects.push(Effect::RoleChanged { role: self.role(), view });
            self.look_for_removal(effects);
            // The source of the log is another one now.
            self.fetching.restart();
        }
    }

    fn settle(&mut self, executed: Executed, clock: &ReplicatedClock, effects: &mut Vec<Effect>) {
        let slot = executed.slot;
        match executed.outcome {
            SlotOutcome::Noop => {}
            SlotOutcome::View(view) => self.adopt(view, clock, effects),
            SlotOutcome::Batch { epoch, number, commands } => {
                commands.iter().for_each(|command| self.recent.executed(slot, command));
                let requests = commands.iter().map(|command| command.request);
                let requesters = self.batching.executed(epoch, number, requests);
                for (ids, command) in requesters.into_iter().zip(&commands) {
                    answer_all(slot, ids, command, effects);
                }
            }
            SlotOutcome::Void(VoidReason::OutOfOrder { epoch, number, .. }) => {
                self.batching.out_of_order(epoch, number, slot)
            }
            SlotOutcome::Void(VoidReason::Unreadable { epoch, number, error }) => {
                for id in self.batching.unreadable(epoch, number) {
                    let reason = NotApplied::Unreadable(error.clone());
                    effects.push(Effect::Answer { id, answer: Answer::NotApplied(reason) });
                }
            }
            // None of these is a batch of this primary that could still be executed:
            // where its epoch ended, `adopt` has settled it.
            SlotOutcome::Void(
                VoidReason::Undecodable
                | VoidReason::FormatNotReached { .. }
                | VoidReason::FormatLowered { .. }
                | VoidReason::ViewOutOfOrder { .. }
                | VoidReason::ViewTooLarge { .. }
                | VoidReason::OtherEpoch { .. },
            ) => {}
        }
    }

    /// From here on every batch of the epoch before is void, wherever it is chosen.
    fn adopt(&mut self, view: View, clock: &ReplicatedClock, effects: &mut Vec<Effect>) {
        let epoch = view.epoch;
        self.meta.view = Some(view);
        match self.role() {
            Role::Primary => {
                self.batching.begin(epoch, clock.clone());
                self.refuse_for_storage(effects);
            }
            Role::Backup | Role::Waiting => {
                for id in self.batching.drain() {
                    effects.push(Effect::Answer {
                        id,
                        answer: Answer::NotApplied(NotApplied::PrimaryChanged),
                    });
                }
            }
        }
    }
}

/// Those who wait for what comes of a request: the first of them as it was executed, the
/// others as repeats.
fn answer_all(
    slot: Slot,
    ids: Vec<RequestId>,
    command: &ExecutedCommand,
    effects: &mut Vec<Effect>,
) {
    let deliveries = once(command.delivery).chain(repeat(Delivery::Replayed));
    for (id, delivery) in ids.into_iter().zip(deliveries) {
        let outcome = command.outcome.clone();
        effects.push(Effect::Answer { id, answer: Answer::Executed { slot, outcome, delivery } });
    }
}
