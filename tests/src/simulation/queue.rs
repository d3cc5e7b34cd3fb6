//! What happens next: a total order of events by time, then by when they were scheduled.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// The events to come.
#[derive(Debug)]
pub struct Queue<E> {
    heap: BinaryHeap<Reverse<Scheduled<E>>>,
    next_sequence: u64,
    now: Duration,
}

#[derive(Debug)]
struct Scheduled<E> {
    at: Duration,
    sequence: u64,
    event: E,
}

impl<E> Queue<E> {
    /// No events, at time zero.
    #[must_use]
    pub fn new() -> Self {
        Self { heap: BinaryHeap::new(), next_sequence: 0, now: Duration::ZERO }
    }

    /// The time of the event that was taken last.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// How many events there ever were.
    #[must_use]
    pub fn scheduled(&self) -> u64 {
        self.next_sequence
    }

    /// Schedules an event at a time; one that has passed means now.
    pub fn at(&mut self, at: Duration, event: E) {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.heap.push(Reverse(Scheduled { at: at.max(self.now), sequence, event }));
    }

    /// Schedules an event after a delay.
    pub fn after(&mut self, delay: Duration, event: E) {
        self.at(self.now + delay, event);
    }

    /// Takes the next event, and goes to its time.
    pub fn pop(&mut self) -> Option<E> {
        let Reverse(Scheduled { at, event, .. }) = self.heap.pop()?;
        self.now = at;
        Some(event)
    }

    /// When the next event is due.
    #[must_use]
    pub fn next_at(&self) -> Option<Duration> {
        self.heap.peek().map(|Reverse(scheduled)| scheduled.at)
    }
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> PartialEq for Scheduled<E> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.sequence) == (other.at, other.sequence)
    }
}

impl<E> Eq for Scheduled<E> {}

impl<E> PartialOrd for Scheduled<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Scheduled<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_at_one_time_as_they_were_scheduled() {
        let mut queue = Queue::new();
        let ms = Duration::from_millis;
        queue.at(ms(20), "third");
        queue.at(ms(10), "first");
        queue.at(ms(10), "second");
        assert_eq!((queue.pop(), queue.now()), (Some("first"), ms(10)));
        queue.at(ms(5), "too late, so now");
        queue.after(ms(10), "fourth");
        let rest: Vec<&str> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(rest, ["second", "too late, so now", "third", "fourth"]);
    }
}
