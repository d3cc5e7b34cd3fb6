//! The read-only connections: of pages, each owned by a task of its own, and those of
//! single keys ([`points`](self::points)).

pub(super) mod history;
pub(super) mod list;
mod points;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use shared::deadline::Deadline;
use shared::ids::Revision;
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::task::TaskTracker;

use self::history::{Extent, HistoryPage, HistoryQuery};
use self::list::{CountQuery, Counted, ListPage, ListQuery};
use self::points::{Point, Points};
use super::authors;
use super::error::{ReadError, StoreError};
use super::log::{self, LogPage, LogQuery};
use super::schema;
use super::tenure::{self, read::TenurePage, read::TenureQuery};
use crate::machine::command::Attribution;

/// The most pages that wait for a connection.
const PAGES_WAITING: usize = 256;

enum PageJob {
    List(ListQuery, oneshot::Sender<Result<ListPage, ReadError>>),
    Count(CountQuery, oneshot::Sender<Result<Counted, ReadError>>),
    Log(LogQuery, oneshot::Sender<Result<LogPage, ReadError>>),
    Extent(oneshot::Sender<Result<Extent, ReadError>>),
    History(HistoryQuery, oneshot::Sender<Result<HistoryPage, ReadError>>),
    Tenure(TenureQuery, oneshot::Sender<Result<TenurePage, ReadError>>),
    Authors((Vec<Bytes>, Revision), oneshot::Sender<Result<Authors, ReadError>>),
}

/// Who made the last change of each key that was asked for, where it is known.
type Authors = Vec<Option<Attribution>>;

/// Asks the read-only connections. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    points: Points,
    pages: mpsc::Sender<PageJob>,
}

impl Reader {
    /// Opens so many connections for pages, and half as many for single keys; what makes
    /// the file unusable later is reported once, to `fatal`. They are closed when the
    /// `tasks` have ended, which they do once nobody can ask any more.
    pub(super) async fn open(
        path: &Path,
        connections: usize,
        fatal: &mpsc::Sender<StoreError>,
        tasks: &TaskTracker,
    ) -> Result<Self, StoreError> {
        let points = Points::open(path, connections.div_ceil(2), fatal, tasks)?;
        let (pages, queue) = mpsc::channel(PAGES_WAITING);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..connections {
            let connection = SqliteConnection::connect_with(&schema::reader_options(path)).await?;
            tasks.spawn(serve(connection, Arc::clone(&queue), fatal.clone()));
        }
        Ok(Self { points, pages })
    }

    /// Reads a key, as it is or as it was at a revision.
    pub(crate) async fn point(&self, key: Bytes, at: Option<Revision>) -> Result<Point, ReadError> {
        self.points.read(key, at).await
    }

    /// Reads a page of keys. It goes on past deleted keys until there is something to
    /// show, or the end, or the deadline passes.
    pub(crate) async fn list(
        &self,
        mut query: ListQuery,
        deadline: Deadline,
    ) -> Result<ListPage, ReadError> {
        loop {
            let (reply, answer) = oneshot::channel();
            self.send(PageJob::List(query.clone(), reply))?;
            let page = answer.await.map_err(|_| ReadError::Closed)??;
            match query.beyond(&page).filter(|_| !deadline.remaining().is_zero()) {
                Some(rest) => query = rest,
                None => return Ok(page),
            }
        }
    }

    /// Counts what a deletion of a prefix deleted. The state must be at its revision.
    pub(crate) async fn count(&self, query: CountQuery) -> Result<u64, ReadError> {
        let (mut keys, mut rest) = (0, Some(query));
        while let Some(query) = rest {
            let (reply, answer) = oneshot::channel();
            self.send(PageJob::Count(query, reply))?;
            let counted = answer.await.map_err(|_| ReadError::Closed)??;
            (keys, rest) = (keys + counted.keys, counted.rest);
        }
        Ok(keys)
    }

