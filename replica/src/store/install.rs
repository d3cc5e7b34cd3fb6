//! How another replica's state takes the place of this one's.
//!
//! ```text
//! incoming.sqlite ──prepare──▶ the same, this replica's own ──adopt──▶ next.sqlite ──finish──▶ state.sqlite
//!   what came of it              checked row by row, synced             it counts              at the next start
//! ```
//!
//! Until the renaming to `next.sqlite` the old state is the one that counts, and from then on
//! the new one; the file is in place before anything opens it. Wherever a process ends
//! between two of these steps, the next one goes on: after each one [`Steps`] are told, so
//! that tests can see what a process would have left that ended there.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use shared::ids::{ClusterId, Name, Slot};

use super::checkpoint::copying;
use super::error::{OpenError, StoreError, not_copied};
use super::file::FILE;
use super::meta::{self, MetaRow};
use super::restore::{adapt, close};
use super::schema::unusable;
use crate::machine::state::Meta;
use crate::snapshot::file::{self, TRAILER_BYTES, beside};

/// What comes from another replica, until it counts.
const INCOMING: &str = "incoming.sqlite";
/// The state that is put in place at the next start.
const NEXT: &str = "next.sqlite";

/// Who is told of each step on the disk once it is done.
pub(super) type Steps<'a> = &'a mut (dyn FnMut() + Send);

/// Where a snapshot is to be written that comes from another replica.
pub(crate) fn incoming(dir: &Path) -> PathBuf {
    dir.join(INCOMING)
}

/// Makes the state of this replica, which joined the cluster at that slot, of a snapshot that
/// came and was checked ([`check`](crate::snapshot::file::check)), and holds every row of it
/// against its checksum. Durable when it returns.
pub(crate) async fn prepare(
    dir: &Path,
    replica: &Name,
    of: (ClusterId, Slot),
) -> Result<Meta, OpenError> {
    prepare_in_steps(dir, replica, of, &mut || {}).await
}

pub(super) async fn prepare_in_steps(
    dir: &Path,
    replica: &Name,
    (cluster, joined_at): (ClusterId, Slot),
    done: Steps<'_>,
) -> Result<Meta, OpenError> {
    let path = incoming(dir);
    let io = |error: io::Error| unusable(&path, not_copied(&path, &error));
    cut_trailer(&path).map_err(io)?;
    done();
    let (mut connection, row) = adapt(&path, replica).await?;
    done();
    let row = MetaRow { joined_at, ..row };
    meta::save(&mut connection, &row).await.map_err(|error| unusable(&path, error))?;
    done();
    close(connection, &path).await?;
    done();
    if row.cluster != Some(cluster) {
        let found = row.cluster.map_or_else(|| "none".to_owned(), |found| found.to_string());
        let what = format!("it is of cluster {found}, and this replica of {cluster}");
        return Err(unusable(&path, StoreError::Failed(what)));
    }
    File::open(&path).and_then(|file| file.sync_all()).map_err(io)?;
    done();
    Ok(row.meta)
}

/// From here on what was prepared is the state: the next start puts it in place.
pub(crate) fn adopt(dir: &Path) -> io::Result<()> {
    adopt_in_steps(dir, &mut || {})
}

pub(super) fn adopt_in_steps(dir: &Path, done: Steps<'_>) -> io::Result<()> {
    fs::rename(incoming(dir), dir.join(NEXT))?;
    done();
    File::open(dir)?.sync_all()?;
    done();
    Ok(())
}

/// Puts in place what an earlier life adopted, and removes what it had not. Nothing may have
/// the state open. Says whether there was a new state.
pub(super) fn finish(dir: &Path) -> io::Result<bool> {
    finish_in_steps(dir, &mut || {})
}

pub(super) fn finish_in_steps(dir: &Path, done: Steps<'_>) -> io::Result<bool> {
    discard_in_steps(dir, done)?;
    let (state, next) = (dir.join(FILE), dir.join(NEXT));
    if !next.try_exists()? {
        return Ok(false);
    }
    if !is_newer(&next, &state) {
        // Something else has run on the state since.
        tracing::warn!(file = %next.display(), "it is no newer than the state, and is removed");
        fs::remove_file(&next)?;
        done();
        return Ok(false);
    }
    // A WAL beside it would be taken for the new file's own; so might what is noted of it.
    copying::discard(&state)?;
    done();
    remove_each(&beside(&state), done)?;
    File::open(dir)?.sync_all()?;
    done();
    fs::rename(&next, &state)?;
    done();
    File::open(dir)?.sync_all()?;
    done();
    Ok(true)
}

/// Whether a state goes on from where another one is, as far as that can be read.
fn is_newer(next: &Path, state: &Path) -> bool {
    let next = file::open(next).and_then(|connection| progress(&connection));
    match (next, progress_of_old(state)) {
        (Ok((next, of)), Ok((state, cluster))) => {
            next > state && (cluster.is_none() || cluster == of)
        }
        (Ok(_), Err(_)) => true,
        (Err(_), _) => false,
    }
}

/// The same of the state that is in place, whose WAL stays as it is: nothing is noted of its
/// copying here.
fn progress_of_old(state: &Path) -> Result<ExecutedMark, OpenError> {
    if let Some(damage) = copying::damage(state)? {
        return Err(damage);
    }
    let read = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(state, flags)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        progress(&connection)
    };
    read().map_err(|error: rusqlite::Error| unusable(state, StoreError::Failed(error.to_string())))
}

/// How far a state is, and of which cluster.
type ExecutedMark = (i64, Option<i64>);

fn progress(connection: &Connection) -> rusqlite::Result<ExecutedMark> {
    let sql = "SELECT executed_below, cluster FROM meta";
    connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Removes what came and does not count.
pub(crate) fn discard(dir: &Path) -> io::Result<()> {
    discard_in_steps(dir, &mut || {})
}

fn discard_in_steps(dir: &Path, done: Steps<'_>) -> io::Result<()> {
    let path = incoming(dir);
    remove_each(std::slice::from_ref(&path), done)?;
    remove_each(&beside(&path), done)
}

/// The database without the page that has the snapshot's digest.
fn cut_trailer(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    let bytes = file.metadata()?.len();
    file.set_len(bytes.saturating_sub(TRAILER_BYTES as u64))
}

fn remove_each(files: &[PathBuf], done: Steps<'_>) -> io::Result<()> {
    files.iter().try_for_each(|file| {
        remove(file)?;
        done();
        Ok(())
    })
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
