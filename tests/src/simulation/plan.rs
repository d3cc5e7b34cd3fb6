//! Everything about a run that is decided before it begins, drawn from its seed.

pub mod faults;
mod name;

use std::fmt;
use std::time::Duration;

pub use name::{Kept, KeptWeather, RunName, RunNameError};

use crate::operations::generate::kind::{Kind, Weights};
use crate::random::{MILLION, Random};
use crate::simulation::environment::network::Weather;
use crate::simulation::nodes::process::NodeId;
use faults::{Fault, FaultKind};

/// How many there are of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Voters.
    pub acceptors: u8,
    /// Acceptors that may become voters.
    pub spares: u8,
    /// Proposers.
    pub coordinators: u8,
    /// Learners.
    pub replicas: u8,
    /// Clients.
    pub clients: u8,
}

/// What the clients do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// How many keys there are: few make conflicts.
    pub keys: u8,
    /// The least and the longest time between two calls of a client.
    pub think: (Duration, Duration),
    /// The least and the longest time that a client waits for an answer.
    pub patience: (Duration, Duration),
    /// How often they ask for what; never for the past, which is SQL.
    pub weights: Weights,
    /// How many of a million mutations have an idempotency key, and are sent until their
    /// outcome is known.
    pub keyed: u32,
    /// How many of a million others are sent again by their identity while it is not.
    pub named: u32,
    /// The longest value. Bytes.
    pub value_bytes: u64,
    /// The most calls of a client, so that histories stay small enough to search.
    pub calls: u32,
    /// What the first clients hold, which do nothing else.
    pub holders: Vec<Holding>,
}

/// A lock that a client holds by a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// How long the lease lasts.
    pub ttl: Duration,
    /// When its client stops renewing it.
    pub until: Duration,
}

