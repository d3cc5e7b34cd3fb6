//! Sees everything and checks the invariants of the design after every event.
//!
//! What is chosen is computed here from the votes that acceptors have on disk, never taken from what a coordinator believes.
//! The chosen log is executed here once more, so that what each replica executed, answered and said can be held against it. A
//! broken invariant is a panic that names it.

mod golden;
mod votes;

use std::collections::BTreeMap;

use acceptor::acceptor::{Acceptor, Record};
use coordinator::effect::PhaseChange;
use replica::outcome::{CommandOutcome, ExecutionReport};
use shared::ids::{AcceptorId, Ballot, Slot};
use shared::message::{
    Accept, AcceptReply, ChosenEntry, ChosenReply, Heartbeat, Marks, Phase, PrepareReply, ProposalReply, Roster,
};

use crate::linearizability::history::OperationId;

pub use golden::Golden;
pub use votes::Votes;

use super::database::Database;
use super::message::Message;
use super::node::NodeId;
use super::plan::Topology;
use super::reach::{Reach, Reached};

/// The one who sees everything.
#[derive(Debug)]
pub struct Observer {
    votes: Votes,
    golden: Golden,
    roster: Option<Roster>,
    /// How many acceptors have joined the cluster.
    joined: usize,
    acceptors: BTreeMap<AcceptorId, Shadow>,
    /// What each replica has durably …
    durable: Vec<Slot>,
    /// … or had until it lost its disk: that loss is what the second copy is for.
    ever_durable: Vec<Slot>,
    phases: BTreeMap<NodeId, Phase>,
    leader: Option<NodeId>,
}

/// What an acceptor has on disk, and must never go back from.
#[derive(Clone, Copy, Debug, Default)]
struct Shadow {
    promised: Option<Ballot>,
    marks: Marks,
}

impl Observer {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(topology: &Topology) -> Self {
        Self {
            votes: Votes::new(shared::message::quorum(usize::from(topology.acceptors))),
            golden: Golden::new(),
            roster: None,
            joined: 0,
            acceptors: BTreeMap::new(),
            durable: vec![Slot(0); usize::from(topology.replicas)],
            ever_durable: vec![Slot(0); usize::from(topology.replicas)],
            phases: BTreeMap::new(),
            leader: None,
        }
    }

    /// The chosen log, executed.
    #[must_use]
    pub fn golden(&self) -> &Golden {
        &self.golden
    }

    /// Every slot below is chosen.
    #[must_use]
    pub fn chosen_below(&self) -> Slot {
        self.votes.chosen_below()
    }

    /// One above the highest slot that is chosen; there may be others below it that are not.
    #[must_use]
    pub fn chosen_end(&self) -> Slot {
        self.votes.chosen_end()
    }

    /// Whether the cluster is there whatever a minority of the acceptors loses: a quorum knows itself to be of it.
    #[must_use]
    pub fn is_formed(&self) -> bool {
        self.roster.as_ref().is_some_and(|roster| self.joined >= roster.quorum())
    }

    // --- acceptors ---

    /// Records of an acceptor are on disk.
    pub fn persisted(&mut self, acceptor: AcceptorId, records: &[Record], reach: &mut Reach) {
        for record in records {
            self.persisted_one(acceptor, record, reach);
        }
    }

