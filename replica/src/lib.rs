//! The replica: a learner that executes the chosen log into SQLite, and serves it.
//!
//! The pure part in reading order: [`command`] (what is asked), [`chain`], [`working_set`], [`execute`] and [`outcome`] (what is done),
//! [`describe`] (how it is shown), [`event`], [`answer`], [`config`] and [`status`] (what goes in and out), [`replica`] (who does it when).

pub mod command;

pub mod chain;
pub mod describe;
pub mod execute;
pub mod outcome;
pub mod working_set;

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

mod store;

mod driver;

mod http;

mod args;
mod run;
#[cfg(test)]
mod tests;

pub use args::Args;
pub use run::run;
