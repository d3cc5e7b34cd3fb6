//! The next batch: of what waits as much as one takes, encoded once and for all.

use std::time::Duration;

use shared::ids::{BatchNumber, Epoch};
use shared::message::{Batch, Value};

use super::{Batching, Flying, Made, Mutation, Stage};
use crate::machine::command::{Commands, TraceContext, limits};

impl Batching {
    /// Makes the next batch of what waits, where one may fly.
    pub(crate) fn next_batch(&mut self, now: Duration) -> Option<Made> {
        if self.queue.is_empty() || self.flying.len() >= self.pipeline {
            return None;
        }
        let mutations = self.take_from_queue();
        let is_traced = mutations
            .iter()
            .any(|mutation| mutation.command.trace.is_some_and(|trace| trace.is_sampled()));
        let of = |mutation: &Mutation| self.requesters.of(&mutation.command.request).to_vec();
        let requests = mutations.iter().flat_map(of).collect();
        let number = self.take_off(now, mutations);
        if is_traced {
            return Some(Made::Traced { number, requests });
        }
        self.started(self.epoch, number, None);
        Some(Made::Untraced)
    }

    /// Makes a batch that carries nothing but the time.
    pub(crate) fn carry_time(&mut self, now: Duration) {
        let number = self.take_off(now, Vec::new());
        self.started(self.epoch, number, None);
    }

    fn take_from_queue(&mut self) -> Vec<Mutation> {
        let mut taken = Vec::new();
        let (mut bytes, mut ranges, mut rollbacks, mut access) = (0, 0, 0, 0);
        while let Some(mutation) = self.queue.front() {
            let size = mutation.command.op.size();
            ranges += mutation.command.op.ranges();
            rollbacks += usize::from(mutation.command.op.is_rollback());
            access += usize::from(mutation.command.op.is_access());
            let is_full = taken.len() == self.batch_commands
                || bytes + size > self.batch_bytes
                || ranges > limits::BATCH_RANGES
                || rollbacks > limits::BATCH_ROLLBACKS
                || access > limits::BATCH_ACCESS;
            if is_full && !taken.is_empty() {
                break;
            }
            bytes += size;
            taken.extend(self.queue.pop_front());
        }
        self.queued_bytes -= bytes;
        taken
    }

    fn take_off(&mut self, now: Duration, mutations: Vec<Mutation>) -> BatchNumber {
        let number = self.next_number;
        self.next_number = number.next();
        // Here and not where it is encoded, which a later batch may be before it.
        let time_ms = self.clock.advance(now);
        let (stage, refused_for) = (Stage::Starting, None);
        self.flying.insert(number, Flying { time_ms, made: now, mutations, stage, refused_for });
        number
    }

    /// The span of a batch is there: it is encoded, once and for all.
    pub(crate) fn started(
        &mut self,
        epoch: Epoch,
        number: BatchNumber,
        trace: Option<TraceContext>,
    ) {
        let Some(batch) = self.flying.get_mut(&number).filter(|_| epoch == self.epoch) else {
            return;
        };
        if !matches!(batch.stage, Stage::Starting) {
            return;
        }
        let wall_ms = batch
            .mutations
            .iter()
            .map(|mutation| mutation.wall_ms)
            .max()
            .unwrap_or(0)
            .min(limits::TIME_MS);
        let commands = batch.mutations.iter().map(|mutation| mutation.command.clone()).collect();
        let (answers, executed, time_ms) = (self.retention, self.executed, batch.time_ms);
        let commands = Commands { time_ms, wall_ms, trace, answers, commands, executed };
        // The log has it, or they would not have been taken.
        let format = commands.format();
        let value = Value::Batch(Batch { epoch, number, commands: commands.encode() });
        batch.stage = Stage::Ready(value.encode_in(format));
    }
}
