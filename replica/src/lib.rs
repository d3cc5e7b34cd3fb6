//! The replica: a learner that executes the chosen log into SQLite, and serves it.
//!
//! The pure part in reading order: [`command`] (what is asked), [`chain`], [`working_set`] and [`execute`] (what is done).

pub mod command;

pub mod chain;
pub mod execute;
pub mod working_set;
