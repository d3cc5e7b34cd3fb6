//! The state that executing has come to, which the tables follow: they are written behind
//! it, the changes of many slots in one transaction.
//!
//! What a slot looks at is loaded from the tables, unless it is here already; what it
//! changes stays here until it is stored. Nobody else writes, so what was loaded is what is
//! there. Should the process end before that, or the transaction fail, then the slots are
//! executed again: they are in the log of the cluster, and come to the same.

use std::sync::LazyLock;

use shared::ids::{Ballot, Revision, Slot};
use shared::message::ChosenEntry;
use sqlx::sqlite::SqliteConnection;

use super::answers;
use super::compaction;
use super::deletions::Deletions;
use super::error::StoreError;
use super::head_cache::HeadCache;
use super::keys;
use super::left_out::{self, Kept};
use super::log;
use super::meta::{self, MetaRow};
use super::multi_row::MultiRow;
use super::rollback;
use super::statements::Statements;
use super::tenure;
use crate::machine::chain::ChainHash;
use crate::machine::execute::{Executed, ExecutionReport, Progress, Run};
use crate::machine::format;
use crate::machine::keys::VersionRow;
use crate::machine::put_values::PutValue;
use crate::machine::state::{Loaded, Meta, Needs, ReplicatedState, Rows};
use crate::replica::event::Unswept;

static INSERT_LOG: LazyLock<MultiRow> = LazyLock::new(|| {
    const HEAD: &str = "INSERT OR ROLLBACK INTO log(slot, ballot_round, ballot_coordinator, value, \
        left_out, hash, revision, sum) VALUES ";
    MultiRow::new(HEAD, "(?,?,?,?,?,?,?,?)", "")
});

/// What a slot's row takes beside the bytes of its value, roughly, and again in `versions`.
const ROW_BYTES: usize = 256;

/// The state as executed, and what of it is to be stored.
#[derive(Debug)]
pub(super) struct Ahead {
    state: ReplicatedState,
    deletions: Deletions,
    head_cache: HeadCache,
    /// Tombstones of keys that were loaded and are hidden: to be written before anything
    /// newer.
    hidden: Vec<VersionRow>,
    /// The slots that are to be stored.
    log: Vec<LogRow>,
    /// About how many bytes storing writes.
    bytes: usize,
    /// Whether the transaction is begun that stores them.
    has_begun: bool,
    is_urgent: bool,
}

/// A row of `log`.
#[derive(Debug)]
struct LogRow {
    slot: Slot,
    ballot: Ballot,
    kept: Kept,
    hash: ChainHash,
    revision: Revision,
}

impl LogRow {
    fn of(entry: &ChosenEntry, puts: &[PutValue], executed: &Executed) -> Self {
        let ChosenEntry { slot, ballot, value } = entry;
        let Executed { hash, revision, outcome, .. } = executed;
        let kept = Kept::of(value, puts, outcome);
        Self { slot: *slot, ballot: *ballot, kept, hash: *hash, revision: *revision }
    }
}

impl Ahead {
    /// The state as the tables have it.
    pub(super) async fn load(
        connection: &mut SqliteConnection,
        meta: &Meta,
    ) -> Result<Self, StoreError> {
        let deletions = Deletions::load(&mut *connection).await?;
        let whole = tenure::load(connection).await?;
        Ok(Self {
            state: ReplicatedState::partial(meta.clone(), whole),
            deletions,
            head_cache: HeadCache::new(),
            hidden: Vec::new(),
            log: Vec::new(),
            bytes: 0,
            has_begun: false,
            is_urgent: false,
        })
    }

    /// The state as executed.
    pub(super) fn state(&self) -> &ReplicatedState {
        &self.state
    }

    /// The deletions of many keys that are stored and not swept.
    pub(super) fn deletions(&self) -> &Deletions {
        &self.deletions
    }

    /// How many deletions of many keys are executed and not swept.
    pub(super) fn unswept(&self) -> Unswept {
        let unswept = self.deletions.unswept();
        let (new_prefixes, new_leases) = self.state.keys().deletions_of_many();
        Unswept {
            prefixes: unswept.prefixes + new_prefixes,
            leases: unswept.leases + new_leases,
            ..unswept
        }
    }

    /// The same, to be swept when all is stored.
    pub(super) fn deletions_mut(&mut self) -> &mut Deletions {
        &mut self.deletions
    }

    /// About how many bytes storing would write.
    pub(super) fn unstored_bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it has to be stored before anything more is executed: what deletes many keys
    /// is swept behind the tables, a roll-back has begun to write, and everybody waits for a
    /// view.
    pub(super) fn is_urgent(&self) -> bool {
        self.is_urgent
    }

