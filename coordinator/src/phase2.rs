//! Phase 2: values in flight, each in its own slot, and the count of who accepted them.
//!
//! "A value is chosen when a single proposal with that value has been accepted by a
//! majority of the acceptors" (Lamport, *Paxos Made Simple*, section 2.2): a tally counts
//! only votes at the leader's own ballot, by members of the roster. A slot is given a
//! value once and keeps it for the whole ballot; it leaves when every slot up to it is
//! chosen, so there is never a hole between the chosen watermark and the next slot (van
//! Renesse and Altinbuken, *Paxos Made Moderately Complex*, section 4, on the leader).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shared::ids::{AcceptorId, Ballot, BatchNumber, Epoch, Slot};
use shared::message::{
    ChosenEntry, EncodedValue, Proposal, ProposalReply, Roster, SlotValue, Succession,
};

use crate::chosen_window::ChosenWindow;
use crate::config::Config;
use crate::effect::RequestId;
use crate::phase1::Promised;

mod accepts;
mod chosen;
mod footprint;
mod invariants;

/// Which batch a slot holds, to tell one that is proposed again.
type BatchKey = (Epoch, BatchNumber);

#[derive(Clone, Debug)]
struct InFlight {
    value: EncodedValue,
    key: Option<BatchKey>,
    waiters: Vec<RequestId>,
    accepted: BTreeSet<AcceptorId>,
    chosen: bool,
    sent_at: Duration,
}

/// Votes made slots chosen.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    /// What the chosen watermark passed, in order.
    pub(crate) entries: Vec<ChosenEntry>,
    /// Who waited for the slots that are chosen now.
    pub(crate) replies: Vec<(RequestId, ProposalReply)>,
}

/// What became of a batch that may be in flight already.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Join {
    /// It is not.
    Absent,
    /// It is; the caller waits with the others.
    Joined,
    /// It is; the caller waits in place of the one that has waited longest.
    JoinedInsteadOf(RequestId),
}

/// The slots of one leadership.
#[derive(Clone, Debug)]
pub(crate) struct Phase2 {
    ballot: Ballot,
    roster: Roster,
    /// All below was chosen when this leader began.
    began_at: Slot,
    /// Where values of this leader's own began: after all that Phase 1 saw.
    first_new: Slot,
    next_slot: Slot,
    chosen_below: Slot,
    trim_below: Slot,
    in_flight: BTreeMap<Slot, InFlight>,
    in_flight_bytes: usize,
    window: ChosenWindow,
    /// What ends the generation of these acceptors: in the last slot of all, which is no slot
    /// of the log but of them alone, and never passed by the chosen watermark.
    stop: Option<Succession>,
}

impl Phase2 {
    /// Proposes every safe value at the new ballot, and nothing else yet.
    pub(crate) fn begin(
        config: &Config,
        now: Duration,
        roster: Roster,
        promised: Promised,
    ) -> Self {
        let (ballot, safe) = promised.into_parts();
        let mut phase2 = Self {
            ballot,
            roster,
            began_at: safe.start,
            first_new: Slot(safe.start.0 + safe.values.len() as u64),
            next_slot: safe.start,
            chosen_below: safe.start,
            trim_below: Slot(0),
            in_flight: BTreeMap::new(),
            in_flight_bytes: 0,
            window: ChosenWindow::new(safe.start, config.window_entries, config.window_bytes),
            stop: None,
        };
        for value in safe.values {
            let stop = Succession::of_stop(&value);
            phase2.stop = stop.filter(|stop| stop.begin() == phase2.next_slot);
            phase2.propose(now, value, None, None);
        }
        phase2
    }

    pub(crate) fn ballot(&self) -> Ballot {
        self.ballot
    }

    pub(crate) fn quorum(&self) -> usize {
        self.roster.quorum()
    }

    /// All below was chosen when this leader began.
    pub(crate) fn began_at(&self) -> Slot {
        self.began_at
    }

    /// What is in flight.
    pub(crate) fn values(&self) -> impl Iterator<Item = &EncodedValue> {
        self.in_flight.values().map(|in_flight| &in_flight.value)
    }

    pub(crate) fn next_slot(&self) -> Slot {
        self.next_slot
    }

    pub(crate) fn chosen_below(&self) -> Slot {
        self.chosen_below
    }

    pub(crate) fn trim_below(&self) -> Slot {
        self.trim_below
    }

    pub(crate) fn in_flight_slots(&self) -> usize {
        self.in_flight.len()
    }

    pub(crate) fn in_flight_bytes(&self) -> usize {
        self.in_flight_bytes
    }

    pub(crate) fn window(&self) -> &ChosenWindow {
        &self.window
    }

