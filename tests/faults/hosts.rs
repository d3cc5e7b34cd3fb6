//! Scenarios in which each service is a host of its own, and what they look at.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use tests::harness::cluster::{Between, Cluster, Options, Size, eventually};
use tests::harness::lan::{Lan, OneWay, towards};
use tests::harness::mix::Shape;
use tests::harness::recorder::Ask;
use tests::operations::{Call, Consistency, Guard, Listing};

use crate::scenario::Scenario;

/// How long it may take until mutations are acknowledged again: after a fault by those
/// who are left, after it by all. Elections, views and connections that are given up take
/// about a second each on a machine that has nothing else to do.
pub(crate) const RECOVERY: Duration = Duration::from_secs(10);

/// The patience of one request of those that find out when a service is back.
const SHORT: Duration = Duration::from_millis(500);
/// From one refusal to their next request.
const BETWEEN: Duration = Duration::from_millis(20);

/// Runs a scenario in which each service is a host on a network of its own, where the
/// machine allows it.
pub(crate) fn among_hosts(
    name: &str,
    faults: impl AsyncFnOnce(&mut Scenario, &Lan) -> Result<()> + Send,
) -> Result<()> {
    let Some(lan) = Lan::of(&Size::default().names())? else { return Ok(()) };
    let lan = Arc::new(lan);
    let run = || {
        let inside = Arc::clone(&lan);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .on_thread_start(move || {
                inside.hub().enter().expect("its first thread entered it, too")
            })
            .build()?;
        let options = Options { between: Between::Cables(Arc::clone(&lan)), ..Options::default() };
        // Some of them wait for hosts that are cut off.
        let shape = Shape { clients: 12, ..Shape::default() };
        runtime.block_on(Scenario::run(name, &options, shape, async |scenario| {
            faults(scenario, &lan).await
        }))
    };
    lan.hub().within(run)?
}

/// In which direction packets are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ways {
    /// Both.
    Both,
    /// What a host says arrives, but it hears nothing.
    ItHearsNothing,
    /// It hears everything, but what it says is lost.
    ItIsNotHeard,
}

pub(crate) const WAYS: [Ways; 3] = [Ways::Both, Ways::ItHearsNothing, Ways::ItIsNotHeard];

/// Cuts one host off from these others.
pub(crate) fn cut_off(name: &str, others: &[String], ways: Ways) -> Vec<OneWay> {
    let own = [name.to_owned()];
    let (said, heard) = (towards(&own, others), towards(others, &own));
    match ways {
        Ways::Both => [said, heard].concat(),
        Ways::ItHearsNothing => heard,
        Ways::ItIsNotHeard => said,
    }
}

/// A fault of the network, and who is whole enough to go on.
pub(crate) struct Partition {
    /// For people.
    pub(crate) what: String,
    pub(crate) drops: Vec<OneWay>,
    /// Services that must acknowledge mutations, and read, in spite of it.
    pub(crate) whole: Vec<String>,
}

/// Drops packets, sees to it that this met some, and waits until everybody who should
/// goes on nevertheless.
pub(crate) async fn goes_on_in_spite(
    scenario: &mut Scenario,
    lan: &Lan,
    partition: Partition,
) -> Result<()> {
    goes_on_meanwhile(scenario, lan, partition, async |_| Ok(())).await
}

/// The same, with a look at those that are cut off before they know of it.
pub(crate) async fn goes_on_meanwhile<T>(
    scenario: &mut Scenario,
    lan: &Lan,
    partition: Partition,
    look: impl AsyncFnOnce(&Scenario) -> Result<T>,
) -> Result<T> {
    let Partition { what, drops, whole } = partition;
    let (before, started) = (lan.losses()?, Instant::now());
    scenario.note(what.clone());
    lan.set(drops)?;
    let both = async { tokio::try_join!(look(scenario), serves_again(scenario, &whole, started)) };
    let (seen, took) = both.await.with_context(|| format!("while {what}"))?;
    // Those that go on may have done so before anybody said something to whom it is cut
    // off from.
    let dropped = eventually(&format!("packets are dropped while {what}"), async || {
        let dropped = lan.losses()?.dropped - before.dropped;
        ensure!(dropped > 0, "none was");
        Ok(dropped)
    })
    .await?;
    println!("  {what}: {} go on after {took:?} ms, {dropped} packets dropped", whole.join(", "));
    Ok(seen)
}

/// Waits until each of these services acknowledges a mutation and answers a linearizable
/// read; says after how many milliseconds each did.
///
/// # Errors
/// When one takes longer than [`RECOVERY`].
async fn serves_again(scenario: &Scenario, names: &[String], since: Instant) -> Result<Vec<u128>> {
    let each = names.iter().map(async |name| {
        let ask = Ask { door: scenario.cluster.door(name), timeout: SHORT };
        while !scenario.recorder.put(ask, "hot/0", Guard::Always).await?.is_acknowledged() {
            ensure!(since.elapsed() < RECOVERY, "{name} acknowledges nothing");
            tokio::time::sleep(BETWEEN).await;
        }
        while !scenario.recorder.perform(ask, Call::read("hot/0")).await?.is_answered() {
            ensure!(since.elapsed() < RECOVERY, "{name} does not read");
            tokio::time::sleep(BETWEEN).await;
        }
        let took = since.elapsed();
        ensure!(took < RECOVERY, "{name} took {took:?}");
        Ok(took.as_millis())
    });
    try_join_all(each).await
}

