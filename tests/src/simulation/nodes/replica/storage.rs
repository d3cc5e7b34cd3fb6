//! Its database: transactions and syncs that take their time, and a disk that fills up.

use std::time::Duration;

use replica::replica::event::{Input, Storage, Stored, Weighed};
use shared::ids::{ClusterId, Revision, Slot};
use shared::message::ChosenEntry;

use super::ReplicaNode;
use crate::simulation::environment::Environment;
use crate::simulation::environment::coverage::Reached;
use crate::simulation::environment::event::Local;
use crate::simulation::nodes::acceptor::Fate;
use crate::simulation::nodes::process::CrashPoint;

/// Between a transaction that met a full disk and the next try.
const FULL_RETRY: Duration = Duration::from_millis(500);

/// By default acceptors keep so many times the bytes of votes after which a replica
/// checkpoints at once: they are to be trimmed before they fill up, however seldom a
/// checkpoint comes by the clock.
const VOTES_PER_CHECKPOINT: usize = 8;

/// What the one who writes is to do, each at once.
#[derive(Debug)]
pub(super) enum Job {
    /// Note the cluster, and what was voted in by then.
    Join(ClusterId, Slot),
    /// Execute.
    Execute(Vec<ChosenEntry>),
}

impl ReplicaNode {
    /// Gives the one who writes something to do.
    pub(super) fn write(&mut self, env: &mut Environment, job: Job) {
        let is_alike = |other: &Job| std::mem::discriminant(other) == std::mem::discriminant(&job);
        assert!(!self.jobs.iter().any(is_alike), "one transaction of a kind at a time: {job:?}");
        self.jobs.push_back(job);
        if self.jobs.len() == 1 {
            self.schedule_commit(env, Duration::ZERO);
        }
    }

    /// The disk filled up, or has room again. The replica finds out when it writes.
    pub fn set_full(&mut self, is_full: bool) {
        self.database.is_full = is_full;
    }

    /// What is under way ends soon.
    pub fn hurry(&self, env: &mut Environment) {
        if !self.jobs.is_empty() {
            env.local(&self.process, Duration::ZERO, Local::Commit);
        }
        if !self.database.is_stored() {
            env.local(&self.process, Duration::ZERO, Local::Store);
        }
    }

    /// Has what is executed stored, some time after that.
    pub(super) fn schedule_store(&mut self, env: &mut Environment, after: Duration) {
        let (low, high) = env.plan.tuning.commit;
        let lasts = self.process.random.magnitude(low, self.slow_commit.unwrap_or(high));
        env.local(&self.process, after + lasts, Local::Store);
    }

    /// The transaction commits that stores what is executed by now.
    pub(super) fn store(&mut self, env: &mut Environment) -> Fate {
        if self.database.is_stored() {
            return Fate::Alive;
        }
        if self.database.is_full {
            self.schedule_store(env, FULL_RETRY);
            return self.tell_full(env);
        }
        self.is_store_due = false;
        self.database.store();
        if self.process.crashes_at(CrashPoint::Committed) {
            env.coverage.hit(Reached::CrashedCommitted);
            return Fate::Crashed;
        }
        let stored = Stored::of(self.database.state().meta());
        let fate = match self.tell_writable(env) {
            Fate::Alive => self.step(env, Input::Stored(stored)),
            Fate::Crashed => Fate::Crashed,
        };
        let fate = if fate == Fate::Alive { self.weigh(env, stored.revision) } else { fate };
        let is_much =
            self.database.written_bytes() >= env.plan.tuning.vote_bytes / VOTES_PER_CHECKPOINT;
        if fate == Fate::Alive && is_much { self.checkpoint(env) } else { fate }
    }

    /// Says what history takes of the revisions that are new, each of which replaced a version of
    /// one byte.
    fn weigh(&mut self, env: &mut Environment, through: Revision) -> Fate {
        let bytes = through.0.saturating_sub(self.weighed.0);
        if env.plan.tuning.retained_bytes.is_none() || bytes == 0 {
            return Fate::Alive;
        }
        self.weighed = through;
        self.step(env, Input::Weighed(Weighed { through, bytes, database_bytes: 0 }))
    }

    pub(super) fn schedule_commit(&mut self, env: &mut Environment, after: Duration) {
        let (low, high) = env.plan.tuning.commit;
        let lasts = self.process.random.magnitude(low, self.slow_commit.unwrap_or(high));
        env.local(&self.process, after + lasts, Local::Commit);
    }

    /// It is time for a checkpoint.
    pub(super) fn checkpoint_due(&mut self, env: &mut Environment) -> Fate {
        env.alarm(&self.process, env.plan.tuning.checkpoint, Local::Checkpoint);
        self.checkpoint(env)
    }

    /// Begins a sync, which takes its time while executing goes on.
    fn checkpoint(&mut self, env: &mut Environment) -> Fate {
        if self.database.is_durable() {
            return Fate::Alive;
        }
        if self.database.is_full {
            return self.tell_full(env);
        }
        if self.database.begin_sync() {
            let (low, high) = env.plan.tuning.commit;
            let lasts = self.process.random.magnitude(low, self.slow_commit.unwrap_or(high));
            env.local(&self.process, lasts, Local::Checkpointed);
        }
        Fate::Alive
    }

    /// The sync returns.
    pub(super) fn checkpointed(&mut self, env: &mut Environment) -> Fate {
        self.database.end_sync();
        if !self.database.is_durable() {
            env.coverage.hit(Reached::CommittedMeanwhile);
        }
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
        env.coverage.hit(Reached::ReplicaFull);
        self.step(env, Input::Storage(Storage::Full))
    }

    fn tell_writable(&mut self, env: &mut Environment) -> Fate {
        let was_full = std::mem::take(&mut self.said_full);
        if was_full { self.step(env, Input::Storage(Storage::Writable)) } else { Fate::Alive }
    }

    pub(super) fn commit(&mut self, env: &mut Environment) -> Fate {
        // One that was hurried returns twice.
        if self.jobs.is_empty() {
            return Fate::Alive;
        }
        if self.database.is_full {
            self.schedule_commit(env, FULL_RETRY);
            return self.tell_full(env);
        }
        let done = match self.jobs.pop_front().expect("it was just there") {
            Job::Join(cluster, at) => {
                self.database.join(cluster, at);
                env.observer.joined(self.process.id, &self.database);
                None
            }
            Job::Execute(entries) => {
                let report = self.database.execute(&entries);
                env.observer.executed(self.process.id, &entries, &report);
                Some(Input::Executed(report))
            }
        };
        if !self.jobs.is_empty() {
            self.schedule_commit(env, Duration::ZERO);
        }
        if !self.database.is_stored() && !std::mem::replace(&mut self.is_store_due, true) {
            let after = self.process.random.duration(Duration::ZERO, env.plan.tuning.store);
            self.schedule_store(env, after);
        }
        match (self.tell_writable(env), done) {
            (Fate::Alive, Some(input)) => self.step(env, input),
            (fate @ (Fate::Alive | Fate::Crashed), _) => fate,
        }
    }
}
