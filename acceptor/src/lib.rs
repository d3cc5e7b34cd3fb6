//! The acceptor service: a durable voter, and the cluster's only fixed point. Every other
//! service is told nothing but the acceptors' URLs.
//!
//! Paxos loses nothing that a majority of its acceptors remember, so an acceptor has one
//! duty beyond the protocol: to remember what it has answered, and to know when it does
//! not. It keeps its promise and its votes in a log of its own, answers only after a
//! sync, and refuses to start from a log that is damaged anywhere but where a crash may
//! have cut it short.
//!
//! ```text
//! coordinator ──POST /v1/accept──▶ http ──Job──▶ writer ─▶ acceptor  (what to record, what to answer)
//!                                                  │ ─────▶ log       (one write, one sync for all that waited)
//! coordinator ◀──────reply─────── http ◀──Answer───┤
//! replica     ◀──GET /v1/watermarks─── Durable ◀───┘                  (published after the sync, before the answers)
//! ```
//!
//! In reading order: [`acceptor`] (the protocol, pure), [`decision`] ("persist before
//! answering", as types), `succession` (from one roster to the next), [`limits`] (what it
//! lets in), `invariants` (what always holds); [`log`] (what it remembers, on disk);
//! `writer` (group commit) and `handle` (the way to it); [`directory`] (who is there,
//! pure), `http`, `metrics`, `args`.
//!
//! Deliberately absent: reading values (they are opaque here), learning what is chosen
//! (leaders say so), and any message to another service: an acceptor only answers.

pub mod acceptor;
pub mod decision;
mod invariants;
pub mod limits;
mod succession;

pub mod log;

mod handle;
mod writer;

mod args;
pub mod directory;
mod http;
mod metrics;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use anyhow::Context as _;
pub use args::Args;
pub use log::begin::begin_at;
pub use log::disk::DiskError;
pub use log::error::LogError;
pub use log::recovery::{inspect, recover};
pub use log::replay::Contradiction;
use shared::datadir::{DataDir, DataDirError};
use shared::message::Service as Kind;
use shared::server::{Doors, serve};
use shared::service::Running;
use shared::telemetry::Traced;

use crate::http::{LogFolder, POLLS, SPANS, Service, routes};
use crate::log::disk::Disk;
use crate::metrics::Measured;

/// The folder of the log in the data directory.
pub const LOG: &str = "log";

/// Runs an acceptor until it is told to end, or its log cannot be relied on any more.
///
/// # Errors
/// When the data directory is not this acceptor's, its log is damaged, or the disk fails.
pub async fn run(args: Args, mut running: Running) -> anyhow::Result<()> {
    let (limits, options) = (args.limits(), args.options());
    let data_dir = DataDir::open(&args.data_dir.data_dir, Kind::Acceptor, &running.name)?;
    let folder = data_dir.join(LOG);
    let measured = Measured::register(&mut running.metrics);
    let opened = tokio::task::spawn_blocking(move || {
        writer::start(Disk::default(), &folder, options, limits, measured)
    });
    let (handle, mut ended) =
        opened.await.context("the log could not be read")?.map_err(cannot_start)?;
    metrics::expose(&mut running.metrics, handle.clone(), limits, data_dir.path().to_owned());
    let (own, admission) = (running.member(), running.admission());
    let log = LogFolder { path: data_dir.join(LOG), segment_bytes: options.segment_bytes };
    let service = Service::new(handle.clone(), running.identity, own, log);
    let serving = serve(
        Doors::new(running.listener, running.internal),
        routes(Arc::clone(&service)),
        Traced { service: Kind::Acceptor, names: SPANS, polls: POLLS },
        admission,
        running.metrics,
        running.shutdown,
    );
    tokio::select! {
        served = serving => served.context("the listener failed")?,
        // Whatever waits for an answer is cut off: nothing is known of what the disk
        // holds.
        result = &mut ended => {
            return result.context("the log's writer broke")?.map_err(failed);
        }
        gone = data_dir.gone(&[LOG]) => return Err(gone.into()),
    }
    handle.close().await;
    ended.await.context("the log's writer broke")?.map_err(failed)
}

/// Starting again does not help where the log is damaged; where the disk failed, it may.
fn cannot_start(error: LogError) -> anyhow::Error {
    match error {
        LogError::Damaged { .. } | LogError::Missing { .. } => {
            DataDirError::Damaged(error.to_string()).into()
        }
        LogError::Disk(_) => failed(error),
    }
}

/// What became of the data directory is said as such: starting again makes it worse.
fn failed(error: LogError) -> anyhow::Error {
    match error {
        LogError::Disk(DiskError::Gone(gone)) => gone.into(),
        LogError::Disk(DiskError::NoSpace { .. } | DiskError::Failed { .. })
        | LogError::Damaged { .. }
        | LogError::Missing { .. } => anyhow::Error::from(error).context("the log failed"),
    }
}
