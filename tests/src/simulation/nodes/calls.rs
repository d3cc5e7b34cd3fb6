//! Calls to other services: each has a time-out, by the clock of who calls. An answer
//! that comes later is not heard.
//!
//! The real network gives an answer once, and this one sometimes twice: the cores are to
//! bear it. So a call is kept until its time is over, also when it was answered.
//!
//! Who serves may count with it, too: what it has promised to answer, in time or not at
//! all.

use std::collections::VecDeque;
use std::time::Duration;

/// Calls of one kind, all with the same time-out.
#[derive(Debug)]
pub struct Calls<C> {
    timeout: Duration,
    /// The number of the oldest one kept.
    first: u64,
    kept: VecDeque<Call<C>>,
    under_way: usize,
    /// Whether somebody will look when the oldest one that is under way is due.
    is_watched: bool,
}

#[derive(Debug)]
struct Call<C> {
    due: Duration,
    what: C,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    UnderWay,
    Answered,
}

/// How an answer meets its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met<C> {
    /// It ends the call.
    First(C),
    /// The call was answered already.
    Again,
    /// The call is over: nobody listens.
    TooLate,
}

impl<C: Copy> Calls<C> {
    /// None were made.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        Self { timeout, first: 1, kept: VecDeque::new(), under_way: 0, is_watched: false }
    }

    /// Makes a call: its number, never 0. `now` is by the clock of who calls.
    pub fn begin(&mut self, now: Duration, what: C) -> u64 {
        self.kept.push_back(Call { due: now + self.timeout, what, state: State::UnderWay });
        self.under_way += 1;
        self.first + self.kept.len() as u64 - 1
    }

    /// An answer came, or the news that there will be none.
    pub fn answer(&mut self, now: Duration, number: u64) -> Met<C> {
        let place = number.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        match place.and_then(|place| self.kept.get_mut(place)) {
            Some(call) if call.due <= now => Met::TooLate,
            Some(Call { state: State::Answered, .. }) => Met::Again,
            Some(call) => {
                call.state = State::Answered;
                self.under_way -= 1;
                Met::First(call.what)
            }
            None => Met::TooLate,
        }
    }

    /// Takes those that were not answered in time.
    pub fn expire(&mut self, now: Duration) -> Vec<C> {
        let mut expired = Vec::new();
        while let Some(call) = self.kept.pop_front_if(|call| call.due <= now) {
            self.first += 1;
            if call.state == State::UnderWay {
                self.under_way -= 1;
                expired.push(call.what);
            }
        }
        expired
    }

    /// Breaks off all that are under way: whatever is answered, nobody listens.
    pub fn abort(&mut self) {
        self.first += self.kept.len() as u64;
        self.kept.clear();
        self.under_way = 0;
    }

    /// From now on none takes longer than this, those included that are under way.
    /// Whoever was going to look may come too late, so somebody else is to.
    pub fn hurry(&mut self, now: Duration, timeout: Duration) {
        self.timeout = timeout;
        for call in &mut self.kept {
            call.due = call.due.min(now + timeout);
        }
        self.is_watched = false;
    }

    /// Begins anew with a process's next life. Nothing that was asked in the one before
    /// is answered to this one.
    pub fn restart(&mut self) {
        self.abort();
        self.is_watched = false;
    }

    /// How many are under way.
    pub fn under_way(&mut self, now: Duration) -> usize {
        drop(self.expire(now));
        self.under_way
    }

    /// After how long to look for calls that were not answered in time, unless somebody
    /// is going to.
    pub fn watch(&mut self, now: Duration) -> Option<Duration> {
        if self.is_watched {
            return None;
        }
        let due = self.kept.iter().find(|call| call.state == State::UnderWay)?.due;
        self.is_watched = true;
        Some(due.saturating_sub(now))
    }

    /// Somebody looks: takes those that were not answered in time.
    pub fn look(&mut self, now: Duration) -> Vec<C> {
        self.is_watched = false;
        self.expire(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn an_answer_in_time_is_heard_also_twice_and_one_that_is_late_never() {
        let mut calls = Calls::new(SECOND);
        let (one, other) = (calls.begin(ms(0), 'a'), calls.begin(ms(500), 'b'));
        assert_eq!(calls.answer(ms(900), one), Met::First('a'));
        assert_eq!(calls.answer(ms(950), one), Met::Again);
        assert_eq!(calls.answer(ms(1_000), one), Met::TooLate);
        assert_eq!(calls.answer(ms(1_500), other), Met::TooLate);
        assert_eq!(calls.expire(ms(1_500)), ['b']);
        assert_eq!(calls.answer(ms(1_500), other), Met::TooLate);
    }

    #[test]
    fn who_looks_comes_when_the_oldest_unanswered_call_is_due() {
        let mut calls = Calls::new(SECOND);
        assert_eq!(calls.watch(ms(0)), None, "nothing is under way");
        let one = calls.begin(ms(0), 'a');
        assert_eq!((calls.watch(ms(100)), calls.watch(ms(100))), (Some(ms(900)), None));
        calls.begin(ms(300), 'b');
        assert_eq!(calls.answer(ms(400), one), Met::First('a'));
        assert!(calls.look(ms(1_000)).is_empty());
        assert_eq!(calls.watch(ms(1_000)), Some(ms(300)));
        assert_eq!(calls.look(ms(1_300)), ['b']);
        assert_eq!(calls.watch(ms(1_300)), None);
    }

    #[test]
    fn who_is_in_a_hurry_waits_no_longer_also_for_what_is_under_way() {
        let mut calls = Calls::new(5 * SECOND);
        calls.begin(ms(0), 'a');
        assert_eq!(calls.watch(ms(0)), Some(5 * SECOND));
        calls.begin(ms(4_500), 'b');
        calls.hurry(ms(4_600), SECOND);
        calls.begin(ms(4_700), 'c');
        assert_eq!(calls.watch(ms(4_700)), Some(ms(300)), "the first was due soon, and still is");
        assert_eq!(calls.look(ms(5_000)), ['a']);
        assert_eq!(calls.watch(ms(5_000)), Some(ms(600)));
        assert_eq!((calls.look(ms(5_600)), calls.look(ms(5_700))), (vec!['b'], vec!['c']));
    }

    #[test]
    fn what_is_answered_late_or_broken_off_is_not_under_way() {
        let mut calls = Calls::new(SECOND);
        let one = calls.begin(ms(0), ());
        calls.begin(ms(100), ());
        calls.begin(ms(200), ());
        assert_eq!(calls.answer(ms(300), one), Met::First(()));
        assert_eq!((calls.under_way(ms(300)), calls.under_way(ms(1_100))), (2, 1));
        calls.abort();
        assert_eq!(calls.under_way(ms(1_100)), 0);
        assert_ne!(calls.begin(ms(1_100), ()), one);
    }
}