/// Limits of the services, often far below their defaults so that a short run meets them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Votes in a page of a promise.
    pub page_votes: usize,
    /// Bytes of untrimmed votes.
    pub vote_bytes: usize,
    /// How many times as long as in truth a coordinator waits for votes and promises
    /// until all is healed: safety does not rest on it that what is late is not heard,
    /// and progress may.
    pub patience: u32,
    /// Slots in flight at a leader.
    pub max_in_flight_slots: u64,
    /// Entries that a leader keeps.
    pub window_entries: usize,
    /// Batches in flight at a primary.
    pub pipeline: usize,
    /// Commands in a batch.
    pub batch_commands: usize,
    /// Bytes in a batch: several fit into `vote_bytes`.
    pub batch_bytes: usize,
    /// First answers that are kept.
    pub answers: u64,
    /// Mutations that wait at a primary.
    pub queued_mutations: usize,
    /// Slots executed in a transaction.
    pub execute_entries: usize,
    /// Learned entries kept in memory.
    pub learned_entries: usize,
    /// Entries in one answer to a fetch.
    pub fetch_entries: usize,
    /// Between what a fetch brought and the next one, where nobody waits for it.
    pub fetch_pause: Duration,
    /// How long the log is when a replica that has executed nothing asks for a snapshot.
    pub snapshot_from_slots: u64,
    /// Coordinators hear within this time that a process has ended, if they do.
    pub ends_heard_within: Option<Duration>,
    /// How often, at each timer of a coordinator, it takes one that runs for ended: in a
    /// million times.
    pub ends_mistaken: u32,
    /// The least and the longest time that a sync takes.
    pub sync: (Duration, Duration),
    /// The least and the longest time that a transaction takes.
    pub commit: (Duration, Duration),
    /// The longest time that something executed is not stored, where nobody waits for it.
    pub store: Duration,
    /// Between two checkpoints of a replica.
    pub checkpoint: Duration,
    /// How far behind the slowest replica may be until trimming waits no longer for it.
    pub trim_behind: Duration,
    /// After how much silence, or inability, a replica leaves the view.
    pub gone_after: Duration,
    /// How long a replica that starts waits for one to compare its log with.
    pub history_patience: Duration,
    /// Revisions of history that are kept; none: all.
    pub retained: Option<u64>,
    /// Bytes of history that are kept, of which each revision takes one; none: all.
    pub retained_bytes: Option<u64>,
    /// So many slots are kept below what all hold, if not all.
    pub retained_slots: Option<u64>,
    /// Between two looks whether there are more.
    pub compaction_interval: Duration,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What all randomness stems from.
    pub seed: u64,
    /// Who is there.
    pub topology: Topology,
    /// What they are told.
    pub tuning: Tuning,
    /// What clients do.
    pub workload: Workload,
    /// How the network is at first.
    pub weather: Weather,
    /// How long things go wrong; then a quorum is healed.
    pub length: Duration,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// Who stays dead when the others are healed.
    pub dead: Vec<NodeId>,
    /// Whose disk stays full.
    pub full: Option<NodeId>,
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed, 0);
        let topology = Topology {
            acceptors: if random.chance(250_000) { 5 } else { 3 },
            spares: 3,
            coordinators: if random.chance(300_000) { 3 } else { 2 },
            replicas: u8::try_from(*random.pick(&[1, 2, 3, 3, 3, 4, 5])).expect("small"),
            clients: u8::try_from(random.magnitude_of(2, 16)).expect("small"),
        };
        // In milliseconds, as a run's name has it.
        let length = Duration::from_millis(random.magnitude_of(4_000, 60_000));
        let (unlucky, dead) = draw_losses(&mut random, &topology);
        let weather = draw_weather(&mut random);
        let (mut tuning, mut workload) = (draw_tuning(&mut random), draw_workload(&mut random));
        let replicas = topology.replicas();
        let able: Vec<NodeId> =
            replicas.into_iter().filter(|replica| !dead.contains(replica)).collect();
        let full = (able.len() > 1 && random.chance(MILLION / 6)).then(|| *random.pick(&able));
        let mut faults = faults::draw(&mut random, &topology, length, &unlucky);
        if faults
            .iter()
            .any(|fault| matches!(fault.kind, FaultKind::Drag { .. } | FaultKind::Relapse { .. }))
        {
            // What these make late would be given up as lost.
            tuning.patience = LONG_PATIENCE;
        }
        // Behind the others, whose draws stay what they were.
        tuning.retained = *random.pick(&[None, None, Some(5), Some(100)]);
        tuning.compaction_interval = random.magnitude(MS * 50, MS * 5_000);
        workload.weights.set(Kind::Compact, *random.pick(&[0, 1, 6]));
        tuning.retained_slots = *random.pick(&[None, Some(3), Some(30), Some(300)]);
        faults.extend(faults::draw_changes(&mut random, &topology, length));
        workload.weights.set(Kind::Access, *random.pick(&[0, 0, 0, 40]));
        tuning.retained_bytes = *random.pick(&[None, None, Some(10), Some(100)]);
        Self { seed, topology, tuning, workload, weather, length, faults, dead, full }
    }
}

impl Workload {
    /// Leaves local reads out, which may be of any state.
    pub fn read_nothing_locally(&mut self) {
        for local in [Kind::LocalRead, Kind::LocalList] {
            self.weights.set(local, 0);
        }
    }
}

const MS: Duration = Duration::from_millis(1);

/// So many times as long as in truth some wait for votes and promises.
const LONG_PATIENCE: u32 = 5;

/// Bytes of untrimmed votes that an acceptor takes by default.
const DEFAULT_VOTE_BYTES: usize = 512 << 20;

