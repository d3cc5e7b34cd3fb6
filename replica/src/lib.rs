//! The replica: a learner that executes the chosen log into SQLite, and serves it.
//!
//! The pure part in reading order: [`command`] (what is asked), [`chain`], [`working_set`] and [`execute`] (what is done),
//! [`event`], [`config`] and [`replica`] (who does it when).

pub mod command;

pub mod chain;
pub mod execute;
pub mod working_set;

pub mod config;
pub mod event;
pub mod replica;
