//! Values that are appended to the log, and roll-backs, while primaries are killed: whoever
//! asks sends the same again, by the same `Idempotency-Key`, until it hears what came of it.
//! Each append then has one slot and one revision, each roll-back was executed once, and
//! nobody ever saw a part of one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use replica::machine::command::Op;
use replica::machine::execute::{CommandOutcome, Decoded, Delivery, Run, SlotOutcome};
use replica::machine::state::ReplicatedState;
use reqwest::Method;
use serde_json::{Value, json};
use shared::message::ChosenEntry;
use tests::harness::cluster::{Cluster, Size};
use tests::harness::verify::fetch_log;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::synod;

const APPENDERS: usize = 4;
const ROLLERS: usize = 3;
/// So often a primary is killed while they are at it.
const KILLS: usize = 4;
/// How long it is dead, and lives after that before the next one is killed.
const DEAD: Duration = Duration::from_millis(900);
const PEACE: Duration = Duration::from_millis(700);
/// What a client gives a request, and how long it goes on asking.
const TIMEOUT: Duration = Duration::from_millis(1_500);
const PATIENCE: Duration = Duration::from_secs(90);
/// After a request of which nothing is known, and between two looks of who reads.
const PAUSE: Duration = Duration::from_millis(20);
/// One answer in so many is forgotten, and its request sent again.
const FORGOTTEN: usize = 8;

/// What all clients share.
struct Clients {
    doors: Vec<String>,
    http: reqwest::Client,
    stop: AtomicBool,
    /// Requests that were sent again, as nothing was known of them.
    again: AtomicU64,
    /// First answers that came again.
    replayed: AtomicU64,
    /// Listings that were looked at.
    listed: AtomicU64,
}

/// A mutation that may be sent often.
struct Ask<'a> {
    path: &'a str,
    body: &'a Value,
    key: &'a str,
}

