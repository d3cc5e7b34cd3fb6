//! What can go wrong with the file, told apart by what must be done about it.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use shared::ids::{Name, Revision, Slot};

use crate::machine::format::UnsupportedFormat;

/// SQLite's primary result codes that are told apart (<https://sqlite.org/rescode.html>).
mod code {
    pub(super) const BUSY: i32 = 5;
    pub(super) const FULL: i32 = 13;
    /// An I/O error of a kind of its own: the shared-memory index of the WAL could not
    /// grow, which is what a full disk looks like to a connection that needs a new piece
    /// of it.
    pub(super) const IOERR_SHMSIZE: i32 = 4874;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const NOT_A_DATABASE: i32 = 26;
}

/// A statement failed while the replica was running.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no space: waits, and heals.
    #[error("the disk that holds the state is full ({0})")]
    Full(String),
    /// Another process holds the file's lock, for instance a `sqlite3` shell: waits, and
    /// heals.
    #[error("another process has locked the state ({0})")]
    Busy(String),
    /// The file is damaged: the process must stop.
    #[error("the state is damaged: {0}")]
    Damaged(String),
    /// The log has come to a format that this program cannot read: the process must stop,
    /// and a newer one go on.
    #[error(transparent)]
    Format(#[from] UnsupportedFormat),
    /// Reading, writing or syncing failed, or a statement is wrong: what was written is
    /// unknown, so the process must stop.
    #[error("the state cannot be read or written: {0}")]
    Failed(String),
}

impl StoreError {
    /// Whether the process must stop: it can no longer say what the file holds.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Full(_) | Self::Busy(_) => false,
            Self::Damaged(_) | Self::Format(_) | Self::Failed(_) => true,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let text = error.to_string();
        let extended = error
            .as_database_error()
            .and_then(|e| e.code())
            .and_then(|code| code.parse::<i32>().ok());
        Self::of_code(extended, text)
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::of_code(error.sqlite_error().map(|error| error.extended_code), error.to_string())
    }
}

impl StoreError {
    fn of_code(extended: Option<i32>, text: String) -> Self {
        let Some(extended) = extended else { return Self::Failed(text) };
        if extended == code::IOERR_SHMSIZE {
            return Self::Full(text);
        }
        match extended & 0xff {
            code::FULL => Self::Full(text),
            code::BUSY => Self::Busy(text),
            code::CORRUPT | code::NOT_A_DATABASE => Self::Damaged(text),
            _ => Self::Failed(text),
        }
    }
}

/// Why the state as it was at a revision cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum RevisionError {
    /// It is not there yet.
    #[error("revision {asked} is in the future: the state is at revision {present}")]
    Future {
        /// What was asked for.
        asked: Revision,
        /// What is there.
        present: Revision,
    },
    /// It is not kept any more.
    #[error("revision {asked} is compacted: the oldest one that can be read is {oldest}")]
    Compacted {
        /// What was asked for.
        asked: Revision,
        /// What there is.
        oldest: Revision,
    },
}

impl RevisionError {
    /// The revision that a read is of, where it is asked for one.
    ///
    /// # Errors
    /// When it is in the future, or compacted.
    pub(crate) fn check(
        asked: Option<Revision>,
        present: Revision,
        oldest: Revision,
    ) -> Result<Revision, Self> {
        match asked {
            None => Ok(present),
            Some(asked) if asked > present => Err(Self::Future { asked, present }),
            Some(asked) if asked < oldest => Err(Self::Compacted { asked, oldest }),
            Some(asked) => Ok(asked),
        }
    }
}

/// Why a read has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// Too many reads wait.
    #[error("{limit} reads wait already")]
    Overloaded {
        /// How many may.
        limit: usize,
    },
    /// The revision asked for cannot be read.
    #[error(transparent)]
    Revision(#[from] RevisionError),
    /// The slot asked for is not kept any more.
    #[error("slot {asked} is trimmed: the oldest one that is kept is {oldest}")]
    Trimmed {
        /// What was asked for.
        asked: Slot,
        /// What there is.
        oldest: Slot,
    },
    /// The file could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The replica is shutting down.
    #[error("the replica is shutting down")]
    Closed,
}

impl ReadError {
    /// Whether the same may be read a moment later.
    pub(crate) fn is_for_now(&self) -> bool {
        match self {
            Self::Overloaded { .. } => true,
            Self::Store(error) => !error.is_fatal(),
            Self::Revision(_) | Self::Trimmed { .. } | Self::Closed => false,
        }
    }
}

/// The state in a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file is no database of this service.
    #[error("{path} is not a replica's state (application id {found:#x}, not {expected:#x})")]
    Foreign {
        /// The file.
        path: String,
        /// What its header says.
        found: i64,
        /// What it should say.
        expected: i64,
    },
    /// Its tables are of a version that was never released, or of a later one.
    #[error(
        "{path} has schema version {found}; this program reads versions {oldest} to {newest}: start \
         the one that wrote it, or remove the data directory, and the replica fetches everything \
         again from the others"
    )]
    Version {
        /// The file.
        path: String,
        /// What its header says.
        found: i64,
        /// The first version that can be read.
        oldest: i64,
        /// The last one.
        newest: i64,
    },
    /// It is another replica's.
    #[error(
        "{path} is the state of {found}; this replica is {expected}: every replica needs a data \
         directory of its own"
    )]
    OtherReplica {
        /// The file.
        path: String,
        /// Whose it is.
        found: String,
        /// Who asks.
        expected: Name,
    },
    /// It is damaged.
    #[error(
        "{path} is damaged: {what}; remove the data directory, and the replica fetches everything \
         again from the others"
    )]
    Damaged {
        /// The file.
        path: String,
        /// What does not fit.
        what: String,
    },
    /// It cannot be opened, read or written.
    #[error("{path}: {source}")]
    Unusable {
        /// The file.
        path: String,
        /// Why.
        source: StoreError,
    },
}

impl OpenError {
    /// Whether somebody must start another program, or this one on another folder.
    #[must_use]
    pub fn is_misconfiguration(&self) -> bool {
        match self {
            Self::Foreign { .. } | Self::Version { .. } | Self::OtherReplica { .. } => true,
            Self::Unusable { source, .. } => matches!(source, StoreError::Format(_)),
            Self::Damaged { .. } => false,
        }
    }
}

/// What could not be written to a file that is no database.
pub(super) fn not_copied(path: &Path, error: &io::Error) -> StoreError {
    let text = format!("writing {}: {error}", path.display());
    let is_full = error.kind() == io::ErrorKind::StorageFull;
    if is_full { StoreError::Full(text) } else { StoreError::Failed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_passes_by_itself_is_waited_for() {
        let text = String::new;
        let fatal = [
            StoreError::Full(text()),
            StoreError::Busy(text()),
            StoreError::Damaged(text()),
            StoreError::Failed(text()),
        ];
        assert_eq!(fatal.map(|error| error.is_fatal()), [false, false, true, true]);
    }
}
