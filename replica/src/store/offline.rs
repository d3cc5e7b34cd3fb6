//! A state without its replica: what tools and tests do with one while no replica runs on
//! it.

use std::path::Path;

use futures::TryStreamExt;
use shared::ids::{ClusterId, Name};
use shared::message::ChosenEntry;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};

use super::access;
use super::answers;
use super::checkpoint;
use super::checkpoint::copying::CopyNote;
use super::compaction::Sweeping;
use super::deletions::Deletions;
use super::error::{OpenError, StoreError};
use super::file::{FILE, connect};
use super::meta::MetaRow;
use super::open::open;
use super::schema::unusable;
use super::tenure;
use super::verify;
use crate::machine::state::Meta;

/// What a state was found to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// How far it has come. Its hash stands for the whole log.
    pub meta: Meta,
    /// Of which cluster it is, where that is known.
    pub cluster: Option<ClusterId>,
    /// How many versions of keys there are.
    pub versions: u64,
    /// The digest (BLAKE3) of all versions of all keys, all first answers, leases and locks:
    /// two replicas that executed the same slots have the same.
    pub digest: [u8; 32],
}

/// Looks at the state in a data directory: with all the checks of a start, and as a start
/// does it finishes what the WAL holds; and sweeps deletions of many keys, and of history, to
/// their end, so that two of the same slots are the same. None where there is no file.
///
/// # Errors
/// When no replica of this name may run on it.
pub async fn inspect(dir: &Path, replica: &Name) -> Result<Option<Inspected>, OpenError> {
    let path = dir.join(FILE);
    if !path.exists() {
        return Ok(None);
    }
    let unusable = |error: StoreError| unusable(&path, error);
    let note = CopyNote::open(&path)?;
    let (mut connection, _is_new) = connect(&path, replica).await?;
    let row = verify::meta(&mut connection).await.map_err(unusable)?;
    let MetaRow { meta, cluster, joined_at: _, retained: _ } = row.clone();
    sweep(&mut connection, row).await.map_err(unusable)?;
    let (versions, digest) = digest(&mut connection).await.map_err(unusable)?;
    // Closing copies what is left.
    checkpoint::copy(&mut connection, &path, &note).await.map_err(unusable)?;
    checkpoint::close(connection, &path, &note).await.map_err(unusable)?;
    Ok(Some(Inspected { meta, cluster, versions, digest }))
}

/// Executes entries of the log into the state in a data directory, or into an empty one.
///
/// # Errors
/// When no replica of this name may run on it, or the disk fails.
///
/// # Panics
/// When the first entry is not the slot that is due.
pub async fn execute(
    dir: &Path,
    replica: &Name,
    entries: Vec<ChosenEntry>,
) -> Result<Meta, OpenError> {
    let unusable = |error: StoreError| unusable(&dir.join(FILE), error);
    let mut writer = open(dir, replica, 1).await?.writer;
    writer.execute(entries).await.map_err(unusable)?;
    writer.store().await.map_err(unusable)?;
    let meta = writer.meta().clone();
    writer.close().await.map_err(unusable)?;
    Ok(meta)
}

async fn sweep(connection: &mut SqliteConnection, mut row: MetaRow) -> Result<(), StoreError> {
    let mut deletions = Deletions::load(connection).await?;
    while !deletions.is_empty() {
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        deletions.sweep(&mut transaction).await?;
        transaction.commit().await?;
    }
    let mut compacting = Sweeping::begin(&row);
    while compacting.is_due(&row) {
        row.retained = compacting.sweep(connection, &row).await?;
    }
    Ok(())
}

/// A row's sum binds the rest of it.
async fn digest(connection: &mut SqliteConnection) -> Result<(u64, [u8; 32]), StoreError> {
    let mut rows = sqlx::query("SELECT sum FROM versions ORDER BY key, revision")
        .persistent(false)
        .fetch(&mut *connection);
    let (mut versions, mut hasher) = (0, blake3::Hasher::new());
    while let Some(row) = rows.try_next().await? {
        versions += 1;
        hasher.update(row.try_get(0)?);
    }
    drop(rows);
    answers::digest(connection, &mut hasher).await?;
    tenure::digest(connection, &mut hasher).await?;
    access::digest(connection, &mut hasher).await?;
    Ok((versions, *hasher.finalize().as_bytes()))
}
