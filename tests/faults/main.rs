//! Services under faults: real processes on real disks, killed, stopped, cut off, filled up, failed and damaged while clients read,
//! write, compare and delete; then healed, and held to everything that the clients heard.
//!
//! Each scenario ends alike ([`scenario`]): all replicas have the same hash, the log executes to what each of them holds, and
//! the clients' history is linearizable, by a search key by key and against the log as witness.
//!
//! Scenarios run one at a time, each with some seconds of faults. For as long as one likes:
//!
//! ```text
//! SYNOD_FAULT_SECONDS=600 cargo test -p tests --test faults -- --nocapture [NAME]
//! ```
//!
//! `SYNOD_FAULT_SEED` repeats the choices of a run (not its timing), `SYNOD_FAULT_KEEP=1` keeps data and logs.
//! `mount` (a small tmpfs) needs root and `strace` is to be installed; a scenario that lacks them prints `SKIPPED` and why.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test of real processes reads clocks, draws a seed, and tells people what it saw"
)]

mod damage;
mod disk_errors;
mod disk_full;
mod kill;
mod network;
mod pause;
mod reply_cut;
mod scenario;
mod swapped;

use std::path::Path;

/// The `synod` binary under test.
fn synod() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_synod-under-test"))
}
