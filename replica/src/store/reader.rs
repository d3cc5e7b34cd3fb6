//! The read-only connections, each owned by a task of its own.
//!
//! Point reads that wait share one statement: while all connections are busy the queue
//! grows, and whoever is free next takes up to [`POINTS_PER_STATEMENT`] of them (a
//! statement through sqlx costs more than the reading). A statement is one read
//! transaction, so that a record and the revision of the state it was read from always
//! belong together.
#![expect(clippy::disallowed_methods, reason = "the shell starts tasks")]

use std::path::Path;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use shared::deadline::Deadline;
use shared::ids::Revision;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Connection};
use tokio::sync::{Mutex, mpsc, oneshot};

use super::deletions::not_hidden;
use super::error::{ReadError, RevisionError, StoreError};
use super::history::{self, Extent, HistoryPage, HistoryQuery};
use super::list::{self, CountQuery, Counted, ListPage, ListQuery};
use super::log::{self, LogPage, LogQuery};
use super::multi_row::{self, MultiRow};
use super::record::{Checked, Item, counter, item_of};
use super::schema;
use super::tenure::{self, read::TenurePage, read::TenureQuery};

/// The most point reads in one statement.
const POINTS_PER_STATEMENT: usize = multi_row::MOST;
/// The most point reads that wait for a connection: a few statements' worth for each.
/// More are refused at once.
const POINTS_WAITING: usize = 4_096;
/// The most pages that wait for a connection.
const PAGES_WAITING: usize = 256;

/// One key as of a revision, and the revision of the state it was read from.
#[derive(Debug)]
pub(crate) struct Point {
    /// The record; none where the key does not exist.
    pub(crate) item: Option<Item>,
    /// The revision of the state.
    pub(crate) revision: Revision,
}

struct PointJob {
    key: Bytes,
    at: Option<Revision>,
    reply: oneshot::Sender<Result<Point, ReadError>>,
}

enum PageJob {
    List(ListQuery, oneshot::Sender<Result<ListPage, ReadError>>),
    Count(CountQuery, oneshot::Sender<Result<Counted, ReadError>>),
    Log(LogQuery, oneshot::Sender<Result<LogPage, ReadError>>),
    Extent(oneshot::Sender<Result<Extent, ReadError>>),
    History(HistoryQuery, oneshot::Sender<Result<HistoryPage, ReadError>>),
    Tenure(TenureQuery, oneshot::Sender<Result<TenurePage, ReadError>>),
}

/// Asks the read-only connections. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    points: mpsc::Sender<PointJob>,
    pages: mpsc::Sender<PageJob>,
}

impl Reader {
    /// Opens the connections; what makes the file unusable later is reported once, to
    /// `fatal`.
    pub(super) async fn open(
        path: &Path,
        connections: usize,
        fatal: &mpsc::Sender<StoreError>,
    ) -> Result<Self, sqlx::Error> {
        let (points, points_queue) = mpsc::channel(POINTS_WAITING);
        let (pages, pages_queue) = mpsc::channel(PAGES_WAITING);
        let queues = Arc::new(Mutex::new(Queues { points: points_queue, pages: pages_queue }));
        for _ in 0..connections {
            let connection = SqliteConnection::connect_with(&schema::reader_options(path)).await?;
            tokio::spawn(serve(connection, Arc::clone(&queues), fatal.clone()));
        }
        Ok(Self { points, pages })
    }

    /// Reads a key, as it is or as it was at a revision.
    pub(crate) async fn point(&self, key: Bytes, at: Option<Revision>) -> Result<Point, ReadError> {
        let (reply, answer) = oneshot::channel();
        send(&self.points, PointJob { key, at, reply }, POINTS_WAITING)?;
        answer.await.map_err(|_| ReadError::Closed)?
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
            send(&self.pages, PageJob::List(query.clone(), reply), PAGES_WAITING)?;
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
            send(&self.pages, PageJob::Count(query, reply), PAGES_WAITING)?;
            let counted = answer.await.map_err(|_| ReadError::Closed)??;
            (keys, rest) = (keys + counted.keys, counted.rest);
        }
        Ok(keys)
    }

    /// Reads a page of the executed log.
    pub(crate) async fn log(&self, query: LogQuery) -> Result<LogPage, ReadError> {
        let (reply, answer) = oneshot::channel();
        send(&self.pages, PageJob::Log(query, reply), PAGES_WAITING)?;
        answer.await.map_err(|_| ReadError::Closed)?
    }

    /// Reads of leases and locks.
    pub(crate) async fn tenure(&self, query: TenureQuery) -> Result<TenurePage, ReadError> {
        let (reply, answer) = oneshot::channel();
        send(&self.pages, PageJob::Tenure(query, reply), PAGES_WAITING)?;
        answer.await.map_err(|_| ReadError::Closed)?
    }

    /// Reads of which revisions the changes can be read.
    pub(crate) async fn extent(&self) -> Result<Extent, ReadError> {
        let (reply, answer) = oneshot::channel();
        send(&self.pages, PageJob::Extent(reply), PAGES_WAITING)?;
        answer.await.map_err(|_| ReadError::Closed)?
    }

    /// Reads a page of changes. It may be empty and not the last.
    pub(crate) async fn history(&self, query: HistoryQuery) -> Result<HistoryPage, ReadError> {
        let (reply, answer) = oneshot::channel();
        send(&self.pages, PageJob::History(query, reply), PAGES_WAITING)?;
        answer.await.map_err(|_| ReadError::Closed)?
    }
}

