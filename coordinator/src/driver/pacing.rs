//! Which acceptors are asked for votes at once, and which a moment later.
//!
//! A quorum of votes is enough ("thrifty": Moraru, Andersen and Kaminsky, *There Is More
//! Consensus in Egalitarian Parliaments*, SOSP 2013). Those that it does without get what has
//! gathered every [`SPARE_INTERVAL`], in one request and with one sync. They get it at once
//! where one of the others is late, has failed or does not vote, and where nothing was sent to
//! them for so long anyway: so of a write to a cluster at rest, all are asked at the same time.
//!
//! To the core a request that waits here is one that takes longer on its way.

use std::collections::VecDeque;
use std::time::Duration;

use crate::effect::AcceptorIndex;

/// Between two requests to an acceptor that is not needed: what one request for many slots
/// saves, against how many votes it has to catch up with once it is needed.
pub(crate) const SPARE_INTERVAL: Duration = Duration::from_millis(20);
/// An acceptor is late that takes so many times as long as the fastest usually does …
const LATE_FACTOR: u32 = 4;
/// … but not before this, which is some syncs of a fast disk …
const LATE_AT_LEAST: Duration = Duration::from_millis(2);
/// … and in any case after this.
const LATE_AT_MOST: Duration = Duration::from_millis(10);
/// For how long one that was late is not one of those that are asked at once, where others
/// are there: then it is tried again, which costs one late vote.
const LATE_REMEMBERED: Duration = Duration::from_secs(1);
/// What the latest answer counts for in how long one usually takes: one part of so many.
const SMOOTHING: u32 = 8;

/// What is known of one acceptor. Times are those of the driver's clock.
#[derive(Clone, Debug, Default)]
struct Pace {
    /// When values were sent to it last.
    sent_at: Option<Duration>,
    /// When the requests were sent that are under way.
    under_way: VecDeque<Duration>,
    /// How long it takes for a vote, in the mean of the latest.
    usual: Option<Duration>,
    /// When it was late last.
    late_at: Option<Duration>,
    /// Whether what it answered last was no vote, or nothing.
    has_failed: bool,
}

impl Pace {
    fn is_late(&self, now: Duration, late_after: Duration) -> bool {
        self.under_way.front().is_some_and(|sent| now.saturating_sub(*sent) >= late_after)
    }

    /// Whether there is no counting on it.
    fn is_away(&self, now: Duration, late_after: Duration) -> bool {
        self.has_failed || self.is_late(now, late_after)
    }

    fn was_late(&self, now: Duration) -> bool {
        self.late_at.is_some_and(|at| now.saturating_sub(at) < LATE_REMEMBERED)
    }
}

/// How all of them do.
#[derive(Debug, Default)]
pub(crate) struct Pacing {
    acceptors: Vec<Pace>,
}

impl Pacing {
    /// A request is sent to an acceptor: with values, or as a sign of life alone.
    pub(crate) fn sent(&mut self, to: AcceptorIndex, now: Duration, has_values: bool) {
        let pace = self.pace(to);
        if has_values {
            pace.sent_at = Some(now);
        }
        pace.under_way.push_back(now);
    }

    /// A request was answered, with votes or without, or given up. Where several are under
    /// way, it is taken to be the first.
    pub(crate) fn ended(&mut self, at: AcceptorIndex, now: Duration, has_voted: bool) {
        let late_after = self.late_after();
        let pace = self.pace(at);
        if pace.is_late(now, late_after) {
            pace.late_at = Some(now);
        }
        let sent = pace.under_way.pop_front().unwrap_or(now);
        if has_voted {
            let took = now.saturating_sub(sent);
            let usual = pace.usual.unwrap_or(took);
            pace.usual = Some((usual * (SMOOTHING - 1) + took) / SMOOTHING);
        }
        pace.has_failed = !has_voted;
    }

    /// After how long an acceptor is late.
    fn late_after(&self) -> Duration {
        let fastest = self.acceptors.iter().filter_map(|pace| pace.usual).min();
        let late = fastest.map(|fastest| fastest * LATE_FACTOR);
        late.map_or(LATE_AT_MOST, |late| late.clamp(LATE_AT_LEAST, LATE_AT_MOST))
    }

    /// Nothing is known of votes under another ballot.
    pub(crate) fn restart(&mut self) {
        for pace in &mut self.acceptors {
            pace.sent_at = None;
        }
    }

    /// Those of the present acceptors that are to wait, and until when, unless one of the
    /// others is late before: that is to be asked again then.
    pub(crate) fn hold(
        &mut self,
        present: impl Iterator<Item = AcceptorIndex>,
        now: Duration,
    ) -> Hold {
        let late_after = self.late_after();
        let mut order: Vec<AcceptorIndex> = present.collect();
        order.sort_by_key(|at| {
            let pace = self.pace(*at);
            (pace.is_away(now, late_after), pace.was_late(now), *at)
        });
        let spares = order.split_off((order.len() / 2 + 1).min(order.len()));
        if order.iter().any(|at| self.pace(*at).is_away(now, late_after)) {
            return Hold::default();
        }
        let first_sent =
            order.iter().filter_map(|at| self.pace(*at).under_way.front().copied()).min();
        let first_late = first_sent.map(|sent| sent + late_after);
        let mut held = Vec::new();
        for at in spares {
            let until = self.pace(at).sent_at.map(|sent_at| sent_at + SPARE_INTERVAL);
            if let Some(until) = until.filter(|until| *until > now) {
                held.push((at, until));
            }
        }
        Hold { held, first_late }
    }

