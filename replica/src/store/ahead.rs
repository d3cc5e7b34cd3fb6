//! The state that executing has come to, which the tables follow: they are written behind
//! it, the changes of many slots in one transaction.
//!
//! What a slot looks at is loaded from the tables, unless it is here already; what it
//! changes stays here until it is stored. Nobody else writes, so what was loaded is what is
//! there. Should the process end before that, or the transaction fail, then the slots are
//! executed again: they are in the log of the cluster, and come to the same.

use sqlx::sqlite::SqliteConnection;

use super::access;
use super::answers;
use super::compaction;
use super::deletions::Deletions;
use super::error::StoreError;
use super::head_cache::HeadCache;
use super::keys;
use super::left_out;
use super::meta::MetaRow;
use super::rollback;
use super::statements::Statements;
use super::storing::{self, LogRow, Unstored};
use super::tables::{self, Tables};
use super::tenure;
use crate::machine::execute::{ExecutionReport, Run, RunStep};
use crate::machine::format;
use crate::machine::keys::{KeyRows, LoadedKeys, VersionRow};
use crate::machine::state::{Loaded, Meta, Needs, ReplicatedState, Rows, Whole};
use crate::replica::event::Unswept;

/// What a slot's row takes beside the bytes of its value, roughly, and again in `versions`.
const ROW_BYTES: usize = 256;
/// What a key that is written takes of the WAL beside its value, roughly: a page, since keys
/// lie apart from each other in the index.
const KEY_WAL_BYTES: usize = 4_096;

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
    /// How many times a key is written.
    keys: usize,
    /// Whether the transaction is begun that stores them.
    has_begun: bool,
    is_urgent: bool,
}

