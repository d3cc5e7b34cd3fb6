//! The replica service: a learner that executes the chosen log into SQLite, and serves it. One of them is the primary: it takes
//! mutations, has them proposed in batches, and answers what executing them came to. All of them serve linearizable reads.
//!
//! ```text
//!             ┌──────────────── driver: owns the pure replica, does what it says ───────────────┐
//! client ───▶ http ──Message──▶ replica ──Effect──▶ calls ──▶ coordinators, acceptors, replicas │
//!             │   ◀──Answer──── (pure)  ──Execute─▶ executor ──▶ store: one writer, many readers │
//!             └──────────────── reads, once released ──────────────────────────▶ ┘
//! ```
//!
//! The pure part in reading order: [`command`] (what is asked), [`chain`], [`working_set`], [`execute`] and [`outcome`] (what is
//! done), [`describe`] (how it is shown), [`request`] (what a client's request says), [`event`], [`answer`], [`config`] and
//! [`status`] (what goes in and out), [`replica`] (who does it when). The shell: [`store`] (SQLite), `driver`, `http`, `args`,
//! `run`.
//!
//! Deliberately absent: a cache beside SQLite, because its page cache is one; votes, because a replica has none: what is chosen
//! is what acceptors say; any decision in the shell.

pub mod command;

pub mod chain;
pub mod describe;
pub mod execute;
pub mod outcome;
pub mod working_set;

pub mod request;

pub mod answer;
pub mod config;
pub mod event;
pub mod status;

mod batching;
mod fetching;
mod learner;
mod members;
mod quorum_read;
pub mod replica;

pub mod store;

mod driver;

mod http;

mod args;
mod run;

#[cfg(test)]
mod tests;

pub use args::Args;
pub use run::run;