impl Clients {
    fn of(cluster: &Cluster) -> Arc<Self> {
        let replicas = cluster.names("replica");
        let doors = replicas.iter().map(|name| cluster.url(name).to_owned());
        Arc::new(Self {
            doors: std::iter::once(cluster.front().to_owned()).chain(doors).collect(),
            http: reqwest::Client::new(),
            stop: AtomicBool::new(false),
            again: AtomicU64::new(0),
            replayed: AtomicU64::new(0),
            listed: AtomicU64::new(0),
        })
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// Sends a request, each time to another door, until it is known what came of it; and of
    /// some once more, which must be answered as before.
    async fn settled(&self, turn: usize, ask: Ask<'_>) -> Result<Value> {
        let answer = self.answered(turn, &ask).await?;
        if turn.is_multiple_of(FORGOTTEN) {
            let again = self.answered(turn + 1, &ask).await?;
            ensure!(again == answer, "{}: first {answer}, then {again}", ask.key);
        }
        Ok(answer)
    }

    async fn answered(&self, turn: usize, ask: &Ask<'_>) -> Result<Value> {
        let Ask { path, body, key } = ask;
        let began = Instant::now();
        for turn in turn.. {
            ensure!(began.elapsed() < PATIENCE, "{key}: no answer");
            let url = format!("{}{path}", self.doors[turn % self.doors.len()]);
            let request = self.http.request(Method::POST, url).timeout(TIMEOUT).json(body);
            let request = request.header("idempotency-key", *key).header("synod-timeout", "1s");
            if let Ok(response) = request.send().await {
                let (status, headers) = (response.status(), response.headers().clone());
                match (status.as_u16(), response.json::<Value>().await) {
                    (200 | 201, Ok(said)) => {
                        let is_replayed = headers.contains_key("idempotency-replayed");
                        self.replayed.fetch_add(is_replayed.into(), Ordering::Relaxed);
                        return Ok(said);
                    }
                    (502..=504, _) | (_, Err(_)) => {}
                    (_, Ok(said)) => bail!("{key}: {status}: {said}"),
                }
            }
            self.again.fetch_add(1, Ordering::Relaxed);
            sleep(PAUSE).await;
        }
        unreachable!("the loop has no end of its own")
    }
}

fn number(said: &Value, name: &str) -> Result<u64> {
    said[name].as_u64().with_context(|| format!("no {name}: {said}"))
}

/// A value that stands in the log, at a slot and a revision.
type Appended = BTreeMap<String, (u64, u64)>;

/// Appends one value after the other; says where each stands.
async fn append(clients: Arc<Clients>, client: usize) -> Result<Appended> {
    let mut appended = Appended::new();
    while clients.goes_on() {
        let turn = appended.len();
        let value = json!(format!("{client}-{turn}"));
        let key = format!("append-{client}-{turn}");
        let ask = Ask { path: "/v1/log", body: &value, key: &key };
        let said = clients.settled(turn, ask).await?;
        appended.insert(value.to_string(), (number(&said, "slot")?, number(&said, "revision")?));
    }
    Ok(appended)
}

/// A roll-back's prefix and revision, and the revision at which it was executed.
type RolledBack = BTreeMap<(String, u64), u64>;

/// The keys that are written at once; and one that is there in between.
const KEYS: [&str; 3] = ["a", "b", "c"];
const BETWEEN: &str = "d";

/// Writes all keys at once, writes them and one more over, and takes that back: over and over.
async fn roll_back(clients: Arc<Clients>, client: usize) -> Result<RolledBack> {
    let prefix = format!("rolled-{client}/");
    let mut rolled_back = RolledBack::new();
    while clients.goes_on() {
        let round = rolled_back.len();
        let put = |name: &&str, value: &str| json!({"put": {"key": format!("{prefix}{name}"), "value": format!("{value}{round}")}});
        let old: Vec<Value> = KEYS.iter().map(|name| put(name, "old")).collect();
        let new: Vec<Value> = KEYS.iter().chain(&[BETWEEN]).map(|name| put(name, "new")).collect();
        let mut then = 0;
        for (what, puts) in [("old", old), ("new", new)] {
            let (body, key) = (json!({"then": puts}), format!("{what}-{client}-{round}"));
            let ask = Ask { path: "/v1/txn", body: &body, key: &key };
            let said = clients.settled(round, ask).await?;
            then = if what == "old" { number(&said, "revision")? } else { then };
        }
        let (body, key) =
            (json!({"prefix": prefix, "revision": then}), format!("back-{client}-{round}"));
        let ask = Ask { path: "/v1/rollback", body: &body, key: &key };
        let said = clients.settled(round, ask).await?;
        ensure!((&said["restored"], &said["deleted"]) == (&json!(3), &json!(1)), "{said}");
        rolled_back.insert((prefix.clone(), then), number(&said, "revision")?);
    }
    Ok(rolled_back)
}

/// Lists one client's keys, at one door after the other: they are all of one round, old or new,
/// and of one revision.
async fn look(clients: Arc<Clients>, client: usize) -> Result<()> {
    for turn in client.. {
        if !clients.goes_on() {
            break;
        }
        let door = &clients.doors[turn % clients.doors.len()];
        let url = format!("{door}/v1/kv?prefix=rolled-{client}/");
        if let Ok(response) = clients.http.get(url).timeout(TIMEOUT).send().await
            && response.status().is_success()
            && let Ok(said) = response.json::<Value>().await
        {
            let items = said["items"].as_array().with_context(|| said.to_string())?;
            let of = |name: &str| items.iter().map(|item| item[name].clone()).collect::<Vec<_>>();
            let (values, revisions) = (of("value"), of("revision"));
            let is_new =
                values.first().and_then(Value::as_str).is_some_and(|it| it.starts_with("n"));
            let wanted = if items.is_empty() { 0 } else { KEYS.len() + usize::from(is_new) };
            ensure!(items.len() == wanted, "{said}");
            ensure!(values.windows(2).all(|pair| pair[0] == pair[1]), "a mixture: {said}");
            ensure!(revisions.windows(2).all(|pair| pair[0] == pair[1]), "a mixture: {said}");
            clients.listed.fetch_add(1, Ordering::Relaxed);
        }
        sleep(PAUSE).await;
    }
    Ok(())
}

/// What a log comes to: everything as often as it was executed.
#[derive(Debug, Default)]
struct Executed {
    appended: BTreeMap<String, Vec<(u64, u64)>>,
    rolled_back: BTreeMap<(String, u64), Vec<u64>>,
    /// Commands that were there again, and not executed.
    repeats: usize,
}

fn execute(log: Vec<ChosenEntry>) -> Result<Executed> {
    let (mut state, mut all) = (ReplicatedState::complete(), Executed::default());
    for entry in log {
        let run = Run::new(vec![entry]);
        let decoded = run.decoded().to_vec();
        let report = run.apply(&mut state);
        drop(state.take_rows());
        for (slot, decoded) in report.slots.iter().zip(decoded) {
            let SlotOutcome::Batch { commands: executed, .. } = &slot.outcome else { continue };
            let Decoded::Batch { commands: Ok(commands), .. } = decoded else {
                bail!("{slot:?} was executed of {decoded:?}")
            };
            for (command, executed) in commands.commands.iter().zip(executed) {
                if executed.delivery == Delivery::Replayed {
                    all.repeats += 1;
                    continue;
                }
                match (&command.op, &executed.outcome) {
                    (Op::Append { value, .. }, CommandOutcome::Appended { revision, slot }) => {
                        let value = String::from_utf8(value.to_vec())?;
                        all.appended.entry(value).or_default().push((slot.0, revision.0));
                    }
                    (
                        Op::Rollback { prefix, revision: to },
                        CommandOutcome::RolledBack { revision, .. },
                    ) => {
                        let of = (prefix.clone(), to.0);
                        all.rolled_back.entry(of).or_default().push(revision.0);
                    }
                    (Op::Append { .. } | Op::Rollback { .. }, other) => bail!("{other:?}"),
                    _ => {}
                }
            }
        }
    }
    Ok(all)
}

async fn all<T: 'static>(mut tasks: JoinSet<Result<T>>) -> Result<Vec<T>> {
    let mut done = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        done.push(ended??);
    }
    Ok(done)
}

