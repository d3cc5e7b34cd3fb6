//! `SIGSTOP` and `SIGCONT`: a service that knows nothing of the time that has passed.
//!
//! The primary and the leader that were replaced while they stood still wake up in the
//! belief that they are what they were. What they find in their sockets was asked of them
//! while others already decided: they must not answer it from what they knew.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::Signal;
use tests::harness::cluster::{Options, eventually};
use tests::harness::mix::Shape;
use tests::harness::recorder::{Ask, Recorder};
use tests::operations::{Call, Guard, Outcome};
use tokio::task::JoinSet;

use crate::scenario::Scenario;

/// From less than any time-out to beyond each of these: heartbeats 0.1 s, elections 0.5
/// s, views 0.6 s, probes 1 s, clients 3 and 5 s.
const PAUSES_MS: [u64; 6] = [100, 400, 800, 1_300, 2_500, 6_000];
/// Beyond the 10 s of requests and the directory, and the 30 s after which idle
/// connections are closed: only in a run of two minutes or more.
const LONG_PAUSES_MS: [u64; 2] = [11_000, 33_000];
/// After so long somebody else has surely taken over, however busy the machine.
const SURELY_REPLACED_MS: u64 = 2_000;
/// The patience of those who ask a service that stands still.
const PATIENT: Duration = Duration::from_secs(30);
/// Before a service wakes up, whoever replaced it has this long to do something new.
const LEAD: Duration = Duration::from_millis(40);

#[derive(Clone, Copy, Debug)]
enum Victims {
    Primary,
    Leader,
    Both,
    Bystanders,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_or_leader_that_stood_still_answers_nothing_from_the_past() -> Result<()> {
    Scenario::run("standing still", &Options::default(), Shape::default(), async |scenario| {
        let mut victims = [Victims::Primary, Victims::Leader, Victims::Both, Victims::Bystanders]
            .into_iter()
            .cycle();
        let mut pauses = PAUSES_MS
            .into_iter()
            .chain(scenario.is_long().then_some(LONG_PAUSES_MS).into_iter().flatten());
        scenario.must_leave_open(1);
        let mut answered = 0;
        loop {
            let pause_ms = match pauses.next() {
                Some(pause_ms) => pause_ms,
                None if scenario.goes_on() => scenario.pick(&PAUSES_MS),
                None => break,
            };
            let kind =
                if pause_ms > 5_000 { Victims::Both } else { victims.next().expect("a cycle") };
            let names = named(scenario, kind).await?;
            let by_the_primary =
                stand_still(scenario, &names, Duration::from_millis(pause_ms)).await?;
            if pause_ms > SURELY_REPLACED_MS {
                are_replaced(scenario, &names).await?;
                println!(
                    "  after {pause_ms} ms: {by_the_primary} questions answered by the \
                    primary that stood still"
                );
                answered += by_the_primary;
            }
            scenario.mix.check()?;
            tokio::time::sleep(scenario.between(50, 500)).await;
        }
        ensure!(
            answered > 0,
            "nothing that was asked of a primary that stood still and was replaced was answered by \
             it afterwards"
        );
        Ok(())
    })
    .await
}

/// Whoever led, or was primary, while it stood still has been replaced.
async fn are_replaced(scenario: &Scenario, names: &[String]) -> Result<()> {
    let cluster = &scenario.cluster;
    eventually("others have taken over", || async {
        let present = [cluster.leader().await?, cluster.primary().await?];
        ensure!(
            present.iter().all(|name| !names.contains(name)),
            "{present:?} are leader and primary still"
        );
        Ok(())
    })
    .await
}

async fn named(scenario: &Scenario, victims: Victims) -> Result<Vec<String>> {
    let (primary, backups) = scenario.replicas().await?;
    Ok(match victims {
        Victims::Primary => vec![primary],
        Victims::Leader => vec![scenario.cluster.leader().await?],
        Victims::Both => vec![primary, scenario.cluster.leader().await?],
        Victims::Bystanders => vec![backups[0].clone(), "acceptor-1".to_owned()],
    })
}

/// Stops services, asks them while they stand still, and lets them go on; says how many
/// questions were answered by the replica that was primary when it was stopped, if it was
/// among them.
async fn stand_still(scenario: &mut Scenario, names: &[String], pause: Duration) -> Result<usize> {
    scenario.note(format!("{} stopped for {} ms", names.join(", "), pause.as_millis()));
    let (primary, _) = scenario.replicas().await?;
    for name in names {
        scenario.cluster.service(name).signal(Signal::STOP)?;
    }
    tokio::time::sleep(pause.saturating_sub(LEAD)).await;
    let mut waiting = JoinSet::new();
    for name in names.iter().filter(|name| name.starts_with("replica")) {
        let door = scenario.cluster.door(name).to_owned();
        for number in 0..6 {
            let asked = ask(Arc::clone(&scenario.recorder), door.clone(), number);
            let is_primary = *name == primary;
            waiting.spawn(async move { asked.await.map(|outcome| (is_primary, outcome)) });
        }
    }
    tokio::time::sleep(LEAD).await;
    for name in names {
        scenario.cluster.service(name).signal(Signal::CONT)?;
    }
    let mut answered = 0;
    while let Some(asked) = waiting.join_next().await {
        answered += usize::from(matches!(asked??, (true, outcome) if outcome.is_answered()));
    }
    Ok(answered)
}

async fn ask(recorder: Arc<Recorder>, door: String, number: u64) -> Result<Outcome> {
    let ask = Ask { door: &door, timeout: PATIENT };
    let key = format!("hot/{number}");
    if number < 4 {
        recorder.perform(ask, Call::read(&key)).await
    } else {
        recorder.put(ask, &key, Guard::Always).await
    }
}
