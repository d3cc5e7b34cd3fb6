//! Clients that do a bit of everything to the same few keys, one request at a time each.
//!
//! Two sets of keys: *hot* ones that live as long as the test, on which a write lost by a
//! fault shows for ever after; and *passing* ones, new every few seconds, which prefixes
//! are deleted of and which keep the search of the per-key checker small. Clients
//! remember the newest revision that they saw of a key, so that a compare-and-swap
//! succeeds about as often as it fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::task::JoinSet;

use super::cluster::{Cluster, until_reached};
use super::recorder::{Ask, Recorder, TIMEOUT};
use crate::linearizability::history::{Answer, Consistency, Ending, Guard, Key};
use crate::linearizability::listing::{Listing, Order};

/// Keys that live as long as the test.
const HOT_KEYS: u64 = 6;
/// Keys of each generation of passing keys.
const PASSING_KEYS: u64 = 6;
/// How long a generation of passing keys is used.
const GENERATION: Duration = Duration::from_secs(3);
/// What clients grant a request, each as often as the others. Those that wait long may
/// see what was decided meanwhile; those that don't show how long there was nobody to
/// ask.
const PATIENCES: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), TIMEOUT];
/// Between two requests of a client: the machine is to be busy with faults, not only with
/// load.
const PAUSE: Duration = Duration::from_millis(3);
/// After a request that failed: a client that is refused comes back a little later.
const BACK_OFF: Duration = Duration::from_millis(30);

/// How the clients are.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// How many.
    pub clients: u64,
    /// Bytes that most values have about; one in sixteen is sixteen times as long.
    pub value_bytes: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Self { clients: 8, value_bytes: 64 }
    }
}

/// Clients at work.
#[derive(Debug)]
pub struct Mix {
    recorder: Arc<Recorder>,
    stop: Arc<AtomicBool>,
    clients: JoinSet<Result<()>>,
}

impl Mix {
    /// Sets clients to work at the balancer and at every replica, until [`Mix::finish`].
    #[must_use]
    pub fn start(cluster: &Cluster, recorder: &Arc<Recorder>, shape: Shape, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for number in 0..shape.clients {
            let client = Client {
                recorder: Arc::clone(recorder),
                front: cluster.door("balancer-1").to_owned(),
                replicas: cluster
                    .names("replica")
                    .iter()
                    .map(|name| cluster.door(name).to_owned())
                    .collect(),
                value_bytes: shape.value_bytes,
                random: ChaCha8Rng::seed_from_u64(seed.wrapping_add(number)),
                seen: BTreeMap::new(),
                newest: 0,
            };
            clients.spawn(client.work(Arc::clone(&stop)));
        }
        Self { recorder: Arc::clone(recorder), stop, clients }
    }

    /// Waits until so many more mutations are acknowledged.
    ///
    /// # Errors
    /// When a client got an answer that the API does not allow, or there is no progress
    /// for [`PATIENCE`](super::cluster::PATIENCE).
    pub async fn wait_for_progress(&mut self, mutations: usize) -> Result<()> {
        let wanted = self.recorder.acknowledgements() + mutations;
        let progress = until_reached("mutations acknowledged", wanted, async || {
            self.recorder.acknowledgements()
        })
        .await;
        self.check()?;
        progress
    }

    /// Fails if a client has ended because of an answer that the API does not allow.
    ///
    /// # Errors
    /// That answer.
    pub fn check(&mut self) -> Result<()> {
        while let Some(ended) = self.clients.try_join_next() {
            ended??;
        }
        Ok(())
    }

    /// Lets every client finish the request it is in.
    ///
    /// # Errors
    /// When a client got an answer that the API does not allow.
    pub async fn finish(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended??;
        }
        Ok(())
    }
}

struct Client {
    recorder: Arc<Recorder>,
    front: String,
    replicas: Vec<String>,
    value_bytes: usize,
    random: ChaCha8Rng,
    /// The newest revision seen of a key.
    seen: BTreeMap<String, u64>,
    /// The newest revision seen of the state.
    newest: u64,
}

