//! Making the state durable, and keeping the WAL short, beside the one who writes.
//!
//! A commit reaches the WAL and is not synced (`synchronous=NORMAL`), so that a crash of
//! the machine may take back the newest transactions, whole ones, newest first. That is
//! no loss: acceptors hold every chosen value on disk until replicas report it *durable*.
//!
//! **Durable** is what was committed before a sync of the WAL began and has ended.
//! Recovery replays the WAL up to the first frame that is not whole, and every frame
//! before the sync is. Nobody who reads can hold that up. It stays true when the WAL
//! starts over, for SQLite does that only once all of it is in the database file and
//! synced there (*Write-Ahead Logging*, <https://sqlite.org/wal.html>, section 2.2; a
//! connection that checkpoints must be at NORMAL or above).
//!
//! **Copying** the WAL into the database file is what keeps it short. It is done
//! passively, which waits for nobody and is waited for by nobody: frames that a reader
//! may still need, and those written meanwhile, stay for the next time. Once all was
//! copied at a moment when nobody writes, the next transaction starts the WAL over. The
//! one who writes has to stand by for that ([`Rest`]): executing goes on meanwhile. Where
//! nothing was written since, the space of the WAL is given back to the disk as well.
//!
//! **Before anything is copied** it is noted what may be from then on ([`copying`]), so that
//! a start finds out where the WAL is damaged in that. No more than that is copied: while one
//! writes, a state from before the note is read for as long as copying takes, so that frames
//! behind it stay; and the WAL cannot start over before the note says that all is copied.

pub(super) mod copying;
pub(super) mod wal;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use shared::ids::Slot;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, Row};
use tokio::sync::OwnedMutexGuard;

use self::copying::{CopyNote, Extent, Note, Noted};
use self::wal::{Found, wal_of};
use super::error::StoreError;
use super::schema::{self, scalar};

/// Every slot below is committed, but may not survive a loss of power.
#[derive(Debug)]
pub(crate) struct Committed(pub(super) Slot);

/// Every slot below is durable. Only a sync that began after they were committed makes
/// this.
#[derive(Debug)]
pub(crate) struct Synced(Slot);

impl Synced {
    /// Every slot below is durable.
    pub(crate) fn below(&self) -> Slot {
        self.0
    }
}

/// What a frame of the WAL takes: a page and its header.
const FRAME_BYTES: u64 = 4_096 + 24;

/// How far the WAL is copied into the database file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copied {
    /// Whole, as it was when copying began.
    All {
        /// How long it is.
        wal_bytes: u64,
        /// How long its file is: what an earlier, longer one took is kept.
        file_bytes: u64,
    },
    /// In part: somebody reads a state from before its end, or is copying it.
    Part {
        /// How long it is.
        wal_bytes: u64,
    },
}

/// Syncs and copies while another connection writes.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    path: PathBuf,
    note: CopyNote,
    connections: Option<Connections>,
    /// The database file, to be synced, and open until the process ends: closing it would give
    /// up the locks that SQLite's own connections in this process have on it (POSIX locks go
    /// with any descriptor of a file), and a shell that opens the database and closes it would
    /// take itself for the last one and remove the WAL under us (*How To Corrupt An SQLite
    /// Database File*, <https://sqlite.org/howtocorrupt.html>, section 2.2).
    database: Option<Arc<File>>,
}

#[derive(Debug)]
struct Connections {
    /// Copies.
    copies: SqliteConnection,
    /// Reads a state, and so keeps what comes after it from being copied.
    holds: SqliteConnection,
}

impl Checkpointer {
    pub(super) fn new(path: &Path, note: CopyNote) -> Self {
        Self { path: path.to_owned(), note, connections: None, database: None }
    }

    /// Makes durable what is committed.
    ///
    /// # Errors
    /// Always fatal: what was not synced may be gone, and another try would not say so.
    pub(crate) async fn sync(&self, committed: Committed) -> Result<Synced, StoreError> {
        sync(&self.path, committed).await
    }

