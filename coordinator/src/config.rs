//! The limits and time-outs of the core, each with its reason.
//!
//! Safety rests on none of them. The times are tuned so that a standby leads within about
//! a second of its leader's death: the leader's last sign of life is at most one
//! heartbeat old, the silence must last [`Config::election_timeout`], it is seen at the
//! next poll, and the candidates wait at most [`Config::election_jitter`] so that they do
//! not start together.

use std::time::Duration;

/// The limits of whoever performs the core's effects: the driver, and the simulation in
/// its place.
pub mod shell {
    use std::time::Duration;

    /// Accepts in flight to one acceptor.
    pub const ACCEPTS_IN_FLIGHT: usize = 4;
    /// Prepares in flight to one acceptor: one that flies, and repetitions should it be
    /// lost.
    pub const PREPARES_IN_FLIGHT: usize = 3;
    /// Requests about a change of the acceptors in flight to one: while it is away, more are
    /// pointless.
    pub const SUCCESSIONS_IN_FLIGHT: usize = 2;
    /// How long an acceptor may take for one: a sync and some.
    pub const SUCCESSION_TIMEOUT: Duration = Duration::from_secs(1);
    /// Polls in flight to one acceptor; while it is away, more are pointless.
    pub const POLLS_IN_FLIGHT: usize = 5;

    /// How long an acceptor may take to vote: a sync and some; past it the request is as
    /// good as lost and the core sends it again.
    pub const ACCEPT_TIMEOUT: Duration = Duration::from_secs(1);
    /// How long a page of a promise may take.
    pub const PREPARE_TIMEOUT: Duration = Duration::from_secs(1);
    /// How long a poll may take; it needs no disk.
    pub const POLL_TIMEOUT: Duration = Duration::from_millis(500);
    /// How long an acceptor may take for a page of old votes.
    pub const PAGE_TIMEOUT: Duration = Duration::from_secs(2);

    /// Recoveries of old entries at once: each holds a page of every acceptor.
    pub const RECOVERIES_AT_ONCE: usize = 4;

    /// The longest that a proposal waits to be chosen: then its primary asks again, and
    /// joins the slot that it has.
    const PROPOSAL_WAIT: Duration = Duration::from_secs(5);

    /// How long a proposal waits to be chosen: a little less than its primary's patience,
    /// so that the answer still reaches it.
    #[must_use]
    pub fn proposal_wait(patience: Duration) -> Duration {
        PROPOSAL_WAIT.min(patience * 9 / 10)
    }
}

