//! Steps of the core, and what each of its effects means here.

use std::collections::VecDeque;
use std::time::Duration;

use replica::replica::event::{Effect, Input, Role, SourceKind};

use super::storage::Job;
use super::{ReplicaNode, node};
use crate::operations::{OperationId, Outcome, command};
use crate::simulation::environment::Environment;
use crate::simulation::environment::coverage::Reached;
use crate::simulation::environment::message::Copied;
use crate::simulation::nodes::acceptor::Fate;
use crate::simulation::nodes::client::request::NONCE;
use crate::simulation::nodes::process::{CrashPoint, NodeId};
use crate::simulation::plan::faults::Moment;

impl ReplicaNode {
    pub(super) fn step(&mut self, env: &mut Environment, input: Input) -> Fate {
        self.step_again(env, input, Copied::No)
    }

    /// Takes a step of the core and does what it says, and then what that leads to.
    pub(super) fn step_again(
        &mut self,
        env: &mut Environment,
        input: Input,
        mut copy: Copied,
    ) -> Fate {
        let now = self.now(env);
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let effects = self.core.step(now, input);
            // What follows from it did not come twice.
            if std::mem::replace(&mut copy, Copied::No) == Copied::Again && effects.is_empty() {
                env.coverage.hit(Reached::ReplyIgnored);
            }
            let is_telling =
                |effect: &Effect| !matches!(effect, Effect::Arm { .. } | Effect::Probe { .. });
            if self.process.crashes_at(CrashPoint::ReplicaStepped) && effects.iter().any(is_telling)
            {
                env.coverage.hit(Reached::CrashedReplicaStepped);
                return Fate::Crashed;
            }
            for effect in effects {
                inputs.extend(self.perform(env, effect));
                if self.has_ended {
                    return Fate::Crashed;
                }
            }
        }
        Fate::Alive
    }

    /// Does what the core says. Gives back an input where that is at once.
    fn perform(&mut self, env: &mut Environment, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Arm { timer, after, jitter } => {
                env.arm(&mut self.process, timer as u8, after, jitter)
            }
            Effect::Join { cluster, at } => {
                self.joined = Some(cluster);
                self.write(env, Job::Join(cluster, at));
            }
            Effect::ClaimRefused { from, why } => {
                panic!("{} does not believe {from}: {why}", self.process.id)
            }
            Effect::WrongCluster { expected, found } => {
                env.observer.replica_of_another_cluster(self.process.id, expected, found);
                self.has_ended = true;
            }
            Effect::WrongHistory(wrong) => {
                env.observer.notices(self.process.id, wrong);
                self.has_ended = true;
            }
            Effect::HistoryDisputed(dispute) => {
                env.observer.disputes(self.process.id, &dispute);
            }
            Effect::Removed(removed) => {
                env.observer.found_out(self.process.id, &removed, &mut env.coverage);
                (self.has_ended, self.is_out) = (true, true);
            }
            Effect::RoleChanged { role, view } => {
                env.spring(Moment::ViewChosen, self.process.id);
                if role == Role::Primary {
                    env.observer.begins(view.epoch, self.process.clock.read(env.queue.now()));
                }
                if env.trace.is_text_kept() {
                    env.trace.line(
                        env.queue.now(),
                        format_args!("{} is {role:?} in {view:?}", self.process.id),
                    );
                }
            }
            Effect::StartBatch { epoch, number, .. } => {
                let trace = Some(command::trace(NONCE, OperationId(env.trace.events())));
                return Some(Input::BatchStarted { epoch, number, trace });
            }
            Effect::Propose { to, attempt, proposal } => {
                env.observer.proposes(&proposal, self.process.clock.read(env.queue.now()));
                self.propose(env, node(&to), attempt, proposal)
            }
            Effect::Fetch { fetch, kind, source, cluster, from, wait_ms } => {
                let is_replica = matches!(node(&source), NodeId::Replica(_));
                assert_eq!(
                    is_replica,
                    kind == SourceKind::Replica,
                    "a source is what its name says"
                );
                self.fetch(env, node(&source), (fetch, cluster, from, wait_ms));
            }
            Effect::FetchSnapshot { source, cluster } => {
                self.fetch_snapshot(env, node(&source), cluster)
            }
            Effect::Execute { entries } => self.write(env, Job::Execute(entries)),
            Effect::Store => self.schedule_store(env, Duration::ZERO),
            Effect::ForgetLog { below } => {
                env.observer.forgets(self.process.id, below);
                self.database.forget_log(below);
                env.coverage.hit(Reached::LogForgotten);
            }
            Effect::Probe { probe, asked } => self.probe(env, probe, asked),
            Effect::FollowAcceptors => self.ask_who_followed(env),
            Effect::Heartbeat { to, message } => self.heartbeat(env, node(&to), message),
            Effect::Learned { .. } => self.wake_fetches(env),
            Effect::Compact { revision, by } => return Some(self.compact(env, revision, by)),
            Effect::Answer { id, answer } => self.answer(env, id, answer),
            Effect::Release { ids, executed_below, .. } => self.release(env, ids, executed_below),
            Effect::Refuse { id, .. } => {
                if let Some(pending) = self.calls.remove(&id) {
                    self.reply(env, pending.caller, Outcome::NotApplied);
                }
            }
        }
        None
    }
}
