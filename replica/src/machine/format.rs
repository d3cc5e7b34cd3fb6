//! Which formats of the log this program can read.
//!
//! Old and new programs run side by side while a cluster is upgraded, and must make the
//! same of every slot. So nobody uses what a newer format brings before the log says that
//! it has that format, and the log says so only once every replica of the view can read
//! it. A value of a format beyond the log's is void, which needs no more than its number
//! to see. And a replica that meets a log of a format beyond its own stops before it
//! executes anything in it: it cannot know what the slots mean.

use shared::ids::LogFormat;

use super::state::Meta;

/// The format that brought transactions.
pub const TRANSACTIONS: LogFormat = LogFormat(2);

/// The format that brought values of clients' own in the log.
pub const APPENDS: LogFormat = LogFormat(3);

/// The format that brought roll-backs.
pub const ROLLBACKS: LogFormat = LogFormat(3);

/// The format that brought leases and locks.
pub const LEASES: LogFormat = LogFormat(3);

/// The format from which on a lease lasts for the whole of its last millisecond. Times in the
/// log are cut to milliseconds: what was renewed at one may have been renewed at its end.
pub const LEASES_WHOLE: LogFormat = LogFormat(5);

/// The format that brought compaction.
pub const COMPACTION: LogFormat = LogFormat(4);

/// The format that brought tokens and policies, and who does what.
pub const ACCESS: LogFormat = LogFormat(6);

/// The format that brought leaving a line by the claim that was made in it.
pub const LEAVING: LogFormat = LogFormat(6);

/// The format that brought who does what by the word of a certificate.
pub const CERTIFIED: LogFormat = LogFormat(7);

/// The format from which on each batch says what its primary had executed when it made it.
pub const LINKED: LogFormat = LogFormat(8);

/// The highest format that this program can read.
pub const HIGHEST: LogFormat = LINKED;

/// The log has come to a format that this program cannot read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the log has format {found} from epoch {epoch} on, and this program reads formats up to \
     {highest}: start a newer one on the same data directory"
)]
pub struct UnsupportedFormat {
    /// The format of the log.
    pub found: LogFormat,
    /// Since which epoch.
    pub epoch: shared::ids::Epoch,
    /// What this program can read.
    pub highest: LogFormat,
}

/// Whether a program that reads formats up to `highest` may go on from this state.
///
/// # Errors
/// When it must not: what it executed to come there, from the view on that raised the
/// format, must not be kept.
pub fn check(meta: &Meta, highest: LogFormat) -> Result<(), UnsupportedFormat> {
    let found = meta.format();
    if found <= highest {
        Ok(())
    } else {
        Err(UnsupportedFormat { found, epoch: meta.epoch(), highest })
    }
}
