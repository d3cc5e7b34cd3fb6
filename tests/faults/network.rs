//! Connections that are cut, delayed, half-open and one-way.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rand::RngExt;
use tests::harness::cluster::{Between, Options, eventually};
use tests::harness::mix::Shape;
use tests::harness::network::{Fault, Rule};

use crate::hosts::answers_no_one;
use crate::scenario::Scenario;

const NETWORKED: fn() -> Options<'static> =
    || Options { between: Between::Proxies, ..Options::default() };

/// How many kinds of trouble there are; the last is a few links at random, which nobody
/// may use just then.
const KINDS: usize = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_delayed_half_open_and_one_way_connections_lose_nothing() -> Result<()> {
    Scenario::run("a bad network", &NETWORKED(), Shape::default(), async |scenario| {
        scenario.must_leave_open(1);
        let mut round = 0;
        while round < KINDS || scenario.goes_on() {
            let kind = round % KINDS;
            let rules = trouble(scenario, kind).await?;
            let before = scenario.cluster.network().disturbed();
            let lasts = scenario.between(200, 1_200);
            scenario.note(format!("trouble of kind {kind} for {} ms", lasts.as_millis()));
            scenario.cluster.network().set(rules.clone());
            tokio::time::sleep(lasts).await;
            if kind != KINDS - 1 {
                eventually("something meets the fault", || async {
                    ensure!(
                        scenario.cluster.network().disturbed() > before,
                        "nothing met {rules:?}"
                    );
                    Ok(())
                })
                .await?;
            }
            scenario.cluster.network().heal();
            tokio::time::sleep(scenario.between(100, 500)).await;
            scenario.mix.check()?;
            round += 1;
        }
        Ok(())
    })
    .await
}

/// The rules of a kind of trouble.
async fn trouble(scenario: &mut Scenario, kind: usize) -> Result<Vec<Rule>> {
    let leader = scenario.cluster.leader().await?;
    let (primary, _) = scenario.replicas().await?;
    let acceptors = scenario.cluster.names("acceptor");
    let names = scenario.cluster.all();
    let held = [Fault::Cut, Fault::Silent, Fault::RequestsLost, Fault::AnswersLost];
    let fault = scenario.pick(&held);
    let towards = |from: &str, fault: &Fault| -> Vec<Rule> {
        acceptors.iter().map(|acceptor| Rule::between(from, acceptor, fault.clone())).collect()
    };
    Ok(match kind {
        0..4 => vec![Rule::to(&primary, held[kind].clone())],
        4..8 => vec![Rule::to(&leader, held[kind - 4].clone())],
        8 => vec![Rule::to(&scenario.pick(&acceptors), fault)],
        // The leader's votes arrive, but it does not hear of them; then it reaches one
        // acceptor only.
        9 => towards(&leader, &Fault::AnswersLost),
        10 => towards(&leader, &fault).into_iter().skip(1).collect(),
        // The primary cannot read, but writes.
        11 => towards(&primary, &Fault::RequestsLost),
        // The primary hears of nothing that was chosen.
        12 => vec![Rule::between(&primary, &leader, Fault::AnswersLost)],
        13 => late(&names, Duration::from_millis(5), Duration::from_millis(120)),
        14 => late(&acceptors, Duration::from_millis(100), Duration::from_millis(700)),
        _ => {
            let links = scenario.random.random_range(3..12);
            (0..links)
                .map(|_| {
                    let (from, to, fault) =
                        (scenario.pick(&names), scenario.pick(&names), scenario.pick(&held));
                    Rule::between(&from, &to, fault)
                })
                .collect()
        }
    })
}

fn late(names: &[String], least: Duration, most: Duration) -> Vec<Rule> {
    names.iter().map(|name| Rule::to(name, Fault::Delayed(least, most))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_cut_off_from_all_others_answers_no_one() -> Result<()> {
    Scenario::run("a primary on its own", &NETWORKED(), Shape::default(), async |scenario| {
        for fault in [Fault::Silent, Fault::Cut] {
            let (primary, _) = scenario.replicas().await?;
            alone(scenario, &primary, &fault).await?;
            scenario.cluster.network().heal();
            tokio::time::sleep(scenario.between(200, 1_000)).await;
            scenario.mix.check()?;
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `.ci/long` runs it"]
async fn a_leader_cut_off_from_all_others_is_replaced() -> Result<()> {
    Scenario::run("a leader on its own", &NETWORKED(), Shape::default(), async |scenario| {
        for fault in [Fault::Silent, Fault::AnswersLost, Fault::Cut] {
            let leader = scenario.cluster.leader().await?;
            scenario.cluster.network().isolate(&leader, &fault);
            scenario.mix.wait_for_progress(50).await?;
            scenario.cluster.network().heal();
            tokio::time::sleep(scenario.between(200, 1_000)).await;
        }
        Ok(())
    })
    .await
}

/// For how long reads are tried while a replica is cut off from the acceptors.
const READING: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `.ci/long` runs it"]
async fn a_backup_cut_off_from_the_acceptors_fails_no_read() -> Result<()> {
    Scenario::run("a backup without acceptors", &NETWORKED(), Shape::default(), async |scenario| {
        for fault in [Fault::Silent, Fault::Cut, Fault::AnswersLost] {
            let (_, backups) = scenario.replicas().await?;
            let backup = scenario.pick(&backups);
            let acceptors = scenario.cluster.names("acceptor");
            let rule = |acceptor: &String| Rule::between(&backup, acceptor, fault.clone());
            scenario.cluster.network().set(acceptors.iter().map(rule).collect());
            let began = Instant::now();
            while began.elapsed() < READING {
                all_read(scenario).await.with_context(|| format!("{backup} with {fault:?}"))?;
            }
            let seen = reads_of(scenario, &backup).await?;
            ensure!(seen == "local", "{backup} gets {seen} reads, cut off by {fault:?}");
            scenario.cluster.network().heal();
            eventually("the backup gets all reads again", || async {
                let seen = reads_of(scenario, &backup).await?;
                ensure!(seen == "current", "{backup} gets {seen} reads");
                Ok(())
            })
            .await?;
        }
        Ok(())
    })
    .await
}

/// One linearizable read for each replica's turn.
async fn all_read(scenario: &Scenario) -> Result<()> {
    for _ in scenario.cluster.names("replica") {
        let url = format!("{}/v1/kv/nothing", scenario.cluster.front());
        let answer = scenario.cluster.http().get(url).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.as_u16() == 404, "a read failed with {status}: {text}");
    }
    Ok(())
}

/// Which reads the balancer gives a replica.
async fn reads_of(scenario: &Scenario, replica: &str) -> Result<String> {
    let balancer = scenario.cluster.names("balancer").into_iter().next();
    let balancer = balancer.context("there is a balancer")?;
    let status = scenario.cluster.json(&balancer, "/v1/status").await?;
    let endpoints = status["endpoints"].as_array().context("it names its endpoints")?;
    let endpoint = endpoints.iter().find(|endpoint| endpoint["id"] == replica);
    let reads = endpoint.and_then(|endpoint| endpoint["reads"].as_str());
    Ok(reads.with_context(|| format!("{replica} in {status}"))?.to_owned())
}

/// Isolates the primary, waits until another one has taken over, and asks the old one.
async fn alone(scenario: &mut Scenario, primary: &str, fault: &Fault) -> Result<()> {
    scenario.cluster.network().isolate(primary, fault);
    scenario.mix.wait_for_progress(50).await?;
    answers_no_one(scenario, primary).await
}
