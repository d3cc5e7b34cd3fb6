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

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use shared::ids::Slot;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Row};

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
    connection: Option<SqliteConnection>,
    /// The database file, to be synced, and open until the process ends: closing it would give
    /// up the locks that SQLite's own connections in this process have on it (POSIX locks go
    /// with any descriptor of a file), and a shell that opens the database and closes it would
    /// take itself for the last one and remove the WAL under us (*How To Corrupt An SQLite
    /// Database File*, <https://sqlite.org/howtocorrupt.html>, section 2.2).
    database: Option<Arc<File>>,
}

impl Checkpointer {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), connection: None, database: None }
    }

    /// Makes durable what is committed.
    ///
    /// # Errors
    /// Always fatal: what was not synced may be gone, and another try would not say so.
    pub(crate) async fn sync(&self, committed: Committed) -> Result<Synced, StoreError> {
        sync(&self.path, committed).await
    }

    async fn connect(&self) -> Result<SqliteConnection, StoreError> {
        let options = schema::writer_options(&self.path)
            .create_if_missing(false)
            .thread_name(|_| "store-checkpoints".to_owned());
        Ok(options.connect().await?)
    }

    /// Copies what nobody reads any more, and syncs it: whoever copies the rest while
    /// the one who writes waits has little left to do.
    pub(crate) async fn copy(&mut self) -> Result<Copied, StoreError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let copied = copy(&mut connection, &self.path).await?;
        self.connection = Some(connection);
        self.database = Some(sync_file(self.path.clone(), self.database.clone()).await?);
        Ok(copied)
    }

    /// How many pages of the database hold nothing, once something was copied.
    pub(crate) async fn free_pages(&mut self) -> Option<u64> {
        let connection = self.connection.as_mut()?;
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
    pub(super) committed: Committed,
    pub(super) space: WalSpace,
}

impl Rest {
    /// Makes everything durable and copies what it can.
    pub(super) async fn copy(
        self,
        connection: &mut SqliteConnection,
    ) -> Result<Synced, StoreError> {
        let Self { path, committed, space } = self;
        let synced = sync(&path, committed).await?;
        copy(connection, &path).await?;
        if space == WalSpace::GivenBack {
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

/// Copies as much of the WAL as nobody needs there, without waiting for anybody.
pub(super) async fn copy(
    connection: &mut SqliteConnection,
    path: &Path,
) -> Result<Copied, StoreError> {
    let row = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").fetch_one(connection).await?;
    let (busy, frames, copied): (i64, i64, i64) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let wal_bytes = frames.max(0).cast_unsigned() * FRAME_BYTES;
    let is_whole = busy == 0 && frames == copied;
    // Nothing rests on the length: what is not there takes nothing.
    let file_bytes = || fs::metadata(wal_of(path)).map_or(0, |wal| wal.len());
    Ok(if is_whole {
        Copied::All { wal_bytes, file_bytes: file_bytes() }
    } else {
        Copied::Part { wal_bytes }
    })
}

fn wal_of(path: &Path) -> PathBuf {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    PathBuf::from(wal)
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
