//! How a state is opened, with all that works on it.

use std::path::Path;

use shared::ids::{ClusterId, Name, Slot};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::ahead::Ahead;
use super::checkpoint::Checkpointer;
use super::checkpoint::copying::CopyNote;
use super::error::{OpenError, StoreError, not_copied};
use super::file::{FILE, connect};
use super::install;
use super::reader::Reader;
use super::schema::unusable;
use super::verify;
use super::writer::Writer;
use crate::machine::format;

/// An opened state.
#[derive(Debug)]
pub(crate) struct Store {
    /// Executes.
    pub(crate) writer: Writer,
    /// Makes durable what was executed.
    pub(crate) checkpointer: Checkpointer,
    /// Reads.
    pub(crate) reader: Reader,
    /// They end when the connections are closed that read, after all of the [`Reader`]'s
    /// clones are gone. The writer leaves no WAL behind where it is closed after them.
    pub(crate) readers: TaskTracker,
    /// Of which cluster it is, where that is known already.
    pub(crate) cluster: Option<ClusterId>,
    /// Below which slot votes were cast when it joined that.
    pub(crate) joined_at: Slot,
    /// Whether there was none before.
    pub(crate) is_new: bool,
    /// What makes it unusable while it is read …
    pub(crate) fatal: mpsc::Receiver<StoreError>,
    /// … and where that is told.
    pub(crate) report_fatal: mpsc::Sender<StoreError>,
}

/// Opens the state in a data directory, or makes an empty one; checks it, and makes it
/// durable.
pub(crate) async fn open(
    dir: &Path,
    replica: &Name,
    read_connections: usize,
) -> Result<Store, OpenError> {
    let path = dir.join(FILE);
    let unusable = |error: StoreError| unusable(&path, error);
    let installed = install::finish(dir).map_err(|error| unusable(not_copied(&path, &error)))?;
    if installed {
        tracing::info!(file = %path.display(), "the state is another replica's from now on");
    }
    let note = CopyNote::open(&path)?;
    let (mut connection, is_new) = connect(&path, replica).await?;
    let row = verify::meta(&mut connection).await.map_err(unusable)?;
    format::check(&row.meta, format::HIGHEST).map_err(|error| unusable(error.into()))?;
    let ahead = Ahead::load(&mut connection, &row.meta).await.map_err(unusable)?;
    let (cluster, joined_at) = (row.cluster, row.joined_at);
    let mut writer = Writer::new((&path, note.clone()), connection, row, ahead);
    writer.checkpoint().await.map_err(unusable)?;
    let (report_fatal, fatal) = mpsc::channel(1);
    let readers = TaskTracker::new();
    let reader = Reader::open(&path, read_connections, &report_fatal, &readers).await;
    let reader = reader.map_err(unusable)?;
    readers.close();
    let checkpointer = Checkpointer::new(&path, note);
    Ok(Store {
        writer,
        checkpointer,
        reader,
        readers,
        cluster,
        joined_at,
        is_new,
        fatal,
        report_fatal,
    })
}