/// Whose disks may be lost, and who stays dead at the end. Together they leave a majority
/// of the acceptors and a replica. One with the only copy of what was trimmed is spared.
fn draw_losses(random: &mut Random, topology: &Topology) -> (Vec<NodeId>, Vec<NodeId>) {
    let (mut acceptors, mut replicas) = (topology.acceptors(), topology.replicas());
    random.shuffle(&mut acceptors);
    random.shuffle(&mut replicas);
    let faulty = usize::from(topology.acceptors / 2);
    let mut lost: Vec<NodeId> = acceptors[..random.index(faulty + 1)].to_vec();
    let mut dead: Vec<NodeId> =
        if random.chance(MILLION / 4) { acceptors[..faulty].to_vec() } else { Vec::new() };
    if replicas.len() > 1 {
        match random.below(4) {
            0 => dead.extend(&replicas[..1 + random.index(2.min(replicas.len() - 1))]),
            1 => lost.push(replicas[0]),
            _ => {}
        }
    }
    if random.chance(MILLION / 4) {
        dead.push(NodeId::Coordinator(
            u8::try_from(random.below(u64::from(topology.coordinators))).expect("small"),
        ));
    }
    (lost, dead)
}

fn draw_weather(random: &mut Random) -> Weather {
    let mut some = |most: u64| {
        if random.chance(MILLION / 2) {
            u32::try_from(random.below(most)).expect("small")
        } else {
            0
        }
    };
    let (lost, repeated, late) = (some(50_000), some(50_000), some(50_000));
    Weather { lost, repeated, late, ..Weather::CALM }
}

fn draw_tuning(random: &mut Random) -> Tuning {
    let ms = Duration::from_millis;
    let mut size = |default: u64| {
        let drawn =
            if random.chance(MILLION / 2) { default } else { random.magnitude_of(1, default) };
        usize::try_from(drawn).expect("small")
    };
    let (mut page_votes, in_flight, mut window_entries) = (size(256), size(1_024), size(8_192));
    let (batch_commands, queued_mutations) = (size(512), size(4_096));
    let (execute_entries, learned_entries, fetch_entries) = (size(256), size(4_096), size(256));
    if random.chance(MILLION / 3) {
        // A primary has few batches in flight, so that only the smallest pages part what
        // is not known to be chosen.
        page_votes = random.index(3) + 1;
    }
    if random.chance(MILLION / 3) {
        // Whoever is only a little behind needs what votes hold.
        window_entries = random.index(8) + 1;
    }
    let (vote_bytes, batch_bytes) =
        if random.chance(900_000) { (DEFAULT_VOTE_BYTES, 4 << 20) } else { (64 << 10, 8 << 10) };
    Tuning {
        page_votes,
        vote_bytes,
        patience: *random.pick(&[1, LONG_PATIENCE]),
        max_in_flight_slots: (in_flight as u64).max(2),
        window_entries,
        pipeline: usize::try_from(*random.pick(&[1, 1, 2, 4, 8])).expect("small"),
        batch_commands,
        batch_bytes,
        queued_mutations,
        execute_entries,
        learned_entries: learned_entries.max(2),
        fetch_entries,
        fetch_pause: ms(*random.pick(&[0, 0, 5, 50])),
        snapshot_from_slots: *random.pick(&[1, 50, 20_000]),
        ends_heard_within: random.pick(&[None, Some(0), Some(2), Some(500)]).map(ms),
        ends_mistaken: *random.pick(&[0, 0, 300, 10_000]),
        sync: (Duration::from_micros(100), random.magnitude(Duration::from_micros(200), ms(20))),
        commit: (Duration::from_micros(50), random.magnitude(Duration::from_micros(100), ms(20))),
        store: random.magnitude(Duration::from_micros(100), ms(50)),
        checkpoint: random.magnitude(ms(50), ms(5_000)),
        trim_behind: ms(*random.pick(&[2_000, 60_000])),
        gone_after: if vote_bytes < DEFAULT_VOTE_BYTES {
            // Acceptors fill up within seconds.
            ms(3_000)
        } else {
            ms(*random.pick(&[3_000, 120_000]))
        },
        history_patience: ms(2_000),
        retained: None,
        retained_bytes: None,
        retained_slots: None,
        compaction_interval: ms(5_000),
        answers: *random.pick(&[10, 1_000_000, 1_000_000]),
    }
}

