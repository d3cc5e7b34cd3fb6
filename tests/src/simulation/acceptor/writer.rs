//! Its writer: decides all that waits, writes it, and has the answers ready for when it is synced.

use std::time::Duration;

use acceptor::acceptor::{Decision, Persisted, Plan as Planned};
use shared::ids::{AcceptorId, Ballot, Slot};
use shared::message::{Accept, AcceptReply, Accepted, Full, Prepare, PrepareReply, Promise, VotesPage};

use super::{AcceptorNode, Fate};
use crate::simulation::environment::Environment;
use crate::simulation::event::Local;
use crate::simulation::message::{Copied, Delivery, Message};
use crate::simulation::node::{CrashPoint, Life, NodeId};
use crate::simulation::reach::Reached;

#[derive(Debug)]
pub(super) struct Pending {
    pub(super) to: NodeId,
    pub(super) to_life: Life,
    pub(super) reply: PendingReply,
}

#[derive(Debug)]
pub(super) enum PendingReply {
    Prepare(Ballot, Decision<PrepareReply>),
    Accept(u64, Ballot, Decision<AcceptReply>),
    Votes(u64, VotesPage),
}

/// A sync that takes longer than an election waits for.
const SLOW: Duration = Duration::from_millis(500);

impl AcceptorNode {
    pub(super) fn reply(&mut self, env: &mut Environment, reply: PendingReply) -> Message {
        let proof = Persisted::assert_synced();
        let now = self.now(env);
        match reply {
            PendingReply::Prepare(ballot, decision) => {
                let reply = decision.persisted(proof);
                match &reply {
                    PrepareReply::Promise(promise) => {
                        self.heard_leader_at = now;
                        note_promise(env, promise);
                    }
                    PrepareReply::Nack(_) => env.reach.hit(Reached::Nacked),
                    PrepareReply::Stranger(_) => {}
                }
                Message::Prepared(ballot, reply)
            }
            PendingReply::Votes(fetch, page) => Message::Votes(fetch, page),
            PendingReply::Accept(number, ballot, decision) => {
                let reply = decision.persisted(proof);
                match &reply {
                    AcceptReply::Accepted(Accepted { ballot, .. }) if self.core.promised() == Some(*ballot) => {
                        self.heard_leader_at = now;
                    }
                    AcceptReply::Nack(_) => env.reach.hit(Reached::Nacked),
                    AcceptReply::Full(_) => {
                        self.heard_leader_at = now;
                        env.reach.hit(Reached::FullVotes);
                    }
                    AcceptReply::Accepted(_) | AcceptReply::Stranger(_) => {}
                }
                Message::Accepted(number, ballot, reply)
            }
        }
    }

    /// Decides all that waits, writes what that needs, and starts to sync.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all other messages are never sent here, which is a panic")]
    pub(super) fn write_group(&mut self, env: &mut Environment) -> Fate {
        for Delivery { from, from_life, message, copy, .. } in std::mem::take(&mut self.waiting) {
            let reply = match message {
                Message::Prepare(prepare) => self.decide_prepare(&prepare),
                Message::ReadVotes(fetch, slot) => Some(PendingReply::Votes(fetch, self.votes(slot))),
                Message::Accept(number, accept) => {
                    let reply = self.decide_accept(number, &accept);
                    if copy == Copied::Again && self.ignores(&accept, reply.as_ref()) {
                        env.reach.hit(Reached::AcceptIgnored);
                    }
                    if reply.is_none() {
                        // Nothing is decided, so nothing has to be on disk before it is said.
                        env.reach.hit(Reached::FullDisk);
                        let refusal = Message::Accepted(number, accept.ballot, full(self.disk.id));
                        env.send(self.process.id, self.process.life, from, Some(from_life), refusal);
                    }
                    reply
                }
                other => unreachable!("only what the writer answers waits, not {}", other.name()),
            };
            self.syncing.extend(reply.map(|reply| Pending { to: from, to_life: from_life, reply }));
        }
        // Only here does it change: the coordinator's and the replica's cores check themselves after each step.
        self.core.check_invariants();
        if self.process.crashes_at(CrashPoint::Decided) {
            env.reach.hit(Reached::CrashedDecided);
            return Fate::Crashed;
        }
        for Pending { reply, .. } in &mut self.syncing {
            let records = match reply {
                PendingReply::Prepare(_, decision) => std::mem::take(&mut decision.records),
                PendingReply::Accept(_, _, decision) => std::mem::take(&mut decision.records),
                PendingReply::Votes(..) => Vec::new(),
            };
            self.disk.write(records);
        }
        let is_group = self.disk.unsynced().len() > 1;
        if self.process.crashes_at(CrashPoint::Written) || (is_group && self.process.crashes_at(CrashPoint::WrittenMany)) {
            return Fate::Crashed;
        }
        self.is_syncing = true;
        let (low, high) = env.plan.tuning.sync;
        let mut lasts = self.process.random.magnitude(low, self.slow_sync.unwrap_or(high));
        if self.disk.unsynced().is_empty() {
            lasts = Duration::ZERO;
        }
        if lasts > SLOW {
            env.reach.hit(Reached::SlowSync);
        }
        env.local(&self.process, lasts, Local::Synced);
        Fate::Alive
    }

    fn decide_prepare(&mut self, prepare: &Prepare) -> Option<PendingReply> {
        self.limits.check_prepare(prepare).expect("a coordinator sends what makes sense");
        let plan = self.core.plan_prepare(prepare);
        // A full disk keeps no promise: the request fails.
        if !self.has_room(&plan) {
            return None;
        }
        Some(PendingReply::Prepare(prepare.ballot, self.core.commit(plan)))
    }

    fn decide_accept(&mut self, number: u64, accept: &Accept) -> Option<PendingReply> {
        let plan = match self.core.plan_accept(accept) {
            Ok(plan) => plan,
            Err(error) => panic!("a coordinator sent what none should: {error}"),
        };
        if !self.has_room(&plan) {
            return None;
        }
        Some(PendingReply::Accept(number, accept.ballot, self.core.commit(plan)))
    }

    /// Whether values that it has voted for already, at this very ballot, led to nothing but the same answer.
    fn ignores(&self, accept: &Accept, reply: Option<&PendingReply>) -> bool {
        let is_nothing_new = matches!(reply, Some(PendingReply::Accept(_, _, decision)) if decision.records.is_empty());
        is_nothing_new && !accept.proposals.is_empty() && self.core.promised() == Some(accept.ballot)
    }

    fn votes(&self, from: Slot) -> VotesPage {
        let (votes, next) = self.core.votes(from);
        let (roster, marks) = (self.core.roster().cloned(), self.core.marks());
        VotesPage { acceptor: self.core.id(), roster, votes, next, marks }
    }

    fn has_room<R>(&self, plan: &Planned<R>) -> bool {
        !self.disk.is_full || plan.records().is_empty()
    }
}

/// A refusal for want of room, as the shell makes it.
/// Notes what is rare about a promise.
fn note_promise(env: &mut Environment, promise: &Promise) {
    let Promise { from, next, marks, .. } = promise;
    if *from < marks.trimmed_below {
        env.reach.hit(Reached::PreparedTrimmed);
    }
    if let Some(next) = next {
        env.reach.hit(Reached::Paged);
        if marks.voted_below > marks.chosen_below.max(*next) {
            env.reach.hit(Reached::PagedOpen);
        }
    }
}

fn full(acceptor: AcceptorId) -> AcceptReply {
    AcceptReply::Full(Full { acceptor, limit: "disk".to_owned() })
}
