//! Steps of the core, and what each of its effects means here.
#![expect(clippy::disallowed_methods, reason = "the shell reads clocks")]

use std::time::Duration;

use shared::ids::{Accessor, BatchNumber, Epoch, Revision, Slot};
use shared::page::PageLimits;
use shared::random;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::calls::Wanted;
use super::executor::Job;
use super::handle::{Message, command};
use super::pin::{NotPinned, Pin};
use super::{
    Driver, DriverError, EffectHandlers, LOG_PAGE_BYTES, LOG_PAGE_ENTRIES, Pending, primary_of,
    published,
};
use crate::machine::change::Change;
use crate::machine::command::Op;
use crate::machine::execute::{ExecutionReport, SlotOutcome};
use crate::replica::event::{Answer, Effect, Followed, Input, Refusal, RequestId};

impl Driver {
    /// Hands an input to the core, and does what it says, and what that leads to.
    pub(super) fn step(
        &mut self,
        handlers: &mut EffectHandlers,
        input: Input,
    ) -> Result<(), DriverError> {
        self.step_all(handlers, vec![input])
    }

    /// The same with inputs that came together.
    fn step_all(
        &mut self,
        handlers: &mut EffectHandlers,
        mut inputs: Vec<Input>,
    ) -> Result<(), DriverError> {
        while !inputs.is_empty() {
            let mut next = Vec::new();
            for input in &inputs {
                if let Input::Executed(report) = input {
                    next.extend(self.note_executed(handlers, report));
                } else if let Input::Stored(stored) = input {
                    self.tell_stored(stored.executed_below);
                }
            }
            for effect in self.core.step_all(self.started.elapsed(), inputs) {
                next.extend(self.perform(handlers, effect)?);
            }
            inputs = next;
        }
        Ok(())
    }

    /// Fires what is due.
    pub(super) fn fire(&mut self, handlers: &mut EffectHandlers) -> Result<(), DriverError> {
        while let Some(timer) = self.timers.take_due(Instant::now()) {
            self.step(handlers, Input::Fired(timer))?;
        }
        Ok(())
    }

    /// Takes handlers' messages. What came together is taken together: mutations share a batch,
    /// and reads a probe; and after them comes what is given up, which may be one of them.
    pub(super) fn take(
        &mut self,
        handlers: &mut EffectHandlers,
        messages: impl Iterator<Item = Message>,
    ) -> Result<(), DriverError> {
        let (mut reads, mut given_up, mut inputs) = (Vec::new(), Vec::new(), Vec::new());
        let wall_ms = published::now_ms();
        for message in messages {
            let input = match message {
                Message::Mutate { id, command, since, span, reply } => {
                    self.pending.insert(id, Pending::Mutation { span, reply });
                    Input::Mutation { id, command, since, wall_ms }
                }
                Message::Read { id, reply } => {
                    self.pending.insert(id, Pending::Read { reply });
                    reads.push(id);
                    continue;
                }
                Message::WaitRevision { id, revision, reply } => {
                    self.pending.insert(id, Pending::Read { reply });
                    Input::WaitRevision { id, revision }
                }
                Message::Cancel { id } => {
                    given_up.push(id);
                    continue;
                }
                Message::LogFrom { theirs, from, reply } => {
                    let limits = PageLimits { items: LOG_PAGE_ENTRIES, bytes: LOG_PAGE_BYTES };
                    // Whoever asked may have gone.
                    let _ = reply.send(self.core.log_from(theirs, from, limits));
                    continue;
                }
                Message::Pin(pin) => match handlers.pin(pin) {
                    Some(below) => Input::StopAt(below),
                    None => continue,
                },
            };
            inputs.push(input);
        }
        if !reads.is_empty() {
            inputs.push(Input::Reads { ids: reads });
        }
        inputs.extend(given_up.into_iter().map(|id| Input::Cancel { id }));
        self.step_all(handlers, inputs)
    }