/// Heals the network and waits until all is as before: every door serves, every replica
/// has caught up, and the balancer sends requests to each of them.
pub(crate) async fn comes_together(scenario: &mut Scenario, lan: &Lan) -> Result<()> {
    let started = Instant::now();
    lan.heal()?;
    let mut doors = scenario.cluster.names("replica");
    doors.push("balancer-1".to_owned());
    let took = serves_again(scenario, &doors, started).await.context("after healing")?;
    let cluster = &scenario.cluster;
    let mark = eventually("some replica is ahead", || furthest(cluster)).await?;
    eventually("all replicas have caught up", || is_whole(cluster, mark)).await?;
    let whole = started.elapsed();
    ensure!(whole < RECOVERY, "it took {whole:?} until all replicas had caught up");
    println!(
        "  healed: {} serve after {took:?} ms, whole after {} ms",
        doors.join(", "),
        whole.as_millis()
    );
    scenario.mix.check()
}

async fn furthest(cluster: &Cluster) -> Result<u64> {
    let mut furthest = None;
    for name in cluster.names("replica") {
        furthest = furthest.max(cluster.json(&name, "/v1/status").await?["executed_slot"].as_u64());
    }
    furthest.context("no replica has executed anything")
}

async fn is_whole(cluster: &Cluster, mark: u64) -> Result<()> {
    let replicas = cluster.names("replica");
    for name in &replicas {
        let executed = cluster.json(name, "/v1/status").await?["executed_slot"].as_u64();
        ensure!(executed >= Some(mark), "{name} has executed {executed:?} of {mark}");
    }
    let healthy = cluster.json("balancer-1", "/v1/status").await?["healthy"].as_u64();
    ensure!(
        healthy == Some(replicas.len() as u64),
        "for the balancer {healthy:?} replicas are healthy"
    );
    Ok(())
}

/// Asks a replica that is cut off: it must not answer as if it weren't.
pub(crate) async fn answers_no_one(scenario: &Scenario, name: &str) -> Result<()> {
    let ask = Ask { door: scenario.cluster.door(name), timeout: Duration::from_secs(2) };
    let recorder = &scenario.recorder;
    let (read, listed, write, guarded) = tokio::join!(
        recorder.perform(ask, Call::read("hot/0")),
        recorder.list(ask, Listing::of_prefix("hot/"), None, Consistency::Linearizable),
        recorder.put(ask, "hot/1", Guard::Always),
        recorder.put(ask, "hot/2", Guard::Exists),
    );
    for read in [read?, listed?.0] {
        ensure!(!read.is_answered(), "{name}, alone, answered a linearizable read: {read:?}");
    }
    for outcome in [write?, guarded?] {
        ensure!(!outcome.is_answered(), "{name}, alone, wrote or compared: {outcome:?}");
    }
    Ok(())
}

/// A coordinator that led when it was cut off, to be looked at later.
pub(crate) struct Deposed {
    name: String,
    /// What it had proposed by then may still be chosen by answers that were under way;
    /// nothing beyond. Where it has given up already, what it has chosen is all.
    below: u64,
}

impl Deposed {
    /// To be called once it is cut off: the sooner, the more it says.
    pub(crate) async fn new(cluster: &Cluster, name: &str) -> Result<Self> {
        let status = cluster.json(name, "/v1/status").await?;
        // Only who leads has a next slot.
        let below = status["next_slot"].as_u64().or_else(|| status["chosen_below"].as_u64());
        Ok(Self {
            name: name.to_owned(),
            below: below.with_context(|| format!("neither leads nor has led: {status}"))?,
        })
    }

    /// It has given up, and has chosen nothing that it proposed since.
    pub(crate) async fn has_chosen_nothing(&self, cluster: &Cluster) -> Result<()> {
        let Self { name, below } = self;
        let status = eventually(&format!("{name}, cut off, leads no more"), || async {
            let status = cluster.json(name, "/v1/status").await?;
            ensure!(status["phase"] != "phase2", "it is in {}", status["phase"]);
            Ok(status)
        })
        .await?;
        let chosen_below = status["chosen_below"]
            .as_u64()
            .with_context(|| format!("no chosen_below in {status}"))?;
        println!(
            "  {name} could choose the slots below {below}, and has chosen those below \
             {chosen_below}"
        );
        ensure!(
            chosen_below <= *below,
            "{name}, cut off, has chosen slots from {below} to {chosen_below}"
        );
        Ok(())
    }
}