    fn pace(&mut self, at: AcceptorIndex) -> &mut Pace {
        if self.acceptors.len() <= at.0 {
            self.acceptors.resize(at.0 + 1, Pace::default());
        }
        &mut self.acceptors[at.0]
    }
}

/// Who is to wait.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Hold {
    held: Vec<(AcceptorIndex, Duration)>,
    /// When one of the others is late, unless it answers.
    first_late: Option<Duration>,
}

impl Hold {
    /// When to look again, where this acceptor is to wait.
    pub(crate) fn until(&self, at: AcceptorIndex) -> Option<Duration> {
        let (_, until) = self.held.iter().find(|(held, _)| *held == at)?;
        Some(self.first_late.map_or(*until, |late| late.min(*until)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn all(acceptors: usize) -> impl Iterator<Item = AcceptorIndex> {
        (0..acceptors).map(AcceptorIndex)
    }

    /// Whom a request that comes now is not sent to, and when to look again.
    fn held(pacing: &mut Pacing, acceptors: usize, now: u64) -> Vec<(usize, u128)> {
        let hold = pacing.hold(all(acceptors), ms(now));
        let until = |at| Some((at, hold.until(AcceptorIndex(at))?.as_millis()));
        (0..acceptors).filter_map(until).collect()
    }

    fn sends(pacing: &mut Pacing, to: usize, at: u64) {
        pacing.sent(AcceptorIndex(to), ms(at), true);
    }

    fn votes(pacing: &mut Pacing, at: usize, (sent, answered): (u64, u64)) {
        sends(pacing, at, sent);
        pacing.ended(AcceptorIndex(at), ms(answered), true);
    }

    /// All have voted, each after a millisecond, and so are late after four.
    fn voted(acceptors: usize, at: u64) -> Pacing {
        let mut pacing = Pacing::default();
        (0..acceptors).for_each(|acceptor| votes(&mut pacing, acceptor, (at, at + 1)));
        pacing
    }

    #[test]
    fn after_a_pause_all_are_asked_at_once_and_then_no_more_than_a_quorum() {
        assert_eq!(held(&mut Pacing::default(), 3, 100), []);
        let mut pacing = voted(3, 100);
        assert_eq!(held(&mut pacing, 3, 102), [(2, 120)]);
        assert_eq!(held(&mut pacing, 3, 119), [(2, 120)]);
        assert_eq!(held(&mut pacing, 3, 120), []);
        pacing.sent(AcceptorIndex(2), ms(150), false);
        pacing.ended(AcceptorIndex(2), ms(151), true);
        assert_eq!(held(&mut pacing, 3, 152), [], "a sign of life is none of that");
        let mut five = voted(5, 200);
        assert_eq!(held(&mut five, 5, 202), [(3, 220), (4, 220)]);
        assert_eq!(held(&mut five, 1, 202), []);
        assert_eq!(held(&mut five, 2, 202), [], "both are needed");
    }

    #[test]
    fn where_one_of_a_quorum_is_late_the_others_are_asked_and_take_its_place() {
        let mut pacing = voted(3, 100);
        sends(&mut pacing, 0, 102);
        votes(&mut pacing, 1, (102, 103));
        assert_eq!(held(&mut pacing, 3, 103), [(2, 106)], "then the first is late");
        assert_eq!(held(&mut pacing, 3, 106), [(0, 122)], "it is not needed any more");
        votes(&mut pacing, 2, (106, 107));
        pacing.ended(AcceptorIndex(0), ms(107), true);
        votes(&mut pacing, 0, (108, 109));
        assert_eq!(held(&mut pacing, 3, 110), [(0, 128)], "it is remembered to have been late");
        votes(&mut pacing, 2, (1_107, 1_107));
        assert_eq!(held(&mut pacing, 3, 1_108), [(2, 1_127)], "and not for ever");
    }

    #[test]
    fn the_oldest_request_says_whether_one_is_late() {
        let mut pacing = voted(3, 100);
        sends(&mut pacing, 0, 102);
        sends(&mut pacing, 0, 104);
        assert_eq!(held(&mut pacing, 3, 105), [(2, 106)]);
        pacing.ended(AcceptorIndex(0), ms(105), true);
        assert_eq!(held(&mut pacing, 3, 106), [(2, 108)], "the second is the oldest now");
    }

    #[test]
    fn late_is_what_takes_much_longer_than_the_fastest() {
        let mut slow_disks = Pacing::default();
        (0..3).for_each(|at| votes(&mut slow_disks, at, (100, 108)));
        sends(&mut slow_disks, 0, 110);
        assert_eq!(held(&mut slow_disks, 3, 111), [(2, 120)], "ten milliseconds are the most");
        let mut one_slow = voted(3, 100);
        votes(&mut one_slow, 0, (102, 110));
        assert_eq!(held(&mut one_slow, 3, 111), [(0, 122)], "though it took less than ten");
    }

    #[test]
    fn who_fails_or_does_not_vote_is_not_counted_on() {
        let mut pacing = voted(3, 100);
        sends(&mut pacing, 1, 102);
        pacing.ended(AcceptorIndex(1), ms(102), false);
        assert_eq!(held(&mut pacing, 3, 103), [(1, 122)]);
        sends(&mut pacing, 2, 103);
        pacing.ended(AcceptorIndex(2), ms(104), false);
        assert_eq!(held(&mut pacing, 3, 105), [], "no quorum is well: all are asked");
    }

    #[test]
    fn at_another_ballot_all_are_asked_at_once() {
        let mut pacing = voted(3, 100);
        pacing.restart();
        assert_eq!(held(&mut pacing, 3, 102), []);
    }
}
