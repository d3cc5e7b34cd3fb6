//! Why an acceptor's log cannot be used.

use std::path::PathBuf;

use crate::log::disk::DiskError;

/// Why the log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Something that may have been acknowledged does not read back. Nothing was changed.
    #[error(
        "{file} is damaged at offset {offset}: {what}. An acceptor must not answer without its \
         whole log: restore the data \
         directory, or give this acceptor an empty one, which makes it another acceptor"
    )]
    Damaged {
        /// Where: the segment.
        file: PathBuf,
        /// Where in it. Bytes.
        offset: u64,
        /// What does not read back.
        what: String,
    },
    /// A segment is needed and not there. Nothing was changed.
    #[error(
        "{file} is missing, but {needed_by}. An acceptor must not answer without its whole log"
    )]
    Missing {
        /// The segment.
        file: PathBuf,
        /// How that is known.
        needed_by: String,
    },
    /// The disk fails, or is full.
    #[error(transparent)]
    Disk(#[from] DiskError),
}
