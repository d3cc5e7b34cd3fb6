//! What a log means: commands, what executing them does, and what comes of it. Pure: a
//! function of the log.
//!
//! In reading order: [`command`] (what is asked), [`identity`] (by which request), [`chain`]
//! (the hash over the log), [`mod@format`] (which encodings are readable), [`state`] and its
//! parts, [`keys`], [`answers`] and [`access`] (what there is), [`run`] and [`execute`]
//! (what is done),
//! [`txn`] (what transactions are), [`outcome`] and
//! [`change`] (what comes of it), [`put_values`] (where values stand in a batch),
//! [`describe`] (how it is shown to people).

pub mod command;
pub mod identity;

pub use shared::chain;
pub mod access;
pub mod answers;
pub mod format;
pub mod keys;
pub mod leases;
pub mod locks;
pub mod state;

pub mod change;
pub mod execute;
pub mod outcome;
pub mod put_values;
pub mod run;
pub mod txn;

pub mod describe;