    /// Reads a page of the executed log.
    pub(crate) async fn log(&self, query: LogQuery) -> Result<LogPage, ReadError> {
        let (reply, answer) = oneshot::channel();
        self.send(PageJob::Log(query, reply))?;
        answer.await.map_err(|_| ReadError::Closed)?
    }

    /// Reads of leases and locks.
    pub(crate) async fn tenure(&self, query: TenureQuery) -> Result<TenurePage, ReadError> {
        let (reply, answer) = oneshot::channel();
        self.send(PageJob::Tenure(query, reply))?;
        answer.await.map_err(|_| ReadError::Closed)?
    }

    /// Reads of which revisions the changes can be read.
    pub(crate) async fn extent(&self) -> Result<Extent, ReadError> {
        let (reply, answer) = oneshot::channel();
        self.send(PageJob::Extent(reply))?;
        answer.await.map_err(|_| ReadError::Closed)?
    }

    /// Reads a page of changes. It may be empty and not the last.
    pub(crate) async fn history(&self, query: HistoryQuery) -> Result<HistoryPage, ReadError> {
        let (reply, answer) = oneshot::channel();
        self.send(PageJob::History(query, reply))?;
        answer.await.map_err(|_| ReadError::Closed)?
    }

    /// Reads who made the last change of each of these keys up to a revision, where it is
    /// known.
    pub(crate) async fn authors(
        &self,
        keys: Vec<Bytes>,
        at: Revision,
    ) -> Result<Authors, ReadError> {
        let (reply, answer) = oneshot::channel();
        self.send(PageJob::Authors((keys, at), reply))?;
        answer.await.map_err(|_| ReadError::Closed)?
    }

    fn send(&self, job: PageJob) -> Result<(), ReadError> {
        self.pages.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ReadError::Overloaded { limit: PAGES_WAITING },
            mpsc::error::TrySendError::Closed(_) => ReadError::Closed,
        })
    }
}

async fn serve(
    mut connection: SqliteConnection,
    queue: Arc<Mutex<mpsc::Receiver<PageJob>>>,
    fatal: mpsc::Sender<StoreError>,
) {
    loop {
        // The lock is held while waiting, which is what puts the other connections in a
        // queue for work.
        let job = queue.lock().await.recv().await;
        let trouble = match job {
            Some(PageJob::List(query, reply)) => {
                answer(reply, list::page(&mut connection, &query).await)
            }
            Some(PageJob::Count(query, reply)) => {
                answer(reply, list::count(&mut connection, &query).await)
            }
            Some(PageJob::Log(query, reply)) => {
                answer(reply, log::page(&mut connection, &query).await)
            }
            Some(PageJob::Extent(reply)) => answer(reply, history::extent(&mut connection).await),
            Some(PageJob::History(query, reply)) => {
                answer(reply, history::page(&mut connection, &query).await)
            }
            Some(PageJob::Tenure(query, reply)) => {
                answer(reply, tenure::read::page(&mut connection, &query).await)
            }
            Some(PageJob::Authors((keys, at), reply)) => {
                answer(reply, authors::of_keys(&mut connection, &keys, at).await)
            }
            None => break,
        };
        if let Some(error) = trouble {
            // Full means that somebody reported it already.
            let _ = fatal.try_send(error);
            return;
        }
    }
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "closing a read-only connection failed");
    }
}

/// Sends the answer; gives back the error that must stop the process, if it is one.
fn answer<T>(
    reply: oneshot::Sender<Result<T, ReadError>>,
    result: Result<T, ReadError>,
) -> Option<StoreError> {
    let fatal = match &result {
        Err(ReadError::Store(error)) if error.is_fatal() => Some(error.clone()),
        Err(
            ReadError::Store(_)
            | ReadError::Overloaded { .. }
            | ReadError::Revision(_)
            | ReadError::Trimmed { .. }
            | ReadError::Closed,
        )
        | Ok(_) => None,
    };
    // Whoever asked may have gone.
    let _ = reply.send(result);
    fatal
}
