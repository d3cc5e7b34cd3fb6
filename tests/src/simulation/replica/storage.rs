//! Its database: transactions that take their time, checkpoints, and a disk that fills up.

use std::time::Duration;

use replica::event::{Input, Storage};

use super::ReplicaNode;
use crate::simulation::acceptor::Fate;
use crate::simulation::environment::Environment;
use crate::simulation::event::Local;
use crate::simulation::node::CrashPoint;
use crate::simulation::reach::Reached;

/// Between a transaction that met a full disk and the next try.
const FULL_RETRY: Duration = Duration::from_millis(500);

impl ReplicaNode {
    /// The disk filled up, or has room again. The replica finds out when it writes.
    pub fn set_full(&mut self, is_full: bool) {
        self.database.is_full = is_full;
    }

    /// The transaction under way commits soon.
    pub fn hurry(&self, env: &mut Environment) {
        if self.executing.is_some() {
            env.local(&self.process, Duration::ZERO, Local::Commit);
        }
    }

    pub(super) fn schedule_commit(&mut self, env: &mut Environment, after: Duration) {
        let (low, high) = env.plan.tuning.commit;
        let lasts = self.process.random.magnitude(low, self.slow_commit.unwrap_or(high));
        env.local(&self.process, after + lasts, Local::Commit);
    }

    pub(super) fn checkpoint(&mut self, env: &mut Environment) -> Fate {
        env.local(&self.process, env.plan.tuning.checkpoint, Local::Checkpoint);
        if self.database.is_durable() {
            return Fate::Alive;
        }
        if self.database.is_full {
            return self.tell_full(env);
        }
        self.database.checkpoint();
        env.observer.durable(self.process.id, self.database.durable_below());
        match self.tell_writable(env) {
            Fate::Alive => self.step(env, Input::Durable(self.database.durable_below())),
            Fate::Crashed => Fate::Crashed,
        }
    }

    fn tell_full(&mut self, env: &mut Environment) -> Fate {
        if std::mem::replace(&mut self.said_full, true) {
            return Fate::Alive;
        }
        env.reach.hit(Reached::ReplicaFull);
        self.step(env, Input::Storage(Storage::Full))
    }

    fn tell_writable(&mut self, env: &mut Environment) -> Fate {
        let was_full = std::mem::take(&mut self.said_full);
        if was_full { self.step(env, Input::Storage(Storage::Writable)) } else { Fate::Alive }
    }

    pub(super) fn commit(&mut self, env: &mut Environment) -> Fate {
        // One that was hurried returns twice.
        if self.executing.is_none() {
            return Fate::Alive;
        }
        if self.database.is_full {
            self.schedule_commit(env, FULL_RETRY);
            return self.tell_full(env);
        }
        let entries = self.executing.take().expect("it was just there");
        let report = self.database.execute(&entries);
        env.observer.executed(self.process.id, &entries, &report);
        if self.process.crashes_at(CrashPoint::Committed) {
            env.reach.hit(Reached::CrashedCommitted);
            return Fate::Crashed;
        }
        match self.tell_writable(env) {
            Fate::Alive => self.step(env, Input::Executed(report)),
            Fate::Crashed => Fate::Crashed,
        }
    }
}
