//! What waits to be sent to one acceptor: natural batching, without a clock.
//!
//! While as many requests as allowed are in flight, later Accepts of the ballot merge
//! into one: the slots of all, the marks of the latest. What is in the queue is there
//! once per slot, so retransmissions to an acceptor that is away add nothing; past its
//! bounds the queue drops the lowest slots, which are chosen by others meanwhile or will
//! be retransmitted.

use std::collections::BTreeMap;

use bytes::Bytes;
use shared::ids::{Ballot, Slot};
use shared::message::{Accept, SlotValue};
use shared::page::PageLimits;
use shared::telemetry::TraceContext;

/// The bounds of an outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Accepts in flight to one acceptor: enough that one slow answer does not stop the
    /// others, few enough that batches form.
    pub in_flight: usize,
    /// Slots in one Accept.
    pub accept_slots: usize,
    /// Bytes of values in one Accept.
    pub accept_bytes: usize,
    /// Slots in the queue.
    pub queued_slots: usize,
    /// Bytes of values in the queue.
    pub queued_bytes: usize,
}

/// A request to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingAccept {
    /// What to send.
    pub accept: Accept,
    /// The traces of the proposals in it, those that are recorded.
    pub traces: Vec<TraceContext>,
}

#[derive(Debug)]
struct Queued {
    value: Bytes,
    trace: Option<TraceContext>,
}

/// What waits for one acceptor, and how much is under way to it.
#[derive(Debug)]
pub struct Outbox {
    limits: OutboxLimits,
    /// The latest Accept, without its values; none when there is nothing to send.
    latest: Option<Accept>,
    queued: BTreeMap<Slot, Queued>,
    queued_bytes: usize,
    in_flight: usize,
}

impl Outbox {
    /// Nothing waits, and nothing is under way.
    #[must_use]
    pub fn new(limits: OutboxLimits) -> Self {
        Self { limits, latest: None, queued: BTreeMap::new(), queued_bytes: 0, in_flight: 0 }
    }

    /// Puts an Accept in. One of an older ballot than that in the queue is of no use to
    /// anybody.
    pub fn push(&mut self, mut accept: Accept, traces: &BTreeMap<Slot, TraceContext>) {
        match self.ballot() {
            Some(queued) if queued > accept.ballot => return,
            Some(queued) if queued < accept.ballot => self.clear(),
            Some(_) | None => {}
        }
        for SlotValue { slot, value } in std::mem::take(&mut accept.proposals) {
            self.queued_bytes += value.len();
            let queued = Queued { value, trace: traces.get(&slot).copied() };
            if let Some(before) = self.queued.insert(slot, queued) {
                self.queued_bytes -= before.value.len();
            }
        }
        while self.queued.len() > self.limits.queued_slots
            || self.queued_bytes > self.limits.queued_bytes
        {
            let Some((_, dropped)) = self.queued.pop_first() else { break };
            self.queued_bytes -= dropped.value.len();
        }
        self.latest = Some(accept);
    }

    fn ballot(&self) -> Option<Ballot> {
        self.latest.as_ref().map(|accept| accept.ballot)
    }

