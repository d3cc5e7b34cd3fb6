//! What clients ask, and what they are told when it cannot be done.

use std::time::Duration;

use shared::ids::{Revision, Slot};
use shared::message::Member;

use super::Replica;
use crate::machine::command::{Command, limits};
use crate::machine::execute::Delivery;
use crate::replica::batching::{GivenUp, Joined, Mutation};
use crate::replica::event::{
    Answer, Effect, LimitHit, NotApplied, Refusal, RequestId, Role, Stall, Storage, Stored,
};
use crate::replica::history::History;
use crate::replica::quorum_read::Cancelled;
use crate::replica::recent::Known;

/// What there is a limit of.
const READS: &str = "reads that wait";

impl Replica {
    pub(super) fn mutation(
        &mut self,
        id: RequestId,
        (command, since): (Command, Option<Slot>),
        wall_ms: u64,
        effects: &mut Vec<Effect>,
    ) {
        let known = |since| self.answer_known(&command, since);
        let answer = match (self.takes_mutations(), since.and_then(known)) {
            (Err(reason), _) => Answer::NotApplied(reason),
            (Ok(()), Some(answer)) => answer,
            (Ok(()), None) => match self.admit(id, command, wall_ms) {
                Ok(()) => return,
                Err(reason) => Answer::NotApplied(reason),
            },
        };
        effects.push(Effect::Answer { id, answer });
    }

    fn takes_mutations(&self) -> Result<(), NotApplied> {
        match self.role() {
            Role::Primary => Ok(()),
            Role::Backup | Role::Waiting => Err(NotApplied::NotPrimary {
                primary: self.meta.view.as_ref().map(|view| view.primary.clone()),
            }),
        }
    }

    /// What came of a command that may have been sent before; none where it was not executed.
    fn answer_known(&self, command: &Command, since: Slot) -> Option<Answer> {
        match self.recent.find(&command.request, since) {
            Known::NotExecuted => None,
            Known::Executed(slot, Some(outcome)) => {
                Some(Answer::Executed { slot, outcome, delivery: Delivery::Replayed })
            }
            Known::Executed(_, None) | Known::Forgotten => Some(Answer::Forgotten),
        }
    }

    fn admit(&mut self, id: RequestId, command: Command, wall_ms: u64) -> Result<(), NotApplied> {
        // It is under way already, and what holds others up is behind it.
        if self.batching.join(id, &command)? == Joined::Yes {
            return Ok(());
        }
        match self.storage {
            Storage::Writable | Storage::Locked => {}
            Storage::Full => return Err(NotApplied::StorageFull),
        }
        command.op.check().map_err(NotApplied::Unreadable)?;
        let (needed, current) = (command.op.format(), self.meta.format());
        if needed > current {
            return Err(NotApplied::FormatNotReached { needed, current });
        }
        self.room_for_ranges(command.op.ranges()).map_err(NotApplied::QueueFull)?;
        if command.op.is_rollback() {
            self.room_for_a_rollback().map_err(NotApplied::QueueFull)?;
        }
        self.batching.push(id, Mutation { command, wall_ms }).map_err(NotApplied::QueueFull)
    }

    /// Executing waits where more deletions of prefixes are to be swept than the limit:
    /// so that it never comes to that, they wait at their clients.
    fn room_for_ranges(&self, ranges: usize) -> Result<(), LimitHit> {
        let limit = limits::RANGE_TOMBSTONES;
        if ranges == 0 || self.unswept.prefixes + self.batching.ranges() + ranges <= limit {
            Ok(())
        } else {
            Err(LimitHit::new("deletions of prefixes under way", limit))
        }
    }

    /// A roll-back looks at changes of keys: deletions of many are to be swept before, and
    /// executing would wait for that; and it visits keys that are dropped and not swept.
    /// Leases that are about to end do not count: there may be
    /// some at all times, and few of them have many keys. Few wait for each other, for each
    /// takes long.
    fn room_for_a_rollback(&self) -> Result<(), LimitHit> {
        if !self.unswept.is_empty() || self.batching.ranges() > 0 {
            return Err(LimitHit::new(
                "deletions of many keys, or of history, under way before a roll-back",
                0,
            ));
        }
        let limit = limits::ROLLBACKS;
        if self.batching.rollbacks() < limit {
            Ok(())
        } else {
            Err(LimitHit::new("roll-backs under way", limit))
        }
    }

