//! The limits and times of the pure replica.

use std::time::Duration;

use shared::ids::{Generation, LogFormat};

use crate::machine::command::AnswerRetention;
use crate::machine::format;

/// Every limit and time of a [`Replica`](crate::replica::Replica), with the reason for
/// its default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How many acceptors are configured: when as many have answered a probe without a
    /// quorum, waiting longer is no use.
    pub acceptors: usize,
    /// Of which generation these are, as far as is known at the start.
    pub generation: Generation,
    /// The highest format of the log that can be read here.
    pub highest_format: LogFormat,
    /// Batches proposed and not yet executed. 1: what arrives while one flies makes the
    /// next, and none is ever out of order.
    pub pipeline: usize,
    /// Commands in a batch. 512: above it a batch gains nothing and its first client
    /// waits for the last.
    pub batch_commands: usize,
    /// Bytes in a batch. 4 MiB: it has to pass three hops and three disks before the next
    /// may go. A larger command goes alone.
    pub batch_bytes: usize,
    /// How first answers of requests with an `Idempotency-Key` are kept, as its batches say
    /// while it is primary. A day: clients that retry have given up long before. A million:
    /// some 150 MB on disk.
    pub answers: AnswerRetention,
    /// What is kept of history, while it is primary.
    pub retention: Retention,
    /// So many slots of the log are kept below what acceptors have trimmed; none: all. 200,000:
    /// a replica that was away for minutes under load, or for days where little is written,
    /// gets on by them; where nothing but time is in them they take some 50 MB.
    pub retained_slots: Option<u64>,
    /// Between two looks whether there is history that is not to be kept. 5 s: what is
    /// written meanwhile is kept beside what is to be.
    pub compaction_interval: Duration,
    /// Mutations that wait for a batch. 4,096: several seconds' worth on a slow disk;
    /// past it, waiting is worse than hearing no.
    pub queued_mutations: usize,
    /// Bytes of the mutations that wait for a batch. 64 MiB: what a small machine can
    /// spare.
    pub queued_bytes: usize,
    /// Reads that wait, for a probe, a slot or a revision. 16,384: they are small, and
    /// many share a probe.
    pub waiting_reads: usize,
    /// Slots handed to SQLite at once. 256: a long transaction holds up every answer in
    /// it.
    pub execute_entries: usize,
    /// Bytes handed to SQLite at once. 8 MiB; a larger entry goes alone.
    pub execute_bytes: usize,
    /// Learned entries kept in memory, executed ones for peers included. 4,096: fewer
    /// than a coordinator's window.
    pub learned_entries: usize,
    /// Bytes of the learned entries kept in memory. 64 MiB.
    pub learned_bytes: usize,
    /// Between two heartbeats. 100 ms: six may be lost before a primary is replaced.
    pub heartbeat_interval: Duration,
    /// The same while mutations wait and nobody is known to lead, so that a new leader is
    /// found at once. 20 ms.
    pub leader_search: Duration,
    /// For how long what a coordinator said of itself counts. 1 s.
    pub leader_expiry: Duration,
    /// A proposal without an answer is proposed again. 2 s: far above a slow disk; a new
    /// leader is noticed sooner by heartbeat.
    pub proposal_timeout: Duration,
    /// Before a refused proposal is made again, plus as much at random. 50 ms.
    pub proposal_backoff: Duration,
    /// What a batch takes longer than this to be executed does not count in replicated time:
    /// nobody could renew a lease meanwhile. 250 ms: far above a slow disk.
    pub flight_counted: Duration,
    /// While there are leases, the log hears of replicated time at least so often. 5 s: half
    /// of what one batch may move it, and little enough for a cluster that does nothing else.
    pub time_interval: Duration,
    /// How long a source may hold a fetch back while it has nothing new. 1 s.
    pub fetch_wait: Duration,
    /// Between what a fetch brought and the next one, where no read waits for more and no
    /// more is known to be chosen: what executing more at once saves, against how far local
    /// reads are behind. None: the next one follows at once. 10 ms.
    pub fetch_pause: Duration,
    /// A fetch without an answer is given up: `fetch_wait` and 2 s for a large page.
    pub fetch_timeout: Duration,
    /// Chosen slots are known of, and the source has given nothing for so long: ask the
    /// next one. 200 ms.
    pub fetch_stall: Duration,
    /// Before the sources are asked again after all failed, plus as much at random. 100
    /// ms.
    pub fetch_backoff: Duration,
    /// How long the log must be for a replica that has executed nothing to begin with a
    /// snapshot instead. 20,000 slots: some seconds of executing.
    pub snapshot_from_slots: u64,
    /// For how long after asking for a snapshot the log is not fetched. 1 s: what is executed
    /// meanwhile is in it, too; it is little enough where none comes.
    pub snapshot_patience: Duration,
    /// Between a snapshot that could not be had and the next try; twice as long after each that
    /// came and was of no use. 2 s: who makes one is busy for about as long.
    pub snapshot_backoff: Duration,
    /// How long a replica that starts with a log waits for another one to compare it
    /// with, from when its cluster is known. 2 s: members announce themselves every
    /// second; reads wait meanwhile where the others of the view are dead.
    pub history_patience: Duration,
    /// A probe without a quorum is given up. 1 s.
    pub probe_timeout: Duration,
    /// What a quorum has for its answers before the other acceptors are asked, too. 10 ms: far
    /// more than they take, and little to wait for once in a while.
    pub probe_patience: Duration,
    /// Before a probe that failed is sent again, plus as much at random. 50 ms.
    pub probe_backoff: Duration,
    /// Between two probes that no read asked for: they keep `Synod-Lag` honest, and find
    /// votes that nobody brings to an end. 1 s.
    pub probe_interval: Duration,
    /// A voted slot that is unchosen for so long makes the replica nudge the leader. 100
    /// ms.
    pub nudge_after: Duration,
}

