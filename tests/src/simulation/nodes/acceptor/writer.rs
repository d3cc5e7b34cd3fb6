//! Its writer: decides all that waits, writes it, and has the answers ready for when it
//! is synced.

use std::time::Duration;

use acceptor::acceptor::{Decision, Persisted, Plan as Planned};
use shared::ids::{AcceptorId, Ballot, Slot};
use shared::message::{
    Accept, AcceptReply, Full, Prepare, PrepareReply, Promise, SuccessionReply, SuccessionRequest,
    VotesPage,
};

use super::{AcceptorNode, Fate};
use crate::simulation::environment::Environment;
use crate::simulation::environment::coverage::{Coverage, Reached};
use crate::simulation::environment::event::Local;
use crate::simulation::environment::message::{Copied, Message, Return};
use crate::simulation::nodes::process::CrashPoint;

#[derive(Debug)]
pub(super) struct Pending {
    pub(super) back: Return,
    pub(super) reply: PendingReply,
    pub(super) decided_at: Duration,
}

#[derive(Debug)]
pub(super) enum PendingReply {
    Prepare(Ballot, Decision<PrepareReply>),
    Accept(Ballot, Decision<AcceptReply>),
    Succession(Box<Decision<SuccessionReply>>),
    Votes(VotesPage),
}

impl PendingReply {
    fn changes_something(&self) -> bool {
        match self {
            Self::Prepare(_, decision) => !decision.records.is_empty(),
            Self::Accept(_, decision) => !decision.records.is_empty(),
            Self::Succession(decision) => !decision.records.is_empty(),
            Self::Votes(_) => false,
        }
    }
}

/// A sync that takes longer than an election waits for.
const SLOW: Duration = Duration::from_millis(500);

/// Groups of changes between two checks that take time in proportion to the votes.
const CHECK_INTERVAL: u64 = 16;

/// What may be told now that it is synced.
pub(super) fn told(reply: PendingReply, coverage: &mut Coverage) -> Message {
    let proof = Persisted::assert_synced();
    match reply {
        PendingReply::Prepare(ballot, decision) => {
            let reply = decision.persisted(proof);
            match &reply {
                PrepareReply::Promise(promise) => note_promise(coverage, promise),
                PrepareReply::Nack(_) => coverage.hit(Reached::Nacked),
                PrepareReply::Stranger(_) => {}
            }
            Message::Prepared(ballot, reply)
        }
        PendingReply::Votes(page) => Message::Votes(page),
        PendingReply::Succession(decision) => Message::Succeeded(decision.persisted(proof)),
        PendingReply::Accept(ballot, decision) => {
            let reply = decision.persisted(proof);
            match &reply {
                AcceptReply::Nack(_) => coverage.hit(Reached::Nacked),
                AcceptReply::Full(_) => coverage.hit(Reached::FullVotes),
                AcceptReply::Accepted(_) | AcceptReply::Stranger(_) => {}
            }
            Message::Accepted(ballot, reply)
        }
    }
}

/// Notes what is rare about a promise.
fn note_promise(coverage: &mut Coverage, promise: &Promise) {
    let Promise { from, next, marks, .. } = promise;
    if *from < marks.trimmed_below {
        coverage.hit(Reached::PreparedTrimmed);
    }
    if let Some(next) = next {
        coverage.hit(Reached::Paged);
        if marks.voted_below > marks.chosen_below.max(*next) {
            coverage.hit(Reached::PagedOpen);
        }
    }
}

/// Whether only somebody who leads, or stands for election, is told so.
pub(super) fn is_of_leader(message: &Message) -> bool {
    matches!(
        message,
        Message::Prepared(_, PrepareReply::Promise(_))
            | Message::Accepted(_, AcceptReply::Accepted(_) | AcceptReply::Full(_))
    )
}

