//! The tables, and how a file is opened, made and checked.
//!
//! `versions` keeps every version of every key: the current one has the highest revision,
//! a deleted one has no value. `live` names the current version of each key that exists,
//! and `range_tombstones` the deletions of prefixes that `versions` and `live` do not
//! show yet (`ranges`). `log` keeps every executed slot, so that a replica that was away
//! can be served however long it was; values that `versions` has are left out of it
//! (`left_out`). `meta` is one row: who this is, and how
//! far it has executed; it changes in the same transaction as what it speaks of. Every
//! row has a checksum (`sum`), but those of `live`, which are held against `versions`.

use std::path::Path;
use std::time::Duration;

use shared::ids::Name;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};

use super::error::{OpenError, StoreError};
use super::{sum, verify};
use crate::machine::working_set::Meta;

/// "Synr", in the file's header: this is a replica's state.
const APPLICATION_ID: i64 = 0x5379_6e72;
/// Of the tables below.
const SCHEMA_VERSION: i64 = 5;

/// The largest file whose structure is checked whole at every start: about half a second
/// on a slow disk.
const QUICK_CHECK_MAX_BYTES: u64 = 256 << 20;

/// The largest file whose indexes and rows are checked whole, too, at every start: about
/// a second. A larger one is checked as it is read.
const FULL_CHECK_MAX_BYTES: u64 = 64 << 20;

/// How long a statement waits for the lock of another process, such as a `sqlite3` shell
/// or a back-up. Executing stands still meanwhile, so it is short; whoever meets it tries
/// again.
const BUSY_TIMEOUT: Duration = Duration::from_millis(250);

/// The file of the WAL is cut back to this when it starts over, in bytes.
const WAL_KEPT_BYTES: u64 = 64 << 20;

/// How many rows a reading statement may be ahead of its reader; a row is up to a value
/// and a key long.
const ROWS_AHEAD: usize = 8;

