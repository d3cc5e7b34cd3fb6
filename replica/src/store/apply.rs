//! One transaction: load what a run of slots looks at, execute, write what changed.

use std::sync::LazyLock;

use futures::TryStreamExt;
use shared::ids::ClusterId;
use shared::message::ChosenEntry;
use sqlx::AssertSqlSafe;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::error::StoreError;
use super::left_out::{self, Kept};
use super::list;
use super::meta;
use super::multi_row::MultiRow;
use super::record::{Checked, Item, item_of};
use super::sum::{self, VersionFields};
use crate::machine::execute::{Executed, ExecutionReport, Run};
use crate::machine::format;
use crate::machine::put_values::PutValue;
use crate::machine::working_set::{Meta, Needs, Record, VersionRow, WorkingSet};

static SELECT_KEYS: LazyLock<MultiRow> = LazyLock::new(|| {
    MultiRow::new(
        "WITH asked(key) AS (VALUES ",
        "(?)",
        ") SELECT v.key, v.revision, v.created_revision, v.version, v.sum, v.content_type, \
         CASE WHEN v.value IS NULL THEN NULL ELSE x'' END FROM asked a CROSS JOIN versions v ON v.id = \
         (SELECT id FROM versions WHERE key = a.key ORDER BY revision DESC LIMIT 1)",
    )
});

static INSERT_VERSIONS: LazyLock<MultiRow> = LazyLock::new(|| {
    const HEAD: &str = "INSERT INTO versions(key, revision, created_revision, version, sum, content_type, value) VALUES ";
    MultiRow::new(HEAD, "(?,?,?,?,?,?,?)", "")
});

static INSERT_LOG: LazyLock<MultiRow> = LazyLock::new(|| {
    const HEAD: &str = "INSERT INTO log(slot, ballot_round, ballot_coordinator, value, left_out, hash, revision, sum) VALUES ";
    MultiRow::new(HEAD, "(?,?,?,?,?,?,?,?)", "")
});

/// Executes the run on the state at `meta` and commits it. After an error nothing is
/// known of the connection, which must be closed; of the file it is known that the run is
/// in it as a whole or not at all.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    meta: &Meta,
    cluster: Option<ClusterId>,
    run: Run,
) -> Result<ExecutionReport, StoreError> {
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    let needs = run.needs();
    let records = load(connection, &needs).await?;
    let mut state = WorkingSet::partial(meta.clone(), needs, records);
    let entries = run.entries().to_vec();
    let puts = run.put_values(left_out::SHORT_BYTES);
    let report = run.apply(&mut state);
    format::check(&report.meta, format::HIGHEST)?;
    write_log(connection, &entries, &puts, &report.slots).await?;
    write_versions(connection, &state.take_changes()).await?;
    meta::save(connection, &report.meta, cluster).await?;
    sqlx::query("COMMIT").execute(&mut *connection).await?;
    Ok(report)
}

async fn load(
    connection: &mut SqliteConnection,
    needs: &Needs,
) -> Result<Vec<(String, Record)>, StoreError> {
    let mut records = Vec::new();
    let keys: Vec<&String> = needs.keys.iter().collect();
    for (sql, piece) in SELECT_KEYS.pieces(&keys) {
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for key in piece {
            query = query.bind(key.as_bytes().to_vec());
        }
        for row in query.fetch_all(&mut *connection).await? {
            records.extend(record_of(&row, 0)?);
        }
    }
    for prefix in &needs.prefixes {
        let mut rows = list::scan_prefix(connection, prefix);
        while let Some(row) = rows.try_next().await? {
            records.extend(record_of(&row, list::RECORD_COLUMN)?);
        }
    }
    Ok(records)
}

/// Reads a record without its content; none where the key is deleted.
fn record_of(row: &SqliteRow, at: usize) -> Result<Option<(String, Record)>, StoreError> {
    let Some(item) = item_of(row, at, Checked::Head)? else { return Ok(None) };
    let Item { key, revision, created_revision, version, .. } = item;
    let key = String::from_utf8(key.into());
    let key = key.map_err(|error| StoreError::Damaged(format!("a key is not UTF-8: {error}")))?;
    Ok(Some((key, Record { revision, created_revision, version, content: None })))
}

async fn write_log(
    connection: &mut SqliteConnection,
    entries: &[ChosenEntry],
    puts: &[Vec<PutValue>],
    slots: &[Executed],
) -> Result<(), StoreError> {
    let rows: Vec<((&ChosenEntry, &Vec<PutValue>), &Executed)> =
        entries.iter().zip(puts).zip(slots).collect();
    for (sql, piece) in INSERT_LOG.pieces(&rows) {
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for ((entry, puts), executed) in piece {
            let kept = Kept::of(&entry.value, puts, &executed.outcome);
            let left_out = kept.column();
            let ballot = (entry.ballot.round, entry.ballot.coordinator.0);
            let sum = sum::of_log(entry.slot, ballot, executed.revision.0, &executed.hash.0);
            query = query
                .bind(entry.slot.0.cast_signed())
                .bind(entry.ballot.round.cast_signed())
                .bind(entry.ballot.coordinator.0.cast_signed())
                .bind(kept.bytes)
                .bind(left_out)
                .bind(executed.hash.0.to_vec())
                .bind(executed.revision.0.cast_signed())
                .bind(sum.to_vec());
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

async fn write_versions(
    connection: &mut SqliteConnection,
    changes: &[VersionRow],
) -> Result<(), StoreError> {
    for (sql, piece) in INSERT_VERSIONS.pieces(changes) {
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for row in piece {
            let content = row.content.as_ref();
            let (content_type, value) = (
                content.and_then(|content| content.content_type.as_deref()),
                content.map(|content| &*content.value),
            );
            let fields = VersionFields {
                key: row.key.as_bytes(),
                revision: row.revision.0,
                created_revision: row.created_revision.0,
                version: row.version,
                is_deleted: value.is_none(),
            };
            query = query
                .bind(row.key.as_bytes().to_vec())
                .bind(row.revision.0.cast_signed())
                .bind(row.created_revision.0.cast_signed())
                .bind(row.version.cast_signed())
                .bind(fields.sums(content_type, value).to_vec())
                .bind(content_type.map(str::to_owned))
                .bind(value.map(<[u8]>::to_vec));
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}