impl AcceptorNode {
    /// Decides all that waits, writes what that needs, and starts to sync.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all other messages are never sent here, which is a panic"
    )]
    pub(super) fn write_group(&mut self, env: &mut Environment) -> Fate {
        for delivery in std::mem::take(&mut self.waiting) {
            let back = delivery.back();
            let reply = match delivery.message {
                Message::Prepare(prepare) => self.decide_prepare(prepare),
                Message::Succession(request) => self.decide_succession(request),
                Message::ReadVotes(slot) => Ok(PendingReply::Votes(self.core.votes_page(slot))),
                Message::Accept(accept) => {
                    let reply = self.decide_accept(env, &accept);
                    if delivery.copy == Copied::Again && self.ignores(&accept, reply.as_ref().ok())
                    {
                        env.coverage.hit(Reached::AcceptIgnored);
                    }
                    reply
                }
                other => unreachable!("only what the writer answers waits, not {}", other.name()),
            };
            match reply {
                Ok(reply) => self.syncing.push(Pending { back, reply, decided_at: self.now(env) }),
                // Nothing is decided, so nothing has to be on disk before it is said.
                Err(refusal) => {
                    env.coverage.hit(Reached::FullDisk);
                    env.answer(&self.process, back, *refusal);
                }
            }
        }
        // Only here does it change, and only by records; the coordinator's and the
        // replica's cores check themselves after each step.
        if self.syncing.iter().any(|pending| pending.reply.changes_something()) {
            self.changes += 1;
            if self.changes.is_multiple_of(CHECK_INTERVAL) {
                self.core.check_invariants();
            }
        }
        if self.process.crashes_at(CrashPoint::Decided) {
            env.coverage.hit(Reached::CrashedDecided);
            return Fate::Crashed;
        }
        for Pending { reply, .. } in &mut self.syncing {
            let records = match reply {
                PendingReply::Prepare(_, decision) => std::mem::take(&mut decision.records),
                PendingReply::Accept(_, decision) => std::mem::take(&mut decision.records),
                PendingReply::Succession(decision) => std::mem::take(&mut decision.records),
                PendingReply::Votes(_) => Vec::new(),
            };
            self.disk.write(records);
        }
        let is_group = self.disk.unsynced().len() > 1;
        if self.process.crashes_at(CrashPoint::Written)
            || (is_group && self.process.crashes_at(CrashPoint::WrittenMany))
        {
            return Fate::Crashed;
        }
        self.is_syncing = true;
        let (low, high) = env.plan.tuning.sync;
        let mut lasts = self.process.random.magnitude(low, self.slow_sync.unwrap_or(high));
        if self.disk.unsynced().is_empty() {
            lasts = Duration::ZERO;
        }
        if lasts > SLOW {
            env.coverage.hit(Reached::SlowSync);
        }
        env.local(&self.process, lasts, Local::Synced);
        Fate::Alive
    }

    /// Decides, or says why not: a full disk keeps no promise, so the request fails.
    fn decide_prepare(&mut self, prepare: Prepare) -> Result<PendingReply, Box<Message>> {
        let plan = self.core.plan_prepare(&prepare).expect("a coordinator sends what makes sense");
        if !self.has_room(&plan) {
            return Err(Box::new(Message::Refused(Box::new(Message::Prepare(prepare)))));
        }
        Ok(PendingReply::Prepare(prepare.ballot, self.core.commit(plan)))
    }

    fn decide_succession(
        &mut self,
        request: SuccessionRequest,
    ) -> Result<PendingReply, Box<Message>> {
        let plan = self.core.plan_succession(&request);
        let plan = plan.expect("a coordinator tells of what is within bounds");
        if !self.has_room(&plan) {
            return Err(Box::new(Message::Refused(Box::new(Message::Succession(request)))));
        }
        Ok(PendingReply::Succession(Box::new(self.core.commit(plan))))
    }

    /// Decides, or says why not. Also a leader whose votes find no room is heard.
    fn decide_accept(
        &mut self,
        env: &Environment,
        accept: &Accept,
    ) -> Result<PendingReply, Box<Message>> {
        let plan = match self.core.plan_accept(accept) {
            Ok(plan) => plan,
            Err(error) => panic!("a coordinator sent what none should: {error}"),
        };
        if !self.has_room(&plan) {
            self.hears_leader_at = Some(self.now(env));
            return Err(Box::new(Message::Accepted(accept.ballot, full(self.disk.id))));
        }
        Ok(PendingReply::Accept(accept.ballot, self.core.commit(plan)))
    }

    /// Whether values that it has voted for already, at this very ballot, led to nothing
    /// but the same answer.
    fn ignores(&self, accept: &Accept, reply: Option<&PendingReply>) -> bool {
        let is_nothing_new =
            matches!(reply, Some(PendingReply::Accept(_, decision)) if decision.records.is_empty());
        let is_voted_for = |slot: Slot| {
            let (votes, _) = self.core.votes(slot);
            votes.first().is_some_and(|vote| (vote.slot, vote.ballot) == (slot, accept.ballot))
        };
        is_nothing_new
            && !accept.proposals.is_empty()
            && accept.proposals.iter().all(|proposal| is_voted_for(proposal.slot))
    }

    fn has_room<R>(&self, plan: &Planned<R>) -> bool {
        !self.disk.is_full || plan.records().is_empty()
    }
}

/// A refusal for want of room, as the shell makes it.
fn full(acceptor: AcceptorId) -> AcceptReply {
    AcceptReply::Full(Full { acceptor, limit: "disk".to_owned() })
}