    async fn connect(&self) -> Result<Connections, StoreError> {
        let name = |_| "store-checkpoints".to_owned();
        let copies = schema::writer_options(&self.path).create_if_missing(false).thread_name(name);
        let holds = schema::reader_options(&self.path).thread_name(name);
        Ok(Connections { copies: copies.connect().await?, holds: holds.connect().await? })
    }

    /// Copies what nobody reads any more, and syncs it: whoever copies the rest while
    /// the one who writes waits has little left to do.
    pub(crate) async fn copy(&mut self) -> Result<Copied, StoreError> {
        let note = self.note.lock().await;
        let mut connections = match self.connections.take() {
            Some(connections) => connections,
            None => self.connect().await?,
        };
        let Connections { copies, holds } = &mut connections;
        let began = Frames::of(copies, NOTHING).await?;
        sqlx::raw_sql("BEGIN; SELECT count(*) FROM sqlite_schema").fetch_all(&mut *holds).await?;
        let note = begin(copies, &self.path, note).await?;
        let frames = Frames::of(copies, WHAT_NOBODY_NEEDS).await?;
        self.database = Some(sync_file(self.path.clone(), self.database.clone()).await?);
        end(note, frames).await?;
        sqlx::raw_sql("ROLLBACK").execute(&mut *holds).await?;
        self.connections = Some(connections);
        // A WAL of which all was copied may have started over since.
        let is_same = began.are_copied() && !frames.is_busy;
        let of_then = if is_same { began } else { frames.of_first(began.there) };
        Ok(of_then.copied(&self.path))
    }

    /// Lets go of the state.
    pub(crate) async fn close(self) -> Result<(), StoreError> {
        let Some(Connections { copies, holds }) = self.connections else { return Ok(()) };
        holds.close().await?;
        Ok(copies.close().await?)
    }

    /// How many pages of the database hold nothing, once something was copied.
    pub(crate) async fn free_pages(&mut self) -> Option<u64> {
        let connection = &mut self.connections.as_mut()?.copies;
        let pages: Result<i64, _> = scalar(connection, "PRAGMA freelist_count").await;
        pages.ok().map(i64::cast_unsigned)
    }
}

/// What becomes of the file of a WAL that is copied as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WalSpace {
    /// It is written to from its beginning.
    Kept,
    /// It is cut to nothing.
    GivenBack,
}

/// What is left to copy after a [`Checkpointer`] has copied: little. For the connection that
/// writes.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) path: PathBuf,
    pub(super) note: CopyNote,
    pub(super) committed: Committed,
    pub(super) space: WalSpace,
}

impl Rest {
    /// Makes everything durable and copies what it can.
    pub(super) async fn copy(
        self,
        connection: &mut SqliteConnection,
    ) -> Result<Synced, StoreError> {
        let Self { path, note, committed, space } = self;
        let synced = sync(&path, committed).await?;
        let copied = copy(connection, &path, &note).await?;
        // It would copy what is left, and cut what the note says is needed.
        if space == WalSpace::GivenBack && matches!(copied, Copied::All { .. }) {
            give_back_space(connection).await?;
        }
        Ok(synced)
    }
}

