//! What is chosen: by the votes that are counted here, or as another leader learnt
//! before.

use shared::ids::{AcceptorId, Ballot, Slot};
use shared::message::{ChosenEntry, ProposalReply, Succession};

use super::{Phase2, Resolved};

impl Phase2 {
    /// Counts the votes of an acceptor.
    ///
    /// # Panics
    /// When they are of another ballot, or the acceptor has no vote in this cluster.
    pub(crate) fn count(
        &mut self,
        acceptor: AcceptorId,
        ballot: Ballot,
        slots: &[Slot],
    ) -> Resolved {
        assert_eq!(ballot, self.ballot, "votes count at the leader's own ballot");
        assert!(
            self.roster.contains(acceptor),
            "acceptor {acceptor} has no vote in {:?}",
            self.roster
        );
        let mut waited = Vec::new();
        for slot in slots {
            let Some(in_flight) = self.in_flight.get_mut(slot) else { continue };
            in_flight.accepted.insert(acceptor);
            if in_flight.accepted.len() >= self.roster.quorum() && !in_flight.chosen {
                in_flight.chosen = true;
                waited.extend(in_flight.waiters.drain(..).map(|id| (id, *slot)));
            }
        }
        let entries = self.pass_chosen();
        let (ballot, chosen_below) = (self.ballot, self.chosen_below);
        let replies = waited
            .into_iter()
            .map(|(id, slot)| (id, ProposalReply::Chosen { slot, ballot, chosen_below }))
            .collect();
        Resolved { entries, replies }
    }

    fn pass_chosen(&mut self) -> Vec<ChosenEntry> {
        let mut entries = Vec::new();
        let stop = self.stop.as_ref().map(Succession::begin);
        let passes = |slot: Slot| stop != Some(slot);
        while let Some(first) =
            self.in_flight.first_entry().filter(|first| first.get().chosen && passes(*first.key()))
        {
            let (slot, in_flight) = first.remove_entry();
            assert_eq!(slot, self.chosen_below, "the chosen watermark passes every slot once");
            self.in_flight_bytes -= in_flight.value.len();
            self.chosen_below = slot.next();
            let entry = ChosenEntry { slot, ballot: self.ballot, value: in_flight.value };
            self.window.push(entry.clone());
            entries.push(entry);
        }
        entries
    }

    /// Takes up the fact that every slot below is chosen, with values unknown here. Gives
    /// back who waited for these slots: whether it was *their* value is unresolved.
    pub(crate) fn learn_chosen_below(&mut self, below: Slot) -> Resolved {
        if below <= self.chosen_below {
            return Resolved::default();
        }
        let kept = self.in_flight.split_off(&below);
        let dropped = std::mem::replace(&mut self.in_flight, kept);
        self.stop.take_if(|stop| stop.begin() < below);
        self.in_flight_bytes -=
            dropped.values().map(|in_flight| in_flight.value.len()).sum::<usize>();
        self.chosen_below = below;
        self.next_slot = self.next_slot.max(below);
        self.first_new = self.first_new.max(below);
        self.window.restart(below);
        let entries = self.pass_chosen();
        let waiters = dropped.into_values().flat_map(|in_flight| in_flight.waiters);
        Resolved { entries, replies: waiters.map(|id| (id, ProposalReply::Unresolved)).collect() }
    }

    /// Whether the slot is settled.
    pub(crate) fn is_chosen(&self, slot: Slot) -> bool {
        slot < self.chosen_below
            || self.in_flight.get(&slot).is_some_and(|in_flight| in_flight.chosen)
    }
}
