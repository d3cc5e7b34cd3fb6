//! Sees everything and checks the invariants of the design after every event.
//!
//! What is chosen is computed here from the votes that acceptors have on disk, never
//! taken from what a coordinator believes. The chosen log is executed here once more, so
//! that what each replica executed, answered and said can be held against it. A broken
//! invariant is a panic that names it.
//!
//! | the design's words | the function |
//! | --- | --- |
//! | promises only a higher ballot | `invariant_promises_rise` |
//! | accepts at b only if b ≥ its promise | `invariant_no_vote_below_the_promise` |
//! | answers only after the promise or vote is on disk | `…_a_promise_is_kept_and_complete`, `…_a_vote_is_on_disk`, `…_watermarks_are_what_is_on_disk`, `…_marks_are_on_disk` |
//! | a promise reports all votes, never a trimmed slot as none | `invariant_a_promise_reports_every_vote` |
//! | nothing goes back over restart or trim | `invariant_nothing_goes_back_over_a_restart`; the acceptor's own |
//! | one that lost its disk does not count | `invariant_only_members_vote` |
//! | nothing follows a stop in its generation; all below it is chosen and durable | `is_present`, `end_generation`, `…_trimmed_was_allowed` |
//! | no generation begins before a quorum of the one before is sealed | `invariant_a_quorum_is_sealed_before_the_next_begins` |
//! | Phase 2 begins after every page from a quorum | `invariant_a_leader_has_a_quorum_of_promises` |
//! | re-proposes the vote of the highest ballot | `invariant_a_proposal_is_safe` |
//! | one value per slot and ballot; one choice per slot | `…_one_value_at_a_ballot`, `…_nothing_else_is_proposed`, `…_one_value_is_chosen` |
//! | a higher ballot ends its leadership at once | `invariant_a_higher_ballot_ends_leadership` |
//! | `Chosen` is chosen, learned is chosen | `…_chosen_is_what_was_proposed`, `invariant_is_chosen` |
//! | a view names the epoch before; batches in their epoch and order | `invariant_only_what_is_due_takes_effect` |
//! | a primary has executed its own view | `invariant_only_a_primary_proposes` |
//! | the answer is the executed result, once | `…_answer_is_what_was_executed`, `…_a_mutation_is_executed_once` |
//! | time grows with the primary's monotonic clock, never goes back, and moves by a step at most | `invariant_time_follows_the_primary_s_clock` |
//! | a lease ends when its time in the log is over, and not before | `invariant_a_lease_lasts_its_time`, `invariant_no_lease_outlasts_its_time` |
//! | a lock has one holder, the first in line, with a fence above all before | `invariant_lines_are_in_order`, `…_executed_as_the_reference_does` |
//! | equal slots, equal hashes, equal states | `…_executed_alike`, `…_is_a_state`, `…_states_are_equal` |
//! | a command does what the reference does | `…_executed_as_the_reference_does`, `…_state_is_the_references` |
//! | in slot order, each once | `invariant_slots_follow_each_other` |
//! | trimmed only when durable on all of the view, past a bound on a majority and on two, on disks that are not known to be lost | `…_trimmed_is_durable_enough`, `…_trimmed_was_allowed` |
//! | who was taken out for good is in no later view; nobody else ends for that | `invariant_who_is_out_is_in_no_later_view`, `found_out` |
//! | a linearizable read sees what was chosen before it | `invariant_a_read_sees_what_was_chosen` |
//! | nothing is learned from a service of another cluster, or told to it | `invariant_the_former_cluster_is_no_more`, `invariant_is_chosen` |

mod acceptors;
mod changes;
mod claims;
mod expiries;
mod former;
mod golden;
mod pace;
mod removals;
mod replicas;
mod trimming;
mod turn;
mod votes;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use acceptor::acceptor::{Acceptor, Record};
use coordinator::effect::{PhaseChange, Reason};
use replica::replica::WrongHistory;
use shared::ids::{AcceptorId, Ballot, BatchNumber, ClusterId, Epoch, Instance, Slot};
use shared::message::{ChosenEntry, EncodedValue, Phase, Succession};

use acceptors::Acceptors;
pub use golden::Golden;
use trimming::HeartbeatRecord;
pub use votes::Votes;

use super::plan::{Topology, Tuning};
use crate::simulation::environment::coverage::{Coverage, Reached};
use crate::simulation::nodes::process::NodeId;

