//! Whole clusters of real processes for the services tests.
//!
//! [`cluster`] starts every service as a process of its own, on ports that [`ports`] reserves, with data below a temporary
//! directory; [`process`] kills, stops and restarts one; [`workload`] writes through the balancer meanwhile and remembers what
//! was acknowledged, refused and left open, so that [`workload::Record::check`] can hold every replica to it.

pub mod cluster;
pub mod ports;
pub mod process;
pub mod workload;
