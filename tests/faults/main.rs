//! Services under faults: real processes on real disks, killed, stopped, cut off, filled
//! up, failed and damaged while clients read, list, write, compare and delete; then
//! healed, and held to everything that the clients heard.
//!
//! Each scenario ends alike ([`scenario`]): all replicas have the same hash, the log
//! executes to what each of them holds, and the clients' history is linearizable, by a
//! search key by key and against the log as witness. It prints one line of what clients
//! did and heard and the longest time without an acknowledged mutation, and fails where
//! that is too long or hardly anything happened.
//!
//! | what goes wrong | what must hold | where |
//! | --- | --- | --- |
//! | SIGKILL of every role in a loop, of leader and primary at once | nothing acknowledged is lost | [`kill`] |
//! | SIGKILL of one after the other | a lease that is renewed is kept, and its fence; others end in time | [`leases`] |
//! | SIGSTOP from 0.1 s to 6 s, beyond every time-out of a client; to 33 s, beyond those of requests and of idle connections, only from `SYNOD_FAULT_SECONDS=120` on; then SIGCONT | others take over; who wakes up answers nothing from the past | [`pause`] |
//! | connections cut, delayed, half-open, one-way, through a proxy | who is alone answers no one | [`network`] |
//! | an answer cut after the mutation took effect | the client hears "unknown", and it is there | [`reply_cut`] |
//! | a replica is taken out and joins, the primary is switched, history is dropped, acceptors are replaced and become three, five and three, one after the other, while who has to do with it and anybody else is killed or stopped | each is finished or undone, and nothing stays under way | [`acts`] |
//! | packets lost, both ways and one way: leader, primary, a minority with both, halves with a bridge, single links, flapping cables, a blackout | who has a quorum goes on within seconds, who has none acknowledges nothing; dead connections hold nobody up | [`partition`] |
//! | acceptors and replicas on 8 MB disks that fill up | mutations refused, reads go on, it heals with space | [`disk_full`] |
//! | two of three replicas gone for long, with acceptors that hold 8 MB | they leave the view, acceptors trim, and they rejoin | [`gone`] |
//! | EIO on writes and syncs, ENOSPC | the process ends and says why; nothing is acknowledged from memory | [`disk_errors`] |
//! | flipped bits and early ends, at many places of an acceptor's log and a replica's database | noticed and named, or without effect | [`damage`] |
//! | the same, where acknowledged writes stand in the votes of that acceptor and one other alone | they are found again | [`votes_alone`] |
//! | an acceptor without its disk; data directories and logs swapped, or copied | not counted, refused, or harmless | [`swapped`] |
//!
//! Two scenarios run at a time, each with some seconds of faults. For as long as one
//! likes:
//!
//! ```text
//! SYNOD_FAULT_SECONDS=600 cargo test -p tests --test faults -- --nocapture [NAME]
//! ```
//!
//! `SYNOD_FAULTS_TLS=1` has all of them speak TLS, clients too, and know each other by
//! certificates. `SYNOD_FAULT_SEED` repeats the choices of a run (not its timing), `SYNOD_FAULT_KEEP=1`
//! keeps data and logs. `mount` (a small tmpfs), `strace` and `ip` (of iproute2) need
//! root and are to be installed; a scenario that lacks them prints `SKIPPED` and why, or
//! fails where `SYNOD_FAULTS_MUST_RUN=1` is set.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test of real processes reads clocks, draws a seed, and tells people what it saw"
)]

mod acts;
mod damage;
mod disk_errors;
mod disk_full;
mod gone;
mod hang;
mod hosts;
mod kill;
mod leases;
mod network;
mod partition;
mod pause;
mod reply_cut;
mod scenario;
mod swapped;
mod votes_alone;

use std::path::Path;

/// The `synod` binary under test.
fn synod() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_synod-under-test"))
}