fn send<T>(queue: &mpsc::Sender<T>, job: T, limit: usize) -> Result<(), ReadError> {
    queue.try_send(job).map_err(|error| match error {
        mpsc::error::TrySendError::Full(_) => ReadError::Overloaded { limit },
        mpsc::error::TrySendError::Closed(_) => ReadError::Closed,
    })
}

struct Queues {
    points: mpsc::Receiver<PointJob>,
    pages: mpsc::Receiver<PageJob>,
}

enum Work {
    Points(Vec<PointJob>),
    Page(PageJob),
}

impl Queues {
    async fn next(&mut self) -> Option<Work> {
        let mut points = Vec::new();
        tokio::select! {
            count = self.points.recv_many(&mut points, POINTS_PER_STATEMENT) => (count > 0).then_some(Work::Points(points)),
            page = self.pages.recv() => page.map(Work::Page),
        }
    }
}

async fn serve(
    mut connection: SqliteConnection,
    queues: Arc<Mutex<Queues>>,
    fatal: mpsc::Sender<StoreError>,
) {
    loop {
        // The lock is held while waiting, which is what puts the other connections in a
        // queue for work.
        let work = queues.lock().await.next().await;
        let trouble = match work {
            Some(Work::Points(jobs)) => serve_points(&mut connection, jobs).await,
            Some(Work::Page(PageJob::List(query, reply))) => {
                answer(reply, list::page(&mut connection, &query).await)
            }
            Some(Work::Page(PageJob::Count(query, reply))) => {
                answer(reply, list::count(&mut connection, &query).await)
            }
            Some(Work::Page(PageJob::Log(query, reply))) => {
                answer(reply, log::page(&mut connection, &query).await)
            }
            Some(Work::Page(PageJob::Extent(reply))) => {
                answer(reply, history::extent(&mut connection).await)
            }
            Some(Work::Page(PageJob::History(query, reply))) => {
                answer(reply, history::page(&mut connection, &query).await)
            }
            Some(Work::Page(PageJob::Tenure(query, reply))) => {
                answer(reply, tenure::read::page(&mut connection, &query).await)
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

/// Reads in one transaction, so that all that is read is of one state.
pub(super) async fn in_transaction<T>(
    connection: &mut SqliteConnection,
    read: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, ReadError>,
) -> Result<T, ReadError> {
    let mut transaction = connection.begin().await.map_err(StoreError::from)?;
    let found = read(&mut transaction).await?;
    transaction.commit().await.map_err(StoreError::from)?;
    Ok(found)
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

async fn serve_points(
    connection: &mut SqliteConnection,
    mut jobs: Vec<PointJob>,
) -> Option<StoreError> {
    jobs.retain(|job| !job.reply.is_closed());
    if jobs.is_empty() {
        return None;
    }
    let found = match points(connection, &jobs).await {
        Ok(found) => found,
        Err(error) => {
            let refuse = |job: PointJob| answer(job.reply, Err(ReadError::Store(error.clone())));
            return jobs.into_iter().filter_map(refuse).last();
        }
    };
    for (job, Found { point, oldest }) in jobs.into_iter().zip(found) {
        let at = RevisionError::check(job.at, point.revision, oldest);
        answer(job.reply, at.map(|_| point).map_err(ReadError::from));
    }
    None
}

/// A point, and the oldest revision that could be read then.
struct Found {
    point: Point,
    oldest: Revision,
}

static SELECT_POINTS: LazyLock<MultiRow> = LazyLock::new(|| {
    const TAIL: &str = concat!(
        ") SELECT a.ordinal, m.revision, m.compacted_below, v.key, v.revision, \
         v.created_revision, v.version, v.lease, v.sum, v.content_type, v.value \
         FROM asked a CROSS JOIN meta m LEFT JOIN versions v ON v.id = \
         (SELECT id FROM versions WHERE key = a.key AND revision <= a.at ORDER BY revision \
         DESC LIMIT 1) AND ",
        not_hidden!("v", "a.at"),
        " WHERE a.ordinal IS NOT NULL"
    );
    MultiRow::new("WITH asked(ordinal, key, at) AS (VALUES ", "(?,?,?)", TAIL)
});

async fn points(
    connection: &mut SqliteConnection,
    jobs: &[PointJob],
) -> Result<Vec<Found>, StoreError> {
    let mut query = sqlx::query(AssertSqlSafe(SELECT_POINTS.with_room_for(jobs.len())));
    for (ordinal, job) in (0..).zip(jobs) {
        let at = job.at.map_or(i64::MAX, |at| i64::try_from(at.0).unwrap_or(i64::MAX));
        query = query.bind::<i64>(ordinal).bind(job.key.to_vec()).bind(at);
    }
    let rows = query.fetch_all(&mut *connection).await?;
    let mut found = rows.iter().map(found_in).collect::<Result<Vec<_>, _>>()?;
    found.sort_unstable_by_key(|(ordinal, _)| *ordinal);
    Ok(found.into_iter().map(|(_, found)| found).collect())
}

fn found_in(row: &SqliteRow) -> Result<(u64, Found), StoreError> {
    let (revision, oldest) = (Revision(counter(row, 1)?), Revision(counter(row, 2)?));
    let point = Point { item: item_of(row, 3, Checked::Whole)?, revision };
    Ok((counter(row, 0)?, Found { point, oldest }))
}
