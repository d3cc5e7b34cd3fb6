//! What all scenarios have in common: a cluster, clients at work, faults for a while,
//! then everything healed and verified.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tests::harness::cluster::{Cluster, Options};
use tests::harness::mix::{Mix, Shape};
use tests::harness::recorder::Recorder;
use tests::harness::summary::{Gap, Least, Summary};
use tests::harness::verify::verify;
use tokio::sync::Semaphore;

use crate::synod;

/// How long a scenario has faults when nothing else is said. What must have happened in
/// each, happens however long that takes; this is for what comes at random after it.
const FAULTS: Duration = Duration::from_secs(5);
/// From here on somebody wants to know it in detail: see `.ci/long`.
const LONG: Duration = Duration::from_secs(120);
/// Mutations that must be acknowledged before the faults, and again after them.
const PROGRESS: usize = 250;

/// How often clients go on for a fifth of that, where chance has drawn too little of something.
const MORE: usize = 50;

/// What must have happened in every scenario, beside the fault: about half of what
/// [`PROGRESS`] twice comes to.
const LEAST: Least = Least {
    reads: 200,
    local_reads: 50,
    past_reads: 20,
    lists: 50,
    past_lists: 20,
    puts: 100,
    compared: 50,
    deletes: 40,
    transactions: 40,
    appends: 8,
    rollbacks: 8,
    tenures: 60,
    other_tenures: 20,
    unresolved: 0,
};

/// No fault here lasts longer than some seconds, and nobody needs more than one or two to
/// get over it. The longest gaps seen in hours of faults were of 9 s, where one killing
/// followed the other.
pub(crate) const LONGEST_GAP: Duration = Duration::from_secs(15);

/// So many scenarios at a time: each waits most of its time for what it did to show.
static TURNS: Semaphore = Semaphore::const_new(2);

/// A cluster under faults.
pub(crate) struct Scenario {
    pub(crate) cluster: Cluster,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) mix: Mix,
    pub(crate) random: ChaCha8Rng,
    until: Instant,
    least: Least,
    seed: u64,
    /// What was done, and when on the recorder's clock.
    done: Vec<(Duration, String)>,
}

impl Scenario {
    /// Runs a scenario: starts a cluster with clients at work, lets `faults` do harm,
    /// heals everything, and verifies.
    pub(crate) async fn run(
        name: &str,
        options: &Options<'_>,
        shape: Shape,
        faults: impl AsyncFnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let _turn = TURNS.acquire().await?;
        let seed = seed();
        let options = Options { tls: with_tls(), ..options.clone() };
        let cluster = Cluster::start_with(synod(), &options).await?;
        let recorder = Recorder::new(seed)?;
        let mix = Mix::start(&cluster, &recorder, shape, seed);
        let until = Instant::now() + fault_time();
        let mut scenario = Self {
            cluster,
            recorder,
            mix,
            random: ChaCha8Rng::seed_from_u64(seed),
            until,
            least: LEAST,
            seed,
            done: Vec::new(),
        };
        let outcome = async {
            scenario.mix.wait_for_progress(PROGRESS).await.context("before the faults")?;
            scenario.until = Instant::now() + fault_time();
            faults(&mut scenario).await
        }
        .await;
        let outcome = match outcome {
            Ok(()) => scenario.heal_and_verify(name).await,
            Err(error) => Err(error),
        };
        let outcome = outcome.map_err(|error| error.context(scenario.cluster.last_words()));
        if std::env::var_os("SYNOD_FAULT_KEEP").is_some() {
            println!("{name}: kept in {}", scenario.cluster.keep().display());
        }
        outcome.with_context(|| format!("{name} with seed {seed}"))
    }

    /// Remembers what is done now, for whoever wonders about the longest gap.
    pub(crate) fn note(&mut self, what: String) {
        self.done.push((self.recorder.now(), what));
    }

    /// What was done in a gap, and up to a second before.
    fn done_in(&self, gap: Gap) -> String {
        let near = (gap.from.saturating_sub(Duration::from_secs(1)))..=(gap.from + gap.length);
        let done = self.done.iter().filter(|(at, _)| near.contains(at));
        done.map(|(at, what)| format!("at {:.1} s {what}", at.as_secs_f64()))
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// Says that the faults must leave so many mutations open: that is what they are for.
    pub(crate) fn must_leave_open(&mut self, mutations: usize) {
        self.least.unresolved = mutations;
    }

    /// Whether there is time for more faults.
    pub(crate) fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }

    /// Whether there is time for what takes long and shows little that is new.
    pub(crate) fn is_long(&self) -> bool {
        fault_time() >= LONG
    }

    /// A random time between these.
    pub(crate) fn between(&mut self, least_ms: u64, most_ms: u64) -> Duration {
        Duration::from_millis(self.random.random_range(least_ms..=most_ms))
    }

    /// One of these.
    pub(crate) fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.random.random_range(0..of.len())].clone()
    }

    /// The active primary, once there is one, and the other replicas.
    pub(crate) async fn replicas(&self) -> Result<(String, Vec<String>)> {
        let primary = self.cluster.primary().await?;
        let backups =
            self.cluster.names("replica").into_iter().filter(|name| *name != primary).collect();
        Ok((primary, backups))
    }

    async fn heal_and_verify(&mut self, name: &str) -> Result<()> {
        self.cluster.heal()?;
        self.mix.check()?;
        self.mix.wait_for_progress(PROGRESS).await.context("after everything was healed")?;
        self.wait_for_what_is_drawn_rarely().await?;
        let idle =
            Mix::start(&self.cluster, &self.recorder, Shape { clients: 0, ..Shape::default() }, 0);
        std::mem::replace(&mut self.mix, idle).finish().await?;
        let summary = verify(&self.cluster, &self.recorder).await?;
        println!(
            "{name}: {summary}; {} s, SYNOD_FAULT_SEED={}",
            self.recorder.now().as_secs(),
            self.seed
        );
        let done = self.done_in(summary.longest_gap);
        if !done.is_empty() {
            println!("  in the longest gap and a second before: {done}");
        }
        ensure!(
            summary.longest_gap.length < LONGEST_GAP,
            "nothing was acknowledged for too long: {summary}; {done}"
        );
        summary.proves_something(&self.least)
    }

    /// Lets the clients go on until they have asked for everything often enough: what each asks
    /// for is drawn. What faults must have left open is not theirs to make.
    async fn wait_for_what_is_drawn_rarely(&mut self) -> Result<()> {
        let drawn = Least { unresolved: 0, ..self.least };
        for _ in 0..MORE {
            if Summary::of(&self.recorder, 0).proves_something(&drawn).is_ok() {
                break;
            }
            self.mix.wait_for_progress(PROGRESS / 5).await?;
        }
        Ok(())
    }
}

fn fault_time() -> Duration {
    from_env("SYNOD_FAULT_SECONDS").map_or(FAULTS, Duration::from_secs)
}

/// Whether the clusters of all scenarios speak TLS.
pub(crate) fn with_tls() -> bool {
    from_env("SYNOD_FAULTS_TLS").is_some_and(|set| set != 0)
}

fn seed() -> u64 {
    from_env("SYNOD_FAULT_SEED").unwrap_or_else(|| u64::from(rand::random::<u32>()))
}

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}
