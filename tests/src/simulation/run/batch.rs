//! Many runs, on as many threads as one likes, and what to say of them.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::healing::Healing;
use super::{Keep, Report, replay_line, run};
use crate::simulation::environment::coverage::Coverage;
use crate::simulation::plan::{Plan, RunName};

/// What came of many runs.
#[derive(Debug, Default)]
pub struct Batch {
    /// How many there were.
    pub runs: u64,
    /// Their length, in their own time.
    pub simulated: Duration,
    /// Their events.
    pub events: u64,
    /// Slots chosen.
    pub chosen: u64,
    /// Calls of clients.
    pub calls: u64,
    /// How long each took to finish everything once all was healed.
    pub healing: Healing,
    /// What was reached.
    pub coverage: Coverage,
    /// Of all their traces, in whatever order they ended.
    pub digest: u64,
    /// How long all of it took, and how much of the processors' time.
    pub took: Took,
    /// The reports of those that failed, by seed.
    pub failures: Vec<Report>,
}

/// How long something took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Took {
    /// On the clock.
    pub wall: Duration,
    /// Of the time of all processors together.
    pub cpu: Duration,
}

/// A thread for every processor.
#[must_use]
pub fn every_core() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Runs seeds from `first` on, while `goes_on` says so of the number of runs begun before
/// and the time since the start.
#[must_use]
pub fn run_seeds(
    first: u64,
    threads: NonZeroUsize,
    goes_on: impl Fn(u64, Duration) -> bool + Sync,
) -> Batch {
    let (started, cpu_before) = (now(), cpu_time());
    let begun = AtomicU64::new(0);
    let batch = Mutex::new(Batch::default());
    thread::scope(|scope| {
        for _ in 0..threads.get() {
            scope.spawn(|| {
                loop {
                    let number = begun.fetch_add(1, Ordering::Relaxed);
                    if !goes_on(number, started.elapsed()) {
                        return;
                    }
                    let report = run(Plan::new(first.wrapping_add(number)), Keep::Digest);
                    batch.lock().expect("runs do not panic").add(report);
                }
            });
        }
    });
    let mut batch = batch.into_inner().expect("runs do not panic");
    batch.failures.sort_by_key(|report| report.seed);
    batch.took = Took { wall: started.elapsed(), cpu: cpu_time().saturating_sub(cpu_before) };
    batch
}

#[expect(clippy::disallowed_methods, reason = "it measures how long the real thing takes")]
fn now() -> Instant {
    Instant::now()
}

/// The processors' time that this process has used.
fn cpu_time() -> Duration {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    let whole = Duration::from_secs(u64::try_from(spent.tv_sec).unwrap_or_default());
    whole + Duration::from_nanos(u64::try_from(spent.tv_nsec).unwrap_or_default())
}

impl Batch {
    fn add(&mut self, report: Report) {
        self.runs += 1;
        self.simulated += report.simulated;
        self.events += report.events;
        self.chosen += report.chosen;
        self.calls += report.calls as u64;
        self.coverage.add(&report.coverage);
        // A sum, since threads end their runs in any order; each digest is made to depend
        // on its seed.
        self.digest = self.digest.wrapping_add(report.digest ^ report.seed.rotate_left(32));
        if report.failure.is_none() {
            self.healing.add(report.healing, report.seed);
        } else {
            self.failures.push(report);
        }
    }

    /// For each run that failed, why, and the one line that shows it again.
    #[must_use]
    pub fn failures_in_words(&self) -> String {
        let line = |report: &Report| {
            let why = report.failure.as_ref().map(ToString::to_string).unwrap_or_default();
            format!(
                "seed {}: {why}\n    {}\n",
                report.seed,
                replay_line(&RunName::of_seed(report.seed))
            )
        };
        self.failures.iter().map(line).collect()
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            runs,
            simulated,
            events,
            chosen,
            calls,
            healing,
            coverage,
            digest,
            took,
            failures,
        } = self;
        f.write_str(&self.failures_in_words())?;
        write!(f, "{coverage}")?;
        writeln!(
            f,
            "{runs} runs, {} failed; {chosen} slots chosen, {calls} calls, digest {digest:016x}",
            failures.len()
        )?;
        writeln!(f, "{healing}")?;
        let (simulated, Took { wall, cpu }) = (simulated.as_secs_f64(), took);
        let (wall, cpu) = (wall.as_secs_f64(), cpu.as_secs_f64());
        // Only for people to read.
        #[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "a rate for people")]
        let events = *events as f64;
        writeln!(
            f,
            "{:.1} simulated hours, {events:.0} events, in {wall:.1} s ({cpu:.1} s of processor \
             time)",
            simulated / 3_600.0
        )?;
        writeln!(
            f,
            "{:.0} simulated seconds and {:.0} events a second",
            simulated / wall,
            events / wall
        )?;
        write!(
            f,
            "{:.0} simulated seconds and {:.0} events a second of one core",
            simulated / cpu,
            events / cpu
        )
    }
}