    /// Does what the core says. Gives back an input where that is at once.
    fn perform(
        &mut self,
        handlers: &mut EffectHandlers,
        effect: Effect,
    ) -> Result<Option<Input>, DriverError> {
        match effect {
            Effect::Arm { timer, after, jitter } => {
                self.timers.arm(timer, Instant::now() + after + random::jitter(jitter))
            }
            Effect::Join { cluster, at } => {
                self.joined.send_replace(Some(cluster));
                handlers.job(Job::Join(cluster, at))?;
            }
            Effect::Removed(removed) => {
                tracing::error!(slot = %removed.slot, epoch = %removed.epoch, "this replica was taken out for good");
                self.removed = Some(removed);
                // Whoever waits for an answer still gets it.
                self.ending.cancel();
            }
            Effect::WrongCluster { expected, found } => {
                return Err(DriverError::WrongCluster { expected, found });
            }
            Effect::WrongHistory(wrong) => return Err(wrong.into()),
            Effect::HistoryDisputed(dispute) => tracing::error!("{dispute}"),
            Effect::ClaimRefused { from, why } => {
                if self.refused.insert((from.clone(), why.what)) {
                    let said = format!("{from} is not believed: {why}");
                    tracing::error!("{said}");
                    self.news.not_believed(&said);
                }
            }
            Effect::RoleChanged { role, view } => {
                tracing::info!(role = role.as_str(), epoch = %view.epoch, primary = %view.primary, "the view changed");
                self.batches.end_before(view.epoch);
                self.measured.views.inc();
                let before = self.primary.replace(primary_of(&view));
                if before.is_some() && before != self.primary {
                    self.measured.primary_changes.inc();
                }
            }
            Effect::StartBatch { epoch, number, requests } => {
                return Ok(Some(self.start_batch(epoch, number, &requests)));
            }
            Effect::Propose { to, attempt, proposal } => {
                let trace = self.batches.context(proposal.epoch, proposal.number);
                self.measured.proposals.inc();
                handlers.calls.propose(&to, attempt, proposal, trace);
            }
            Effect::Fetch { fetch, kind, source, cluster, from, wait_ms } => {
                let wanted = Wanted { cluster, from, wait: Duration::from_millis(wait_ms) };
                handlers.calls.fetch(fetch, (kind, &source), wanted);
            }
            Effect::FetchSnapshot { source, cluster } => {
                handlers.snapshots.fetch(&source, (cluster, self.core.joined_at()))
            }
            Effect::Execute { entries } => {
                for entry in &entries {
                    self.measured.value_bytes.observe(entry.value.len() as f64);
                }
                handlers.job(Job::Execute(entries))?;
            }
            Effect::Store => handlers.hurry.notify_one(),
            Effect::ForgetLog { below } => drop(handlers.forget.send_replace(below)),
            Effect::Probe { probe, asked } => handlers.calls.probe(probe, asked),
            Effect::FollowAcceptors => handlers.follow.notify_one(),
            Effect::Heartbeat { to, message } => handlers.calls.heartbeat(&to, message),
            // It is published after every step, which is what those who copy the log wait
            // for.
            Effect::Learned { below: _ } => {}
            Effect::Compact { revision, by } => return Ok(Some(self.compact(revision, by))),
            Effect::Answer { id, answer } => {
                self.measured.answered(&answer);
                self.answer(id, answer);
            }
            Effect::Release { ids, executed_below: _, revision: _ } => {
                self.measured.released(ids.len());
                ids.into_iter().for_each(|id| self.release(id, Ok(())));
            }
            Effect::Refuse { id, refusal } => {
                self.measured.read_refused(&refusal);
                self.release(id, Err(refusal));
            }
        }
        Ok(None)
    }

    /// Asks for a compaction, by a request that no client has.
    fn compact(&mut self, below: Revision, by: Option<Accessor>) -> Input {
        self.own_requests += 1;
        let id = RequestId(u64::MAX - self.own_requests);
        let command = command(Op::Compact { below }.attributed(by), None, None);
        tracing::debug!(%below, "history is to be dropped");
        Input::Mutation { id, command, since: None, wall_ms: published::now_ms() }
    }

    fn start_batch(&mut self, epoch: Epoch, number: BatchNumber, requests: &[RequestId]) -> Input {
        let spans = requests.iter().filter_map(|id| match self.pending.get(id) {
            Some(Pending::Mutation { span, .. }) => Some(span),
            Some(Pending::Read { .. }) | None => None,
        });
        let trace = self.batches.start(epoch, number, requests.len(), spans);
        Input::BatchStarted { epoch, number, trace }
    }

    /// Says to the core whether somebody follows, where that is news.
    fn note_executed(
        &mut self,
        handlers: &EffectHandlers,
        report: &ExecutionReport,
    ) -> Option<Input> {
        let followed = if *self.watching.borrow() > 0 || self.waits.are_any() {
            // The core knows of those who read, and these wait to be told.
            handlers.hurry.notify_one();
            Followed::Yes
        } else {
            Followed::No
        };
        self.measured.executed(report);
        for executed in &report.slots {
            self.changes.add(&executed.changes);
            let leases = executed.changes.iter().filter_map(Change::lease);
            self.untold.executed(executed.slot, leases);
            match &executed.outcome {
                SlotOutcome::Batch { epoch, number, commands: _ } => {
                    self.batches.executed(*epoch, *number, executed.slot)
                }
                SlotOutcome::Void(reason) => {
                    tracing::debug!(slot = %executed.slot, "void: {reason}")
                }
                SlotOutcome::View(view) => self.news.view(Some(executed.slot), view),
                SlotOutcome::Noop => {}
            }
        }
        let before = std::mem::replace(&mut self.followed, followed);
        (before != followed).then_some(Input::Followed(followed))
    }

    /// Wakes those who look at the database then.
    fn tell_stored(&mut self, below: Slot) {
        self.untold.stored(below).for_each(|lease| self.waits.tell(lease));
    }

    fn answer(&mut self, id: RequestId, answer: Answer) {
        match self.pending.remove(&id) {
            // Whoever asked may have gone.
            Some(Pending::Mutation { reply, .. }) => drop(reply.send(answer)),
            Some(Pending::Read { .. }) => {
                unreachable!("request {id} is a read and is answered as a mutation: {answer:?}")
            }
            None => {}
        }
    }

    fn release(&mut self, id: RequestId, result: Result<(), Refusal>) {
        match self.pending.remove(&id) {
            Some(Pending::Read { reply }) => drop(reply.send(result)),
            Some(Pending::Mutation { .. }) => {
                unreachable!("request {id} is a mutation and is answered as a read: {result:?}")
            }
            None => {}
        }
    }
}

impl EffectHandlers {
    /// Passes it on to the one who executes; says which slot it is about, where that is taken.
    fn pin(&self, pin: Pin) -> Option<Slot> {
        let below = pin.below;
        match self.pins.try_send(pin) {
            Ok(()) => Some(below),
            Err(error) => {
                // Whoever asked may have gone.
                let _ = error.into_inner().reply.send(Err(NotPinned::Busy));
                None
            }
        }
    }

    fn job(&self, job: Job) -> Result<(), DriverError> {
        self.jobs.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(job) => {
                unreachable!("a third job while two wait: {job:?}")
            }
            mpsc::error::TrySendError::Closed(_) => DriverError::ExecutorGone,
        })
    }
}
