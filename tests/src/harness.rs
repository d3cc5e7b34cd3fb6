//! Whole clusters of real processes for the services tests.
//!
//! [`cluster`] starts every service as a process of its own, on ports that [`ports`]
//! reserves, with data below a temporary directory; [`process`] kills, stops and restarts
//! one. [`recorder`] and [`mix`] are clients that read, write, compare and delete the same
//! few keys meanwhile and remember what they heard when; [`verify`] then replays the log,
//! holds every replica to it, and both checkers of
//! [`linearizability`](crate::linearizability) to what was heard; [`summary`] says what
//! it all came to. [`events`] is a client that watches; [`exposition`] reads metrics.
//!
//! The faults tests go further. [`network`] stands between the services and cuts, delays
//! or silences what goes from one to another; [`lan`] gives each service a network
//! namespace and drops packets between them; [`disk`] and [`errors`] fill, damage and
//! fail disks. [`pki`] has certificates for clusters that speak TLS, and [`tunnel`] carries
//! what clients say to them.
#![expect(clippy::disallowed_methods, reason = "the harness runs real processes in real time")]

pub mod cluster;
pub mod disk;
pub mod errors;
pub mod events;
pub mod exposition;
pub mod lan;
mod link;
pub mod mix;
pub mod namespace;
pub mod network;
mod owners;
pub mod pki;
pub mod ports;
pub mod process;
pub mod recorder;
pub mod skip;
pub mod summary;
pub mod tunnel;
pub mod verify;
