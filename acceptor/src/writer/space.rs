//! Room for records on disk: a fresh segment where the present one is full, and what is
//! said where there is no space for one.
#![expect(clippy::disallowed_methods, reason = "the shell reads the clock")]

use std::path::PathBuf;
use std::time::Instant;

use shared::ids::AcceptorId;
use shared::message::{AcceptReply, Full};
use tracing::{info, warn};

use super::{Flushed, Writer};
use crate::acceptor::Record;
use crate::handle::Refusal;
use crate::log::disk::DiskError;
use crate::log::error::LogError;

/// Whether the log has taken the records of a plan.
pub(super) enum Room {
    Staged,
    None(NoSpace),
}

/// No space is left on disk for this file.
#[derive(Clone, Debug)]
pub(super) struct NoSpace(PathBuf);

impl NoSpace {
    pub(super) fn refusal(&self) -> Refusal {
        Refusal::NoSpace(self.0.display().to_string())
    }

    pub(super) fn full(&self, acceptor: AcceptorId) -> AcceptReply {
        AcceptReply::Full(Full {
            acceptor,
            limit: format!("disk: no space left for {}", self.0.display()),
        })
    }
}

impl Writer {
    /// Whether the disk has room for a record, as far as is known: that it was found full some
    /// time ago says nothing, for nobody may have written since.
    pub(super) fn can_write(&mut self) -> Result<bool, LogError> {
        match self.log.ensure_space() {
            Ok(()) => Ok(!self.was_full_just_now()),
            Err(DiskError::NoSpace { path }) => {
                self.found_full(path);
                Ok(false)
            }
            Err(error @ (DiskError::Failed { .. } | DiskError::Gone(_))) => Err(error.into()),
        }
    }

    /// Stages the records of a plan, in a fresh segment if need be. The plan can be
    /// carried out afterwards, and only then: the state is still the one that it was made
    /// for.
    pub(super) fn make_room(&mut self, records: &[Record]) -> Result<Room, LogError> {
        if records.is_empty() {
            return Ok(Room::Staged);
        }
        match self.log.ensure_space().map(|()| self.log.stage(records)) {
            Ok(Ok(())) => Ok(Room::Staged),
            Ok(Err(_)) => self.make_room_elsewhere(records),
            Err(DiskError::NoSpace { path }) => Ok(Room::None(self.found_full(path))),
            Err(error @ (DiskError::Failed { .. } | DiskError::Gone(_))) => Err(error.into()),
        }
    }

    fn make_room_elsewhere(&mut self, records: &[Record]) -> Result<Room, LogError> {
        if let Flushed::Refused(no_space) = self.flush()? {
            return Ok(Room::None(no_space));
        }
        let Err(needed) = self.log.stage(records) else { return Ok(Room::Staged) };
        if self.was_full_just_now() {
            return Ok(Room::None(NoSpace(self.log.folder().to_owned())));
        }
        match self.log.rotate(&self.acceptor, needed) {
            Ok(()) => {
                self.log.stage(records).expect("a fresh segment has room for what it was made for");
                if self.full_since.take().is_some() {
                    self.published.send_modify(|durable| durable.full = None);
                    info!("there is space for the log again");
                }
                Ok(Room::Staged)
            }
            Err(DiskError::NoSpace { path }) => Ok(Room::None(self.found_full(path))),
            Err(error @ (DiskError::Failed { .. } | DiskError::Gone(_))) => Err(error.into()),
        }
    }

    fn was_full_just_now(&self) -> bool {
        self.full_since.is_some_and(|since| since.elapsed() < self.space_retry)
    }

    pub(super) fn found_full(&mut self, path: PathBuf) -> NoSpace {
        let now = Some(Instant::now());
        if std::mem::replace(&mut self.full_since, now).is_none() {
            warn!(file = %path.display(), "no space left on disk: refusing votes until there is");
        }
        self.published.send_modify(|durable| durable.full = now);
        NoSpace(path)
    }
}
