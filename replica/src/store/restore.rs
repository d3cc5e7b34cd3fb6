//! The state that a replica of a new cluster begins with: a snapshot's, without its cluster.
//!
//! Nothing else is changed: revisions, history, the log with its hashes, the epoch and
//! replicated time go on from where they were. The cluster's identity is drawn anew when the
//! acceptors form it, and noted then as in any new replica's state: so nobody whom the
//! snapshot remembers to be out for good is out of the new one. Tokens and policies are part of
//! the state: where tokens were required they are, and the old ones are those of the new cluster.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use shared::ids::{Name, Slot};
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use super::error::{OpenError, StoreError, not_copied};
use super::file::{FILE, connect};
use super::meta::{self, MetaRow};
use super::schema::{self, APPLICATION_ID, unusable};
use super::verify;
use crate::machine::format;
use crate::machine::state::Meta;
use crate::snapshot::file::{beside, copy_database};
use crate::sql::WITHOUT_LASTING_VIEWS;

/// Makes a replica's state in an existing data directory of a snapshot that was checked
/// ([`check`](crate::snapshot::file::check)), and holds every row of it against its checksum.
/// Durable when it returns.
///
/// # Errors
/// When a replica could not run on it, or the disk fails. What is in the directory then is
/// of no use.
pub async fn restore(snapshot: &Path, dir: &Path, replica: &Name) -> Result<Meta, OpenError> {
    let path = dir.join(FILE);
    let failed = |error: StoreError| unusable(&path, error);
    copy_database(snapshot, &path).map_err(|error| failed(not_copied(&path, &error)))?;
    let (mut connection, row) = adapt(&path, replica).await?;
    let row = MetaRow { cluster: None, joined_at: Slot(0), ..row };
    meta::save(&mut connection, &row).await.map_err(failed)?;
    close(connection, &path).await?;
    sync(dir).map_err(|error| failed(not_copied(&path, &error)))?;
    Ok(row.meta)
}

/// Makes the same state for another replica of the cluster, of the one that is in the first
/// data directory.
///
/// # Errors
/// When the disk fails.
pub async fn restore_again(first: &Path, dir: &Path, replica: &Name) -> Result<(), OpenError> {
    let path = dir.join(FILE);
    let failed = |error: StoreError| unusable(&path, error);
    fs::copy(first.join(FILE), &path).map_err(|error| failed(not_copied(&path, &error)))?;
    let mut connection = writer(&path).await?;
    rename(&mut connection, replica).await.map_err(failed)?;
    close(connection, &path).await?;
    sync(dir).map_err(|error| failed(not_copied(&path, &error)))
}

/// Makes a replica's own state of the database of a snapshot, and holds every row of it against
/// its checksum. What is written is in the file once the connection is closed ([`close`]).
pub(super) async fn adapt(
    path: &Path,
    replica: &Name,
) -> Result<(SqliteConnection, MetaRow), OpenError> {
    let failed = |error: StoreError| unusable(path, error);
    let mut connection = writer(path).await?;
    own(&mut connection, replica).await.map_err(failed)?;
    close(connection, path).await?;
    let (mut connection, _is_new) = connect(path, replica).await?;
    let row = verify::meta(&mut connection).await.map_err(failed)?;
    format::check(&row.meta, format::HIGHEST).map_err(|error| failed(error.into()))?;
    verify::rows(&mut connection).await.map_err(failed)?;
    Ok((connection, row))
}

async fn writer(path: &Path) -> Result<SqliteConnection, OpenError> {
    let options = schema::writer_options(path).create_if_missing(false);
    options.connect().await.map_err(|error| unusable(path, error.into()))
}

/// Makes a replica's tables of a snapshot's.
async fn own(connection: &mut SqliteConnection, replica: &Name) -> Result<(), StoreError> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::raw_sql(AssertSqlSafe(WITHOUT_LASTING_VIEWS)).execute(&mut *transaction).await?;
    sqlx::raw_sql("DROP TABLE snapshot").execute(&mut *transaction).await?;
    rename(&mut transaction, replica).await?;
    let header = format!("PRAGMA application_id = {APPLICATION_ID}");
    sqlx::raw_sql(AssertSqlSafe(header)).execute(&mut *transaction).await?;
    Ok(transaction.commit().await?)
}

async fn rename(connection: &mut SqliteConnection, replica: &Name) -> Result<(), StoreError> {
    let update = sqlx::query("UPDATE meta SET replica = ?").bind(replica.as_str());
    update.persistent(false).execute(connection).await?;
    Ok(())
}

/// The last connection that closes copies all of the WAL, and removes it; it does not say
/// where it could not.
pub(super) async fn close(connection: SqliteConnection, path: &Path) -> Result<(), OpenError> {
    connection.close().await.map_err(|error| unusable(path, error.into()))?;
    if beside(path)[0].exists() {
        let what = "its WAL could not be copied".to_owned();
        return Err(unusable(path, StoreError::Failed(what)));
    }
    Ok(())
}

fn sync(dir: &Path) -> std::io::Result<()> {
    let mut file = File::options().write(true).open(dir.join(FILE))?;
    file.flush()?;
    file.sync_all()?;
    File::open(dir)?.sync_all()
}
