//! Where the chosen log is fetched.
//!
//! A replica asks one source at a time: the primary, then the coordinator that leads,
//! then the other replicas; a primary, whose own batches come with the coordinator's
//! answers, asks only when something is missing, and no replica asks a coordinator before
//! its own history is confirmed. It goes on to the next source when one fails, no longer
//! has the slot, or gives nothing although slots are known to be chosen, and after the
//! last one waits a while. It begins with the first again after that wait, when a source
//! has nothing more, when somebody else leads, and when another source has served for ten
//! seconds.
//!
//! When a source has given all that there was, a replica pauses before it asks again, so
//! that it executes the slots of a moment at once; but not while somebody waits for them.

mod asking;

use std::collections::BTreeMap;
use std::time::Duration;

use shared::bounds::{MAX_NUMBER, ROUNDS_AHEAD, TooFar, within};
use shared::ids::{Ballot, Slot};
use shared::message::Member;

use crate::replica::event::{FetchId, SourceKind};

/// A place to fetch from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) kind: SourceKind,
    pub(crate) member: Member,
}

#[derive(Clone, Debug)]
struct Outstanding {
    id: FetchId,
    at: Duration,
}

#[derive(Clone, Debug)]
enum State {
    Idle,
    Waiting(Outstanding),
    /// All that there was is learned: more is asked for after a while, or when somebody
    /// waits for it.
    Pausing,
    BackingOff,
}

/// What became of a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FetchOutcome {
    /// Something new was learned.
    Learned,
    /// Nothing was, and nothing is known to be missing.
    UpToDate,
    /// Nothing was, and the source cannot help now.
    Failed,
}

/// Whether the next fetch may follow at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// It may.
    GoOn,
    /// It may wait a moment, where nobody waits for it.
    Pause,
    /// Not before a while.
    BackOff,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Ask this source.
    Ask(FetchId, Source),
    /// All have failed: wait a while.
    BackOff,
    /// Nothing: there is no source, a fetch is under way, or the wait is not over.
    Nothing,
}

/// After so long the first source is tried again, though another one serves well: it is
/// the one meant to.
const RETRY_PREFERRED: Duration = Duration::from_secs(10);

/// A source that says sooner that it has nothing new didn't wait for it.
const LEAST_WAIT: Duration = Duration::from_millis(100);

/// A page that takes longer than this is a large one, or a slow machine's: the next one
/// will take as long.
const QUICK_PAGE: Duration = Duration::from_millis(200);

/// The most that a wait grows: 2 to the power of this.
const MAX_DOUBLINGS: u32 = 4;

/// The latest fetches whose answers may still come and be of use.
const LATE_FETCHES: usize = 16;

/// The fetches of one replica.
#[derive(Clone, Debug)]
pub(crate) struct Fetching {
    state: State,
    /// Whom the latest fetches asked: what comes late is held against the hash of its
    /// source, too.
    asked: BTreeMap<FetchId, Source>,
    /// Which of the sources is next.
    cursor: usize,
    left_preferred_at: Duration,
    fetches: u64,
    /// The learned mark when the stall timer was armed.
    watched: Option<Slot>,
    /// Rounds over all sources in a row in which one gave nothing for too long, and
    /// whether one has in this round.
    rounds: u32,
    has_stalled: bool,
    /// Whether every source was asked and failed since something was learned last.
    all_failed: bool,
    /// The highest ballot that somebody was seen to lead at.
    led_at: Option<Ballot>,
}

