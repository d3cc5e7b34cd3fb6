//! A state of the world.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use shared::ids::{Ballot, CoordinatorId, Slot};
use shared::message::Succession;

use super::candidate::Candidate;
use super::message::{Mail, Reply, Request};
use super::scope::Scope;
use super::voter::Voter;
use crate::cluster::{ACCEPTORS, QUORUM, acceptor_id, draw};

/// The coordinator in a place, in one of its lives.
pub(crate) fn coordinator_id(place: usize, life: u32) -> CoordinatorId {
    CoordinatorId(u64::from(life) * 2 + place as u64 + 1)
}

/// What was chosen in each slot, and at which ballots. More than one value is what must
/// not be.
pub(crate) type Chosen = BTreeMap<Slot, BTreeMap<Bytes, BTreeSet<Ballot>>>;

/// The world.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) coordinators: [Arc<Candidate>; 2],
    pub(crate) acceptors: [Arc<Voter>; ACCEPTORS],
    /// All requests ever sent to each acceptor.
    pub(crate) inboxes: [Arc<Mail<Request>>; ACCEPTORS],
    /// All replies ever sent by each acceptor, where they are delayed.
    pub(crate) outboxes: [Arc<Mail<Reply>>; ACCEPTORS],
    /// All values ever proposed. Told from the inboxes.
    pub(crate) proposed: Arc<BTreeMap<(Slot, Ballot), Bytes>>,
    /// Told from the acceptors' votes, and not from what any coordinator believes.
    pub(crate) chosen: Arc<Chosen>,
    pub(crate) ballots: u32,
    pub(crate) restarts: u32,
    pub(crate) ticks: u32,
    /// A core panicked, or said what is not so: the end of this behaviour.
    pub(crate) broken: Option<Arc<str>>,
    /// See `digest.rs`.
    pub(crate) digest: u64,
}

impl State {
    /// Nothing has happened yet but that the coordinators know the cluster.
    pub(crate) fn initial(scope: &Scope) -> Self {
        let coordinators =
            std::array::from_fn(|place| Arc::new(Candidate::new(scope, coordinator_id(place, 0))));
        let acceptors = std::array::from_fn(|place| {
            Arc::new(Voter::new(acceptor_id(place), draw(place), scope.limits()))
        });
        let mut state = Self {
            coordinators,
            acceptors,
            inboxes: Default::default(),
            outboxes: Default::default(),
            proposed: Arc::default(),
            chosen: Arc::default(),
            ballots: 0,
            restarts: 0,
            ticks: 0,
            broken: None,
            digest: 0,
        };
        state.refresh_digest();
        state
    }

    /// Counts the acceptors' votes.
    pub(crate) fn count_votes(&mut self) {
        let mut tally: BTreeMap<(Slot, Ballot, &Bytes), usize> = BTreeMap::new();
        for ((slot, ballot), value) in self.acceptors.iter().flat_map(|voter| &voter.votes) {
            *tally.entry((*slot, *ballot, value)).or_default() += 1;
        }
        let mut chosen = Chosen::new();
        for ((slot, ballot, value), _) in tally.into_iter().filter(|(_, votes)| *votes >= QUORUM) {
            chosen.entry(slot).or_default().entry(value.clone()).or_default().insert(ballot);
        }
        self.chosen = Arc::new(chosen);
    }

    /// Whether the value is the one chosen in the slot.
    pub(crate) fn is_chosen(&self, slot: Slot, value: &Bytes) -> bool {
        self.chosen.get(&slot).is_some_and(|values| values.keys().eq([value]))
    }

    /// What ended the generation of the acceptors, if that is chosen.
    pub(crate) fn ended(&self) -> Option<Succession> {
        let values = self.chosen.values().flat_map(|values| values.keys());
        values.into_iter().find_map(|value| Succession::of_stop(value))
    }

    /// Every slot below is chosen.
    pub(crate) fn chosen_below(&self) -> Slot {
        let gap = (0..).map(Slot).find(|slot| !self.chosen.contains_key(slot));
        gap.expect("finitely many slots are chosen")
    }
}
