//! The Accepts that carry values to the acceptors: first, and again where an answer is
//! missing.

use std::collections::VecDeque;
use std::time::Duration;

use shared::ids::{AcceptorId, Slot};
use shared::message::{Accept, SlotValue};
use shared::page::PageLimits;

use super::Phase2;
use crate::config::Config;

impl Phase2 {
    /// An Accept with these values; without any it is a sign of life.
    pub(crate) fn accept(&self, proposals: Vec<SlotValue>) -> Accept {
        Accept {
            roster: self.roster.clone(),
            ballot: self.ballot,
            proposals,
            chosen_below: self.chosen_below,
            trim_below: self.trim_below,
        }
    }

    /// All values in flight in as few Accepts as the limits allow; at least one.
    pub(crate) fn accept_all(&self, config: &Config) -> Vec<Accept> {
        self.accepts(
            config,
            self.in_flight
                .iter()
                .map(|(slot, in_flight)| SlotValue { slot: *slot, value: in_flight.value.clone() })
                .collect(),
        )
    }

    /// These values in as few Accepts as the limits allow; at least one.
    pub(crate) fn accepts(&self, config: &Config, values: Vec<SlotValue>) -> Vec<Accept> {
        let mut values = VecDeque::from(values);
        let mut accepts = vec![self.accept(take_page(config, &mut values))];
        while !values.is_empty() {
            accepts.push(self.accept(take_page(config, &mut values)));
        }
        accepts
    }

    /// The slots to send again now, and marks them as sent: as many as one Accept may
    /// hold.
    pub(crate) fn overdue(&mut self, config: &Config, now: Duration) -> Vec<Slot> {
        let (mut slots, mut room) = (Vec::new(), accept_page(config).begin());
        for (slot, in_flight) in
            self.in_flight.iter_mut().filter(|(_, in_flight)| !in_flight.chosen)
        {
            if now.saturating_sub(in_flight.sent_at) < config.retransmit_interval {
                continue;
            }
            if !room.takes(in_flight.value.len()) {
                break;
            }
            in_flight.sent_at = now;
            slots.push(*slot);
        }
        slots
    }

    /// The values of those slots that this acceptor is not known to have accepted.
    pub(crate) fn missing_at(
        &self,
        acceptor: Option<AcceptorId>,
        slots: &[Slot],
    ) -> Vec<SlotValue> {
        let missing = |slot: &Slot| {
            let in_flight = self.in_flight.get(slot)?;
            let has_it = acceptor.is_some_and(|acceptor| in_flight.accepted.contains(&acceptor));
            (!has_it).then(|| SlotValue { slot: *slot, value: in_flight.value.clone() })
        };
        slots.iter().filter_map(missing).collect()
    }
}

fn take_page(config: &Config, values: &mut VecDeque<SlotValue>) -> Vec<SlotValue> {
    let (mut page, mut room) = (Vec::new(), accept_page(config).begin());
    while values.front().is_some_and(|next| room.takes(next.value.len())) {
        page.extend(values.pop_front());
    }
    page
}

/// How much one Accept holds.
fn accept_page(config: &Config) -> PageLimits {
    PageLimits { items: config.max_accept_slots, bytes: config.max_accept_bytes }
}
