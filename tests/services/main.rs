//! Real processes on real disks: what the services do together, and what is left when one
//! of them is killed.
#![expect(clippy::disallowed_methods, reason = "the tests of real processes wait in real time")]
#![expect(clippy::print_stdout, reason = "how long writes stopped is for people to read")]

mod acceptors;
mod access;
mod backup;
mod bad_starts;
mod balancer;
mod bank;
mod bounded_disks;
mod bounds;
mod cli;
mod client;
mod compaction;
mod console;
mod contract;
mod conventions;
mod coordinators;
mod demo;
mod documents;
mod doors;
mod edge;
mod events;
mod exactly_once;
mod folder_gone;
mod history_once;
mod idle;
mod jwt;
mod kill_each_role;
mod leases;
mod lost_disks;
mod members;
mod metrics;
mod new_replica;
mod no_quorum;
mod one_name;
mod other_cluster;
mod pasted;
mod put_back;
mod rollback;
mod rolling_upgrade;
mod secrets;
mod spans;
mod sql;
mod switch_over;
mod tls;
mod top;
mod traces;
mod transactions;
mod tree;
mod unseen;
mod up;
mod verify;
mod versions;
mod watch;
mod wiped;

use std::path::Path;

/// The `synod` binary under test.
fn synod() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_synod-under-test"))
}
