//! A replica's database, and what is executed ahead of it: that goes with the process.
//! Every transaction is atomic, and those that were not committed when the last sync that has
//! ended began may go with the machine, newest first (SQLite in WAL mode with
//! `synchronous=NORMAL`).

use std::collections::BTreeMap;

use replica::machine::execute::Run;
use replica::machine::keys::KeyRows;
use replica::machine::outcome::ExecutionReport;
use replica::machine::state::ReplicatedState;
use shared::chain::ChainHash;
use shared::ids::{ClusterId, Revision, Slot};
use shared::message::{ChosenEntry, LogPrefix};

use crate::random::Random;

/// The state and the executed log, as executed, as committed and as durable.
#[derive(Clone, Debug)]
pub struct Database {
    /// Whether the disk takes nothing more.
    pub is_full: bool,
    state: ReplicatedState,
    log: Vec<ChosenEntry>,
    /// The hash of the log below each slot, and below the next one.
    hashes: Vec<ChainHash>,
    cluster: Option<ClusterId>,
    /// Below which slot votes were cast when it joined that.
    joined_at: Slot,
    /// The log below is given to nobody any more.
    log_start: Slot,
    /// The keys that each revision changed that deleted a prefix, or ended a lease with keys.
    changed: BTreeMap<Revision, Vec<String>>,
    /// A state that survives a loss of power; how to come from it to what does is in the
    /// log.
    old: ReplicatedState,
    durable: Commit,
    stored: Commit,
    /// What each transaction left that is not durable yet.
    commits: Vec<Commit>,
    /// How many of them the sync under way makes durable.
    syncing: Option<usize>,
    /// Bytes of the values executed since the last sync began.
    written_bytes: usize,
}

/// What is there once a transaction is committed, beside what executing the log gives.
#[derive(Clone, Copy, Debug)]
struct Commit {
    executed_below: Slot,
    cluster: Option<ClusterId>,
    joined_at: Slot,
}

impl Commit {
    const NONE: Self = Self { executed_below: Slot(0), cluster: None, joined_at: Slot(0) };
}

impl Database {
    /// An empty database.
    #[must_use]
    pub fn new() -> Self {
        Self {
            is_full: false,
            state: ReplicatedState::complete(),
            log: Vec::new(),
            hashes: vec![ChainHash::default()],
            cluster: None,
            joined_at: Slot(0),
            log_start: Slot(0),
            changed: BTreeMap::new(),
            old: ReplicatedState::complete(),
            durable: Commit::NONE,
            stored: Commit::NONE,
            commits: Vec::new(),
            syncing: None,
            written_bytes: 0,
        }
    }

    /// The state as executed.
    #[must_use]
    pub fn state(&self) -> &ReplicatedState {
        &self.state
    }

    /// How many keys with a prefix a revision changed that deleted one, or ended a lease: what
    /// a replica counts.
    #[must_use]
    pub fn changed_at(&self, revision: Revision, prefix: &str) -> u64 {
        let changed = self.changed.get(&revision).map_or(&[][..], Vec::as_slice);
        changed.iter().filter(|key| key.starts_with(prefix)).count() as u64
    }

    /// The cluster it belongs to.
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterId> {
        self.cluster
    }

    /// Below which slot votes were cast when it joined the cluster.
    #[must_use]
    pub fn joined_at(&self) -> Slot {
        self.joined_at
    }

    /// Every slot below is executed and committed: what readers see.
    #[must_use]
    pub fn stored_below(&self) -> Slot {
        self.stored.executed_below
    }

    /// Every slot below survives a loss of power.
    #[must_use]
    pub fn durable_below(&self) -> Slot {
        self.durable.executed_below
    }

    /// Notes the cluster, and what was voted in by then, in a transaction.
    pub fn join(&mut self, cluster: ClusterId, at: Slot) {
        (self.cluster, self.joined_at) = (Some(cluster), at);
        self.commit(self.stored_below());
    }

    /// Executes entries.
    pub fn execute(&mut self, entries: &[ChosenEntry]) -> ExecutionReport {
        assert!(
            self.cluster.is_some(),
            "invariant: nothing is executed before it is kept for which cluster"
        );
        let (report, changed) = apply(&mut self.state, entries);
        self.changed.extend(changed);
        self.log.extend_from_slice(entries);
        self.hashes.extend(report.slots.iter().map(|executed| executed.hash));
        self.written_bytes += entries.iter().map(|entry| entry.value.len()).sum::<usize>();
        report
    }

    /// Stores what is executed, in one transaction.
    pub fn store(&mut self) {
        self.commit(self.state.meta().executed_below);
    }

