//! The process of a query, from both ends.

use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, nice, setrlimit};
use shared::deadline::Deadline;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::sync::Semaphore;

use super::{Job, Limits, SqlError, SqlQuery, Table, query};

/// The argument by which this program knows that it is a worker.
pub const WORKER: &str = "sql-worker";

/// How many run at once; more are refused.
const AT_ONCE: usize = 2;
/// The longest job, in bytes: a query and its parameters, escaped.
const JOB_BYTES: u64 = 1 << 20;
/// What of an answer is no row: names of columns, and what JSON needs around each value.
const AROUND_ROWS_BYTES: u64 = 1 << 20;
/// What a process takes before it has done anything, in bytes of its address space.
const PROGRAM_BYTES: u64 = 128 << 20;
/// How much of its address space the allocator of this program takes at once, before
/// there is a limit on it; by itself it takes a gigabyte, and then no query could begin.
/// KiB.
const ALLOCATED_AT_ONCE: (&str, &str) = ("MIMALLOC_ARENA_RESERVE", "16384");
/// The lowest priority: a query runs in the time that nobody else has a use for.
const NICENESS: i32 = 19;
/// How long a worker has to write its answer beyond the time for the query, as the kernel
/// counts its processor time.
const SPARE_SECONDS: u64 = 1;

type Answer = Result<Table, SqlError>;

/// Starts workers.
#[derive(Clone, Debug)]
pub(crate) struct Workers {
    file: PathBuf,
    limits: Limits,
    places: Arc<Semaphore>,
}

impl Workers {
    /// Those that read this file.
    pub(crate) fn new(file: PathBuf, limits: Limits) -> Self {
        Self { file, limits, places: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Has a worker answer a query. It ends with the request, however that ends.
    pub(crate) async fn run(&self, query: SqlQuery, deadline: Deadline) -> Answer {
        let Ok(_place) = self.places.try_acquire() else {
            return Err(SqlError::Overloaded { limit: AT_ONCE });
        };
        let job = Job { file: self.file.clone(), query, limits: self.limits };
        let waited = deadline.remaining().min(job.limits.time);
        match tokio::time::timeout(waited, asked(&job)).await {
            Ok(answer) => answer.unwrap_or_else(|error| Err(SqlError::Failed(error.to_string()))),
            Err(_) => Err(SqlError::Time { waited }),
        }
    }
}

async fn asked(job: &Job) -> io::Result<Answer> {
    let mut worker = Command::new(std::env::current_exe()?)
        .arg(WORKER)
        .env(ALLOCATED_AT_ONCE.0, ALLOCATED_AT_ONCE.1)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut stdin = worker.stdin.take().expect("it is piped");
    let mut stdout = worker.stdout.take().expect("it is piped");
    stdin.write_all(&serde_json::to_vec(job)?).await?;
    drop(stdin);
    let mut answer = Vec::new();
    // JSON escapes a character in at most six bytes.
    let most = AROUND_ROWS_BYTES + 6 * job.limits.bytes as u64;
    (&mut stdout).take(most).read_to_end(&mut answer).await?;
    let status = worker.wait().await?;
    Ok(serde_json::from_slice(&answer).unwrap_or_else(|_| Err(broken(status, &job.limits))))
}

/// What it means that a worker ended without an answer.
fn broken(status: ExitStatus, limits: &Limits) -> SqlError {
    use std::os::unix::process::ExitStatusExt as _;

    use rustix::process::Signal;

    match status.signal() {
        Some(signal) if signal == Signal::XCPU.as_raw() => SqlError::Time { waited: limits.time },
        // A program that gets no memory aborts.
        Some(signal) if signal == Signal::ABORT.as_raw() => {
            SqlError::Memory { limit: limits.memory_bytes }
        }
        Some(_) | None => SqlError::Failed(format!("the process of the query ended: {status}")),
    }
}

/// A worker, from its start to its end: takes a job from standard input, and writes the
/// answer to standard output.
#[must_use]
pub fn main() -> ExitCode {
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn work() -> io::Result<()> {
    let mut job = Vec::new();
    io::stdin().lock().take(JOB_BYTES + 1).read_to_end(&mut job)?;
    let job: Job = serde_json::from_slice(&job)?;
    confine(&job.limits)?;
    let answer = serde_json::to_vec(&query::run(&job))?;
    io::stdout().lock().write_all(&answer)
}

/// Has the kernel hold this process to its limits.
fn confine(limits: &Limits) -> io::Result<()> {
    let at_most = |bytes| Rlimit { current: Some(bytes), maximum: Some(bytes) };
    setrlimit(Resource::As, at_most(PROGRAM_BYTES + limits.memory_bytes))?;
    let seconds = limits.time.max(Duration::from_secs(1)).as_secs() + SPARE_SECONDS;
    setrlimit(Resource::Cpu, at_most(seconds))?;
    nice(NICENESS)?;
    Ok(())
}