    fn persisted_one(&mut self, acceptor: AcceptorId, record: &Record, reach: &mut Reach) {
        let shadow = self.acceptors.entry(acceptor).or_default();
        match record {
            Record::Joined(roster) => {
                let own = self.roster.get_or_insert_with(|| roster.clone());
                assert_eq!(own, roster, "invariant: there is one cluster");
                assert!(roster.contains(acceptor), "invariant: an acceptor joins a cluster that names it");
                self.joined += 1;
            }
            Record::Promised(ballot) => {
                assert!(shadow.promised < Some(*ballot), "invariant: promises rise, not from {:?} to {ballot}", shadow.promised);
                shadow.promised = Some(*ballot);
            }
            Record::Voted { ballot, votes, chosen_below } => {
                assert!(shadow.promised <= Some(*ballot), "invariant: no vote below the promise {:?}: {ballot}", shadow.promised);
                shadow.promised = Some(*ballot);
                shadow.marks.chosen_below = shadow.marks.chosen_below.max(*chosen_below);
                for vote in votes {
                    shadow.marks.voted_below = shadow.marks.voted_below.max(vote.slot.next());
                    self.votes.voted(acceptor, vote.slot, *ballot, &vote.value);
                }
            }
            Record::Trimmed { below, voted_below, chosen_below } => {
                shadow.marks.trimmed_below = shadow.marks.trimmed_below.max(*below);
                shadow.marks.voted_below = shadow.marks.voted_below.max(*voted_below);
                shadow.marks.chosen_below = shadow.marks.chosen_below.max(*chosen_below);
                reach.hit(Reached::Trimmed);
                self.invariant_trimmed_is_durable_twice(*below);
            }
        }
        self.golden.advance(&self.votes, reach);
    }

    fn invariant_trimmed_is_durable_twice(&self, below: Slot) {
        let holders = self.ever_durable.iter().filter(|durable| **durable >= below).count();
        let needed = self.golden.copies_needed(below);
        assert!(
            holders >= needed,
            "invariant: what is trimmed is durable on two replicas: {below} is on {holders} of {needed} ({:?})",
            self.ever_durable
        );
    }

    /// An acceptor read its disk and runs.
    pub fn acceptor_started(&mut self, core: &Acceptor) {
        let Shadow { promised, marks } = self.acceptors.get(&core.id()).copied().unwrap_or_default();
        // It panics when a promise or a watermark went back.
        core.invariant_nothing_goes_back(promised, marks);
    }

    /// The disk of this acceptor is lost.
    pub fn wiped(&mut self, acceptor: AcceptorId) {
        self.acceptors.remove(&acceptor);
    }

    // --- coordinators ---

    /// A coordinator changed its state.
    pub fn phase_changed(&mut self, node: NodeId, change: &PhaseChange, reach: &mut Reach) {
        self.phases.insert(node, change.to);
        let trying = self.phases.values().filter(|phase| **phase != Phase::Inactive).count();
        if trying > 1 {
            reach.hit(Reached::Duelled);
        }
        if change.to == Phase::Phase2 {
            reach.hit(Reached::Led);
            if self.leader.replace(node).is_some_and(|before| before != node) {
                reach.hit(Reached::LeaderChanged);
            }
        }
    }

    /// A coordinator is dead.
    pub fn coordinator_stopped(&mut self, node: NodeId) {
        self.phases.remove(&node);
    }

    /// A coordinator says that an entry is chosen.
    pub fn announced_chosen(&self, entry: &ChosenEntry) {
        self.votes.invariant_is_chosen(entry.slot, &entry.value);
    }

    // --- replicas ---

    /// A replica starts with this database.
    pub fn replica_started(&mut self, node: NodeId, database: &Database) {
        self.golden.invariant_is_a_state(node, database.state());
    }

    /// A replica's database survives up to there, whatever happens but its loss.
    pub fn durable(&mut self, node: NodeId, below: Slot) {
        let NodeId::Replica(number) = node else { unreachable!("{node} has no database") };
        let number = usize::from(number);
        self.durable[number] = below;
        self.ever_durable[number] = self.ever_durable[number].max(below);
    }

    /// A replica executed and committed.
    pub fn executed(&mut self, node: NodeId, entries: &[ChosenEntry], report: &ExecutionReport) {
        for (entry, executed) in entries.iter().zip(&report.slots) {
            self.votes.invariant_is_chosen(entry.slot, &entry.value);
            self.golden.invariant_executed_alike(node, executed);
        }
    }

