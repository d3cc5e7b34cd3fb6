//! What a coordinator tells about itself without changing: answers to fetches and
//! heartbeats, readiness, status.

use std::collections::BTreeSet;
use std::time::Duration;

use shared::ids::{AcceptorId, Ballot, ClusterId, CoordinatorId, Epoch, Generation, Name, Slot};
use shared::message::{ChosenReply, HeartbeatReply, Phase, Roster, Succession, View};

use super::{Coordinator, State, Trouble};
use crate::effect::AcceptorIndex;
use crate::membership::formation::{FormationError, Judgement};
use shared::page::PageLimits;

/// An acceptor that answered longer ago than this is not heard.
const HEARD_WITHIN: Duration = Duration::from_secs(2);

/// Where chosen entries are to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChosenLookup {
    /// Here, or not at all.
    Here(ChosenReply),
    /// They are older than the window: the acceptors' votes hold them (see
    /// [`recover`](crate::recover::recover)).
    Older {
        /// The members to ask.
        roster: Roster,
        /// The first slot wanted.
        from: Slot,
        /// The window starts here; all below is chosen.
        below: Slot,
        /// For the reply.
        chosen_below: Slot,
    },
}

/// How an acceptor is seen from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptorSeen {
    /// The position of its URL.
    pub at: AcceptorIndex,
    /// The URL.
    pub url: String,
    /// The member that answered there last.
    pub acceptor: Option<AcceptorId>,
    /// How long ago that was.
    pub heard_ago: Option<Duration>,
}

/// What a coordinator waits for before it can be of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// The first answers of these acceptors.
    Answers(Vec<AcceptorIndex>),
    /// A second answer of every acceptor.
    Confirmation,
    /// Word of who the acceptors are by now, from so many of the configured ones that it
    /// counts.
    Succession,
    /// Acceptors that make up one cluster.
    Cluster(FormationError),
    /// A quorum that answers.
    Quorum {
        /// Members that answered lately.
        heard: usize,
        /// How many must.
        needed: usize,
    },
}

/// A coordinator's account of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its state.
    pub phase: Phase,
    /// The ballot that it prepares or leads at.
    pub ballot: Option<Ballot>,
    /// The cluster, once known.
    pub roster: Option<Roster>,
    /// What it waits for.
    pub waiting_for: Option<Waiting>,
    /// Every slot below is chosen, as far as it knows.
    pub chosen_below: Slot,
    /// Some acceptor has trimmed every slot below.
    pub trimmed_below: Slot,
    /// A leader lets acceptors trim every slot below.
    pub trim_below: Option<Slot>,
    /// The next slot that a leader gives away.
    pub next_slot: Option<Slot>,
    /// A leader's window of chosen entries starts here.
    pub window_start: Option<Slot>,
    /// Slots in flight.
    pub in_flight_slots: usize,
    /// Bytes of values in flight.
    pub in_flight_bytes: usize,
    /// Acceptors that lately said they have no room.
    pub full_acceptors: usize,
    /// How full of votes they are of which none must fill up any more, in thousandths.
    pub full_per_mille: u64,
    /// What people must mend.
    pub troubles: Vec<Trouble>,
    /// That so many have none that nothing new is proposed, in words.
    pub no_room: Option<String>,
    /// The highest epoch that a replica told of.
    pub epoch: Epoch,
    /// The generation of the acceptors that is about to begin.
    pub begins: Option<Generation>,
    /// What a change of the acceptors waits for, in words.
    pub change_waits_for: Option<String>,
    /// The acceptors, in the order of the configured URLs.
    pub acceptors: Vec<AcceptorSeen>,
}

impl Coordinator {
    /// Its identity.
    #[must_use]
    pub fn id(&self) -> CoordinatorId {
        self.id
    }