/// Cuts the file of the WAL, all of which is copied, unless somebody reads or writes it, for
/// whom nobody waits.
async fn give_back_space(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let wait = schema::BUSY_TIMEOUT.as_millis();
    let sql = format!(
        "PRAGMA busy_timeout = 0; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA busy_timeout = {wait}"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await?;
    Ok(())
}

/// Copies as much of the WAL as nobody needs there, without waiting for anybody who reads.
/// Nobody may write meanwhile.
pub(super) async fn copy(
    connection: &mut SqliteConnection,
    path: &Path,
    note: &CopyNote,
) -> Result<Copied, StoreError> {
    let note = begin(connection, path, note.lock().await).await?;
    let frames = Frames::of(connection, WHAT_NOBODY_NEEDS).await?;
    end(note, frames).await?;
    Ok(frames.copied(path))
}

/// Notes what there is to copy, once it is synced. No more may be copied before the next note.
async fn begin(
    connection: &mut SqliteConnection,
    path: &Path,
    note: OwnedMutexGuard<Note>,
) -> Result<OwnedMutexGuard<Note>, StoreError> {
    let Frames { is_busy, there, copied } = Frames::of(connection, NOTHING).await?;
    if is_busy {
        return Err(StoreError::Busy("what there is to copy cannot be seen".to_owned()));
    }
    if copied >= there {
        return Ok(note);
    }
    let wal = wal_of(path);
    sync_file(wal.clone(), None).await?;
    let found = wal::find(&wal).map_err(|error| StoreError::Failed(error.to_string()))?;
    let Found::Begun(header) = found else {
        return Err(StoreError::Damaged(format!("{}: its header is not whole", wal.display())));
    };
    let noted = Noted { wal: header, frames: there, extent: Extent::Part };
    if note.noted() == Some(noted) { Ok(note) } else { copying::write(note, noted).await }
}

/// Notes that all is copied, where that is so.
async fn end(note: OwnedMutexGuard<Note>, frames: Frames) -> Result<(), StoreError> {
    let Some(noted) = note.noted().filter(|noted| noted.extent == Extent::Part) else {
        return Ok(());
    };
    if frames.are_copied() && frames.there == noted.frames {
        copying::write(note, Noted { extent: Extent::Whole, ..noted }).await?;
    }
    Ok(())
}

/// Closes the connection of the one who writes, and takes the note away where no WAL is left.
pub(super) async fn close(
    connection: SqliteConnection,
    path: &Path,
    note: &CopyNote,
) -> Result<(), StoreError> {
    let note = note.lock().await;
    connection.close().await?;
    if wal_of(path).exists() { Ok(()) } else { copying::forget(note).await }
}

const NOTHING: &str = "PRAGMA wal_checkpoint(NOOP)";
const WHAT_NOBODY_NEEDS: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// The frames of the WAL.
#[derive(Clone, Copy, Debug)]
struct Frames {
    /// Another was copying, so that nothing is known.
    is_busy: bool,
    there: u32,
    copied: u32,
}

impl Frames {
    /// Copies something, and says how many there were, and how many are copied.
    async fn of(connection: &mut SqliteConnection, sql: &'static str) -> Result<Self, StoreError> {
        let row = sqlx::query(sql).persistent(false).fetch_one(connection).await?;
        let (busy, there, copied): (i64, i64, i64) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        // None are -1.
        let number = |number: i64| u32::try_from(number).unwrap_or(0);
        Ok(Self { is_busy: busy != 0, there: number(there), copied: number(copied) })
    }

    /// Without those that were written since there were so many.
    fn of_first(self, most: u32) -> Self {
        Self { there: self.there.min(most), copied: self.copied.min(most), ..self }
    }

    fn are_copied(self) -> bool {
        !self.is_busy && self.there == self.copied
    }

    fn copied(self, path: &Path) -> Copied {
        let wal_bytes = u64::from(self.there) * FRAME_BYTES;
        // Nothing rests on the length: what is not there takes nothing.
        let file_bytes = || fs::metadata(wal_of(path)).map_or(0, |wal| wal.len());
        if self.are_copied() {
            Copied::All { wal_bytes, file_bytes: file_bytes() }
        } else {
            Copied::Part { wal_bytes }
        }
    }
}

/// Makes durable what is committed.
pub(super) async fn sync(path: &Path, committed: Committed) -> Result<Synced, StoreError> {
    let wal = wal_of(path);
    // The last connection that closes copies all of the WAL, syncs that and removes it.
    let is_copied = !wal.exists() && path.exists();
    if !is_copied {
        // Nobody locks the WAL itself, so that it may be closed again.
        sync_file(wal, None).await?;
    }
    Ok(Synced(committed.0))
}

/// Syncs a file, which is opened unless it is already; says which one it is.
async fn sync_file(path: PathBuf, opened: Option<Arc<File>>) -> Result<Arc<File>, StoreError> {
    let of = path.display().to_string();
    let synced = tokio::task::spawn_blocking(move || {
        let file = opened.map_or_else(|| File::open(path).map(Arc::new), Ok)?;
        file.sync_data()?;
        Ok(file)
    });
    synced
        .await
        .map_err(io::Error::other)
        .flatten()
        .map_err(|error| StoreError::Failed(format!("syncing {of}: {error}")))
}