impl Fetching {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Idle,
            asked: BTreeMap::new(),
            cursor: 0,
            left_preferred_at: Duration::ZERO,
            fetches: 0,
            watched: None,
            rounds: 0,
            has_stalled: false,
            all_failed: false,
            led_at: None,
        }
    }

    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Whether every source was asked and failed since something was learned last.
    pub(crate) fn all_failed(&self) -> bool {
        self.all_failed
    }

    /// Chooses the next source.
    pub(crate) fn next(&mut self, now: Duration, sources: &[Source]) -> Next {
        if !self.is_idle() || sources.is_empty() {
            return Next::Nothing;
        }
        if self.cursor > 0 && now.saturating_sub(self.left_preferred_at) >= RETRY_PREFERRED {
            self.cursor = 0;
        }
        let Some(source) = sources.get(self.cursor) else {
            self.state = State::BackingOff;
            self.cursor = 0;
            self.all_failed = true;
            self.rounds += u32::from(std::mem::take(&mut self.has_stalled));
            return Next::BackOff;
        };
        self.fetches += 1;
        let id = FetchId(self.fetches);
        self.state = State::Waiting(Outstanding { id, at: now });
        self.asked.insert(id, source.clone());
        if self.asked.len() > LATE_FETCHES {
            self.asked.pop_first();
        }
        Next::Ask(id, source.clone())
    }

    /// Whom a fetch asked, if it was one of the latest.
    pub(crate) fn source(&self, fetch: FetchId) -> Option<&Source> {
        self.asked.get(&fetch)
    }

    /// A fetch came to an end. One that was given up before says nothing about the
    /// present source.
    pub(crate) fn ended(&mut self, now: Duration, fetch: FetchId, progress: FetchOutcome) -> After {
        let at = match &self.state {
            State::Waiting(outstanding) if outstanding.id == fetch => outstanding.at,
            State::Idle | State::Waiting(_) | State::Pausing | State::BackingOff => {
                return After::GoOn;
            }
        };
        self.state = State::Idle;
        self.all_failed &= progress == FetchOutcome::Failed;
        match progress {
            FetchOutcome::Learned
                if self.watched.is_some() && now.saturating_sub(at) >= QUICK_PAGE =>
            {
                self.has_stalled = false;
                return After::Pause;
            }
            FetchOutcome::Learned => {
                self.forget_stalls();
                return After::Pause;
            }
            FetchOutcome::Failed => self.try_next_source(now),
            FetchOutcome::UpToDate => {
                self.cursor = 0;
                // A source that has nothing and doesn't wait for it would be asked
                // without pause.
                if now.saturating_sub(at) < LEAST_WAIT {
                    self.state = State::BackingOff;
                    return After::BackOff;
                }
            }
        }
        After::GoOn
    }

    fn try_next_source(&mut self, now: Duration) {
        if self.cursor == 0 {
            self.left_preferred_at = now;
        }
        self.cursor += 1;
    }

    /// Nothing is asked for until the wait is over, or somebody waits for it.
    pub(crate) fn pause(&mut self) {
        if self.is_idle() {
            self.state = State::Pausing;
        }
    }

    /// Somebody waits for what comes next.
    pub(crate) fn end_pause(&mut self) {
        match self.state {
            State::Pausing => self.state = State::Idle,
            State::Idle | State::Waiting(_) | State::BackingOff => {}
        }
    }

    /// The wait is over.
    pub(crate) fn retry(&mut self) {
        match self.state {
            State::Pausing | State::BackingOff => self.state = State::Idle,
            State::Idle | State::Waiting(_) => {}
        }
    }

    /// The sources are others now, or know more: begins with the first again.
    pub(crate) fn restart(&mut self) {
        self.state = State::Idle;
        self.cursor = 0;
        self.forget_stalls();
    }

    /// Somebody leads, or nobody; says whether it is news. A leader that was not heard
    /// from for a moment is none.
    pub(crate) fn led(&mut self, ballot: Option<Ballot>) -> Leader {
        if ballot <= self.led_at {
            return Leader::Known;
        }
        self.led_at = ballot;
        Leader::New
    }

    /// Whether somebody can lead at a ballot of this round.
    ///
    /// # Errors
    /// When it is too far above the latest that somebody was seen to lead at.
    pub(crate) fn check_round(&self, round: u64) -> Result<(), TooFar> {
        match self.led_at {
            // Whoever has just started knows of none, and the first may be any.
            None => within("round", round, 0, MAX_NUMBER - ROUNDS_AHEAD),
            Some(led_at) => within("round", round, led_at.round, ROUNDS_AHEAD),
        }
    }

    /// A watch that was made long would outlast what made it long.
    fn forget_stalls(&mut self) {
        if self.rounds > 0 {
            self.watched = None;
        }
        (self.rounds, self.has_stalled) = (0, false);
    }

    /// Gives up a fetch that got no answer for too long.
    pub(crate) fn expire(&mut self, now: Duration, timeout: Duration) {
        match &self.state {
            State::Waiting(outstanding) if now.saturating_sub(outstanding.at) >= timeout => {
                self.leave_source(now)
            }
            State::Idle | State::Waiting(_) | State::Pausing | State::BackingOff => {}
        }
    }

    fn leave_source(&mut self, now: Duration) {
        self.state = State::Idle;
        self.try_next_source(now);
    }

    /// Slots are missing: says after how long to look whether any came, unless that is
    /// being watched already. It may be that a large page takes its time, so the wait
    /// grows while none come; but only after all sources were tried, for while the others
    /// are given longer and longer, the one that can help waits for its turn.
    pub(crate) fn watch(&mut self, learned_below: Slot, stall: Duration) -> Option<Duration> {
        if self.watched.is_some() {
            return None;
        }
        self.watched = Some(learned_below);
        Some(stall * (1 << self.rounds.min(MAX_DOUBLINGS)))
    }

    /// The time is over: leaves a source that gave nothing since.
    pub(crate) fn looked(&mut self, now: Duration, learned_below: Slot) -> Stalled {
        if self.watched.take() != Some(learned_below) {
            return Stalled::No;
        }
        match self.state {
            State::Waiting(_) => {
                self.has_stalled = true;
                self.leave_source(now);
            }
            State::Idle | State::Pausing | State::BackingOff => {}
        }
        Stalled::Yes
    }
}

/// Whether whatever sources could not give while nobody led, they soon can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leader {
    /// Nobody was seen to lead at so high a ballot before.
    New,
    /// It is the one that was there.
    Known,
}

/// Whether the log has stopped to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stalled {
    /// It has.
    Yes,
    /// It has not.
    No,
}