    /// A replica answers a mutation as executed.
    pub fn answered(&self, operation: OperationId, slot: Slot, outcome: &CommandOutcome) {
        self.golden.invariant_answer_is_what_was_executed(operation, slot, outcome);
    }

    /// Somebody heard that a mutation was not executed and never will be.
    pub fn not_applied(&mut self, operation: OperationId) {
        self.golden.not_applied(operation);
    }

    // --- messages ---

    /// A message is sent: whatever it claims must be true.
    pub fn on_send(&mut self, from: NodeId, message: &Message, reach: &mut Reach) {
        match message {
            Message::Accept(_, accept) => self.on_accept(accept, reach),
            Message::Polled(_, watermarks) | Message::Probed(_, watermarks) => self.claims_marks(from, watermarks.marks),
            Message::Votes(_, page) => self.claims_marks(from, page.marks),
            Message::Prepared(_, PrepareReply::Promise(promise)) => self.claims_marks(from, promise.marks),
            Message::Accepted(_, _, AcceptReply::Accepted(accepted)) => self.claims_marks(from, accepted.marks),
            Message::HeartbeatReply(reply) => self.claims_chosen(from, reply.chosen_below),
            Message::Heartbeat(heartbeat) => self.on_heartbeat(from, heartbeat),
            Message::Fetched(_, ChosenReply::Entries { entries, chosen_below }) => {
                self.claims_chosen(from, *chosen_below);
                for entry in entries {
                    self.votes.invariant_is_chosen(entry.slot, &entry.value);
                }
            }
            Message::Proposed(.., ProposalReply::Chosen { slot, chosen_below, .. }) => {
                self.claims_chosen(from, *chosen_below);
                assert!(self.votes.is_chosen(*slot), "invariant: {from} says that {slot} is chosen, which it is not");
            }
            Message::Poll(_)
            | Message::Prepare(_)
            | Message::Prepared(_, PrepareReply::Nack(_) | PrepareReply::Stranger(_))
            | Message::Accepted(_, _, AcceptReply::Nack(_) | AcceptReply::Stranger(_) | AcceptReply::Full(_))
            | Message::ReadVotes(..)
            | Message::Probe(_)
            | Message::Announce(_)
            | Message::Directory(_)
            | Message::Propose(..)
            | Message::Proposed(.., ProposalReply::NotLeading | ProposalReply::Overloaded { .. } | ProposalReply::Unresolved)
            | Message::Fetch(..)
            | Message::Fetched(_, ChosenReply::Trimmed { .. } | ChosenReply::Unavailable)
            | Message::Call(..)
            | Message::Answer(..)
            | Message::Refused(_) => {}
        }
    }

    fn on_accept(&mut self, accept: &Accept, reach: &mut Reach) {
        for proposal in &accept.proposals {
            self.votes.proposed(proposal.slot, accept.ballot, &proposal.value, reach);
        }
        let (claimed, chosen) = (accept.chosen_below, self.votes.chosen_below());
        assert!(
            claimed <= chosen,
            "invariant: leader {} says all below {claimed} is chosen, and it is below {chosen}",
            accept.ballot
        );
    }

    fn on_heartbeat(&self, from: NodeId, heartbeat: &Heartbeat) {
        self.claims_chosen(from, heartbeat.executed_below);
        let NodeId::Replica(number) = from else { unreachable!("{from} sends no heartbeat") };
        let (claimed, durable) = (heartbeat.durable_below, self.durable[usize::from(number)]);
        assert!(claimed <= durable, "invariant: {from} says all below {claimed} is durable, and it is below {durable}");
    }

    fn claims_marks(&self, from: NodeId, marks: Marks) {
        self.claims_chosen(from, marks.chosen_below);
        self.claims_chosen(from, marks.trimmed_below);
    }

    fn claims_chosen(&self, from: NodeId, claimed: Slot) {
        let chosen = self.votes.chosen_below();
        assert!(claimed <= chosen, "invariant: {from} says all below {claimed} is chosen, and it is below {chosen}");
    }
}
