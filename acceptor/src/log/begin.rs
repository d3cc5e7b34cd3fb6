//! A log that begins in the middle: of a new acceptor, beside a state that is restored.
//!
//! What is below its first slot counts as chosen, trimmed and voted in: so no coordinator
//! proposes anything there, and nobody who asks is told "no vote". The acceptor belongs to no
//! cluster, as every new one, and joins the one that forms.

use std::path::Path;

use shared::ids::Slot;
use shared::random;

use crate::acceptor::{Acceptor, Limits, Record};
use crate::log::disk::Disk;
use crate::log::error::LogError;
use crate::log::recovery::folder::list;
use crate::log::{Log, Options};

/// Makes the log of a new acceptor, of no cluster, for a state in which all slots below one
/// are executed already: they count as chosen and trimmed, and the first that is voted in is
/// that one. There must be no log yet.
///
/// # Errors
/// When the disk fails.
///
/// # Panics
/// When there is a log.
pub fn begin_at(folder: &Path, below: Slot) -> Result<(), LogError> {
    assert!(list(folder)?.is_empty(), "there is a log in {}", folder.display());
    let mut acceptor = Acceptor::new(random::acceptor_id(), random::draw(), Limits::default());
    let trimmed = Record::Trimmed { below, voted_below: below, chosen_below: below };
    acceptor.replay(trimmed);
    acceptor.check_invariants();
    let log = Log::found(Disk::default(), folder, Options::default(), &acceptor)?;
    Ok(log.close()?)
}
