//! What happens next: a total order of events by time, then by when they were scheduled.
//!
//! A radix heap (Ahuja and others, *Faster algorithms for the shortest path problem*,
//! 1990): time never goes back, so an event need only be put in order once its time comes
//! near, and most that wait are timers that never run out.

use std::collections::VecDeque;
use std::time::Duration;

/// The events to come.
#[derive(Debug)]
pub struct Queue<E> {
    /// Those of the time that was reached.
    due: VecDeque<Scheduled<E>>,
    /// All others: those in place `n` have a time that first differs from `reached` in
    /// bit `n`. What is scheduled for one time stands in one place, in the order in which
    /// it was scheduled.
    later: [Vec<Scheduled<E>>; BITS],
    /// Bit `n` is set where something is in place `n`.
    occupied: u64,
    /// The time of what is taken next, in nanoseconds; all that is scheduled is at it or
    /// after.
    reached: u64,
    next_sequence: u64,
    now: Duration,
}

#[derive(Debug)]
struct Scheduled<E> {
    at: u64,
    sequence: u64,
    event: E,
}

const BITS: usize = 64;

impl<E> Queue<E> {
    /// No events, at time zero.
    #[must_use]
    pub fn new() -> Self {
        let later = std::array::from_fn(|_| Vec::new());
        Self {
            due: VecDeque::new(),
            later,
            occupied: 0,
            reached: 0,
            next_sequence: 0,
            now: Duration::ZERO,
        }
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
        self.put(Scheduled { at: nanos(at.max(self.now)), sequence, event });
    }

    /// Schedules an event after a delay.
    pub fn after(&mut self, delay: Duration, event: E) {
        self.at(self.now + delay, event);
    }

    /// Takes the next event and goes to its time, if it is due by then.
    pub fn pop(&mut self, until: Duration) -> Option<E> {
        if self.due.is_empty() {
            self.coverage(nanos(until))?;
        }
        let Scheduled { at, event, .. } =
            self.due.pop_front_if(|first| first.at <= nanos(until))?;
        self.now = Duration::from_nanos(at);
        Some(event)
    }

    /// Goes on to the time of the next event, if that is due by then.
    fn coverage(&mut self, until: u64) -> Option<()> {
        let place = usize::try_from(self.occupied.trailing_zeros()).expect("a small number");
        let first = self.later.get(place)?.iter().map(|scheduled| scheduled.at).min()?;
        if first > until {
            return None;
        }
        self.reached = first;
        self.occupied &= !(1 << place);
        let mut waiting = std::mem::take(&mut self.later[place]);
        waiting.drain(..).for_each(|scheduled| self.put(scheduled));
        // Nothing went back into it, and its room is of use.
        self.later[place] = waiting;
        Some(())
    }

    fn put(&mut self, scheduled: Scheduled<E>) {
        match (scheduled.at ^ self.reached).checked_ilog2() {
            None => self.due.push_back(scheduled),
            Some(bit) => {
                self.occupied |= 1 << bit;
                self.later[usize::try_from(bit).expect("a small number")].push(scheduled);
            }
        }
    }

    /// Moves those events that `again` has another time for. Those of one time come in
    /// the order in which they were scheduled.
    pub fn retime(&mut self, mut again: impl FnMut(&E, Duration) -> Option<Duration>) {
        let mut waiting: Vec<Scheduled<E>> = self
            .due
            .drain(..)
            .chain(self.later.iter_mut().flat_map(|place| place.drain(..)))
            .collect();
        waiting.sort_unstable_by_key(|scheduled| scheduled.sequence);
        (self.occupied, self.reached) = (0, nanos(self.now));
        for mut scheduled in waiting {
            if let Some(at) = again(&scheduled.event, Duration::from_nanos(scheduled.at)) {
                scheduled.at = nanos(at.max(self.now));
            }
            self.put(scheduled);
        }
    }
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self::new()
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).expect("simulated times are below 500 years")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const END: Duration = Duration::from_secs(3_600);

    #[test]
    fn events_come_by_time_and_at_one_time_as_they_were_scheduled() {
        let mut queue = Queue::new();
        let ms = Duration::from_millis;
        queue.at(ms(20), "third");
        queue.at(ms(10), "first");
        queue.at(ms(10), "second");
        assert_eq!((queue.pop(END), queue.now()), (Some("first"), ms(10)));
        queue.at(ms(5), "too late, so now");
        queue.after(ms(10), "fourth");
        let rest: Vec<&str> = std::iter::from_fn(|| queue.pop(END)).collect();
        assert_eq!(rest, ["second", "too late, so now", "third", "fourth"]);
    }

    #[test]
    fn what_is_not_due_yet_stays_and_what_is_scheduled_before_it_comes_first() {
        let mut queue = Queue::new();
        let ms = Duration::from_millis;
        queue.at(ms(20), "later");
        assert_eq!((queue.pop(ms(19)), queue.now()), (None, ms(0)));
        queue.at(ms(3), "sooner");
        queue.at(ms(20), "as late");
        assert_eq!(
            (queue.pop(ms(19)), queue.pop(ms(19)), queue.now()),
            (Some("sooner"), None, ms(3))
        );
        assert_eq!(
            (queue.pop(ms(20)), queue.pop(ms(20)), queue.now()),
            (Some("later"), Some("as late"), ms(20))
        );
    }

    #[test]
    fn events_come_in_order_however_far_ahead_they_were_scheduled() {
        let mut queue = Queue::new();
        let mut random = Random::new(1, 0);
        let mut taken = Vec::new();
        for number in 0..2_000_u64 {
            queue.after(random.duration(Duration::ZERO, Duration::from_millis(100)), number);
            if random.chance(400_000)
                && let Some(event) = queue.pop(END)
            {
                taken.push((queue.now(), event));
            }
        }
        while let Some(event) = queue.pop(END) {
            taken.push((queue.now(), event));
        }
        assert_eq!(taken.len(), 2_000);
        assert!(taken.is_sorted(), "by time, then by number");
    }

    #[test]
    fn an_event_that_is_moved_comes_at_its_new_time_but_never_in_the_past() {
        let mut queue = Queue::new();
        let ms = Duration::from_millis;
        for (at, event) in
            [(ms(10), "first"), (ms(20), "earlier"), (ms(30), "stays"), (ms(40), "overdue")]
        {
            queue.at(at, event);
        }
        assert_eq!(queue.pop(END), Some("first"));
        queue.retime(|event, at| match *event {
            "overdue" => Some(Duration::ZERO),
            "earlier" => Some(at + ms(10)),
            _ => None,
        });
        assert_eq!((queue.pop(END), queue.now()), (Some("overdue"), ms(10)));
        assert_eq!(
            (queue.pop(END), queue.pop(END), queue.now()),
            (Some("earlier"), Some("stays"), ms(30))
        );
    }
}
