//! What all scenarios have in common: a cluster, clients at work, faults for a while, then everything healed and verified.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tests::harness::cluster::{Cluster, Options};
use tests::harness::mix::{Mix, Shape};
use tests::harness::recorder::Recorder;
use tests::harness::verify::verify;
use tokio::sync::Mutex;

use crate::synod;

/// How long a scenario has faults when nothing else is said: all of them together are to take some minutes.
const FAULTS: Duration = Duration::from_secs(12);
/// Mutations that must be acknowledged before the faults, and again after them.
const PROGRESS: usize = 200;

/// No fault here lasts longer than some seconds, so nothing may stand still for longer than this.
const LONGEST_GAP: Duration = Duration::from_secs(30);

/// One scenario at a time: each needs the machine for itself.
static TURN: Mutex<()> = Mutex::const_new(());

/// A cluster under faults.
pub(crate) struct Scenario {
    pub(crate) cluster: Cluster,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) mix: Mix,
    pub(crate) random: ChaCha8Rng,
    until: Instant,
}

impl Scenario {
    /// Runs a scenario: starts a cluster with clients at work, lets `faults` do harm, heals everything, and verifies.
    pub(crate) async fn run(
        name: &str,
        options: &Options<'_>,
        shape: Shape,
        faults: impl AsyncFnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let _turn = TURN.lock().await;
        let seed = seed();
        println!("{name}: SYNOD_FAULT_SEED={seed}");
        let cluster = Cluster::start_with(synod(), options).await?;
        let recorder = Recorder::new(seed)?;
        let mix = Mix::start(&cluster, &recorder, shape, seed);
        let until = Instant::now() + fault_time();
        let mut scenario = Self { cluster, recorder, mix, random: ChaCha8Rng::seed_from_u64(seed), until };
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

    /// Whether there is time for more faults.
    pub(crate) fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }

    /// A random time between these.
    pub(crate) fn between(&mut self, least_ms: u64, most_ms: u64) -> Duration {
        Duration::from_millis(self.random.random_range(least_ms..=most_ms))
    }

    /// One of these.
    pub(crate) fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.random.random_range(0..of.len())].clone()
    }

    /// The active primary and the other replicas; waits for there to be one.
    pub(crate) async fn replicas(&self) -> Result<(String, Vec<String>)> {
        let primary = tests::harness::cluster::eventually("there is a primary", || self.cluster.primary()).await?;
        let backups = self.cluster.names("replica").into_iter().filter(|name| *name != primary).collect();
        Ok((primary, backups))
    }

    /// The leading coordinator; waits for there to be one.
    pub(crate) async fn leader(&self) -> Result<String> {
        tests::harness::cluster::eventually("there is a leader", || self.cluster.leader()).await
    }

    async fn heal_and_verify(&mut self, name: &str) -> Result<()> {
        self.cluster.heal()?;
        self.mix.check()?;
        self.mix.wait_for_progress(PROGRESS).await.context("after everything was healed")?;
        let idle = Mix::start(&self.cluster, &self.recorder, Shape { clients: 0, ..Shape::default() }, 0);
        std::mem::replace(&mut self.mix, idle).finish().await?;
        let summary = verify(&self.cluster, &self.recorder).await?;
        println!("{name}: {summary:?}");
        ensure!(summary.longest_gap < LONGEST_GAP, "nothing was acknowledged for {:?}", summary.longest_gap);
        Ok(())
    }
}

fn fault_time() -> Duration {
    from_env("SYNOD_FAULT_SECONDS").map_or(FAULTS, Duration::from_secs)
}

fn seed() -> u64 {
    from_env("SYNOD_FAULT_SEED").unwrap_or_else(|| u64::from(rand::random::<u32>()))
}

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}
