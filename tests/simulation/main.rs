//! Simulated clusters of the real cores: see `tests::simulation`.
//!
//! `SYNOD_LEASE_HOURS` sets for how long leases are watched, `SYNOD_SEEDS` how many seeds are
//! tried, and `SYNOD_SEEDS_FROM` from which on: without it, ones that nobody has tried. From two
//! thousand on, everything that is counted must have been reached. `synod-sim` runs on for as
//! long as one likes, replays a run, and makes it shorter.

mod determinism;
mod foreign;
mod leases;
mod minimising;
mod put_back;
mod seeds;
mod succession;
