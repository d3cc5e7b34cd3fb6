//! A disk that fails on demand, for tests.

use std::io;
use std::sync::{Condvar, Mutex};

use rustix::io::Errno;

/// What fails next; see [`Disk`](crate::log::disk::Disk).
#[derive(Debug, Default)]
pub(crate) struct Faults {
    state: Mutex<State>,
    released: Condvar,
}

#[derive(Debug, Default)]
struct State {
    write: Option<(usize, Errno)>,
    sync: Option<Errno>,
    full: bool,
    syncs: u64,
    writes: u64,
    held: bool,
    holding: bool,
}

impl Faults {
    /// The next write stops after so many bytes.
    pub(crate) fn fail_write_after(&self, bytes: usize, error: Errno) {
        self.state.lock().unwrap().write = Some((bytes, error));
    }

    /// The next sync fails.
    pub(crate) fn fail_sync(&self, error: Errno) {
        self.state.lock().unwrap().sync = Some(error);
    }

    /// Whether there is space for another segment.
    pub(crate) fn set_full(&self, full: bool) {
        self.state.lock().unwrap().full = full;
    }

    /// How often anything was synced.
    pub(crate) fn syncs(&self) -> u64 {
        self.state.lock().unwrap().syncs
    }

    /// How often anything was written.
    pub(crate) fn writes(&self) -> u64 {
        self.state.lock().unwrap().writes
    }

    /// From now on a sync does not return.
    pub(crate) fn hold_syncs(&self) {
        self.state.lock().unwrap().held = true;
    }

    /// Waits until a sync is being held.
    pub(crate) fn wait_until_held(&self) {
        drop(self.released.wait_while(self.state.lock().unwrap(), |state| !state.holding).unwrap());
    }

    /// Lets syncs return again.
    pub(crate) fn release_syncs(&self) {
        self.state.lock().unwrap().held = false;
        self.released.notify_all();
    }

    pub(crate) fn on_write(&self, length: usize) -> Option<(usize, io::Error)> {
        let mut state = self.state.lock().unwrap();
        state.writes += 1;
        let (written, error) = state.write.take()?;
        Some((written.min(length), error.into()))
    }

    pub(crate) fn on_sync(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.syncs += 1;
        state.holding = state.held;
        self.released.notify_all();
        let mut state = self.released.wait_while(state, |state| state.held).unwrap();
        state.holding = false;
        state.sync.take().map_or(Ok(()), |error| Err(error.into()))
    }

    pub(crate) fn on_allocate(&self) -> io::Result<()> {
        if self.state.lock().unwrap().full { Err(Errno::NOSPC.into()) } else { Ok(()) }
    }
}