    /// The next request, if there is something to send and room in flight. It counts as
    /// in flight until [`Outbox::done`].
    #[expect(
        clippy::should_implement_trait,
        reason = "no iterator: there may be more after `done`"
    )]
    pub fn next(&mut self) -> Option<OutgoingAccept> {
        if self.in_flight >= self.limits.in_flight {
            return None;
        }
        let mut accept = self.latest.clone()?;
        let (items, bytes) = (self.limits.accept_slots, self.limits.accept_bytes);
        let (mut traces, mut room) = (Vec::new(), PageLimits { items, bytes }.begin());
        while let Some(first) = self.queued.first_entry() {
            let size = first.get().value.len();
            if !room.takes(size) {
                break;
            }
            let (slot, Queued { value, trace }) = first.remove_entry();
            self.queued_bytes -= size;
            traces.extend(trace);
            accept.proposals.push(SlotValue { slot, value });
        }
        if self.queued.is_empty() {
            self.latest = None;
        }
        self.in_flight += 1;
        Some(OutgoingAccept { accept, traces })
    }

    /// A request was answered or given up.
    ///
    /// # Panics
    /// When none was in flight.
    pub fn done(&mut self) {
        self.in_flight =
            self.in_flight.checked_sub(1).expect("a request that is done was in flight");
    }

    /// Whether there is something to send.
    pub(crate) fn has_queued(&self) -> bool {
        self.latest.is_some()
    }

    /// Forgets what waits: its ballot is over.
    pub fn clear(&mut self) {
        self.latest = None;
        self.queued.clear();
        self.queued_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use shared::ids::{AcceptorId, ClusterId, CoordinatorId, Generation};
    use shared::message::Roster;

    use super::*;

    const LIMITS: OutboxLimits = OutboxLimits {
        in_flight: 1,
        accept_slots: 3,
        accept_bytes: 10,
        queued_slots: 4,
        queued_bytes: 100,
    };

    fn accept(round: u64, slots: &[u64], chosen_below: u64) -> Accept {
        let value =
            |slot: &u64| SlotValue { slot: Slot(*slot), value: Bytes::from(format!("v{slot}")) };
        Accept {
            roster: Roster::new(ClusterId(1), Generation(0), vec![AcceptorId(1)]).unwrap(),
            ballot: Ballot { round, coordinator: CoordinatorId(1) },
            proposals: slots.iter().map(value).collect(),
            chosen_below: Slot(chosen_below),
            trim_below: Slot(0),
        }
    }

    fn outbox(limits: OutboxLimits, accepts: &[Accept]) -> Outbox {
        let mut outbox = Outbox::new(limits);
        accepts.iter().for_each(|accept| outbox.push(accept.clone(), &BTreeMap::new()));
        outbox
    }

    fn sent(outbox: &mut Outbox) -> Option<Accept> {
        outbox.next().map(|outgoing| outgoing.accept)
    }

    #[test]
    fn what_comes_while_a_request_flies_goes_with_the_next_one() {
        let mut outbox = outbox(LIMITS, &[accept(1, &[0], 0)]);
        assert_eq!(sent(&mut outbox), Some(accept(1, &[0], 0)));
        outbox.push(accept(1, &[1], 0), &BTreeMap::new());
        outbox.push(accept(1, &[], 1), &BTreeMap::new());
        outbox.push(accept(1, &[2], 1), &BTreeMap::new());
        assert_eq!(sent(&mut outbox), None, "one is in flight");
        outbox.done();
        assert_eq!(sent(&mut outbox), Some(accept(1, &[1, 2], 1)));
        outbox.done();
        assert_eq!(sent(&mut outbox), None, "nothing is left");
    }

    #[test]
    fn a_sign_of_life_is_sent_by_itself() {
        assert_eq!(sent(&mut outbox(LIMITS, &[accept(1, &[], 5)])), Some(accept(1, &[], 5)));
    }

    #[test]
    fn a_request_holds_no_more_slots_or_bytes_than_allowed_but_one_value_however_large() {
        let limits = OutboxLimits { in_flight: 9, ..LIMITS };
        let mut by_slots = outbox(limits, &[accept(1, &[0, 1, 2, 3], 0)]);
        assert_eq!(
            [sent(&mut by_slots), sent(&mut by_slots)],
            [Some(accept(1, &[0, 1, 2], 0)), Some(accept(1, &[3], 0))]
        );
        let mut by_bytes =
            outbox(OutboxLimits { accept_bytes: 3, ..limits }, &[accept(1, &[0, 1], 0)]);
        assert_eq!(
            [sent(&mut by_bytes), sent(&mut by_bytes)],
            [Some(accept(1, &[0], 0)), Some(accept(1, &[1], 0))]
        );
        let mut large = outbox(OutboxLimits { accept_bytes: 1, ..limits }, &[accept(1, &[0], 0)]);
        assert_eq!(sent(&mut large), Some(accept(1, &[0], 0)));
    }

    #[test]
    fn a_full_queue_drops_the_lowest_slots() {
        let mut outbox = outbox(LIMITS, &[accept(1, &[0, 1, 2], 0), accept(1, &[2, 3, 4, 5], 0)]);
        assert_eq!(sent(&mut outbox), Some(accept(1, &[2, 3, 4], 0)));
    }

    #[test]
    fn a_newer_ballot_replaces_what_waits_and_an_older_one_is_not_taken() {
        let mut outbox =
            outbox(LIMITS, &[accept(1, &[0, 1], 0), accept(2, &[7], 0), accept(1, &[2], 0)]);
        assert_eq!(sent(&mut outbox), Some(accept(2, &[7], 0)));
    }

    #[test]
    fn a_request_carries_the_traces_of_its_proposals() {
        let trace = |id| TraceContext { trace_id: [id; 16], span_id: [id; 8], flags: 1 };
        let traces = BTreeMap::from([(Slot(0), trace(1)), (Slot(2), trace(2))]);
        let mut outbox = Outbox::new(LIMITS);
        outbox.push(accept(1, &[0, 1, 2], 0), &traces);
        assert_eq!(outbox.next().unwrap().traces, [trace(1), trace(2)]);
    }
}
