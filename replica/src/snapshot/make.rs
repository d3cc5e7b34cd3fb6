//! How a snapshot is made: SQLite copies one state of the file into another one, on a
//! connection that only reads, so that nobody waits for it. Meanwhile the WAL cannot be cut
//! back, and grows.
#![expect(clippy::disallowed_methods, reason = "how long a sync takes is measured")]

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, params};
use sha2::Digest as _;
use shared::disk::Space;
use shared::ids::{Name, Revision, Slot};

use super::file::{APPLICATION_ID, FORMAT, Sha256Digest, digest_of, number_of, trailer};
use crate::machine::state::Meta;
use crate::sql::lasting_views;

/// What must stay free on the disk once a snapshot is made: the replica itself writes there.
/// Bytes.
pub(crate) const DISK_RESERVE_BYTES: u64 = 64 << 20;

/// So much of a snapshot is written before it is synced, in bytes. What the system keeps for
/// later it writes at once in the end, and meanwhile nobody's sync comes to an end: of two
/// gigabytes that were half a second.
const SYNC_BYTES: u64 = 4 << 20;
/// How many steps SQLite takes between two looks at how much it has written: some rows.
const STEPS: i32 = 100;
/// The longest rest after a sync.
const REST: Duration = Duration::from_millis(100);

/// A file that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    /// Its length, in bytes.
    pub(crate) bytes: u64,
    /// The digest of all of it.
    pub(crate) digest: Sha256Digest,
    /// The revision of the state in it.
    pub(crate) revision: Revision,
    /// Every slot below is executed in it.
    pub(crate) executed_below: Slot,
}

/// Why none was made.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum MakeError {
    /// There is too little room on the disk.
    #[error(
        "a snapshot takes up to {needed} bytes and leaves {DISK_RESERVE_BYTES} free for the \
         replica, and the disk has {free}"
    )]
    NoRoom {
        /// What it takes, in bytes.
        needed: u64,
        /// What there is, in bytes.
        free: u64,
    },
    /// The system, or SQLite, refuses.
    #[error("the snapshot could not be made: {0}")]
    Failed(String),
}

impl From<io::Error> for MakeError {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<rusqlite::Error> for MakeError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Makes one of a state, at a path where nothing is. Takes long; what is left behind by a
/// failure is the caller's to remove.
pub(crate) fn make(state: &Path, replica: &Name, target: &Path) -> Result<Made, MakeError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(state, flags)?;
    check_room(&connection, target)?;
    let to = target.to_str().ok_or_else(|| MakeError::Failed("its path is no UTF-8".to_owned()))?;
    let mut written = Written { path: target.to_owned(), synced_bytes: 0 };
    connection.progress_handler(
        STEPS,
        Some(move || {
            written.pace();
            false
        }),
    )?;
    connection.execute("VACUUM INTO ?1", [to])?;
    drop(connection);
    let (revision, executed_below) = describe(target, replica)?;
    let (bytes, digest) = seal(target)?;
    Ok(Made { bytes, digest, revision, executed_below })
}

/// What is written of a snapshot.
struct Written {
    path: PathBuf,
    synced_bytes: u64,
}

impl Written {
    /// Syncs what was written since the last time, where that is enough, and rests for as long
    /// as that took: half of the disk's time is everybody else's. Whether it could be synced
    /// SQLite says in the end.
    fn pace(&mut self) {
        // The file comes with the first page that is written.
        let Ok(bytes) = self.path.metadata().map(|found| found.len()) else { return };
        if bytes.saturating_sub(self.synced_bytes) < SYNC_BYTES {
            return;
        }
        let began = Instant::now();
        if File::open(&self.path).and_then(|file| file.sync_data()).is_ok() {
            thread::sleep(began.elapsed().min(REST));
        }
        self.synced_bytes = bytes;
    }
}

fn check_room(state: &Connection, target: &Path) -> Result<(), MakeError> {
    let number = |sql| state.query_row(sql, [], |row| row.get::<_, i64>(0));
    let bytes = number("PRAGMA page_count")?.saturating_mul(number("PRAGMA page_size")?);
    let needed = bytes.cast_unsigned();
    let free = Space::of_file(target)?.free_bytes;
    if needed.saturating_add(DISK_RESERVE_BYTES) <= free {
        Ok(())
    } else {
        Err(MakeError::NoRoom { needed, free })
    }
}

/// Adds what the file says of itself, and the views for people.
fn describe(target: &Path, replica: &Name) -> Result<(Revision, Slot), MakeError> {
    const TABLE: &str = "CREATE TABLE snapshot(format INTEGER NOT NULL, cluster TEXT, \
        replica TEXT NOT NULL, made_at TEXT NOT NULL, revision INTEGER NOT NULL, \
        executed_below INTEGER NOT NULL, epoch INTEGER NOT NULL, log_format INTEGER NOT NULL, \
        time_ms INTEGER NOT NULL, hash TEXT NOT NULL) STRICT;";
    const ROW: &str = "INSERT INTO snapshot SELECT ?1, printf('%016x', cluster), ?2, \
        strftime('%Y-%m-%dT%H:%M:%SZ', 'now'), revision, executed_below, ?3, ?4, time_ms, \
        lower(hex(hash)) FROM meta";
    let mut connection = Connection::open(target)?;
    // Whatever is cut short here is made anew from the beginning.
    connection.execute_batch("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF")?;
    let transaction = connection.transaction()?;
    let view: Option<String> = transaction.query_row("SELECT view FROM meta", [], |r| r.get(0))?;
    let view = view.map(|text| serde_json::from_str(&text)).transpose();
    let view = view.map_err(|error| MakeError::Failed(format!("meta.view: {error}")))?;
    let meta = Meta { view, ..Meta::default() };
    transaction.execute_batch(TABLE)?;
    let (epoch, format) = (meta.epoch().0.cast_signed(), meta.format().0);
    transaction.execute(ROW, params![FORMAT, replica.as_str(), epoch, format])?;
    transaction.execute_batch(&lasting_views())?;
    transaction.execute_batch(&format!("PRAGMA application_id = {APPLICATION_ID}"))?;
    let sql = "SELECT revision, executed_below FROM snapshot";
    let found = transaction
        .query_row(sql, [], |row| Ok((Revision(number_of(row, 0)?), Slot(number_of(row, 1)?))))?;
    transaction.commit()?;
    Ok(found)
}

/// Adds the page with the digest. Says the length and the digest of all.
fn seal(target: &Path) -> Result<(u64, Sha256Digest), MakeError> {
    let database = File::open(target)?.metadata()?.len();
    let mut whole = digest_of(&mut File::open(target)?, database)?;
    let page = trailer(&whole.clone().finalize().into());
    let mut file = OpenOptions::new().append(true).open(target)?;
    file.write_all(&page)?;
    whole.update(&page);
    Ok((database + page.len() as u64, whole.finalize().into()))
}
