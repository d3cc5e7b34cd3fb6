//! Reads of single keys, by threads of their own.
//!
//! They are what clients ask for most, and cost little beside what it takes to hand them
//! to another thread and back. So whoever is free takes all that wait, up to
//! [`POINTS_AT_ONCE`], and their answers come back together. All of them are read in one
//! read transaction, so that a record and the revision of the state it was read from
//! always belong together.
//!
//! Threads are woken by a task: it runs after those that are ready to ask, so that one
//! call of the system wakes a thread for all of these. A second one is woken only where
//! more wait than one takes quickly: when one is held up by the disk, the others go on.
//!
//! Nothing of the file is locked before the first read, and once the last task has ended
//! that was started here ([`TaskTracker::wait`]) every connection is closed: whoever
//! closes the file after that is the last one, and leaves no WAL behind.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, Statement, params};
use shared::ids::Revision;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::task::TaskTracker;

use crate::store::deletions::not_hidden;
use crate::store::error::{ReadError, RevisionError, StoreError};
use crate::store::record::{Checked, Columns, Item};
use crate::store::schema::BUSY_TIMEOUT;

/// The most reads that a thread takes at once.
const POINTS_AT_ONCE: usize = 64;
/// From so many that wait on, one more thread is woken.
const ONE_MORE_FROM: usize = 16;
/// The most reads that wait for a thread. More are refused at once.
const POINTS_WAITING: usize = 4_096;
/// Answers that wait to be handed out, each of up to [`POINTS_AT_ONCE`] reads.
const ANSWERS_WAITING: usize = 16;

/// One key as of a revision, and the revision of the state it was read from.
#[derive(Debug)]
pub(crate) struct Point {
    /// The record; none where the key does not exist.
    pub(crate) item: Option<Item>,
    /// The revision of the state.
    pub(crate) revision: Revision,
}

struct Job {
    key: Bytes,
    at: Option<Revision>,
    reply: oneshot::Sender<Result<Point, ReadError>>,
}

type Answers = Vec<(oneshot::Sender<Result<Point, ReadError>>, Result<Point, ReadError>)>;

/// Asks the threads. They end with the last of its clones.
#[derive(Clone, Debug)]
pub(super) struct Points(Arc<OpenQueue>);

/// A queue that closes when nobody can ask any more.
#[derive(Debug)]
struct OpenQueue(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    /// A thread is to be woken.
    is_due: Notify,
    is_work: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// Threads that wait for work.
    idle: usize,
    is_closed: bool,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("key", &self.key).field("at", &self.at).finish_non_exhaustive()
    }
}

impl Points {
    /// Opens a connection for each of so many threads; what makes the file unusable later
    /// is reported once, to `fatal`. The connections are closed when the `tasks` have
    /// ended.
    pub(super) fn open(
        path: &Path,
        threads: usize,
        fatal: &mpsc::Sender<StoreError>,
        tasks: &TaskTracker,
    ) -> Result<Self, StoreError> {
        let queue = Arc::new(Queue::default());
        let points = Self(Arc::new(OpenQueue(Arc::clone(&queue))));
        let (answers, answered) = mpsc::channel(ANSWERS_WAITING);
        tasks.spawn(hand_out(answered));
        tasks.spawn(Arc::clone(&queue).wake());
        for number in 0..threads {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path, flags)?;
            connection.busy_timeout(BUSY_TIMEOUT)?;
            let thread = Thread {
                queue: Arc::clone(&queue),
                answers: answers.clone(),
                fatal: fatal.clone(),
            };
            thread::Builder::new()
                .name(format!("store-points-{number}"))
                .spawn(move || thread.run(connection))
                .map_err(|error| StoreError::Failed(format!("no thread that reads: {error}")))?;
        }
        Ok(points)
    }

    /// Reads a key, as it is or as it was at a revision.
    pub(super) async fn read(&self, key: Bytes, at: Option<Revision>) -> Result<Point, ReadError> {
        let (reply, answer) = oneshot::channel();
        self.0.0.put(Job { key, at, reply })?;
        answer.await.map_err(|_| ReadError::Closed)?
    }
}

impl Drop for OpenQueue {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().expect("a panic under the lock ends the process")
    }

    fn put(&self, job: Job) -> Result<(), ReadError> {
        let mut waiting = self.lock();
        if waiting.is_closed {
            return Err(ReadError::Closed);
        }
        if waiting.jobs.len() >= POINTS_WAITING {
            return Err(ReadError::Overloaded { limit: POINTS_WAITING });
        }
        waiting.jobs.push_back(job);
        if waiting.jobs.len() % ONE_MORE_FROM == 1 {
            self.is_due.notify_one();
        }
        Ok(())
    }

    /// Wakes threads for what waits, until nobody asks any more.
    async fn wake(self: Arc<Self>) {
        loop {
            self.is_due.notified().await;
            let waiting = self.lock();
            let wanted = waiting.jobs.len().div_ceil(ONE_MORE_FROM).min(waiting.idle);
            let is_closed = waiting.is_closed;
            drop(waiting);
            (0..wanted).for_each(|_| self.is_work.notify_one());
            if is_closed {
                return;
            }
        }
    }

    /// Waits for reads; none once nobody asks any more.
    fn take(&self) -> Option<Vec<Job>> {
        let mut waiting = self.lock();
        while waiting.jobs.is_empty() {
            if waiting.is_closed {
                return None;
            }
            waiting.idle += 1;
            waiting = self.is_work.wait(waiting).expect("a panic under the lock ends the process");
            waiting.idle -= 1;
        }
        let count = waiting.jobs.len().min(POINTS_AT_ONCE);
        Some(waiting.jobs.drain(..count).collect())
    }

    /// Nothing is read any more; whoever waits hears it.
    fn close(&self) {
        let mut waiting = self.lock();
        waiting.is_closed = true;
        waiting.jobs.clear();
        drop(waiting);
        self.is_due.notify_one();
        self.is_work.notify_all();
    }
}