const TABLES: &str = "
CREATE TABLE meta(
    one INTEGER PRIMARY KEY CHECK (one = 1),
    replica TEXT NOT NULL,
    cluster INTEGER,
    executed_below INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    hash BLOB NOT NULL,
    view TEXT,
    next_batch INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    sum BLOB NOT NULL
) STRICT;
CREATE TABLE log(
    slot INTEGER PRIMARY KEY,
    ballot_round INTEGER NOT NULL,
    ballot_coordinator INTEGER NOT NULL,
    value BLOB NOT NULL,
    left_out BLOB,
    hash BLOB NOT NULL,
    revision INTEGER NOT NULL,
    sum BLOB NOT NULL
) STRICT;
CREATE TABLE versions(
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL,
    revision INTEGER NOT NULL,
    created_revision INTEGER NOT NULL,
    version INTEGER NOT NULL,
    sum BLOB NOT NULL,
    content_type TEXT,
    value BLOB
) STRICT;
CREATE UNIQUE INDEX versions_by_key ON versions(key, revision);
CREATE TABLE live(
    key BLOB PRIMARY KEY,
    revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE range_tombstones(
    revision INTEGER PRIMARY KEY,
    first BLOB NOT NULL,
    below BLOB NOT NULL,
    sum BLOB NOT NULL
) STRICT;
";

/// How the one connection that writes is opened, and the one that checkpoints beside it:
/// only when it is asked to.
pub(super) fn writer_options(path: &Path) -> SqliteConnectOptions {
    base_options(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .pragma("wal_autocheckpoint", "0")
        .pragma("journal_size_limit", WAL_KEPT_BYTES.to_string())
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

/// Opens the file for writing: makes the tables in a new one, checks an old one. Also
/// says whether it is new.
pub(super) async fn open(
    path: &Path,
    replica: &Name,
) -> Result<(SqliteConnection, bool), OpenError> {
    let unusable = |error: sqlx::Error| unusable(path, error.into());
    let mut connection =
        SqliteConnection::connect_with(&writer_options(path)).await.map_err(unusable)?;
    let tables: i64 =
        scalar(&mut connection, "SELECT count(*) FROM sqlite_schema").await.map_err(unusable)?;
    if tables == 0 {
        create(&mut connection, replica).await.map_err(unusable)?;
    }
    check_header(&mut connection, path).await?;
    let checked = check_structure(&mut connection, path).await?;
    check_owner(&mut connection, path, replica).await?;
    if checked == Structure::Small {
        verify::rows(&mut connection).await.map_err(|error| self::unusable(path, error))?;
    }
    Ok((connection, tables == 0))
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

async fn create(connection: &mut SqliteConnection, replica: &Name) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::raw_sql(TABLES).execute(&mut *transaction).await?;
    let sum = sum::of_meta(&Meta::default(), None, None);
    sqlx::query("INSERT INTO meta VALUES (1, ?, NULL, 0, 0, ?, NULL, 0, 0, ?)")
        .bind(replica.as_str())
        .bind(vec![0_u8; 32])
        .bind(sum.to_vec())
        .execute(&mut *transaction)
        .await?;
    let header = format!(
        "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(header)).execute(&mut *transaction).await?;
    transaction.commit().await
}

async fn check_header(connection: &mut SqliteConnection, path: &Path) -> Result<(), OpenError> {
    let application: i64 =
        scalar(connection, "PRAGMA application_id").await.map_err(|e| unusable(path, e.into()))?;
    let version: i64 =
        scalar(connection, "PRAGMA user_version").await.map_err(|e| unusable(path, e.into()))?;
    let path = || path.display().to_string();
    if application != APPLICATION_ID {
        return Err(OpenError::Foreign {
            path: path(),
            found: application,
            expected: APPLICATION_ID,
        });
    }
    if version != SCHEMA_VERSION {
        return Err(OpenError::Version { path: path(), found: version, expected: SCHEMA_VERSION });
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Structure {
    /// At most [`FULL_CHECK_MAX_BYTES`].
    Small,
    Large,
}

/// Reads every page of a file that is not too large for it, and names the first one that
/// does not fit.
async fn check_structure(
    connection: &mut SqliteConnection,
    path: &Path,
) -> Result<Structure, OpenError> {
    let unusable = |error: sqlx::Error| unusable(path, error.into());
    let pages: i64 = scalar(connection, "PRAGMA page_count").await.map_err(unusable)?;
    let page_bytes: i64 = scalar(connection, "PRAGMA page_size").await.map_err(unusable)?;
    let bytes = pages.saturating_mul(page_bytes).cast_unsigned();
    if bytes > QUICK_CHECK_MAX_BYTES {
        return Ok(Structure::Large);
    }
    let (structure, check) = if bytes <= FULL_CHECK_MAX_BYTES {
        (Structure::Small, "PRAGMA integrity_check(1)")
    } else {
        (Structure::Large, "PRAGMA quick_check(1)")
    };
    let verdict: String = scalar(connection, check).await.map_err(unusable)?;
    if verdict == "ok" {
        Ok(structure)
    } else {
        Err(OpenError::Damaged { path: path.display().to_string(), what: verdict })
    }
}

async fn check_owner(
    connection: &mut SqliteConnection,
    path: &Path,
    replica: &Name,
) -> Result<(), OpenError> {
    let sql = "SELECT replica FROM meta";
    let found: Option<String> = sqlx::query_scalar(sql)
        .fetch_optional(connection)
        .await
        .map_err(|e| unusable(path, e.into()))?;
    let Some(found) = found else {
        return Err(unusable(path, StoreError::Damaged("meta has no row".to_owned())));
    };
    if found == replica.as_str() {
        Ok(())
    } else {
        Err(OpenError::OtherReplica {
            path: path.display().to_string(),
            found,
            expected: replica.clone(),
        })
    }
}

async fn scalar<T>(connection: &mut SqliteConnection, sql: &'static str) -> Result<T, sqlx::Error>
where
    T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    sqlx::query_scalar(sql).persistent(false).fetch_one(connection).await
}