impl Client {
    async fn work(mut self, stop: Arc<AtomicBool>) -> Result<()> {
        while !stop.load(Ordering::Relaxed) {
            let ending = self.step().await?;
            let pause = if matches!(ending, Ending::Answered { .. }) { PAUSE } else { BACK_OFF };
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    async fn step(&mut self) -> Result<Ending> {
        let recorder = Arc::clone(&self.recorder);
        let door = self.door();
        let ask =
            Ask { door: &door, timeout: PATIENCES[self.random.random_range(0..PATIENCES.len())] };
        let key = self.key();
        let ending = match self.random.random_range(0..118) {
            0..40 => recorder.read(ask, &key, None, Consistency::Linearizable).await?,
            40..50 => {
                recorder.read(ask, &key, None, Consistency::Local { at_least: self.newest }).await?
            }
            50..86 => {
                let (guard, padding) = (self.guard(&key), self.padding());
                recorder.put(ask, &key, guard, padding).await?
            }
            86..98 => {
                let guard = self.guard(&key);
                recorder.delete(ask, &key, guard).await?
            }
            98..100 => recorder.delete_prefix(ask, &self.prefix()).await?,
            100..106 => {
                let (at, consistency) = (self.revision(), self.consistency());
                return recorder.read(ask, &key, Some(at), consistency).await;
            }
            _ => return self.list(ask).await,
        };
        self.learn(key, &ending);
        Ok(ending)
    }

    /// Lists keys at once or page by page, each page at any door: at once, where a
    /// replica may be behind the page before, or when others have written in between.
    async fn list(&mut self, ask: Ask<'_>) -> Result<Ending> {
        let recorder = Arc::clone(&self.recorder);
        let (listing, consistency) = (self.listing(), self.consistency());
        let at = self.random.random_bool(0.2).then(|| self.revision());
        let (mut ending, mut next) = recorder.list(ask, listing, at, consistency).await?;
        for _ in 0..=HOT_KEYS.max(PASSING_KEYS) {
            let Some(page) = next else { return Ok(ending) };
            if self.random.random_bool(0.5) {
                tokio::time::sleep(PAUSE).await;
            }
            let ask = Ask { door: &self.door(), ..ask };
            (ending, next) = recorder.next_page(ask, page, consistency).await?;
        }
        ensure!(next.is_none(), "a list of few keys goes on and on");
        Ok(ending)
    }

    /// Hot keys or the present passing ones, all of them or from one on or up to one.
    fn listing(&mut self) -> Listing {
        let prefix = if self.random.random_bool(0.5) { "hot/".to_owned() } else { self.prefix() };
        let all = Listing::of_prefix(&prefix);
        let bound = Key::from(format!(
            "{prefix}{}",
            self.random.random_range(0..HOT_KEYS.max(PASSING_KEYS))
        ));
        let order = if self.random.random_bool(0.5) { Order::Ascending } else { Order::Descending };
        let limit = self.random.random_bool(0.6).then(|| self.random.random_range(1..=4));
        match self.random.random_range(0..4) {
            0 => Listing { start: bound, order, limit, ..all },
            1 => Listing { end: Some(bound), order, limit, ..all },
            _ => Listing { order, limit, ..all },
        }
    }

    fn consistency(&mut self) -> Consistency {
        match self.random.random_range(0..4) {
            0 => Consistency::Local { at_least: 0 },
            1 => Consistency::Local { at_least: self.newest },
            _ => Consistency::Linearizable,
        }
    }

    /// One of the last hundred, or a little ahead of what is known.
    fn revision(&mut self) -> u64 {
        self.random.random_range(self.newest.saturating_sub(100)..=self.newest + 3)
    }

    /// Mostly the balancer; else any replica, primary or not.
    fn door(&mut self) -> String {
        if self.random.random_bool(0.6) {
            self.front.clone()
        } else {
            let index = self.random.random_range(0..self.replicas.len());
            self.replicas[index].clone()
        }
    }

    fn key(&mut self) -> String {
        if self.random.random_bool(0.5) {
            format!("hot/{}", self.random.random_range(0..HOT_KEYS))
        } else {
            format!("{}{}", self.prefix(), self.random.random_range(0..PASSING_KEYS))
        }
    }

    fn prefix(&self) -> String {
        format!("passing/{}/", self.recorder.now().as_millis() / GENERATION.as_millis())
    }

    fn guard(&mut self, key: &str) -> Guard {
        let seen = self.seen.get(key).copied();
        match (self.random.random_range(0..10), seen) {
            (0..5, _) => Guard::Always,
            (5..8, Some(revision)) => Guard::Revision(revision),
            (5..8, None) | (8, _) => Guard::Absent,
            (_, _) => Guard::Exists,
        }
    }

    fn padding(&mut self) -> usize {
        let bytes = self.random.random_range(0..=2 * self.value_bytes);
        if self.random.random_bool(1.0 / 16.0) { 16 * bytes } else { bytes }
    }

    /// Of the present, which a comparison is to be made with.
    fn learn(&mut self, key: String, ending: &Ending) {
        let Ending::Answered { revision, answer, .. } = ending else { return };
        self.newest = self.newest.max(*revision);
        match answer {
            Answer::Read(Some(seen)) => {
                self.seen.insert(key, seen.modified);
            }
            Answer::Put => {
                self.seen.insert(key, *revision);
            }
            Answer::Read(None) | Answer::Deleted(_) | Answer::GuardFailed => {
                self.seen.remove(&key);
            }
            Answer::Listed(_) | Answer::NotYet => {}
        }
    }
}