/// The one who sees everything.
#[derive(Debug)]
pub struct Observer {
    acceptors: Acceptors,
    votes: Votes,
    golden: Golden,
    /// The latest view that was held against who is out.
    looked_at: Epoch,
    /// Every batch that a primary proposed.
    proposed: BTreeMap<(Epoch, BatchNumber), EncodedValue>,
    replicas: Vec<ReplicaSeen>,
    phases: BTreeMap<NodeId, Phase>,
    leader: Option<NodeId>,
    /// Of which life each coordinator heard last, by replica.
    heard: BTreeMap<(NodeId, NodeId), HeartbeatRecord>,
    /// Since when each coordinator has listened to replicas without a break: from the
    /// first heartbeat that it took.
    listening_since: BTreeMap<NodeId, Duration>,
    /// Leaders were right to let all below be trimmed.
    trim_below: Slot,
    /// What leaders are told of when not to wait.
    trim_behind: Duration,
    gone_after: Duration,
    /// Whether acceptors have so much room that nobody need hurry.
    is_roomy: bool,
    /// Whose folder is newer than all others, which were put back.
    odd: Option<NodeId>,
    noticed: Vec<(NodeId, WrongHistory)>,
    /// The cluster that was there before all acceptors lost their disks.
    former: Option<ClusterId>,
    /// Who has data of it, or knows it yet, and who has ended because of it.
    strangers: BTreeSet<NodeId>,
    ended: BTreeSet<NodeId>,
}

/// What is known of a replica.
#[derive(Clone, Debug)]
struct ReplicaSeen {
    instance: Instance,
    executed_below: Slot,
    /// What it has durably …
    durable_below: Slot,
    /// … or had until it lost its disk: that loss is what the second copy is for.
    ever_durable_below: Slot,
    /// It will not come back.
    is_given_up: bool,
    /// Whether somebody has asked for it to be taken out.
    is_asked_out: bool,
    /// Below which slot votes were cast when its database joined the cluster, if it did.
    joined_at: Option<Slot>,
    /// Its present life began with a database that was out.
    has_begun_out: bool,
    /// The lives since that loss: whoever heard of one of them last must not count on the
    /// lost disk.
    lives_since: BTreeSet<Instance>,
}

impl Observer {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(topology: &Topology, tuning: &Tuning) -> Self {
        let unseen = ReplicaSeen {
            instance: Instance(0),
            executed_below: Slot(0),
            durable_below: Slot(0),
            ever_durable_below: Slot(0),
            is_given_up: false,
            is_asked_out: false,
            joined_at: None,
            has_begun_out: false,
            lives_since: BTreeSet::new(),
        };
        Self {
            acceptors: Acceptors::default(),
            // Counted here: the services' own idea of a majority is under test.
            votes: Votes::new(usize::from(topology.acceptors) / 2 + 1),
            golden: Golden::new(),
            looked_at: Epoch(0),
            proposed: BTreeMap::new(),
            replicas: vec![unseen; usize::from(topology.replicas)],
            phases: BTreeMap::new(),
            leader: None,
            heard: BTreeMap::new(),
            listening_since: BTreeMap::new(),
            trim_below: Slot(0),
            trim_behind: tuning.trim_behind,
            gone_after: tuning.gone_after,
            is_roomy: tuning.vote_bytes > 1 << 20,
            odd: None,
            noticed: Vec::new(),
            former: None,
            strangers: BTreeSet::new(),
            ended: BTreeSet::new(),
        }
    }

    /// The chosen log, executed.
    #[must_use]
    pub fn golden(&self) -> &Golden {
        &self.golden
    }

    /// What acceptors have voted for.
    #[must_use]
    pub fn votes(&self) -> &Votes {
        &self.votes
    }

    /// Every slot below is chosen.
    #[must_use]
    pub fn chosen_below(&self) -> Slot {
        self.votes.chosen_below()
    }

    /// One above the highest slot that is chosen; there may be others below it that are
    /// not.
    #[must_use]
    pub fn chosen_end(&self) -> Slot {
        self.votes.chosen_end()
    }

    /// Whether the cluster is there whatever a minority of the acceptors loses.
    #[must_use]
    pub fn is_formed(&self) -> bool {
        self.acceptors.is_formed()
    }

    // --- acceptors ---

