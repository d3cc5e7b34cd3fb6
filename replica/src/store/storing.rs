//! What one transaction stores: the rows of slots, and what executing them changed.

use std::sync::LazyLock;

use shared::ids::{Ballot, Revision, Slot};
use shared::message::ChosenEntry;
use sqlx::sqlite::SqliteConnection;

use super::access;
use super::answers;
use super::authors;
use super::error::StoreError;
use super::keys;
use super::left_out::Kept;
use super::log;
use super::meta::{self, MetaRow};
use super::multi_row::MultiRow;
use super::statements::Statements;
use super::tenure;
use crate::machine::chain::ChainHash;
use crate::machine::execute::Executed;
use crate::machine::keys::KeyRows;
use crate::machine::put_values::PutValue;
use crate::machine::state::Rows;

static INSERT_LOG: LazyLock<MultiRow> = LazyLock::new(|| {
    const HEAD: &str = "INSERT OR ROLLBACK INTO log(slot, ballot_round, ballot_coordinator, value, \
        left_out, hash, revision, sum) VALUES ";
    MultiRow::new(HEAD, "(?,?,?,?,?,?,?,?)", "")
});

/// A row of `log`.
#[derive(Debug)]
pub(super) struct LogRow {
    slot: Slot,
    ballot: Ballot,
    kept: Kept,
    hash: ChainHash,
    revision: Revision,
}

impl LogRow {
    pub(super) fn of(entry: &ChosenEntry, puts: &[PutValue], executed: &Executed) -> Self {
        let ChosenEntry { slot, ballot, value } = entry;
        let Executed { hash, revision, outcome, .. } = executed;
        let kept = Kept::of(value, puts, outcome);
        Self { slot: *slot, ballot: *ballot, kept, hash: *hash, revision: *revision }
    }
}

/// What is executed and to be stored by a transaction that needs nothing else.
#[derive(Debug)]
pub(super) struct Unstored {
    pub(super) log: Vec<LogRow>,
    pub(super) rows: Rows,
    /// What `meta` has then.
    pub(super) now: MetaRow,
    /// About how many bytes of the WAL it writes.
    pub(super) bytes: usize,
}

/// What was stored.
#[derive(Debug)]
pub(super) struct JustStored {
    /// What `meta` has now.
    pub(super) row: MetaRow,
    /// About how many bytes of the WAL were written.
    pub(super) bytes: usize,
}

impl Unstored {
    /// Stores it. After an error nothing is known of the connection, which must be closed;
    /// of the file it is known that everything is in it or nothing.
    pub(super) async fn store(
        self,
        connection: &mut SqliteConnection,
    ) -> Result<JustStored, StoreError> {
        let Self { log, rows, now, bytes } = self;
        let mut statements = Statements::new(connection);
        begin(&mut statements);
        write_log(&mut statements, &log).await?;
        write(&mut statements, rows).await?;
        commit(&mut statements, &now).await?;
        Ok(JustStored { row: now, bytes })
    }
}

/// Begins a transaction that writes.
pub(super) fn begin(statements: &mut Statements<'_>) {
    statements.add("BEGIN IMMEDIATE", |_| {});
}

/// Ends it.
pub(super) async fn commit(
    statements: &mut Statements<'_>,
    now: &MetaRow,
) -> Result<(), StoreError> {
    meta::write(statements, now);
    statements.add("COMMIT", |_| {});
    statements.run().await?;
    Ok(())
}

/// Writes what executing changed, but for what it restored, and deletions of many; gives
/// back what it wrote of the keys.
pub(super) async fn write(
    statements: &mut Statements<'_>,
    rows: Rows,
) -> Result<KeyRows, StoreError> {
    let Rows { keys, answers, leases, locks, access } = rows;
    keys::write(statements, &keys.versions).await?;
    authors::write(statements, &keys.authors).await?;
    answers::write(statements, answers).await?;
    tenure::write(statements, leases, locks).await?;
    access::write(statements, access).await?;
    Ok(keys)
}

/// Writes them.
pub(super) async fn write_log(
    statements: &mut Statements<'_>,
    rows: &[LogRow],
) -> Result<(), StoreError> {
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
