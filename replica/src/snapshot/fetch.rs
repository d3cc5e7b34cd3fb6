//! How another replica's snapshot is fetched: to a file, in bounded memory, gone on with
//! where it was cut off, and held against its digest before it is of any use.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use shared::client::{AnswerBody, CallError, ReplicaClient};
use shared::config::BaseUrl;
use shared::deadline::SNAPSHOT_WAIT;
use shared::disk::Space;
use shared::ids::{ClusterId, Name, Slot};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::watch;

use super::file::{self, SnapshotError};
use super::make::DISK_RESERVE_BYTES;
use crate::store::{self, OpenError};

/// While a snapshot is made, the replica that makes it may say so many times in a row that it
/// is not there.
const SILENCES: u32 = 3;
/// So long all of it may take.
const WHOLE: Duration = Duration::from_secs(3_600);
/// The most times in all that one is asked for, the first and those after it was cut off …
const REQUESTS: u32 = 20;
/// … and in a row of which each was waited for in vain.
const STALLS: u32 = 3;

/// How long it is waited for another replica.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// While it makes a snapshot it is asked every so often whether it is there.
    alive: Duration,
    /// For so long nothing may come.
    stall: Duration,
    /// Before one that was cut off is gone on with.
    pause: Duration,
}

const PATIENCE: Patience = Patience {
    alive: Duration::from_secs(2),
    stall: Duration::from_secs(10),
    pause: Duration::from_millis(200),
};

/// Why there is no new state. What came is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// The other replica gives none.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It was cut off again and again.
    #[error("it was cut off {REQUESTS} times, the last time after {bytes} bytes")]
    CutOff {
        /// How much of it had come.
        bytes: u64,
    },
    /// Whoever sends it hangs.
    #[error("nothing came of it, {STALLS} times in a row, after {bytes} bytes")]
    Stalled {
        /// How much of it had come.
        bytes: u64,
    },
    /// It took too long.
    #[error("it did not come within {WHOLE:?}")]
    TooSlow,
    /// It answers what is no answer to this.
    #[error("the answer is none: {0}")]
    Nonsense(String),
    /// There is too little room on the disk.
    #[error(
        "it has {needed} bytes, of which {DISK_RESERVE_BYTES} are to stay free for this replica, \
         and the disk has {free}"
    )]
    NoRoom {
        /// Its length and the reserve, in bytes.
        needed: u64,
        /// What there is, in bytes.
        free: u64,
    },
    /// What came is not what was made.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// It is no state that this replica can go on from.
    #[error(transparent)]
    State(#[from] OpenError),
    /// The disk fails.
    #[error("it cannot be written: {0}")]
    Disk(#[from] io::Error),
}

/// How far one has come, and why the last one could not be had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FetchProgress {
    /// How much has come of the one that is under way, in bytes …
    pub(crate) bytes: u64,
    /// … and how long that is, once it is made.
    pub(crate) total: Option<u64>,
    /// Whose could not be had, and why, in words.
    pub(crate) failed: Option<String>,
}

/// Where a new state comes from, and whose it is to be.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// The other replica.
    pub(crate) source: BaseUrl,
    /// The cluster of both.
    pub(crate) cluster: ClusterId,
    /// Below which slot votes were cast when this one joined it.
    pub(crate) joined_at: Slot,
    /// The name of this one.
    pub(crate) replica: Name,
    /// Its data directory.
    pub(crate) dir: PathBuf,
}

/// Fetches a snapshot, and makes a state of it that only has to be adopted. Says which slots
/// are executed in it. Of one that cannot be had nothing is left.
pub(crate) async fn fetch(
    wanted: &Wanted,
    progress: &watch::Sender<FetchProgress>,
) -> Result<Slot, FetchError> {
    progress.send_modify(|progress| (progress.bytes, progress.total) = (0, None));
    let fetched = make_state(wanted, progress).await;
    if fetched.is_err()
        && let Err(error) = store::discard(&wanted.dir)
    {
        tracing::debug!(%error, "what came of a state stays until the next one comes");
    }
    fetched
}

async fn make_state(
    wanted: &Wanted,
    progress: &watch::Sender<FetchProgress>,
) -> Result<Slot, FetchError> {
    let Wanted { source, cluster, joined_at, replica, dir } = wanted;
    store::discard(dir)?;
    let path = store::incoming(dir);
    let from = Source { client: ReplicaClient::new(source.clone()), cluster: *cluster };
    let download = download(&from, &path, PATIENCE, progress);
    let bytes = tokio::time::timeout(WHOLE, download).await.unwrap_or(Err(FetchError::TooSlow))?;
    tracing::info!(bytes, "a snapshot has come, and is checked");
    let checked = path.clone();
    let contents = tokio::task::spawn_blocking(move || file::check(&checked));
    let contents = contents.await.map_err(io::Error::from)??;
    let meta = store::prepare(dir, replica, (*cluster, *joined_at)).await?;
    debug_assert_eq!(meta.executed_below, contents.executed_below, "of one state");
    Ok(meta.executed_below)
}

/// Whom a snapshot is asked of.
struct Source {
    client: ReplicaClient,
    cluster: ClusterId,
}

/// What has come.
struct Part<'a> {
    file: File,
    bytes: u64,
    progress: &'a watch::Sender<FetchProgress>,
    /// Of which snapshot it is a part.
    etag: Option<HeaderValue>,
}