    /// Records of an acceptor are on disk.
    pub fn persisted(&mut self, acceptor: AcceptorId, records: &[Record], coverage: &mut Coverage) {
        for record in records {
            self.acceptors.persisted(acceptor, record, &mut self.votes);
            if let Record::Trimmed { below, .. } = record {
                coverage.hit(Reached::Trimmed);
                self.invariant_trimmed_was_allowed(*below);
            }
            // What it has not, and what it drops, must be elsewhere.
            if let Record::Opened(succession) = record {
                self.invariant_trimmed_was_allowed(succession.begin());
            }
            self.golden.advance(&self.votes, coverage);
            self.invariant_who_is_out_is_in_no_later_view(coverage);
        }
    }

    fn invariant_trimmed_was_allowed(&self, below: Slot) {
        assert!(
            below <= self.trim_below,
            "invariant: trimmed is what a leader was right to allow: {below}, above {}",
            self.trim_below
        );
    }

    /// An acceptor read its disk and runs.
    pub fn acceptor_started(&mut self, core: &Acceptor) {
        self.acceptors.invariant_nothing_goes_back_over_a_restart(core);
    }

    /// The disk of this acceptor is lost.
    pub fn wiped(&mut self, acceptor: AcceptorId) {
        self.acceptors.wiped(acceptor);
    }

    /// A coordinator says that a generation has ended.
    pub fn invariant_a_stop_is_chosen(&self, succession: &Succession) {
        let ended = succession.generation().0 - 1;
        assert_eq!(
            self.votes.stop(ended).as_ref(),
            Some(succession),
            "invariant: generation {ended} has ended where its stop was chosen"
        );
    }

    /// A coordinator says that a generation has begun.
    pub fn invariant_a_quorum_is_opened(&self, succession: &Succession) {
        self.acceptors.invariant_a_quorum_is_opened(succession);
    }

    // --- coordinators ---

    /// A coordinator changed its state.
    pub fn phase_changed(&mut self, node: NodeId, change: &PhaseChange, coverage: &mut Coverage) {
        self.phases.insert(node, change.to);
        let many =
            |wanted: Phase| self.phases.values().filter(|phase| **phase == wanted).count() > 1;
        match change.to {
            Phase::Inactive => {}
            Phase::Phase1 if many(Phase::Phase1) => coverage.hit(Reached::Duelled),
            Phase::Phase1 => {}
            Phase::Phase2 => {
                self.votes.invariant_a_leader_has_a_quorum_of_promises(change.ballot);
                coverage.hit(Reached::Led);
                if many(Phase::Phase2) {
                    coverage.hit(Reached::TwoLed);
                }
                if self.leader.replace(node).is_some_and(|before| before != node) {
                    coverage.hit(Reached::LeaderChanged);
                }
            }
        }
        match (change.from, change.reason) {
            (Phase::Phase2, Reason::Outbid(_)) => coverage.hit(Reached::Outbid),
            (Phase::Phase2, Reason::QuorumSilent) => coverage.hit(Reached::GaveUp),
            (_, Reason::LeaderEnded) => coverage.hit(Reached::LeaderEnded),
            (Phase::Phase1 | Phase::Phase2 | Phase::Inactive, _) => {}
        }
    }

    /// A coordinator is dead.
    pub fn coordinator_stopped(&mut self, node: NodeId) {
        self.phases.remove(&node);
        self.heard.retain(|(coordinator, _), _| *coordinator != node);
        self.listening_since.remove(&node);
    }

    /// A coordinator says that an entry is chosen.
    pub fn announced_chosen(&self, entry: &ChosenEntry) {
        self.votes.invariant_is_chosen(entry.slot, &entry.value);
    }

    fn replica(&self, node: NodeId) -> &ReplicaSeen {
        &self.replicas[replica_index(node)]
    }

    fn replica_mut(&mut self, node: NodeId) -> &mut ReplicaSeen {
        &mut self.replicas[replica_index(node)]
    }
}

/// Panics when a coordinator goes on at a ballot though it has just been refused for a
/// higher one.
pub fn invariant_a_higher_ballot_ends_leadership(
    node: NodeId,
    own: Option<Ballot>,
    higher: Ballot,
) {
    assert!(
        own.is_none_or(|own| own >= higher),
        "invariant: a higher ballot ends leadership at once: {node} was refused for {higher}, and \
         goes on at {own:?}"
    );
}

fn replica_index(node: NodeId) -> usize {
    match node {
        NodeId::Replica(number) => usize::from(number),
        NodeId::Acceptor(_) | NodeId::Coordinator(_) | NodeId::Client(_) => {
            unreachable!("{node} is no replica")
        }
    }
}
