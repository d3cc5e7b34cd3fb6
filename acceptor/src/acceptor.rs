//! The acceptor: a durable voter (Lamport, *Paxos Made Simple*, sections 2.2 to 2.5, for
//! all slots of a log at once).
//!
//! It keeps one promise for all slots, and per slot its latest vote. It promises only a
//! higher ballot, or the same one again; it accepts at a ballot that is not below its
//! promise, which is then its promise. Everything it says rests on [`Record`]s that are
//! on disk by then: its state is the sum of its records ([`Acceptor::replay`]), and a
//! reply is only given up once they are persisted ([`Decision`]).
//!
//! Beyond the paper: it belongs to one cluster, whose first [`Roster`] it adopts with its
//! first promise, and any later one when it is told that the one before it has ended
//! (`succession`); it drops votes below a slot when a leader says that enough replicas hold what
//! was chosen there, and from then on answers for those slots with `trimmed_below`, never
//! with "no vote"; and it refuses what would break an invariant of the leader instead of
//! voting twice.
//!
//! Not done here: disks (`log`), queues (`writer`), time (how long the leader is silent).

mod votes;

use std::collections::BTreeMap;

use bytes::Bytes;
use shared::bounds::TooFar;
use shared::ids::{AcceptorId, Ballot, Draw, Generation, Slot};
use shared::message::{
    Accept, AcceptReply, Accepted, Marks, Nack, Prepare, PrepareReply, Promise, Roster, Stranger,
    Succession, SuccessionReply, SuccessionRequest, Vote, VoteRoom, VotesPage,
};
use shared::page::PageLimits;

pub use crate::decision::{Decision, Persisted, Plan, Record};
pub use crate::limits::{Limits, Malformed};
use crate::limits::{VOTE_OVERHEAD, check_prepare, check_round};

/// What an acceptor remembers. See the module for what it does with it, and
/// `invariants.rs` for what always holds.
#[derive(Clone, Debug)]
pub struct Acceptor {
    pub(crate) id: AcceptorId,
    pub(crate) draw: Draw,
    pub(crate) limits: Limits,
    /// The roster that it votes in, or voted in last.
    pub(crate) roster: Option<Roster>,
    /// What made it of that roster, unless that was the cluster's forming.
    pub(crate) opened: Option<Succession>,
    /// What ended that roster's generation: then it votes in none.
    pub(crate) sealed: Option<Succession>,
    pub(crate) promised: Option<Ballot>,
    pub(crate) votes: BTreeMap<Slot, StoredVote>,
    /// What `votes` costs, by [`cost`].
    pub(crate) vote_bytes: usize,
    pub(crate) marks: Marks,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredVote {
    pub(crate) ballot: Ballot,
    pub(crate) value: Bytes,
}

/// An [`Accept`] that is refused loudly: no correct leader sends it, and nothing is done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// It says nothing that could be done.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// One value per slot and ballot, ever: the leader broke it. The vote stays as it is.
    #[error(
        "two values for slot {slot} at ballot {ballot}: voted for {held}, now asked for {offered} \
         (BLAKE3)"
    )]
    Conflict {
        /// The slot.
        slot: Slot,
        /// The ballot.
        ballot: Ballot,
        /// The digest of the value voted for, in hexadecimal.
        held: String,
        /// The digest of the value offered, in hexadecimal.
        offered: String,
    },
}

impl Acceptor {
    /// An acceptor that has promised nothing and belongs to no cluster yet.
    #[must_use]
    pub fn new(id: AcceptorId, draw: Draw, limits: Limits) -> Self {
        Self {
            id,
            draw,
            limits,
            roster: None,
            opened: None,
            sealed: None,
            promised: None,
            votes: BTreeMap::new(),
            vote_bytes: 0,
            marks: Marks::default(),
        }
    }

    /// Phase 1: asks whether the ballot may be promised, and for the votes from a slot on
    /// (section 2.2, 1b).
    ///
    /// # Errors
    /// When no correct candidate would send this.
    pub fn prepare(&mut self, prepare: &Prepare) -> Result<Decision<PrepareReply>, Malformed> {
        let plan = self.plan_prepare(prepare)?;
        Ok(self.commit(plan))
    }

    /// Phase 2: asks to accept values (section 2.2, 2b).
    ///
    /// # Errors
    /// When no correct leader would send this.
    pub fn accept(&mut self, accept: &Accept) -> Result<Decision<AcceptReply>, AcceptError> {
        let plan = self.plan_accept(accept)?;
        Ok(self.commit(plan))
    }

    /// Tells it that a generation has ended, or begins, or asks of which one it is.
    ///
    /// # Errors
    /// When it begins where nobody can be.
    pub fn succeed(
        &mut self,
        request: &SuccessionRequest,
    ) -> Result<Decision<SuccessionReply>, TooFar> {
        let plan = self.plan_succession(request)?;
        Ok(self.commit(plan))
    }

    /// What [`Acceptor::prepare`] would do.
    ///
    /// # Errors
    /// When no correct candidate would send this.
    pub fn plan_prepare(&self, prepare: &Prepare) -> Result<Plan<PrepareReply>, Malformed> {
        let Prepare { roster, ballot, from } = prepare;
        if let Some(stranger) = self.stranger(roster) {
            return Ok(Plan { records: Vec::new(), reply: PrepareReply::Stranger(stranger) });
        }
        if let Some(nack) = self.nack(*ballot) {
            return Ok(Plan { records: Vec::new(), reply: PrepareReply::Nack(nack) });
        }
        check_prepare(prepare, self.promised)?;
        let mut records = self.join(roster);
        if self.promised != Some(*ballot) {
            records.push(Record::Promised(*ballot));
        }
        let (votes, next) = self.votes(*from);
        let promise = Promise {
            acceptor: self.id,
            ballot: *ballot,
            from: *from,
            votes,
            next,
            marks: self.marks,
        };
        Ok(Plan { records, reply: PrepareReply::Promise(promise) })
    }

