//! Its calls to other services, and what comes of them: an answer in time, or none.

use std::time::Duration;

use replica::replica::config::Config;
use replica::replica::event::{
    Attempt, FetchId, Input, NoAnswer, ProbeId, ProbeScope, SnapshotFailure,
};
use shared::ids::{BatchNumber, ClusterId, Epoch, Slot};
use shared::message::{
    ChosenReply, Heartbeat, OfCluster, PrimaryReply, PrimaryRequest, Proposal, WantedPrimary,
};

use super::{ReplicaNode, name, node};
use crate::operations::Outcome;
use crate::simulation::environment::Environment;
use crate::simulation::environment::coverage::Reached;
use crate::simulation::environment::event::{CallKind, Local};
use crate::simulation::environment::message::Message;
use crate::simulation::nodes::acceptor::Fate;
use crate::simulation::nodes::calls::{Calls, Met};
use crate::simulation::nodes::process::NodeId;

/// Another replica's state comes within this time, or not at all.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(5);

/// Its calls by kind, each kind with the time-out that the real shell gives it.
#[derive(Debug)]
pub(super) struct Outgoing {
    probes: Calls<ProbeId>,
    proposals: Calls<(Epoch, BatchNumber, Attempt)>,
    /// By whom they are for.
    heartbeats: Calls<NodeId>,
    /// One at a time: the next one breaks it off.
    fetch: Calls<FetchId>,
    snapshot: Calls<()>,
}

impl Outgoing {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            probes: Calls::new(config.probe_timeout),
            proposals: Calls::new(config.proposal_timeout),
            heartbeats: Calls::new(config.leader_expiry),
            fetch: Calls::new(config.fetch_timeout),
            snapshot: Calls::new(SNAPSHOT_TIMEOUT),
        }
    }
}

impl ReplicaNode {
    pub(super) fn probe(&mut self, env: &mut Environment, probe: ProbeId, asked: ProbeScope) {
        let mut acceptors = self.acceptors.clone();
        let first = probe.0 % acceptors.len().max(1) as u64;
        acceptors.rotate_left(usize::try_from(first).expect("it is less than their number"));
        for acceptor in asked.of(acceptors) {
            let call = self.outgoing.probes.begin(self.now(env), probe);
            env.ask(&self.process, acceptor, call, Message::Probe(probe));
        }
        self.watch(env, CallKind::Probes);
    }

    pub(super) fn propose(
        &mut self,
        env: &mut Environment,
        to: NodeId,
        attempt: Attempt,
        proposal: Proposal,
    ) {
        let call = self
            .outgoing
            .proposals
            .begin(self.now(env), (proposal.epoch, proposal.number, attempt));
        env.ask(&self.process, to, call, Message::Propose(attempt, proposal));
        self.watch(env, CallKind::Proposals);
    }

    /// Asks whoever leads, as far as it knows, for another primary.
    pub fn ask_for_primary(&mut self, env: &mut Environment, wanted: WantedPrimary) {
        let status = self.core.status(self.now(env));
        if let (Some(cluster), Some(leader)) = (status.cluster, status.leader) {
            let request = PrimaryRequest { cluster, wanted };
            env.ask(&self.process, node(&leader.member), 0, Message::AskPrimary(request));
        }
    }

    pub(super) fn heartbeat(&mut self, env: &mut Environment, to: NodeId, message: Heartbeat) {
        let call = self.outgoing.heartbeats.begin(self.now(env), to);
        env.ask(&self.process, to, call, Message::Heartbeat(message));
        self.watch(env, CallKind::Heartbeats);
    }

    pub(super) fn fetch(
        &mut self,
        env: &mut Environment,
        to: NodeId,
        (fetch, cluster, from, wait_ms): (FetchId, ClusterId, Slot, u64),
    ) {
        self.outgoing.fetch.abort();
        let call = self.outgoing.fetch.begin(self.now(env), fetch);
        env.ask(&self.process, to, call, Message::Fetch(fetch, cluster, from, wait_ms));
        self.watch(env, CallKind::Fetches);
    }

    pub(super) fn fetch_snapshot(&mut self, env: &mut Environment, to: NodeId, cluster: ClusterId) {
        let call = self.outgoing.snapshot.begin(self.now(env), ());
        env.ask(&self.process, to, call, Message::FetchSnapshot(cluster));
        self.watch(env, CallKind::Snapshots);
    }

    /// Sees to it that somebody looks at calls whose time is over.
    fn watch(&mut self, env: &mut Environment, kind: CallKind) {
        let (now, calls) = (self.now(env), &mut self.outgoing);
        let wait = match kind {
            CallKind::Probes => calls.probes.watch(now),
            CallKind::Proposals => calls.proposals.watch(now),
            CallKind::Heartbeats => calls.heartbeats.watch(now),
            CallKind::Fetches => calls.fetch.watch(now),
            CallKind::Snapshots => calls.snapshot.watch(now),
            CallKind::Accepts | CallKind::Waits | CallKind::Votes => {
                unreachable!("a replica makes no {kind:?}")
            }
        };
        if let Some(wait) = wait {
            env.alarm(&self.process, wait, Local::CallsDue(kind));
        }
    }