async fn kill_primaries(cluster: &mut Cluster) -> Result<()> {
    for _ in 0..KILLS {
        sleep(PEACE).await;
        let primary = cluster.primary().await?;
        cluster.service(&primary).kill()?;
        sleep(DEAD).await;
        cluster.service(&primary).start()?;
        cluster.wait_until_serving().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_and_roll_backs_happen_once_and_whole_while_primaries_are_killed() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let clients = Clients::of(&cluster);
    let (mut appenders, mut rollers, mut readers) =
        (JoinSet::new(), JoinSet::new(), JoinSet::new());
    for client in 0..APPENDERS {
        appenders.spawn(append(Arc::clone(&clients), client));
    }
    for client in 0..ROLLERS {
        rollers.spawn(roll_back(Arc::clone(&clients), client));
        readers.spawn(look(Arc::clone(&clients), client));
    }
    let killed = kill_primaries(&mut cluster).await;
    clients.stop.store(true, Ordering::Relaxed);
    let appended: Appended = all(appenders).await?.into_iter().flatten().collect();
    let rolled_back: RolledBack = all(rollers).await?.into_iter().flatten().collect();
    all(readers).await?;
    killed?;

    cluster.wait_until_equal().await?;
    let executed = execute(fetch_log(&cluster, &cluster.names("replica")[0]).await?)?;
    let once: BTreeMap<_, _> =
        appended.iter().map(|(value, at)| (value.clone(), vec![*at])).collect();
    ensure!(executed.appended == once, "appended {:?}, heard of {once:?}", executed.appended);
    let once: BTreeMap<_, _> = rolled_back.iter().map(|(of, at)| (of.clone(), vec![*at])).collect();
    ensure!(executed.rolled_back == once, "rolled back {:?}, heard {once:?}", executed.rolled_back);
    let [again, replayed, listed] =
        [&clients.again, &clients.replayed, &clients.listed].map(|it| it.load(Ordering::Relaxed));
    println!(
        "{} appends and {} roll-backs over {KILLS} kills: {again} sent again, {replayed} answers \
         and {} commands replayed, {listed} listings",
        appended.len(),
        rolled_back.len(),
        executed.repeats
    );
    ensure!(again > 0 && replayed > 0 && executed.repeats > 0, "nothing was ever sent again");
    ensure!(
        appended.len() > 50 && rolled_back.len() > 20 && listed > 50,
        "hardly anything was done"
    );
    Ok(())
}
