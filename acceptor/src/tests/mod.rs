//! The log and its writer, on real files and on disks that fail.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use shared::ids::{AcceptorId, Ballot, ClusterId, CoordinatorId, Generation, Slot};
use shared::message::{Accept, Roster, Service, SlotValue};
use shared::metrics::Metrics;
use tempfile::TempDir;

use crate::acceptor::{Acceptor, Limits};
use crate::log::disk::Disk;
use crate::log::error::LogError;
use crate::log::{Log, Options, SPACE_RETRY};
use crate::metrics::Measured;

mod begin;
mod damage;
mod heard;
mod log;
mod metrics;
mod nonsense;
mod torn;
mod writer;

/// Small segments, so that a test fills some.
const SMALL: Options =
    Options { segment_bytes: 8_192, reserve_bytes: 1_024, space_retry: SPACE_RETRY };

/// What the writer counts in, and its registry.
fn measured() -> (Measured, Metrics) {
    let mut metrics = Metrics::new(Service::Acceptor, &"acceptor-1".parse().unwrap());
    (Measured::register(&mut metrics), metrics)
}

fn ballot(round: u64) -> Ballot {
    Ballot { round, coordinator: CoordinatorId(7) }
}

fn roster_of(acceptor: AcceptorId) -> Roster {
    Roster::new(ClusterId(1), Generation(0), vec![acceptor]).unwrap()
}

/// A value without zeros.
fn value(slot: u64, bytes: usize) -> Bytes {
    Bytes::from(vec![u8::try_from(slot % 200).unwrap() + 1; bytes])
}

fn accept(acceptor: AcceptorId, slot: u64, bytes: usize) -> Accept {
    let proposals = vec![SlotValue { slot: Slot(slot), value: value(slot, bytes) }];
    Accept {
        roster: roster_of(acceptor),
        ballot: ballot(1),
        proposals,
        chosen_below: Slot(0),
        trim_below: Slot(0),
    }
}

fn trim(acceptor: AcceptorId, below: u64) -> Accept {
    let roster = roster_of(acceptor);
    Accept {
        roster,
        ballot: ballot(1),
        proposals: Vec::new(),
        chosen_below: Slot(below),
        trim_below: Slot(below),
    }
}

/// A log and its acceptor, without the writer.
struct Fixture {
    folder: PathBuf,
    disk: Disk,
    options: Options,
    log: Log,
    acceptor: Acceptor,
    _temp: Option<TempDir>,
}

impl Fixture {
    fn new(options: Options) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("log");
        let disk = Disk::default();
        let (log, acceptor) = Log::open(disk.clone(), &folder, options, Limits::default()).unwrap();
        Self { folder, disk, options, log, acceptor, _temp: Some(temp) }
    }

    /// One group with one accept in it, in a fresh segment where it does not fit.
    fn write(&mut self, accept: &Accept) {
        let plan = self.acceptor.plan_accept(accept).unwrap();
        if let Err(needed) = self.log.stage(plan.records()) {
            self.log.rotate(&self.acceptor, needed).unwrap();
            self.log.stage(plan.records()).unwrap();
        }
        let _decision = self.acceptor.commit(plan);
        self.log.flush(&self.acceptor).unwrap();
        self.log.clean_up().unwrap();
    }

    fn vote(&mut self, slot: u64, bytes: usize) {
        self.write(&accept(self.acceptor.id(), slot, bytes));
    }

    fn trim(&mut self, below: u64) {
        self.write(&trim(self.acceptor.id(), below));
    }

    /// Opens the folder as it is, as a process would that starts.
    fn reopen(&self) -> Result<(Log, Acceptor), LogError> {
        Log::open(self.disk.clone(), &self.folder, self.options, Limits::default())
    }

    /// Ends this process's use of the log without closing it, and starts again.
    fn restart(self) -> Self {
        let Self { folder, disk, options, log, acceptor, _temp } = self;
        drop((log, acceptor));
        let (log, acceptor) = Log::open(disk.clone(), &folder, options, Limits::default()).unwrap();
        Self { folder, disk, options, log, acceptor, _temp }
    }

    fn state(&self) -> String {
        state(&self.acceptor)
    }

    fn segments(&self) -> Vec<PathBuf> {
        segments(&self.folder)
    }
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort_unstable();
    paths
}

/// Changes a file in place: where a file is truncated first, some file systems write it
/// to the disk at once, and that takes time.
fn put(path: &Path, bytes: impl AsRef<[u8]>) {
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path).unwrap();
    file.write_all(bytes.as_ref()).unwrap();
    file.set_len(bytes.as_ref().len() as u64).unwrap();
}

/// All that an acceptor remembers.
fn state(acceptor: &Acceptor) -> String {
    format!("{acceptor:?}")
}