/// What the core is told at its start. Times are durations of the clock that gives `now`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the configured acceptors are. A cluster forms of just as many.
    pub acceptors: Vec<String>,
    /// Between two polls of all acceptors while standing by.
    pub poll_interval: Duration,
    /// An answer to a poll counts in an election only while the poll is younger: an older
    /// one says nothing about now.
    pub answer_validity: Duration,
    /// How long a quorum of acceptors must not have heard from a leader.
    pub election_timeout: Duration,
    /// A candidate waits a random time up to this, so that seldom two start together.
    pub election_jitter: Duration,
    /// The same after a leader whose process has ended: all hear of that at once, and a
    /// Phase 1 is over in less.
    pub ended_jitter: Duration,
    /// A Phase 1 that makes no progress for this long is given up.
    pub phase1_timeout: Duration,
    /// Least and additional random wait after a Phase 1 or a leadership that got no
    /// answers: lets another coordinator try.
    pub back_off: Duration,
    /// Failures closer together than this make the time-outs of the next attempts longer
    /// (up to eight times).
    pub failure_memory: Duration,
    /// Between two signs of life of a leader.
    pub heartbeat_interval: Duration,
    /// An unanswered Prepare or Accept is sent again after this long.
    pub retransmit_interval: Duration,
    /// A leader that no quorum has answered for this many heartbeats in a row steps down:
    /// another may be better connected. It counts heartbeats, not time, so that a pause
    /// of the process costs no leadership that nobody else has taken.
    pub max_heartbeats_unanswered: u64,
    /// A leader that has heard from no replica for this many of its own heartbeats steps
    /// down, once the log says that there are replicas: acceptors hear from it, so nobody
    /// else would stand, and yet nobody can propose anything. More than it takes to
    /// replace a primary, and counted in heartbeats for the same reason.
    pub max_heartbeats_without_replicas: u64,
    /// A leader that is asked for other acceptors takes no batches for at most this many of
    /// its heartbeats, until all is durable at the replicas: more than twice as long as one
    /// waits with that.
    pub max_heartbeats_draining: u64,
    /// An acceptor that said it is full is taken to be so for this long after.
    pub full_memory: Duration,
    /// Slots that are proposed and not yet below the chosen watermark. Bounds what the
    /// next leader must recover.
    pub max_in_flight_slots: u64,
    /// Bytes of the values in those slots.
    pub max_in_flight_bytes: usize,
    /// Callers that wait for one proposal (the same batch proposed again joins the slot
    /// it already has). One more takes the place of the one that has waited longest.
    pub max_waiters_per_slot: usize,
    /// Slots in one Accept.
    pub max_accept_slots: usize,
    /// Bytes of values in one Accept; a larger value is refused.
    pub max_accept_bytes: usize,
    /// Chosen entries that the leader keeps for replicas that fetch.
    pub window_entries: usize,
    /// Bytes of the values in those entries.
    pub window_bytes: usize,
    /// Replicas that are remembered; more are ignored.
    pub max_replicas: usize,
    /// A primary that was not heard from for this long is replaced.
    pub primary_timeout: Duration,
    /// The same for a primary that this coordinator never heard from: it may not have
    /// found us yet.
    pub unheard_primary_timeout: Duration,
    /// The first view waits this long after the first heartbeat, so that it names all
    /// that start together …
    pub first_view_delay: Duration,
    /// … or until so many are heard.
    pub first_view_replicas: usize,
    /// After a view is chosen, the next one waits for news of it, or this long.
    pub view_settle_timeout: Duration,
    /// A primary whose disk takes nothing for this long is replaced, if another can.
    pub unwritable_timeout: Duration,
    /// The same for one that executes nothing for this long while chosen slots wait: more
    /// than a long transaction takes.
    pub execution_timeout: Duration,
    /// Whoever takes over from one that cannot execute must have been able for this long.
    pub able_memory: Duration,
    /// Who is to take over from a primary that can do its work may have so many chosen slots
    /// yet to execute, by its last heartbeat: under load it has executed what was chosen a
    /// heartbeat ago, and mutations wait while it executes what it lacks.
    pub switch_lag: u64,
    /// A replica that was silent, or could not execute, for this long leaves the view.
    pub replica_gone_after: Duration,
    /// Trimming waits for the slowest replica while acceptors keep at most so many bytes
    /// of votes …
    pub trim_behind_bytes: u64,
    /// … and while it is at most this long behind the others.
    pub trim_behind_time: Duration,
    /// What comes from a replica within this time after its process ended was under way.
    pub ended_memory: Duration,
    /// A replica heard from within this time is there.
    pub replica_memory: Duration,
    /// When inputs came further apart than this, the process was paused: silence in that
    /// time is nobody else's fault.
    pub pause_threshold: Duration,
}

impl Config {
    /// The defaults, for so many acceptors, whose addresses are only numbers.
    #[must_use]
    pub fn new(acceptors: usize) -> Self {
        Self {
            acceptors: (0..acceptors).map(|index| index.to_string()).collect(),
            poll_interval: Duration::from_millis(100),
            answer_validity: Duration::from_secs(2),
            election_timeout: Duration::from_millis(500),
            election_jitter: Duration::from_millis(200),
            ended_jitter: Duration::from_millis(40),
            phase1_timeout: Duration::from_millis(500),
            back_off: Duration::from_millis(400),
            failure_memory: Duration::from_secs(5),
            heartbeat_interval: Duration::from_millis(100),
            retransmit_interval: Duration::from_millis(200),
            max_heartbeats_unanswered: 10,
            max_heartbeats_without_replicas: 20,
            max_heartbeats_draining: 60,
            full_memory: Duration::from_secs(1),
            max_in_flight_slots: 1_024,
            max_in_flight_bytes: 64 << 20,
            max_waiters_per_slot: 16,
            max_accept_slots: 256,
            max_accept_bytes: 8 << 20,
            window_entries: 8_192,
            window_bytes: 64 << 20,
            max_replicas: 64,
            primary_timeout: Duration::from_millis(600),
            unheard_primary_timeout: Duration::from_millis(1_500),
            first_view_delay: Duration::from_millis(300),
            first_view_replicas: 3,
            view_settle_timeout: Duration::from_millis(500),
            unwritable_timeout: Duration::from_secs(1),
            execution_timeout: Duration::from_secs(3),
            able_memory: Duration::from_secs(2),
            switch_lag: 512,
            replica_gone_after: Duration::from_secs(120),
            trim_behind_bytes: 128 << 20,
            trim_behind_time: Duration::from_secs(60),
            ended_memory: Duration::from_millis(100),
            replica_memory: Duration::from_secs(10),
            pause_threshold: Duration::from_millis(300),
        }
    }
}
