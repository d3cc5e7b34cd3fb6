//! What a log means: commands, what executing them does, and what comes of it. Pure: a
//! function of the log.
//!
//! In reading order: [`command`] (what is asked), [`identity`] (by which request), [`chain`]
//! (the hash over the log), [`mod@format`] (which encodings are readable), [`working_set`] (the
//! records that a run of slots looks at), [`execute`] and [`outcome`] (what is done),
//! [`put_values`] (where values stand in a batch), [`describe`] (how it is
//! shown to people).

pub mod command;
pub mod identity;

pub use shared::chain;
pub mod format;
pub mod working_set;

pub mod execute;
pub mod outcome;
pub mod put_values;

pub mod describe;