impl Ahead {
    /// The state as the tables have it.
    pub(super) async fn load(
        connection: &mut SqliteConnection,
        meta: &Meta,
    ) -> Result<Self, StoreError> {
        let deletions = Deletions::load(&mut *connection).await?;
        let (leases, locks) = tenure::load(&mut *connection).await?;
        let whole = Whole::of(leases, locks, access::load(connection, &meta.access).await?);
        Ok(Self {
            state: ReplicatedState::partial(meta.clone(), whole),
            deletions,
            head_cache: HeadCache::new(),
            hidden: Vec::new(),
            log: Vec::new(),
            bytes: 0,
            keys: 0,
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

    /// About how much longer storing makes the WAL.
    pub(super) fn wal_bytes(&self) -> usize {
        self.bytes + self.keys * KEY_WAL_BYTES
    }

    /// Whether it has to be stored before anything more is executed: what deletes many keys
    /// is swept behind the tables, a roll-back has begun to write, and everybody waits for a
    /// view.
    pub(super) fn is_urgent(&self) -> bool {
        self.is_urgent
    }

    /// Executes the run. After an error nothing is known of what is here, nor of the
    /// tables, which must be closed.
    pub(super) async fn execute(
        &mut self,
        tables: &mut Tables,
        mut run: Run,
    ) -> Result<ExecutionReport, StoreError> {
        let puts = run.put_values(left_out::SHORT_BYTES);
        let epoch = self.state.meta().epoch();
        let report = loop {
            match run.advance(&mut self.state) {
                RunStep::Done(report) => break report,
                RunStep::Lacks(needs) => {
                    let found = match self.find(&needs) {
                        Some(found) => found,
                        None => {
                            let mut connection = tables.take().await?;
                            match self.look_up(&mut connection, &needs).await {
                                Ok(found) => {
                                    tables.give_back(connection);
                                    found
                                }
                                Err(error) => {
                                    tables::close(connection).await;
                                    return Err(error);
                                }
                            }
                        }
                    };
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
            self.keys += executed.changes.len();
            self.log.push(LogRow::of(entry, puts, executed));
        }
        Ok(report)
    }

    /// Whether anything is executed that is neither stored nor taken to be.
    pub(super) fn has_unstored(&self) -> bool {
        !self.log.is_empty()
    }

    /// Takes what is to be stored, where that asks nothing of the tables and changes them
    /// alone, so that executing goes on meanwhile. After the tables what is here has the
    /// same state as before.
    pub(super) fn take_unstored(&mut self, row: &MetaRow) -> Option<Unstored> {
        let is_compacting = self.state.meta().compacted_below > row.meta.compacted_below;
        if self.is_urgent || self.has_begun || is_compacting {
            return None;
        }
        let now = row.at(self.state.meta().clone());
        let rows = self.take_rows();
        let KeyRows { restored, ranges, leases, .. } = &rows.keys;
        assert!(
            restored.is_empty() && ranges.is_empty() && leases.is_empty(),
            "invariant: what is stored beside executing restores nothing and deletes no many"
        );
        self.state.forget_loaded();
        let bytes = self.wal_bytes();
        (self.bytes, self.keys) = (0, 0);
        Some(Unstored { log: std::mem::take(&mut self.log), rows, now, bytes })
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
        storing::write_log(&mut statements, &self.log).await?;
        self.write(&mut statements).await?;
        let mut now = row.at(self.state.meta().clone());
        if now.meta.compacted_below > row.meta.compacted_below {
            now.retained = compaction::kept(statements.run().await?, &now).await?;
        }
        storing::commit(&mut statements, &now).await?;
        self.state.forget_loaded();
        self.log.clear();
        (self.bytes, self.keys) = (0, 0);
        (self.has_begun, self.is_urgent) = (false, false);
        Ok(now)
    }

    /// What was asked for, where all of it is here: then the tables are not asked.
    fn find(&mut self, needs: &Needs) -> Option<Loaded> {
        let heads = &needs.keys.heads;
        if heads.len() < needs.len() || self.state.keys().has_restored() {
            return None;
        }
        let head = |key: &String| Some((key.clone(), self.head_cache.get(key)?));
        let heads = heads.iter().map(head).collect::<Option<_>>()?;
        let keys = LoadedKeys { heads, ..LoadedKeys::default() };
        Some(Loaded { keys, ..Loaded::default() })
    }

    /// One round: what was asked for, a query for each part.
    async fn look_up(
        &mut self,
        connection: &mut SqliteConnection,
        needs: &Needs,
    ) -> Result<Loaded, StoreError> {
        let is_rollback = needs.keys.rollback.is_some();
        if is_rollback || self.state.keys().has_restored() {
            // What is loaded then is to be as it is by now.
            let mut statements = transaction(connection, &mut self.has_begun);
            self.write(&mut statements).await?;
            let connection = statements.run().await?;
            if is_rollback {
                // A primary takes none while there is anything to sweep: this is for a lease
                // that ends in the batches right before it.
                self.deletions.sweep_all(connection).await?;
            }
        }
        let Self { deletions, head_cache, hidden, .. } = self;
        let keys = keys::load(connection, &needs.keys, deletions, head_cache, hidden).await?;
        let answers = answers::load(connection, &needs.answers).await?;
        Ok(Loaded { keys, answers })
    }

    /// Writes what executing changed, after the tombstones of keys that are hidden.
    async fn write(&mut self, statements: &mut Statements<'_>) -> Result<(), StoreError> {
        let rows = self.take_rows();
        rollback::restore(statements, &rows.keys.restored).await?;
        let keys = storing::write(statements, rows).await?;
        self.deletions.add(statements, &keys).await
    }

    /// What executing changed, behind the tombstones of keys that are hidden.
    fn take_rows(&mut self) -> Rows {
        let mut rows = self.state.take_rows();
        self.head_cache.note(&rows.keys);
        let versions = std::mem::take(&mut rows.keys.versions);
        rows.keys.versions = std::mem::take(&mut self.hidden);
        rows.keys.versions.extend(versions);
        rows
    }
}

/// Statements of the one transaction, which the first of them begin.
fn transaction<'c>(connection: &'c mut SqliteConnection, has_begun: &mut bool) -> Statements<'c> {
    let mut statements = Statements::new(connection);
    if !std::mem::replace(has_begun, true) {
        storing::begin(&mut statements);
    }
    statements
}