    /// Its state.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match &self.state {
            State::Inactive(_) => Phase::Inactive,
            State::Phase1(_) => Phase::Phase1,
            State::Phase2(_) => Phase::Phase2,
        }
    }

    /// The ballot that it prepares or leads at.
    #[must_use]
    pub fn ballot(&self) -> Option<Ballot> {
        match &self.state {
            State::Inactive(_) => None,
            State::Phase1(phase1) => Some(phase1.ballot()),
            State::Phase2(leader) => Some(leader.phase2.ballot()),
        }
    }

    /// The cluster, once known.
    #[must_use]
    pub fn roster(&self) -> Option<&Roster> {
        self.membership.roster()
    }

    /// The cluster's identity, once known.
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterId> {
        self.membership.roster().map(Roster::cluster)
    }

    /// The generation of the acceptors that is about to begin: a leader was asked for it, or
    /// the one before has ended.
    #[must_use]
    pub fn begins(&self) -> Option<Generation> {
        let asked = match &self.state {
            State::Phase2(leader) => match (&leader.draining, leader.phase2.stop()) {
                (Some(draining), _) => Some(draining.next.roster.generation()),
                (None, stop) => stop.map(Succession::generation),
            },
            State::Inactive(_) | State::Phase1(_) => None,
        };
        let chosen = self.handover.as_ref().map(|handover| handover.succession().generation());
        asked.max(chosen)
    }

    /// The places of the present acceptors.
    pub fn present(&self) -> impl Iterator<Item = AcceptorIndex> + use<> {
        self.membership.indices()
    }

    /// Every slot below is chosen, as far as this coordinator knows.
    #[must_use]
    pub fn chosen_below(&self) -> Slot {
        self.chosen_below
    }

    /// Some acceptor has trimmed every slot below.
    #[must_use]
    pub fn trimmed_below(&self) -> Slot {
        self.trimmed_below
    }

    /// The highest epoch that a replica told of.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.replicas.epoch()
    }

    /// The view of that epoch, once a replica told of it.
    #[must_use]
    pub fn view(&self) -> Option<&View> {
        self.replicas.view()
    }

    /// Who is primary of an epoch: as two replicas tell, as this leader proposed, or as all
    /// replicas tell that tell of it. A replica alone cannot say so against another.
    #[must_use]
    pub fn primary_of(&self, epoch: Epoch) -> Option<&Name> {
        let proposed = match &self.state {
            State::Inactive(_) | State::Phase1(_) => None,
            State::Phase2(leader) => leader.view.as_ref().filter(|view| view.epoch == epoch),
        };
        self.replicas.primary_of(epoch, proposed.map(|view| &view.primary))
    }

    /// The next slot that a leader gives away, and how many are in flight, with how many
    /// bytes of values.
    #[must_use]
    pub fn in_flight(&self) -> Option<(Slot, usize, usize)> {
        match &self.state {
            State::Inactive(_) | State::Phase1(_) => None,
            State::Phase2(leader) => {
                let phase2 = &leader.phase2;
                Some((phase2.next_slot(), phase2.in_flight_slots(), phase2.in_flight_bytes()))
            }
        }
    }

    /// What it answers to a heartbeat.
    #[must_use]
    pub fn heartbeat_reply(&self) -> HeartbeatReply {
        HeartbeatReply {
            coordinator: self.id,
            phase: self.phase(),
            ballot: self.ballot(),
            chosen_below: self.chosen_below,
        }
    }

    /// Chosen entries from a slot on; none at or above the chosen watermark.
    #[must_use]
    pub fn chosen(&self, from: Slot, limits: PageLimits) -> ChosenLookup {
        let (State::Phase2(leader), Some(roster)) = (&self.state, self.membership.roster()) else {
            return ChosenLookup::Here(ChosenReply::Unavailable);
        };
        let (window, chosen_below) = (leader.phase2.window(), leader.phase2.chosen_below());
        match window.page(from, limits) {
            Some(entries) => {
                ChosenLookup::Here(ChosenReply::Entries { entries, chosen_below, previous: None })
            }
            None if from < self.trimmed_below => {
                ChosenLookup::Here(ChosenReply::Trimmed { oldest: self.trimmed_below })
            }
            None => ChosenLookup::Older {
                roster: roster.clone(),
                from,
                below: window.start(),
                chosen_below,
            },
        }
    }

    /// What it waits for before it can be of use; none when it knows the cluster and
    /// hears a quorum of it.
    #[must_use]
    pub fn waiting_for(&self, now: Duration) -> Option<Waiting> {
        let Some(roster) = self.membership.roster() else {
            return Some(match self.membership.judgement() {
                Judgement::Existing(_) | Judgement::Unformed(_) => Waiting::Confirmation,
                Judgement::Waiting { missing } => Waiting::Answers(missing),
                Judgement::Succeeded => Waiting::Succession,
                Judgement::Conflict(error) => Waiting::Cluster(error),
            });
        };
        let heard: BTreeSet<AcceptorId> = self
            .membership
            .heard_at()
            .filter(|(_, _, at)| at.is_some_and(|at| now.saturating_sub(at) < HEARD_WITHIN))
            .filter_map(|(_, acceptor, _)| acceptor)
            .collect();
        let (heard, needed) = (heard.len(), roster.quorum());
        (heard < needed).then_some(Waiting::Quorum { heard, needed })
    }

    /// A coordinator's account of itself.
    #[must_use]
    pub fn status(&self, now: Duration) -> Status {
        let leader = match &self.state {
            State::Phase2(leader) => Some(leader),
            State::Inactive(_) | State::Phase1(_) => None,
        };
        let phase2 = leader.map(|leader| &leader.phase2);
        Status {
            phase: self.phase(),
            ballot: self.ballot(),
            roster: self.membership.roster().cloned(),
            waiting_for: self.waiting_for(now),
            chosen_below: self.chosen_below,
            trimmed_below: self.trimmed_below,
            trim_below: phase2.map(|phase2| phase2.trim_below()),
            next_slot: phase2.map(|phase2| phase2.next_slot()),
            window_start: phase2.map(|phase2| phase2.window().start()),
            in_flight_slots: phase2.map_or(0, |phase2| phase2.in_flight_slots()),
            in_flight_bytes: phase2.map_or(0, |phase2| phase2.in_flight_bytes()),
            full_acceptors: leader
                .map_or(0, |leader| leader.liveness.full_count(self.now, self.config.full_memory)),
            full_per_mille: leader
                .map_or(0, |leader| leader.fill(&self.config, self.now).per_mille),
            troubles: self.troubles(now),
            no_room: leader.and_then(|leader| leader.no_room(&self.config, self.now)),
            epoch: self.replicas.epoch(),
            begins: self.begins(),
            change_waits_for: self.change_waits_for(now),
            acceptors: self
                .membership
                .heard_at()
                .map(|(at, acceptor, heard_at)| AcceptorSeen {
                    at,
                    url: self.membership.url_of(at).to_owned(),
                    acceptor,
                    heard_ago: heard_at.map(|heard_at| now.saturating_sub(heard_at)),
                })
                .collect(),
        }
    }
}
