//! Clients that do a bit of everything to the same few keys, one request at a time each.
//!
//! Two sets of keys: *hot* ones that live as long as the test, on which a write lost by a
//! fault shows for ever after; and *passing* ones, new every few seconds, which prefixes
//! are deleted of and which keep the search of the per-key checker small. Clients
//! remember the newest revision that they saw of a key, so that a compare-and-swap
//! succeeds about as often as it fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::task::JoinSet;

use super::cluster::{Cluster, until_reached};
use super::recorder::{Ask, Recorder, TIMEOUT};
use crate::operations::generate::kind::{Kind, Weights};
use crate::operations::generate::{Generator, LEASED_PREFIX, Names};
use crate::operations::{Call, Consistency, Key, Listing, Outcome};
use crate::random::{MILLION, Random};

/// Keys that live as long as the test.
const HOT_KEYS: u64 = 6;
/// Keys of each generation of passing keys.
const PASSING_KEYS: u64 = 6;
/// How long a generation of passing keys is used.
const GENERATION: Duration = Duration::from_secs(3);
/// The longest page of a listing, where it has pages.
const PAGE: usize = 4;
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
    pub value_bytes: u64,
    /// What they ask for.
    pub vocabulary: Vocabulary,
}

/// What clients ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vocabulary {
    /// Everything.
    Whole,
    /// What the log has had from its first format on: an old program may be asked.
    First,
}

impl Default for Shape {
    fn default() -> Self {
        Self { clients: 8, value_bytes: 64, vocabulary: Vocabulary::Whole }
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
                random: Random::new(seed, number),
                weights: weights(shape.vocabulary),
                generator: Generator::default(),
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
    value_bytes: u64,
    random: Random,
    weights: Weights,
    generator: Generator,
}

/// How often what is asked for. History is not dropped: what was executed is checked against
/// the whole log at the end.
fn weights(vocabulary: Vocabulary) -> Weights {
    let (transaction, append, rollback, tenure) = match vocabulary {
        Vocabulary::Whole => (12, 4, 4, 24),
        Vocabulary::First => (0, 0, 0, 0),
    };
    Weights::new(&[
        (Kind::Read, 40),
        (Kind::LocalRead, 10),
        (Kind::PastRead, 6),
        (Kind::List, 5),
        (Kind::LocalList, 5),
        (Kind::PastList, 2),
        (Kind::Put, 18),
        (Kind::ComparedPut, 18),
        (Kind::Delete, 6),
        (Kind::ComparedDelete, 6),
        (Kind::DeletePrefix, 2),
        (Kind::Transaction, transaction),
        (Kind::Append, append),
        (Kind::Rollback, rollback),
        (Kind::Tenure, tenure),
    ])
}

impl Client {
    async fn work(mut self, stop: Arc<AtomicBool>) -> Result<()> {
        while !stop.load(Ordering::Relaxed) {
            let outcome = self.step().await?;
            let pause = if outcome.is_answered() { PAUSE } else { BACK_OFF };
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    async fn step(&mut self) -> Result<Outcome> {
        let recorder = Arc::clone(&self.recorder);
        let door = self.door();
        let ask = Ask { door: &door, timeout: *self.random.pick(&PATIENCES) };
        let (names, value) = (self.names(), recorder.value(self.bytes()));
        match self.generator.generate(&mut self.random, &self.weights, &names, value) {
            Call::List { listing, at, consistency } => {
                self.list(ask, listing, at, consistency).await
            }
            call @ (Call::Read { .. }
            | Call::Put { .. }
            | Call::Delete { .. }
            | Call::DeletePrefix { .. }
            | Call::Transaction(_)
            | Call::Append { .. }
            | Call::Rollback { .. }
            | Call::Tenure(_)
            | Call::Compact { .. }
            | Call::Access(_)) => {
                let outcome = recorder.perform(ask, call.clone()).await?;
                self.learn(&call, &outcome);
                Ok(outcome)
            }
        }
    }

    /// Lists keys at once or page by page, each page at any door: at once, where a
    /// replica may be behind the page before, or when others have written in between.
    async fn list(
        &mut self,
        ask: Ask<'_>,
        listing: Listing,
        at: Option<u64>,
        consistency: Consistency,
    ) -> Result<Outcome> {
        let recorder = Arc::clone(&self.recorder);
        let call = Call::List { listing: listing.clone(), at, consistency };
        let (mut outcome, mut next) = recorder.list(ask, listing, at, consistency).await?;
        self.learn(&call, &outcome);
        for _ in 0..=HOT_KEYS.max(PASSING_KEYS) {
            let Some(page) = next else { return Ok(outcome) };
            if self.random.chance(MILLION / 2) {
                tokio::time::sleep(PAUSE).await;
            }
            let ask = Ask { door: &self.door(), ..ask };
            (outcome, next) = recorder.next_page(ask, page, consistency).await?;
        }
        ensure!(next.is_none(), "a list of few keys goes on and on");
        Ok(outcome)
    }

    /// Mostly the balancer; else any replica, primary or not.
    fn door(&mut self) -> String {
        if self.random.chance(600_000) {
            self.front.clone()
        } else {
            self.random.pick(&self.replicas).clone()
        }
    }

    /// The hot keys and the present passing ones; those that go with leases are only listed.
    fn names(&self) -> Names {
        let hot = Key::from("hot/");
        let generation = self.recorder.now().as_millis() / GENERATION.as_millis();
        let passing = Key::from(format!("passing/{generation}/"));
        let keys = |prefix: &Key, count| {
            let prefix = Key::clone(prefix);
            (0..count).map(move |number| Key::from(format!("{prefix}{number}")))
        };
        Names {
            keys: keys(&hot, HOT_KEYS).chain(keys(&passing, PASSING_KEYS)).collect(),
            listed: vec![hot, Key::clone(&passing), Key::from(LEASED_PREFIX)],
            deleted: vec![passing],
            page: Some(PAGE),
        }
    }

    fn bytes(&mut self) -> usize {
        let bytes = self.random.between(0, 2 * self.value_bytes);
        let is_long = self.random.chance(MILLION / 16);
        usize::try_from(if is_long { 16 * bytes } else { bytes }).expect("small")
    }

    fn learn(&mut self, call: &Call, outcome: &Outcome) {
        if let Outcome::Answered { revision, answer } = outcome {
            self.generator.learn(call, *revision, answer);
        }
    }
}
