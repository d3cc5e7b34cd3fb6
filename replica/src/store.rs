//! The replica's state in SQLite: `state.sqlite` in the data directory.
//!
//! One connection writes (`Writer`), some only read (`Reader`). The state is what
//! executing the log makes of it, so nothing here decides anything: the file may be
//! behind (it is brought up from the log), it is never ahead of or beside it. Every
//! transaction is a whole number of slots, with `meta` saying how many.
//!
//! In reading order: `schema`, `file`, `open`, `writer`, `ahead` (what is executed and not
//! stored) with `keys`, `versions`, `deletions`, `rollback`, `tenure` and `authors` (what it
//! writes), `compaction` (what goes) and `weighing` (how much that would be), `checkpoint` with `copying`
//! and `wal` in its folder (what a start holds the WAL against), `reader` with `points` (single
//! keys), `list` and `history` in its folder, `log`, each by `transaction`; `sum` and `verify`
//! notice damage, and `digest` what another replica has otherwise; `offline`, `audit` and
//! `restore` are for when no replica runs, and `install` is how another one's state takes the
//! place of this one's.

mod access;
mod ahead;
mod answers;
mod audit;
mod authors;
mod bounds;
mod checkpoint;
mod compaction;
mod deletions;
mod digest;
mod error;
mod file;
mod head_cache;
mod install;
mod keys;
mod left_out;
mod log;
mod meta;
mod multi_row;
mod offline;
mod open;
mod reader;
mod record;
mod restore;
mod rollback;
mod schema;
mod statements;
mod storing;
mod sum;
mod tables;
mod tenure;
#[cfg(test)]
mod tests;
mod transaction;
mod verify;
mod versions;
mod weighing;
mod writer;

pub use audit::{Audit, audit, audit_snapshot, execute_again};
pub(crate) use bounds::{above_prefix, lowest_above};
pub(crate) use checkpoint::{Checkpointer, Committed, Copied, Synced, WalSpace};
pub(crate) use deletions::not_hidden;
pub(crate) use digest::{FORMAT as DIGEST_FORMAT, PinnedState, StateDigest, connect};
pub use error::{OpenError, StoreError};
pub(crate) use error::{ReadError, RevisionError};
pub use file::FILE;
pub(crate) use install::{adopt, discard, incoming, prepare};
pub(crate) use log::{LogPage, LogQuery, LogRow};
pub use offline::{Inspected, execute, inspect};
#[cfg(test)]
pub(crate) use open::Store;
pub(crate) use open::open;
pub(crate) use reader::Reader;
#[cfg(test)]
pub(crate) use reader::history::Extent;
pub(crate) use reader::history::{HistoryPage, HistoryQuery, KeyChange, Position};
pub(crate) use reader::list::{CountQuery, ListPage, ListQuery, Order, Show};
pub(crate) use record::Item;
pub use restore::{restore, restore_again};
pub(crate) use tenure::read::{LockState, TenurePage, TenureQuery};
#[cfg(test)]
pub(crate) use tests::drop_history;
pub(crate) use writer::Writer;
