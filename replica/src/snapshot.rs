//! Snapshots: the whole state in one file, made while the replica goes on, and what is made
//! of such a file.
//!
//! ```text
//! state.sqlite ──VACUUM INTO──▶ snapshots/N.snapshot ──GET /v1/snapshot──▶ a client's file
//!                                                                             │ restore
//! replica-N/state.sqlite of a new cluster, acceptors whose logs begin there ◀─┘
//! ```
//!
//! In reading order: `file` (the file's format, and how one is refused), `make` (how one
//! is made), `shelf` (how many there are, and for how long), `fetch` (how a replica gets
//! another one's to go on from). What a restored replica begins with is written by
//! `store::restore`, and how another one's state takes the place of the own by
//! `store::install`.

mod fetch;
pub mod file;
mod make;
mod shelf;

#[cfg(test)]
mod tests;

pub(crate) use fetch::{FetchError, FetchProgress, Wanted, fetch};
#[cfg(test)]
pub(crate) use make::make;
pub(crate) use make::{DISK_RESERVE_BYTES, MakeError};
pub(crate) use shelf::{Kept, NoSnapshot, Shelf, Tag};
