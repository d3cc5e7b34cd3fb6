//! The closed loop, and what it shows of one system in one round.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::future::{join, join_all, try_join_all};
use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::time::{sleep, timeout};

use crate::client::Client;
use crate::cpu::{Named, Times};
use crate::workload::{Keys, Operation};

/// What is not counted at the start: connections are used first and caches filled.
const WARM_UP: Duration = Duration::from_millis(500);
/// The longest wait for an answer.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// The pause of a client after an error; without it a system that refuses would be
/// measured by how fast it refuses.
const ERROR_PAUSE: Duration = Duration::from_millis(5);
/// The longest latency told apart from longer ones, in microseconds.
const MAX_LATENCY_US: u64 = 60_000_000;

/// What one round showed. Times of operations are in milliseconds, those of processors in
/// microseconds for each operation.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Round {
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) slowest_ms: f64,
    pub(crate) cpu_us: BTreeMap<String, f64>,
    pub(crate) generator_cpu_us: f64,
    pub(crate) errors: BTreeMap<String, u64>,
}

/// Runs the clients for a time, and counts what is answered within it.
pub(crate) async fn run(
    clients: Vec<Client>,
    operation: Operation,
    duration: Duration,
    processes: &[Named],
) -> anyhow::Result<Round> {
    let tally = Tally::new()?;
    let value = operation.value();
    let generator = [Named::this_process()];
    let clock = async {
        sleep(WARM_UP).await;
        let cpu = (Times::of(processes), Times::of(&generator));
        let begin = Instant::now();
        tally.phase.set(Phase::Counting);
        sleep(duration).await;
        tally.phase.set(Phase::Over);
        let elapsed = begin.elapsed();
        let used = Times::of(processes).since(&cpu.0);
        (elapsed, used, Times::of(&generator).since(&cpu.1))
    };
    let load = join_all(clients.into_iter().zip(0..).map(async |(mut client, number)| {
        for turn in 0.. {
            let began = Instant::now();
            let performed = operation.perform(&mut client, (number, turn), &value);
            let outcome = timeout(ANSWER_TIMEOUT, performed).await;
            let failed = tally.note(began, outcome.context("no answer in time").flatten());
            if tally.phase.get() == Phase::Over {
                break;
            }
            if failed {
                sleep(ERROR_PAUSE).await;
            }
        }
    }));
    let ((elapsed, used, own), _) = join(clock, load).await;
    let latency = tally.latency.into_inner();
    let at = |quantile| latency.value_at_quantile(quantile) as f64 / 1_000.0;
    Ok(Round {
        per_second: latency.len() as f64 / elapsed.as_secs_f64(),
        p50_ms: at(0.5),
        p99_ms: at(0.99),
        slowest_ms: latency.max() as f64 / 1_000.0,
        cpu_us: used.micros_for_each(latency.len()),
        generator_cpu_us: own.micros_for_each(latency.len()).values().sum(),
        errors: tally.errors.into_inner(),
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    WarmUp,
    Counting,
    Over,
}

struct Tally {
    phase: Cell<Phase>,
    /// Of the successes, in microseconds.
    latency: RefCell<Histogram<u64>>,
    errors: RefCell<BTreeMap<String, u64>>,
}

impl Tally {
    fn new() -> anyhow::Result<Self> {
        let latency = Histogram::new_with_bounds(1, MAX_LATENCY_US, 3)?;
        Ok(Self {
            phase: Cell::new(Phase::WarmUp),
            latency: RefCell::new(latency),
            errors: RefCell::default(),
        })
    }

    /// Counts what is answered in time; whether it failed.
    fn note(&self, began: Instant, outcome: anyhow::Result<()>) -> bool {
        let failed = outcome.is_err();
        if self.phase.get() == Phase::Counting {
            match outcome {
                Ok(()) => {
                    let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                    self.latency.borrow_mut().saturating_record(micros);
                }
                Err(error) => {
                    *self.errors.borrow_mut().entry(format!("{error:#}")).or_insert(0) += 1;
                }
            }
        }
        failed
    }
}

/// Writes every key once, which is then there to be read and written again.
pub(crate) async fn fill(
    clients: Vec<Client>,
    keys: Keys,
    operation: Operation,
) -> anyhow::Result<()> {
    let (next, value) = (Cell::new(0), operation.value());
    try_join_all(clients.into_iter().map(async |mut client| {
        while next.get() < keys.count {
            let key = keys.name(next.replace(next.get() + 1));
            let created = timeout(ANSWER_TIMEOUT, client.create(&key, &value)).await;
            created.context("no answer in time").flatten()?;
        }
        anyhow::Ok(())
    }))
    .await
    .map(drop)
}

/// Writes so often as fast as the clients can, over the keys of the operation.
pub(crate) async fn write(
    clients: Vec<Client>,
    operation: Operation,
    times: u32,
) -> anyhow::Result<()> {
    let (next, value) = (Cell::new(0), operation.value());
    try_join_all(clients.into_iter().map(async |mut client| {
        while next.get() < times {
            let turn = next.replace(next.get() + 1);
            let written = operation.perform(&mut client, (0, turn), &value);
            timeout(ANSWER_TIMEOUT, written).await.context("no answer in time").flatten()?;
        }
        anyhow::Ok(())
    }))
    .await
    .map(drop)
}