fn draw_workload(random: &mut Random) -> Workload {
    let ms = Duration::from_millis;
    let mut weight = |most| u32::try_from(random.between(0, most)).expect("small");
    let (read, local, put) = (weight(10), weight(2), 1 + weight(10));
    let (delete, compared, delete_prefix) = (weight(4), weight(8), weight(1));
    let weights = Weights::new(&[
        (Kind::Read, 9 * read),
        (Kind::List, 3 * read),
        (Kind::LocalRead, 9 * local),
        (Kind::LocalList, 3 * local),
        (Kind::Put, 12 * put),
        (Kind::ComparedPut, 12 * compared),
        (Kind::Delete, 2 * delete),
        (Kind::ComparedDelete, 10 * delete),
        (Kind::DeletePrefix, 12 * delete_prefix),
    ]);
    let mut workload = Workload {
        keys: u8::try_from(random.between(1, 6)).expect("small"),
        think: (ms(0), random.magnitude(ms(1), ms(500))),
        patience: (ms(100), random.magnitude(ms(200), ms(10_000))),
        weights,
        value_bytes: random.magnitude_of(8, 2_048),
        keyed: *random.pick(&[0, 300_000, 800_000]),
        named: *random.pick(&[0, 500_000, 1_000_000]),
        calls: 400,
        holders: Vec::new(),
    };
    // Behind the others, whose draws stay what they were.
    let transaction = u32::try_from(random.between(0, 6)).expect("small");
    workload.weights.set(Kind::Transaction, 8 * transaction);
    let (append, rollback) = (random.between(0, 8), *random.pick(&[0, 0, 4]));
    workload.weights.set(Kind::Append, u32::try_from(append).expect("small"));
    // Where keys are rolled back, only one of the checkers looks at them.
    workload.weights.set(Kind::Rollback, rollback);
    let tenure = u32::try_from(random.between(0, 6)).expect("small");
    workload.weights.set(Kind::Tenure, 12 * tenure);
    workload
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, topology, tuning, workload, weather, length, faults, dead, full } = self;
        writeln!(
            f,
            "seed {seed}, faults until {length:?}; then these stay dead: {dead:?}, and full: \
             {full:?}"
        )?;
        writeln!(f, "{topology:?}\n{tuning:?}\n{workload:?}\n{weather:?}")?;
        for (number, Fault { at, kind }) in faults.iter().enumerate() {
            writeln!(f, "fault {number} at {at:?}: {kind:?}")?;
        }
        Ok(())
    }
}

impl Topology {
    /// The voters.
    #[must_use]
    pub fn acceptors(&self) -> Vec<NodeId> {
        (0..self.acceptors).map(NodeId::Acceptor).collect()
    }

    /// Those that may become voters.
    #[must_use]
    pub fn spares(&self) -> Vec<NodeId> {
        (self.acceptors..self.acceptors + self.spares).map(NodeId::Acceptor).collect()
    }

    /// The proposers.
    #[must_use]
    pub fn coordinators(&self) -> Vec<NodeId> {
        (0..self.coordinators).map(NodeId::Coordinator).collect()
    }

    /// The learners.
    #[must_use]
    pub fn replicas(&self) -> Vec<NodeId> {
        (0..self.replicas).map(NodeId::Replica).collect()
    }

    /// Everyone who may fail.
    #[must_use]
    pub fn servers(&self) -> Vec<NodeId> {
        [self.acceptors(), self.coordinators(), self.replicas()].concat()
    }

    /// Everyone.
    #[must_use]
    pub fn all(&self) -> Vec<NodeId> {
        [self.servers(), (0..self.clients).map(NodeId::Client).collect()].concat()
    }
}