    /// Executes the run. After an error nothing is known of what is here, nor of the
    /// connection, which must be closed.
    pub(super) async fn execute(
        &mut self,
        connection: &mut SqliteConnection,
        mut run: Run,
    ) -> Result<ExecutionReport, StoreError> {
        let puts = run.put_values(left_out::SHORT_BYTES);
        let epoch = self.state.meta().epoch();
        let report = loop {
            match run.advance(&mut self.state) {
                Progress::Done(report) => break report,
                Progress::Lacks(needs) => {
                    let is_rollback = needs.keys.rollback.is_some();
                    if is_rollback || self.state.keys().has_restored() {
                        // What is loaded then is to be as it is by now.
                        let mut statements = transaction(connection, &mut self.has_begun);
                        self.write(&mut statements).await?;
                        let connection = statements.run().await?;
                        if is_rollback {
                            // A primary takes none while there is anything to sweep: this is
                            // for a lease that ends in the batches right before it.
                            self.deletions.sweep_all(connection).await?;
                        }
                    }
                    let found = self.look_up(connection, &needs).await?;
                    self.state.load(needs, found);
                }
            }
        };
        format::check(&report.meta, format::HIGHEST)?;
        let has_view = report.meta.epoch() > epoch;
        self.is_urgent |=
            has_view || self.has_begun || self.state.keys().deletions_of_many() != (0, 0);
        for ((entry, puts), executed) in run.entries().iter().zip(&puts).zip(&report.slots) {
            self.bytes += 2 * entry.value.len() + ROW_BYTES;
            self.log.push(LogRow::of(entry, puts, executed));
        }
        Ok(report)
    }

    /// Stores all of it, in one transaction, and says what `meta` has then. After an error
    /// nothing is known of what is here, nor of the connection, which must be closed; of the
    /// file it is known that everything is in it or nothing.
    pub(super) async fn store(
        &mut self,
        connection: &mut SqliteConnection,
        row: &MetaRow,
    ) -> Result<MetaRow, StoreError> {
        let mut statements = transaction(connection, &mut self.has_begun);
        write_log(&mut statements, &self.log).await?;
        self.write(&mut statements).await?;
        let mut now = row.at(self.state.meta().clone());
        if now.meta.compacted_below > row.meta.compacted_below {
            now.retained = compaction::kept(statements.run().await?, &now).await?;
        }
        meta::write(&mut statements, &now);
        statements.add("COMMIT", |_| {});
        statements.run().await?;
        self.state.forget_loaded();
        self.log.clear();
        (self.bytes, self.has_begun, self.is_urgent) = (0, false, false);
        Ok(now)
    }

    /// One round: what was asked for, a query for each part.
    async fn look_up(
        &mut self,
        connection: &mut SqliteConnection,
        needs: &Needs,
    ) -> Result<Loaded, StoreError> {
        let Self { deletions, head_cache, hidden, .. } = self;
        let keys = keys::load(connection, &needs.keys, deletions, head_cache, hidden).await?;
        let answers = answers::load(connection, &needs.answers).await?;
        Ok(Loaded { keys, answers })
    }

    /// Writes what executing changed, after the tombstones of keys that are hidden.
    async fn write(&mut self, statements: &mut Statements<'_>) -> Result<(), StoreError> {
        let Rows { mut keys, answers, leases, locks } = self.state.take_rows();
        self.head_cache.note(&keys);
        rollback::restore(statements, &keys.restored).await?;
        self.hidden.append(&mut keys.versions);
        keys::write(statements, &std::mem::take(&mut self.hidden)).await?;
        self.deletions.add(statements, &keys).await?;
        answers::write(statements, answers).await?;
        tenure::write(statements, leases, locks).await
    }
}

/// Statements of the one transaction, which the first of them begin.
fn transaction<'c>(connection: &'c mut SqliteConnection, has_begun: &mut bool) -> Statements<'c> {
    let mut statements = Statements::new(connection);
    if !std::mem::replace(has_begun, true) {
        statements.add("BEGIN IMMEDIATE", |_| {});
    }
    statements
}

async fn write_log(statements: &mut Statements<'_>, rows: &[LogRow]) -> Result<(), StoreError> {
    statements
        .add_rows(&INSERT_LOG, rows, |bound, LogRow { slot, ballot, kept, hash, revision }| {
            bound
                .bind(slot.0.cast_signed())
                .bind(ballot.round.cast_signed())
                .bind(ballot.coordinator.0.cast_signed())
                .bind(kept.bytes.clone())
                .bind(kept.column())
                .bind(hash.0.to_vec())
                .bind(revision.0.cast_signed())
                .bind(log::sum_of(*slot, *ballot, *revision, &hash.0).to_vec());
        })
        .await
}
