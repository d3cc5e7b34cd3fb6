//! Many runs, on as many threads as there are cores.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::plan::Plan;
use super::reach::Reach;
use super::run::{Keep, Report, run};

/// What came of many runs.
#[derive(Debug)]
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
    /// The longest time that it took to finish all once it was healed, and the seed.
    pub slowest_healing: (Duration, u64),
    /// What was reached.
    pub reach: Reach,
    /// The reports of those that failed, by seed.
    pub failures: Vec<Report>,
}

/// Runs seeds from `first` on, while `goes_on` says so of the number of runs begun before.
#[must_use]
pub fn run_seeds(first: u64, goes_on: impl Fn(u64) -> bool + Sync) -> Batch {
    let begun = AtomicU64::new(0);
    let batch = Mutex::new(Batch::new());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = begun.fetch_add(1, Ordering::Relaxed);
                    if !goes_on(number) {
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
    batch
}

impl Batch {
    fn new() -> Self {
        Self {
            runs: 0,
            simulated: Duration::ZERO,
            events: 0,
            chosen: 0,
            calls: 0,
            slowest_healing: (Duration::ZERO, 0),
            reach: Reach::new(),
            failures: Vec::new(),
        }
    }

    fn add(&mut self, report: Report) {
        self.runs += 1;
        self.simulated += report.simulated;
        self.events += report.events;
        self.chosen += report.chosen;
        self.calls += report.calls as u64;
        self.slowest_healing = self.slowest_healing.max((report.healing, report.seed));
        self.reach.add(&report.reach);
        if report.failure.is_some() {
            self.failures.push(report);
        }
    }
}
