//! Whole clusters of the real cores, in simulated time, under every fault that a seed can think of.
//!
//! Nothing here models Paxos: the acceptor's, the coordinator's and the replica's cores are the ones that the services run, and
//! the shells around them ([`acceptor`], [`coordinator`], [`replica`]) only do what the real shells do, otherwise: disks
//! ([`disk`], [`database`]) that lose what was not synced, a [`network`] that loses, repeats, delays and cuts, and [`clock`]s that
//! drift and jump.
//!
//! A run ([`run`]) follows a [`plan`] drawn from one seed. It has a safety phase, in which [`faults`] happen and the
//! [`observer`] checks the named invariants after every event, from the acceptors' votes; then a quorum is healed and
//! everything outstanding must end in bounded simulated time. At the end the clients' histories are checked for linearizability.
//!
//! The model is FoundationDB's simulation (Zhou and others, *FoundationDB*, 2021, section 4) and TigerBeetle's VOPR. Time, order,
//! loss and crashes come from the seed and from nowhere else, so one seed is one run, byte for byte.
//!
//! Not simulated: bytes (the formats of disk and wire are tested where they are), HTTP, SQLite, and threads.

pub mod random;

pub mod queue;

pub mod clock;
pub mod node;

pub mod event;
pub mod message;

pub mod drag;
pub mod network;

pub mod database;
pub mod disk;

pub mod acceptor;
pub mod coordinator;
pub mod replica;

pub mod client;
pub mod commands;

pub mod faults;
pub mod plan;

pub mod environment;
pub mod observer;
pub mod world;

pub mod batch;
pub mod failure;
pub mod healing;
pub mod minimise;
pub mod reach;
pub mod run;
pub mod trace;