    pub(super) fn read(&mut self, now: Duration, ids: &[RequestId], effects: &mut Vec<Effect>) {
        let limit = self.config.waiting_reads;
        let room = limit.saturating_sub(self.waiting_reads());
        let (taken, left) = ids.split_at(room.min(ids.len()));
        self.reads.read(now, taken, effects);
        effects.extend(left.iter().map(|id| {
            let refusal = Refusal::QueueFull(LimitHit::new(READS, limit));
            Effect::Refuse { id: *id, refusal }
        }));
    }

    pub(super) fn wait_revision(
        &mut self,
        id: RequestId,
        revision: Revision,
        effects: &mut Vec<Effect>,
    ) {
        match self.room_for_a_read() {
            Ok(()) => {
                self.revision_waits.insert((revision, id));
                self.release(effects);
            }
            Err(limit) => effects.push(Effect::Refuse { id, refusal: Refusal::QueueFull(limit) }),
        }
    }

    fn room_for_a_read(&self) -> Result<(), LimitHit> {
        let limit = self.config.waiting_reads;
        if self.waiting_reads() < limit { Ok(()) } else { Err(LimitHit::new(READS, limit)) }
    }

    pub(super) fn waiting_reads(&self) -> usize {
        self.reads.len() + self.revision_waits.len()
    }

    /// Releases whatever need not wait any more.
    pub(super) fn release(&mut self, effects: &mut Vec<Effect>) {
        let Stored { executed_below, revision, .. } = self.stored;
        let mut ids = match self.history {
            History::Confirmed => self.reads.release(executed_below),
            History::Unconfirmed | History::Disputed => Vec::new(),
        };
        while let Some(&(wanted, id)) = self.revision_waits.first() {
            if wanted > revision {
                break;
            }
            self.revision_waits.pop_first();
            ids.push(id);
        }
        if !ids.is_empty() {
            effects.push(Effect::Release { ids, executed_below, revision });
        }
    }

    pub(super) fn cancel(&mut self, now: Duration, id: RequestId, effects: &mut Vec<Effect>) {
        match self.batching.give_up(id) {
            GivenUp::Queued => {
                let reason = NotApplied::GivenUp(self.proposing_stall(now));
                effects.push(Effect::Answer { id, answer: Answer::NotApplied(reason) });
            }
            GivenUp::Flying => effects
                .push(Effect::Answer { id, answer: Answer::Unknown(self.proposing_stall(now)) }),
            GivenUp::NotHere => {
                let waits = self.revision_waits.len();
                self.revision_waits.retain(|(_, waiting)| *waiting != id);
                let was_read = self.reads.cancel(id) == Cancelled::Forgotten;
                if was_read || self.revision_waits.len() < waits {
                    effects.push(Effect::Refuse { id, refusal: Refusal::GivenUp(self.stall(now)) });
                }
            }
        }
    }

    /// The most telling reason why something takes long.
    fn stall(&self, now: Duration) -> Stall {
        if !self.reads.quorum_answers() {
            Stall::NoQuorum
        } else if let Some(missing) = self.missing() {
            Stall::Missing(missing)
        } else if self.members.leader(now).is_none() {
            Stall::NoLeader
        } else {
            Stall::Slow
        }
    }

    /// The same of a mutation.
    fn proposing_stall(&self, now: Duration) -> Stall {
        match (self.stall(now), self.batching.refused_for()) {
            (Stall::Slow, Some(limit)) => Stall::Overloaded(limit),
            (stall, _) => stall,
        }
    }

    pub(super) fn storage_changed(&mut self, storage: Storage, effects: &mut Vec<Effect>) {
        self.storage = storage;
        self.refuse_for_storage(effects);
    }

    /// While the disk is full nothing more is proposed: what is not in a batch hears it
    /// now, and did not happen.
    pub(super) fn refuse_for_storage(&mut self, effects: &mut Vec<Effect>) {
        match self.storage {
            // What is locked is most often free again within a client's patience.
            Storage::Writable | Storage::Locked => {}
            Storage::Full => {
                for id in self.batching.drain_queue() {
                    effects.push(Effect::Answer {
                        id,
                        answer: Answer::NotApplied(NotApplied::StorageFull),
                    });
                }
            }
        }
    }

    /// The primary of the view executed last, where it was heard from lately: whom a
    /// mutation is forwarded to.
    #[must_use]
    pub fn primary(&self) -> Option<Member> {
        let view = self.meta.view.as_ref()?;
        match self.role() {
            Role::Primary => Some(self.own_member()),
            Role::Backup | Role::Waiting => self.members.replica(&view.primary).cloned(),
        }
    }
}
