//! The tables, how a file is connected to, and how one of an older version is brought to
//! the present one.
//!
//! `versions` keeps every version of every key: the current one has the highest revision,
//! a deleted one has no value. It has an index by key, and one by revision for whoever
//! wants to know what changed: the order of the rows says nothing, for sweeping a
//! deletion of a prefix writes rows of older revisions later. `live` names the current
//! version of each key that exists, and `range_tombstones` and `ended_leases` the deletions
//! of prefixes and of the keys of leases that `versions` and `live` do not show yet
//! (`deletions`). `leases` and `claims` are the leases and the lines for locks,
//! `tokens` and `policies` what access control knows, `authors` who made what revision.
//! `log` has the executed slots, so
//! that a replica that was away can be served; values that `versions` has are left out of
//! it (`left_out`). What is compacted goes from both (`compaction`). `answers` has the first answers of requests with an
//! `Idempotency-Key`, by the digest of that. `meta` is one row: who this is, how far it has
//! executed, and from where on `versions` and `log` are whole (`meta::Retained`); it
//! changes in the same transaction as what it speaks of. Every row has a checksum
//! (`sum`), but those of `live`, which are held against `versions`.
//!
//! **A change of the tables** is a new file `schema/version-N.sql` and a line in
//! [`STEPS`]: what makes version N out of the one before it. A new file of the state goes
//! through all of them, so that there is one way to each version. The numbers below the
//! first were never released, and are refused.

use std::path::Path;
use std::time::Duration;

use shared::ids::Name;
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use super::error::{OpenError, StoreError};
use super::meta;

/// "Synr", in the file's header: this is a replica's state.
pub(super) const APPLICATION_ID: i64 = 0x5379_6e72;

/// What makes a version out of the one before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// The version that it makes.
    pub(super) to: i64,
    pub(super) sql: &'static str,
}

/// In order; the first makes its version out of an empty file.
pub(super) const STEPS: &[Step] = &[
    Step { to: 6, sql: include_str!("schema/version-6.sql") },
    Step { to: 7, sql: include_str!("schema/version-7.sql") },
    Step { to: 8, sql: include_str!("schema/version-8.sql") },
    Step { to: 9, sql: include_str!("schema/version-9.sql") },
    Step { to: 10, sql: include_str!("schema/version-10.sql") },
    Step { to: 11, sql: include_str!("schema/version-11.sql") },
    Step { to: 12, sql: include_str!("schema/version-12.sql") },
    Step { to: 13, sql: include_str!("schema/version-13.sql") },
];

/// How long a statement waits for the lock of another process, such as a `sqlite3` shell
/// or a back-up. Executing stands still meanwhile, so it is short; whoever meets it tries
/// again.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_millis(250);

/// The file of the WAL is cut back to this when it starts over, in bytes: what it takes
/// again and again is not claimed anew each time.
const WAL_KEPT_BYTES: u64 = 32 << 20;

/// A page of the file, in bytes.
pub(super) const PAGE_BYTES: u64 = 4_096;

/// Pages that the writer keeps in memory: those of the indexes that a hundred thousand keys
/// need, for a page that is not there is read again from the file or the WAL. KiB, negative
/// as SQLite has it.
const WRITER_CACHE_KIB: &str = "-16384";

/// How many rows a reading statement may be ahead of its reader; a row is up to a value
/// and a key long.
const ROWS_AHEAD: usize = 8;

/// How the one connection that writes is opened, and the one that checkpoints beside it:
/// only when it is asked to. Pages that are freed are given back a few at a time
/// (`Writer::give_back`); that must be so before the first table is made.
pub(super) fn writer_options(path: &Path) -> SqliteConnectOptions {
    base_options(path)
        .create_if_missing(true)
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .pragma("wal_autocheckpoint", "0")
        .pragma("journal_size_limit", WAL_KEPT_BYTES.to_string())
        .pragma("cache_size", WRITER_CACHE_KIB)
        .thread_name(|_| "store-writer".to_owned())
}

/// How a connection that only reads is opened.
pub(super) fn reader_options(path: &Path) -> SqliteConnectOptions {
    base_options(path)
        .read_only(true)
        .row_buffer_size(ROWS_AHEAD)
        .thread_name(|id| format!("store-reader-{id}"))
}

fn base_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(false)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
}

/// What the header of a file says of its tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// There are none.
    Empty,
    /// They are a replica's, of this version, which one of the steps makes.
    Version(i64),
}

/// Looks whose tables there are and of which version, and refuses those that no step
/// leads on from.
pub(super) async fn check_header(
    connection: &mut SqliteConnection,
    path: &Path,
) -> Result<Found, OpenError> {
    let unusable = |error: sqlx::Error| unusable(path, error.into());
    let tables: i64 =
        scalar(connection, "SELECT count(*) FROM sqlite_schema").await.map_err(unusable)?;
    let application: i64 = scalar(connection, "PRAGMA application_id").await.map_err(unusable)?;
    let found: i64 = scalar(connection, "PRAGMA user_version").await.map_err(unusable)?;
    if (tables, application, found) == (0, 0, 0) {
        return Ok(Found::Empty);
    }
    let path = path.display().to_string();
    if application != APPLICATION_ID {
        return Err(OpenError::Foreign { path, found: application, expected: APPLICATION_ID });
    }
    if STEPS.iter().any(|step| step.to == found) {
        return Ok(Found::Version(found));
    }
    let (oldest, newest) = (STEPS[0].to, STEPS[STEPS.len() - 1].to);
    Err(OpenError::Version { path, found, oldest, newest })
}

/// Brings the tables to the version that the last of the steps makes, in one transaction.
pub(super) async fn migrate(
    connection: &mut SqliteConnection,
    found: Found,
    steps: &[Step],
    replica: &Name,
) -> Result<(), StoreError> {
    let is_due = |step: &&Step| match found {
        Found::Empty => true,
        Found::Version(version) => step.to > version,
    };
    let due: Vec<&Step> = steps.iter().filter(is_due).collect();
    let Some(last) = due.last() else { return Ok(()) };
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    for step in &due {
        sqlx::raw_sql(step.sql).execute(&mut *transaction).await?;
    }
    let version = last.to;
    match found {
        Found::Empty => meta::create(&mut transaction, replica).await?,
        Found::Version(from) => tracing::info!(from, to = version, "the state's tables are new"),
    }
    let header =
        format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {version};");
    sqlx::raw_sql(AssertSqlSafe(header)).execute(&mut *transaction).await?;
    Ok(transaction.commit().await?)
}

/// The error of an operation on the file as the error of opening it.
pub(super) fn unusable(path: &Path, error: StoreError) -> OpenError {
    let path = path.display().to_string();
    match error {
        StoreError::Damaged(what) => OpenError::Damaged { path, what },
        source @ (StoreError::Full(_)
        | StoreError::Busy(_)
        | StoreError::Format(_)
        | StoreError::Failed(_)) => OpenError::Unusable { path, source },
    }
}

/// The one value that a statement about the file gives.
pub(super) async fn scalar<T>(
    connection: &mut SqliteConnection,
    sql: &'static str,
) -> Result<T, sqlx::Error>
where
    T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    sqlx::query_scalar(sql).persistent(false).fetch_one(connection).await
}