/// What is kept of history: what all of them ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// So many revisions before the present one; none: all.
    pub revisions: Option<u64>,
    /// For so long, in replicated time; none: for ever.
    pub time: Option<Duration>,
    /// So many bytes of history, or half as many as all else in the database takes, if those
    /// are more; none: any number.
    pub bytes: Option<u64>,
}

impl Default for Retention {
    /// A million: to look back over days where little is written, and to go on with a watch
    /// over minutes where much is. A gibibyte: as many, where values are of half a kilobyte;
    /// beyond it history takes no more of the disk than in proportion to what there is.
    fn default() -> Self {
        Self { revisions: Some(1_000_000), time: None, bytes: Some(1 << 30) }
    }
}

impl Config {
    /// Mutations that may be in batches proposed and not yet executed.
    pub(crate) fn flying_mutations(&self) -> usize {
        self.batch_commands.max(1) * self.pipeline.max(1)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            highest_format: format::HIGHEST,
            acceptors: 3,
            generation: Generation(0),
            pipeline: 1,
            batch_commands: 512,
            batch_bytes: 4 << 20,
            answers: AnswerRetention::default(),
            retention: Retention::default(),
            retained_slots: Some(200_000),
            compaction_interval: Duration::from_secs(5),
            queued_mutations: 4_096,
            queued_bytes: 64 << 20,
            waiting_reads: 16_384,
            execute_entries: 256,
            execute_bytes: 8 << 20,
            learned_entries: 4_096,
            learned_bytes: 64 << 20,
            heartbeat_interval: Duration::from_millis(100),
            leader_search: Duration::from_millis(20),
            leader_expiry: Duration::from_secs(1),
            proposal_timeout: Duration::from_secs(2),
            proposal_backoff: Duration::from_millis(50),
            flight_counted: Duration::from_millis(250),
            time_interval: Duration::from_secs(5),
            fetch_wait: Duration::from_secs(1),
            fetch_pause: Duration::from_millis(10),
            fetch_timeout: Duration::from_secs(3),
            fetch_stall: Duration::from_millis(200),
            fetch_backoff: Duration::from_millis(100),
            snapshot_from_slots: 20_000,
            snapshot_patience: Duration::from_secs(1),
            snapshot_backoff: Duration::from_secs(2),
            history_patience: Duration::from_secs(2),
            probe_timeout: Duration::from_secs(1),
            probe_patience: Duration::from_millis(10),
            probe_backoff: Duration::from_millis(50),
            probe_interval: Duration::from_secs(1),
            nudge_after: Duration::from_millis(100),
        }
    }
}
