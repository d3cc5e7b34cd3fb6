//! The replica's state in SQLite: `state.sqlite` in the data directory.
//!
//! One connection writes (`Writer`), some only read (`Reader`). The state is what
//! executing the log makes of it, so nothing here decides anything: the file may be
//! behind (it is brought up from the log), it is never ahead of or beside it. Every
//! transaction is a whole number of slots, with `meta` saying how many.
//!
//! In reading order: `schema`, `writer`, `apply` (one transaction) with `keys` and
//! `ranges` (what it writes), `checkpoint`, `reader`, `list`, `log`; `sum` and `verify` notice
//! damage; `offline` is for when no replica runs.

mod apply;
mod checkpoint;
mod error;
mod keys;
mod left_out;
mod list;
mod log;
mod meta;
mod multi_row;
mod offline;
mod ranges;
mod reader;
mod record;
mod schema;
mod sum;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

use std::path::Path;

use shared::ids::{ClusterId, Name};
use tokio::sync::mpsc;

use crate::machine::format;

pub(crate) use checkpoint::{Checkpointer, Committed, Copied, Synced};
pub use error::{OpenError, StoreError};
pub(crate) use list::{
    ABOVE_EVERY_KEY, CountQuery, ListPage, ListQuery, Order, Show, lowest_above,
};
pub(crate) use log::{LogPage, LogQuery, LogRow};
pub use offline::{Inspected, execute, inspect};
pub(crate) use reader::{ReadError, Reader};
pub(crate) use record::Item;
pub(crate) use writer::Writer;

/// The name of the file.
pub const FILE: &str = "state.sqlite";

/// An opened state.
#[derive(Debug)]
pub(crate) struct Store {
    /// Executes.
    pub(crate) writer: Writer,
    /// Makes durable what was executed.
    pub(crate) checkpointer: Checkpointer,
    /// Reads.
    pub(crate) reader: Reader,
    /// Of which cluster it is, where that is known already.
    pub(crate) cluster: Option<ClusterId>,
    /// Whether there was none before.
    pub(crate) is_new: bool,
    /// What makes it unusable while it is read.
    pub(crate) fatal: mpsc::Receiver<StoreError>,
}

/// Opens the state in a data directory, or makes an empty one; checks it, and makes it
/// durable.
pub(crate) async fn open(
    dir: &Path,
    replica: &Name,
    read_connections: usize,
) -> Result<Store, OpenError> {
    let path = dir.join(FILE);
    let (mut connection, is_new) = schema::open(&path, replica).await?;
    let unusable = |error: StoreError| schema::unusable(&path, error);
    let (meta, cluster) = meta::load(&mut connection).await.map_err(unusable)?;
    if let Some(what) = meta::inconsistency(&mut connection, &meta).await.map_err(unusable)? {
        return Err(unusable(StoreError::Damaged(what)));
    }
    format::check(&meta, format::HIGHEST).map_err(|error| unusable(error.into()))?;
    let ranges = ranges::Ranges::load(&mut connection).await.map_err(unusable)?;
    let mut writer = Writer::new(&path, connection, meta, cluster, ranges);
    writer.checkpoint().await.map_err(unusable)?;
    let (report_fatal, fatal) = mpsc::channel(1);
    let reader = Reader::open(&path, read_connections, &report_fatal)
        .await
        .map_err(|error| unusable(error.into()))?;
    Ok(Store { writer, checkpointer: Checkpointer::new(&path), reader, cluster, is_new, fatal })
}