    /// Whether all that is executed is committed.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.state.meta().executed_below == self.stored_below()
    }

    fn commit(&mut self, executed_below: Slot) {
        let (cluster, joined_at) = (self.cluster, self.joined_at);
        self.stored = Commit { executed_below, cluster, joined_at };
        self.commits.push(self.stored);
    }

    /// Whether all that is committed survives a loss of power.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.commits.is_empty()
    }

    /// How much would have to be fetched again after a loss of power.
    #[must_use]
    pub fn written_bytes(&self) -> usize {
        self.written_bytes
    }

    /// A sync of all that is committed begins. False where one is under way.
    pub fn begin_sync(&mut self) -> bool {
        if self.syncing.is_some() {
            return false;
        }
        self.written_bytes = 0;
        self.syncing = Some(self.commits.len());
        true
    }

    /// The sync ends: what was committed when it began is durable.
    pub fn end_sync(&mut self) {
        let synced = self.syncing.take().expect("a sync is under way");
        if let Some(last) = self.commits.drain(..synced).next_back() {
            self.durable = last;
        }
    }

    /// The process ends, and with it what is executed and not stored, and the sync under way:
    /// what that would have made durable is in doubt. Says whether anything was not stored.
    pub fn stop(&mut self) -> bool {
        self.syncing = None;
        let was_ahead = !self.is_stored();
        if was_ahead {
            self.go_back();
        }
        was_ahead
    }

    /// The machine loses power: any number of the newest transactions are gone. True if
    /// any was.
    pub fn lose_power(&mut self, random: &mut Random) -> bool {
        let kept = random.index(self.commits.len() + 1);
        let lost = kept < self.commits.len();
        if !lost {
            return false;
        }
        self.commits.truncate(kept);
        self.stored = self.commits.last().copied().unwrap_or(self.durable);
        (self.cluster, self.joined_at) = (self.stored.cluster, self.stored.joined_at);
        self.go_back();
        true
    }

    /// What is left is what executing what is stored gives.
    fn go_back(&mut self) {
        self.forget_no_more();
        let left = index(self.stored_below());
        self.log.truncate(left);
        self.hashes.truncate(left + 1);
        let (old_below, durable_below) =
            (index(self.old.meta().executed_below), index(self.durable_below()));
        let _again = apply(&mut self.old, &self.log[old_below..durable_below]);
        self.state = self.old.clone();
        let _again = apply(&mut self.state, &self.log[durable_below..]);
    }

    /// What another replica gets as a snapshot: all that is committed, and with that one all
    /// of it is durable.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        let mut copy = self.clone();
        let _what_is_not_stored_is_not_in_it = copy.stop();
        copy.durable = copy.stored;
        copy.commits.clear();
        copy.written_bytes = 0;
        copy
    }

    /// Another replica's snapshot, made this one's own.
    #[must_use]
    pub fn made_own(&self, joined_at: Slot) -> Self {
        let mut own = self.clone();
        (own.joined_at, own.stored.joined_at, own.durable.joined_at) =
            (joined_at, joined_at, joined_at);
        own
    }

    /// Forgets the log below a slot, but for the last one.
    pub fn forget_log(&mut self, below: Slot) {
        let last = Slot(self.stored_below().0.saturating_sub(1));
        self.log_start = self.log_start.max(below.min(last));
    }

    /// What was not stored is not there to be forgotten.
    fn forget_no_more(&mut self) {
        self.log_start = self.log_start.min(Slot(self.stored_below().0.saturating_sub(1)));
    }

    /// The first slot of the log that there is.
    #[must_use]
    pub fn log_start(&self) -> Slot {
        self.log_start
    }

    /// The executed log below a slot.
    #[must_use]
    pub fn prefix(&self, below: Slot) -> Option<LogPrefix> {
        let hash = self.hashes.get(index(below)).filter(|_| below >= self.log_start)?;
        Some(LogPrefix { below, hash: *hash })
    }

    /// Executed entries from a slot on.
    #[must_use]
    pub fn log(&self, from: Slot, below: Slot, at_most: usize) -> Vec<ChosenEntry> {
        let end = index(below).min(self.log.len());
        let from = index(from).min(end);
        self.log[from..end].iter().take(at_most).cloned().collect()
    }
}

impl Default for Database {
    fn default() -> Self {
        Self::new()
    }
}

/// Also says what the revisions changed that deleted prefixes, by the rows for SQLite: here
/// the whole state is at hand.
fn apply(
    state: &mut ReplicatedState,
    entries: &[ChosenEntry],
) -> (ExecutionReport, BTreeMap<Revision, Vec<String>>) {
    let report = Run::new(entries.to_vec()).apply(state);
    let KeyRows { versions, ranges, leases, restored: _, authors: _ } = state.take_rows().keys;
    let mut changed: BTreeMap<_, Vec<String>> =
        ranges.iter().map(|range| (range.revision, Vec::new())).collect();
    changed.extend(leases.iter().map(|ended| (ended.revision, Vec::new())));
    for row in versions {
        if let Some(keys) = changed.get_mut(&row.revision) {
            keys.push(row.key);
        }
    }
    (report, changed)
}

fn index(slot: Slot) -> usize {
    usize::try_from(slot.0).expect("a simulated log fits into memory")
}