/// Answers wake whoever asked from here: from a thread that is none of the runtime's,
/// each one would cost a system call. It ends when every thread has closed its
/// connection.
async fn hand_out(mut answered: mpsc::Receiver<Answers>) {
    while let Some(answers) = answered.recv().await {
        for (reply, answer) in answers {
            // Whoever asked may have gone.
            let _ = reply.send(answer);
        }
    }
}

struct Thread {
    queue: Arc<Queue>,
    answers: mpsc::Sender<Answers>,
    fatal: mpsc::Sender<StoreError>,
}

impl Thread {
    fn run(self, connection: Connection) {
        if let Err(error) = self.serve(&connection) {
            // Full means that somebody reported it already.
            let _ = self.fatal.try_send(error);
            self.queue.close();
        }
        if let Err((_connection, error)) = connection.close() {
            tracing::debug!(%error, "closing a read-only connection failed");
        }
        // What is closed is closed by now for whoever waits for the last of these.
        drop(self.answers);
    }

    /// Ends when nobody asks any more, or with what makes the file unusable.
    fn serve(&self, connection: &Connection) -> Result<(), StoreError> {
        let mut statements = None;
        while let Some(mut jobs) = self.queue.take() {
            jobs.retain(|job| !job.reply.is_closed());
            let (answers, trouble) = match read(connection, &mut statements, &jobs) {
                Ok(found) => (jobs.into_iter().zip(found).map(found_for).collect(), None),
                Err(error) => {
                    let refused = |job: Job| (job.reply, Err(ReadError::Store(error.clone())));
                    (jobs.into_iter().map(refused).collect(), Some(error))
                }
            };
            if self.answers.blocking_send(answers).is_err() {
                return Ok(());
            }
            if let Some(error) = trouble.filter(StoreError::is_fatal) {
                return Err(error);
            }
        }
        Ok(())
    }
}

fn found_for(
    (job, Found { point, oldest }): (Job, Found),
) -> (oneshot::Sender<Result<Point, ReadError>>, Result<Point, ReadError>) {
    let at = RevisionError::check(job.at, point.revision, oldest);
    (job.reply, at.map(|_| point).map_err(ReadError::from))
}

/// Reads by statements that are prepared once.
fn read<'c>(
    connection: &'c Connection,
    statements: &mut Option<Statements<'c>>,
    jobs: &[Job],
) -> Result<Vec<Found>, StoreError> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let statements = match statements {
        Some(statements) => statements,
        None => statements.insert(Statements::prepare(connection)?),
    };
    statements.read(jobs)
}

/// A point, and the oldest revision that could be read then.
struct Found {
    point: Point,
    oldest: Revision,
}

struct Statements<'c> {
    meta: Statement<'c>,
    point: Statement<'c>,
}

impl<'c> Statements<'c> {
    fn prepare(connection: &'c Connection) -> Result<Self, StoreError> {
        const POINT: &str = concat!(
            "SELECT v.key, v.revision, v.created_revision, v.version, v.lease, v.sum, \
             v.content_type, v.value FROM versions v WHERE v.id = \
             (SELECT id FROM versions WHERE key = ?1 AND revision <= ?2 ORDER BY revision \
             DESC LIMIT 1) AND ",
            not_hidden!("v", "?2")
        );
        let meta = connection.prepare("SELECT revision, compacted_below FROM meta")?;
        Ok(Self { meta, point: connection.prepare(POINT)? })
    }

    /// Reads them of one state.
    fn read(&mut self, jobs: &[Job]) -> Result<Vec<Found>, StoreError> {
        // The read transaction lasts until the last statement in it has ended: this one.
        let mut meta = self.meta.query([])?;
        let row = meta.next()?.ok_or_else(|| StoreError::Damaged("meta has no row".to_owned()))?;
        let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
        let (revision, oldest) = (Revision(number(0)?), Revision(number(1)?));
        let mut found = Vec::with_capacity(jobs.len());
        for job in jobs {
            let at = job.at.map_or(i64::MAX, |at| i64::try_from(at.0).unwrap_or(i64::MAX));
            let mut rows = self.point.query(params![&*job.key, at])?;
            let item = match rows.next()? {
                Some(row) => Columns::of(row)?.item(Checked::Whole)?,
                None => None,
            };
            found.push(Found { point: Point { item, revision }, oldest });
        }
        Ok(found)
    }
}