    /// Why no further value of this size may be proposed now; the limit in words.
    pub(crate) fn refusal(&self, config: &Config, bytes: usize) -> Option<String> {
        if self.stop.is_some() {
            Some("the acceptors are being changed".to_owned())
        } else if bytes > config.max_accept_bytes {
            Some(format!(
                "a value of {bytes} bytes is above the limit of {}",
                config.max_accept_bytes
            ))
        } else if self.in_flight.len() as u64 >= config.max_in_flight_slots {
            Some(format!("{} slots are in flight", self.in_flight.len()))
        } else if self.in_flight_bytes.saturating_add(bytes) > config.max_in_flight_bytes {
            Some(format!("{} bytes are in flight", self.in_flight_bytes))
        } else {
            None
        }
    }

    /// Lets a caller wait for a batch that is in flight already: the primary lost
    /// patience or the connection, and asks again.
    pub(crate) fn join(&mut self, config: &Config, id: RequestId, proposal: &Proposal) -> Join {
        let key = Some((proposal.epoch, proposal.number));
        let same =
            |slot: &&mut InFlight| slot.key == key && !slot.chosen && slot.value == proposal.value;
        match self.in_flight.values_mut().find(same) {
            None => Join::Absent,
            Some(slot) => {
                let longest = (slot.waiters.len() >= config.max_waiters_per_slot)
                    .then(|| slot.waiters.remove(0));
                slot.waiters.push(id);
                longest.map_or(Join::Joined, Join::JoinedInsteadOf)
            }
        }
    }

    /// Gives the next slot to a primary's batch.
    pub(crate) fn propose_batch(
        &mut self,
        now: Duration,
        id: RequestId,
        proposal: Proposal,
    ) -> SlotValue {
        assert!(
            self.next_slot >= self.first_new,
            "a new value for slot {} below {}",
            self.next_slot,
            self.first_new
        );
        self.propose(now, proposal.value, Some((proposal.epoch, proposal.number)), Some(id))
    }

    /// Gives the next slot to a value of the leader's own: a view or a no-op.
    pub(crate) fn propose_own(&mut self, now: Duration, value: EncodedValue) -> SlotValue {
        assert!(
            self.next_slot >= self.first_new,
            "a new value for slot {} below {}",
            self.next_slot,
            self.first_new
        );
        self.propose(now, value, None, None)
    }

    /// Ends the generation of these acceptors, if a quorum accepts it: nothing follows.
    ///
    /// # Panics
    /// When something is in flight, or is not durable at the replicas.
    pub(crate) fn propose_stop(&mut self, now: Duration, succession: Succession) -> SlotValue {
        assert!(self.is_drained(), "a stop in slot {} is the last value", self.next_slot);
        let value = self.propose_own(now, succession.encode_stop());
        self.stop = Some(succession);
        value
    }

    /// Whether all that was given away is chosen, and may be trimmed: what acceptors have
    /// is then elsewhere, too.
    pub(crate) fn is_drained(&self) -> bool {
        self.in_flight.is_empty() && self.trim_below == self.next_slot
    }

    /// What was proposed to end this generation.
    pub(crate) fn stop(&self) -> Option<&Succession> {
        self.stop.as_ref()
    }

    /// What ended this generation.
    pub(crate) fn chosen_stop(&self) -> Option<&Succession> {
        let stop = self.stop.as_ref()?;
        self.in_flight.get(&stop.begin()).is_some_and(|slot| slot.chosen).then_some(stop)
    }

    fn propose(
        &mut self,
        now: Duration,
        value: EncodedValue,
        key: Option<BatchKey>,
        waiter: Option<RequestId>,
    ) -> SlotValue {
        let slot = self.next_slot;
        self.next_slot = slot.next();
        self.in_flight_bytes += value.len();
        let waiters = waiter.into_iter().collect();
        let in_flight = InFlight {
            value: value.clone(),
            key,
            waiters,
            accepted: BTreeSet::new(),
            chosen: false,
            sent_at: now,
        };
        let before = self.in_flight.insert(slot, in_flight);
        assert!(before.is_none(), "slot {slot} has a value at ballot {} already", self.ballot);
        SlotValue { slot, value }
    }

    /// Raises the mark below which acceptors may trim; never above what is chosen, and
    /// never back.
    pub(crate) fn allow_trimming(&mut self, below: Slot) {
        self.trim_below = self.trim_below.max(below.min(self.chosen_below));
    }

    /// Who waits, when leadership ends.
    pub(crate) fn into_waiters(self) -> impl Iterator<Item = RequestId> {
        self.in_flight.into_values().flat_map(|in_flight| in_flight.waiters)
    }
}