    /// Tells the core of the calls that were not answered in time.
    pub(super) fn give_up_calls(&mut self, env: &mut Environment, kind: CallKind) -> Fate {
        let (now, calls) = (self.now(env), &mut self.outgoing);
        let failed: Vec<Input> = match kind {
            CallKind::Probes => calls.probes.look(now).into_iter().map(no_probe).collect(),
            CallKind::Proposals => calls.proposals.look(now).into_iter().map(no_proposal).collect(),
            CallKind::Heartbeats => {
                calls.heartbeats.look(now).into_iter().map(no_heartbeat).collect()
            }
            CallKind::Fetches => calls.fetch.look(now).into_iter().map(no_fetch).collect(),
            CallKind::Snapshots => {
                calls.snapshot.look(now).into_iter().map(|()| no_snapshot()).collect()
            }
            CallKind::Accepts | CallKind::Waits | CallKind::Votes => {
                unreachable!("a replica makes no {kind:?}")
            }
        };
        self.watch(env, kind);
        for input in failed {
            if self.step(env, input) == Fate::Crashed {
                return Fate::Crashed;
            }
        }
        Fate::Alive
    }

    /// What the core is told of an answer, if anything.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all other messages are never sent here, which is a panic"
    )]
    pub(super) fn heard(
        &mut self,
        env: &mut Environment,
        (from, call): (NodeId, u64),
        answer: Message,
    ) -> Option<Input> {
        let (now, calls) = (self.now(env), &mut self.outgoing);
        let (is_refused, answer) = match answer {
            Message::Refused(request) => (true, *request),
            answer => (false, answer),
        };
        let (is_heard, input) = match answer {
            Message::Probed(probe, reply) => (
                is_heard(&mut calls.probes, now, call),
                Input::ProbeReply { probe, reply: Ok(reply) },
            ),
            Message::Probe(probe) => (is_heard(&mut calls.probes, now, call), no_probe(probe)),
            Message::Proposed(epoch, number, attempt, reply) => (
                is_heard(&mut calls.proposals, now, call),
                Input::ProposalReply { epoch, number, attempt, reply: Ok(reply) },
            ),
            Message::Propose(attempt, proposal) => (
                is_heard(&mut calls.proposals, now, call),
                no_proposal((proposal.epoch, proposal.number, attempt)),
            ),
            Message::HeartbeatReply(reply) => {
                let input = Input::HeartbeatReply { from: name(from), reply: Ok(reply) };
                (is_heard(&mut calls.heartbeats, now, call), input)
            }
            Message::Heartbeat(_) => {
                (is_heard(&mut calls.heartbeats, now, call), no_heartbeat(from))
            }
            Message::Fetched(fetch, reply) => {
                let is_heard = is_heard(&mut calls.fetch, now, call);
                if is_heard {
                    note_fetched(env, from, &reply);
                }
                (is_heard, Input::Fetched { fetch, reply: Ok(reply) })
            }
            Message::Snapshot(_, theirs) => {
                let is_heard = is_heard(&mut calls.snapshot, now, call);
                return is_heard.then(|| self.install(env, &theirs)).flatten();
            }
            Message::FetchSnapshot(_) => (is_heard(&mut calls.snapshot, now, call), no_snapshot()),
            Message::Fetch(fetch, ..) => (is_heard(&mut calls.fetch, now, call), no_fetch(fetch)),
            Message::PrimaryAnswered(reply) => {
                if let Ok(PrimaryReply::Executed(_)) = reply.clone().for_cluster(reply.cluster()) {
                    env.coverage.hit(Reached::SwitchedOver);
                }
                return None;
            }
            Message::AskPrimary(_) | Message::Succession(_) => return None,
            Message::Succeeded(reply) => return self.on_succeeded(&reply),
            Message::Listed(listing) => {
                return self.discovered(env, (from, call), Some(listing));
            }
            Message::Announce(_) => return self.discovered(env, (from, call), None),
            Message::Call(call, _) if is_refused => {
                // Never sent, so it never happened.
                if let Some(caller) = self.forwarded.remove(&call) {
                    self.reply(env, caller, Outcome::NotApplied);
                }
                return None;
            }
            other => unreachable!("nobody sends a replica {}", other.name()),
        };
        if !is_heard {
            env.coverage.hit(Reached::AnsweredTooLate);
        }
        is_heard.then_some(input)
    }
}

fn is_heard<C: Copy + Eq>(calls: &mut Calls<C>, now: Duration, call: u64) -> bool {
    calls.answer(now, call) != Met::TooLate
}

fn no_probe(probe: ProbeId) -> Input {
    Input::ProbeReply { probe, reply: Err(NoAnswer) }
}

fn no_proposal((epoch, number, attempt): (Epoch, BatchNumber, Attempt)) -> Input {
    Input::ProposalReply { epoch, number, attempt, reply: Err(NoAnswer) }
}

fn no_heartbeat(from: NodeId) -> Input {
    Input::HeartbeatReply { from: name(from), reply: Err(NoAnswer) }
}

fn no_fetch(fetch: FetchId) -> Input {
    Input::Fetched { fetch, reply: Err(NoAnswer) }
}

fn note_fetched(env: &mut Environment, from: NodeId, reply: &OfCluster<ChosenReply>) {
    let Ok(reply) = reply.clone().for_cluster(reply.cluster()) else { return };
    match (&reply, from) {
        (ChosenReply::Trimmed { .. }, _) => env.coverage.hit(Reached::FetchTrimmed),
        (ChosenReply::Entries { entries, .. }, NodeId::Replica(_)) if !entries.is_empty() => {
            env.coverage.hit(Reached::LearnedFromReplica);
        }
        (ChosenReply::Entries { entries, .. }, _) if !entries.is_empty() => {
            env.coverage.hit(Reached::LearnedFromLeader)
        }
        (ChosenReply::Entries { .. } | ChosenReply::Unavailable, _) => {}
    }
}

fn no_snapshot() -> Input {
    Input::SnapshotFailed(SnapshotFailure::NotGiven)
}