/// Says how many bytes it has.
async fn download(
    Source { client, cluster }: &Source,
    path: &Path,
    patience: Patience,
    progress: &watch::Sender<FetchProgress>,
) -> Result<u64, FetchError> {
    let mut part = Part { file: File::create(path).await?, bytes: 0, progress, etag: None };
    let mut stalls = 0;
    for _ in 0..REQUESTS {
        let asked = async {
            tokio::select! {
                answer = client.snapshot(*cluster, part.range(), SNAPSHOT_WAIT) => answer,
                silent = silence(client, patience.alive) => Err(silent),
            }
        };
        let came = match asked.await {
            // It comes to itself, or does not.
            Err(error) if part.bytes == 0 || !may_pass(&error) => return Err(error.into()),
            Err(CallError::Timeout { .. }) => Came::NothingInTime,
            Err(_) => Came::Some,
            Ok(answer) => {
                let total = part.begin(&answer, path).await?;
                let came = part.take(answer.into_body(), total, patience.stall).await?;
                if part.bytes == total {
                    part.file.sync_all().await?;
                    return Ok(total);
                }
                came
            }
        };
        stalls = match came {
            Came::NothingInTime => stalls + 1,
            Came::Some => 0,
        };
        if stalls == STALLS {
            return Err(FetchError::Stalled { bytes: part.bytes });
        }
        tokio::time::sleep(patience.pause).await;
    }
    Err(FetchError::CutOff { bytes: part.bytes })
}

/// Whether whoever was asked hangs.
enum Came {
    /// A part came, or the connection broke.
    Some,
    /// It was waited for in vain.
    NothingInTime,
}

/// Ends once the replica says nothing any more.
async fn silence(client: &ReplicaClient, alive: Duration) -> CallError {
    let mut silences = 0;
    loop {
        tokio::time::sleep(alive).await;
        match client.status(alive).await {
            Ok(_) => silences = 0,
            Err(error) => {
                silences += 1;
                if silences == SILENCES {
                    return error;
                }
            }
        }
    }
}

/// Whether the same replica may have the rest yet.
fn may_pass(error: &CallError) -> bool {
    match error {
        CallError::Connect { .. } | CallError::Timeout { .. } | CallError::Broken { .. } => true,
        CallError::Refused { status, .. } => *status == StatusCode::SERVICE_UNAVAILABLE,
        CallError::OtherVersion { .. } | CallError::Nonsense { .. } => false,
    }
}

impl Part<'_> {
    /// What to ask for: the rest, if it is still to be had.
    fn range(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(etag) = self.etag.clone().filter(|_| self.bytes > 0) {
            let rest = HeaderValue::from_str(&format!("bytes={}-", self.bytes));
            headers.insert(header::RANGE, rest.expect("digits"));
            headers.insert(header::IF_RANGE, etag);
        }
        headers
    }

    /// What comes now is the rest, or the whole of another one. Says how long the whole is.
    async fn begin(
        &mut self,
        answer: &Response<AnswerBody>,
        path: &Path,
    ) -> Result<u64, FetchError> {
        let nonsense = |what: &str| FetchError::Nonsense(what.to_owned());
        let headers = answer.headers();
        let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        let length: Option<u64> = length.and_then(|text| text.parse().ok());
        let length = length.ok_or_else(|| nonsense("it does not say how long it is"))?;
        if answer.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            return Err(nonsense("it has no such part"));
        }
        if answer.status() == StatusCode::PARTIAL_CONTENT {
            let range = headers.get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
            let is_rest = range
                .is_some_and(|text| text.strip_prefix(&format!("bytes {}-", self.bytes)).is_some());
            let total = self.bytes.saturating_add(length);
            return if is_rest { Ok(total) } else { Err(nonsense("it is another part")) };
        }
        self.progress.send_modify(|progress| progress.total = Some(length));
        self.etag = headers.get(header::ETAG).cloned();
        if self.bytes > 0 {
            self.file = File::create(path).await?;
            self.bytes = 0;
            self.progress.send_modify(|progress| progress.bytes = 0);
        }
        let needed = length.saturating_add(DISK_RESERVE_BYTES);
        let free = Space::of_file(path)?.free_bytes;
        if needed > free {
            return Err(FetchError::NoRoom { needed, free });
        }
        Ok(length)
    }

    /// Writes what comes, until it ends or nothing comes any more.
    async fn take(
        &mut self,
        mut body: AnswerBody,
        total: u64,
        stall: Duration,
    ) -> Result<Came, FetchError> {
        let mut came = Came::Some;
        let before = self.bytes;
        loop {
            match tokio::time::timeout(stall, body.frame()).await {
                Ok(Some(Ok(frame))) => {
                    let Ok(piece) = frame.into_data() else { continue };
                    if self.bytes + piece.len() as u64 > total {
                        let what = format!("it has more than the {total} bytes that it says");
                        return Err(FetchError::Nonsense(what));
                    }
                    self.file.write_all(&piece).await?;
                    self.bytes += piece.len() as u64;
                    self.progress.send_modify(|progress| progress.bytes = self.bytes);
                }
                Ok(None) => break,
                Ok(Some(Err(error))) => {
                    tracing::debug!(%error, bytes = self.bytes, "a snapshot was cut off");
                    break;
                }
                Err(_elapsed) => {
                    tracing::debug!(bytes = self.bytes, "nothing came of a snapshot for long");
                    if self.bytes == before {
                        came = Came::NothingInTime;
                    }
                    break;
                }
            }
        }
        self.file.flush().await?;
        Ok(came)
    }
}

#[cfg(test)]
mod tests;
