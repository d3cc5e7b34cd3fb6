//! What all simulated processes have: a name, lives, clocks, timers and pauses.

use std::fmt;
use std::time::Duration;

use crate::random::Random;
use crate::simulation::environment::clock::Clock;

/// A process, or the machine it runs on. Numbered from 0 within its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeId {
    /// A voter.
    Acceptor(u8),
    /// A proposer.
    Coordinator(u8),
    /// A learner.
    Replica(u8),
    /// A client, which never fails.
    Client(u8),
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acceptor(number) => write!(f, "acceptor-{}", number + 1),
            Self::Coordinator(number) => write!(f, "coordinator-{}", number + 1),
            Self::Replica(number) => write!(f, "replica-{}", number + 1),
            Self::Client(number) => write!(f, "client-{}", number + 1),
        }
    }
}

/// How many times a process was started. Whatever was meant for an earlier life is void.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Life(pub u32);

/// Whether a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It runs.
    Up,
    /// It is down, and may come back.
    Down,
    /// It never comes back: its disk is gone or damaged.
    Gone,
}

/// Between which steps a process is killed. The time of a fault alone would seldom hit
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CrashPoint {
    /// Right now, whatever it does.
    Now,
    /// An acceptor has decided, and written nothing yet.
    Decided,
    /// An acceptor has written, and not synced: any part of it may be on disk.
    Written,
    /// An acceptor has written several records, and synced none: a loss of power may tear
    /// the group.
    WrittenMany,
    /// An acceptor has synced, and not answered.
    Synced,
    /// A coordinator has taken an input, and its effects are lost.
    Stepped,
    /// A replica has taken an input, and its effects are lost.
    ReplicaStepped,
    /// A replica has committed a transaction, and told nobody.
    Committed,
}

/// The most timers a core has.
pub const TIMERS: usize = 9;

/// The common part of a simulated process.
#[derive(Debug)]
pub struct Process {
    /// Which.
    pub id: NodeId,
    /// Its present life.
    pub life: Life,
    /// Whether it runs.
    pub presence: Presence,
    /// It does nothing before this time (SIGSTOP); what comes waits.
    pub paused_until: Duration,
    /// Since when.
    pub paused_since: Option<Duration>,
    /// Where it is to be killed next.
    pub armed: Option<CrashPoint>,
    /// The clocks of its machine.
    pub clock: Clock,
    /// What is random about it.
    pub random: Random,
    started: Duration,
    timers: [u32; TIMERS],
}

impl Process {
    /// A process that was never started.
    #[must_use]
    pub fn new(id: NodeId, random: Random) -> Self {
        Self {
            id,
            life: Life(0),
            presence: Presence::Down,
            paused_until: Duration::ZERO,
            paused_since: None,
            armed: None,
            clock: Clock::new(),
            random,
            started: Duration::ZERO,
            timers: [0; TIMERS],
        }
    }

    /// Begins a new life.
    pub fn start(&mut self, now: Duration) {
        self.life = Life(self.life.0 + 1);
        self.presence = Presence::Up;
        self.paused_until = Duration::ZERO;
        self.paused_since = None;
        self.armed = None;
        self.started = self.clock.read(now);
        self.timers = [0; TIMERS];
    }

    /// Ends its life.
    pub fn stop(&mut self, presence: Presence) {
        self.presence = presence;
        self.paused_since = None;
        self.armed = None;
    }

    /// Whether it runs this life.
    #[must_use]
    pub fn is_in(&self, life: Life) -> bool {
        self.presence == Presence::Up && self.life == life
    }

    /// Its own time since it started, as the cores count it.
    #[must_use]
    pub fn uptime(&self, now: Duration) -> Duration {
        self.clock.read(now).saturating_sub(self.started)
    }

    /// Arms a timer, voiding what it was armed for before: its generation, and the true
    /// wait.
    pub fn arm(&mut self, timer: usize, after: Duration, jitter: Duration) -> (u32, Duration) {
        self.timers[timer] += 1;
        let random = if jitter.is_zero() {
            Duration::ZERO
        } else {
            self.random.duration(Duration::ZERO, jitter)
        };
        (self.timers[timer], self.clock.true_wait(after + random))
    }

    /// Whether this is what the timer is armed for.
    #[must_use]
    pub fn is_armed(&self, timer: usize, generation: u32) -> bool {
        self.timers[timer] == generation
    }

    /// Whether it is to be killed here.
    #[must_use]
    pub fn crashes_at(&self, point: CrashPoint) -> bool {
        self.armed == Some(point)
    }
}