    /// What [`Acceptor::accept`] would do.
    ///
    /// # Errors
    /// When no correct leader would send this.
    pub fn plan_accept(&self, accept: &Accept) -> Result<Plan<AcceptReply>, AcceptError> {
        self.limits.check_accept(accept, self.marks)?;
        if let Some(stranger) = self.stranger(&accept.roster) {
            return Ok(Plan { records: Vec::new(), reply: AcceptReply::Stranger(stranger) });
        }
        if let Some(nack) = self.nack(accept.ballot) {
            return Ok(Plan { records: Vec::new(), reply: AcceptReply::Nack(nack) });
        }
        check_round(accept.ballot, self.promised).map_err(Malformed::TooFar)?;
        self.check_one_value(accept)?;

        let trimmed_below = self.marks.trimmed_below.max(accept.trim_below);
        let placed = self.place(accept, trimmed_below);
        let above_votes = placed.votes.last().map_or(Slot(0), |vote| vote.slot.next());
        let marks = Marks {
            voted_below: self.marks.voted_below.max(above_votes),
            chosen_below: self.marks.chosen_below.max(accept.chosen_below),
            trimmed_below,
        };
        let reply = if placed.refused && placed.slots.is_empty() {
            AcceptReply::Full(self.full())
        } else {
            AcceptReply::Accepted(Accepted {
                acceptor: self.id,
                ballot: accept.ballot,
                slots: placed.slots,
                marks,
                room: VoteRoom {
                    used_bytes: placed.used as u64,
                    limit_bytes: self.limits.vote_bytes as u64,
                },
            })
        };
        Ok(Plan { records: self.accept_records(accept, placed.votes, marks), reply })
    }

    /// Carries a plan out. Nothing else may have been carried out since the plan was
    /// made.
    pub fn commit<R>(&mut self, plan: Plan<R>) -> Decision<R> {
        let Plan { records, reply } = plan;
        let (promised, marks) = (self.promised, self.marks);
        for record in &records {
            self.apply(record);
        }
        if cfg!(debug_assertions) {
            self.invariant_nothing_goes_back(promised, marks);
            self.invariant_accepted_at_the_promise(&records);
            self.invariant_sealed_is_silent(&records);
            self.check_cheap_invariants();
        }
        Decision::new(records, reply)
    }

    /// Who it is.
    #[must_use]
    pub fn id(&self) -> AcceptorId {
        self.id
    }

    /// What it drew with its identity, for the cluster that it will form.
    #[must_use]
    pub fn draw(&self) -> Draw {
        self.draw
    }

    /// Its limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Its watermarks.
    #[must_use]
    pub fn marks(&self) -> Marks {
        self.marks
    }

    /// The highest ballot promised.
    #[must_use]
    pub fn promised(&self) -> Option<Ballot> {
        self.promised
    }

    /// The latest roster of its cluster that it knows, once it has joined one. It votes in
    /// it unless it is sealed.
    #[must_use]
    pub fn roster(&self) -> Option<&Roster> {
        match &self.sealed {
            Some(succession) => Some(&succession.next().roster),
            None => self.roster.as_ref(),
        }
    }

    /// The number of untrimmed votes.
    #[must_use]
    pub fn vote_count(&self) -> usize {
        self.votes.len()
    }

    /// What the untrimmed votes count against [`Limits::vote_bytes`].
    #[must_use]
    pub fn vote_bytes(&self) -> usize {
        self.vote_bytes
    }

    /// One page of the votes from a slot on, ascending, and where the next page starts.
    #[must_use]
    pub fn votes(&self, from: Slot) -> (Vec<Vote>, Option<Slot>) {
        let (items, bytes) = (self.limits.page_votes, self.limits.page_bytes);
        let (mut page, mut room) = (Vec::new(), PageLimits { items, bytes }.begin());
        for (&slot, vote) in self.votes.range(from..) {
            if !room.takes(vote.value.len()) {
                return (page, Some(slot));
            }
            page.push(Vote { slot, ballot: vote.ballot, value: vote.value.clone() });
        }
        (page, None)
    }

    /// One page of the votes from a slot on, with the roster in which they were cast. That is
    /// not [`Acceptor::roster`] where it is sealed: of what it voted for in the generation that
    /// has ended, nothing counts in the next.
    #[must_use]
    pub fn votes_page(&self, from: Slot) -> VotesPage {
        let (votes, next) = self.votes(from);
        let roster = self.roster.clone();
        VotesPage { acceptor: self.id, roster, votes, next, marks: self.marks }
    }

    fn stranger(&self, roster: &Roster) -> Option<Stranger> {
        let is_ours = match &self.roster {
            Some(own) => own == roster && self.sealed.is_none(),
            // Any later one is told of with what ended the one before it.
            None => roster.generation() == Generation(0) && roster.contains(self.id),
        };
        (!is_ours).then(|| Stranger { acceptor: self.id, roster: self.roster().cloned() })
    }

    fn nack(&self, ballot: Ballot) -> Option<Nack> {
        self.promised
            .filter(|promised| *promised > ballot)
            .map(|promised| Nack { acceptor: self.id, promised })
    }

    fn join(&self, roster: &Roster) -> Vec<Record> {
        if self.roster.is_none() { vec![Record::Joined(roster.clone())] } else { Vec::new() }
    }
}

/// What a vote counts against the limits, in bytes.
pub(crate) fn cost(value: &Bytes) -> usize {
    value.len().saturating_add(VOTE_OVERHEAD)
}
