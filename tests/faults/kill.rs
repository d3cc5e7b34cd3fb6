//! `SIGKILL`, again and again.

use anyhow::Result;
use rand::RngExt;
use rustix::process::Signal;
use tests::harness::cluster::Options;
use tests::harness::mix::Shape;

use crate::scenario::Scenario;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_every_role_in_a_loop_loses_nothing() -> Result<()> {
    Scenario::run("killing in a loop", &Options::default(), Shape::default(), async |scenario| {
        scenario.must_leave_open(1);
        let names = scenario.cluster.all();
        let mut next = 0;
        // Every service once, then at random for as long as there is time.
        while next < names.len() || scenario.goes_on() {
            let mut victims = match names.get(next) {
                Some(name) => vec![name.clone()],
                None => at_random(scenario).await?,
            };
            next += 1;
            victims.sort();
            victims.dedup();
            let dead_for = scenario.between(20, 1_200);
            scenario.note(format!("{} dead for {} ms", victims.join(", "), dead_for.as_millis()));
            for victim in &victims {
                scenario.cluster.service(victim).kill()?;
            }
            tokio::time::sleep(dead_for).await;
            for victim in &victims {
                scenario.cluster.service(victim).start()?;
            }
            tokio::time::sleep(scenario.between(50, 800)).await;
            scenario.mix.check()?;
        }
        Ok(())
    })
    .await
}

/// What a leader and a primary know alone at one moment, a choice that no acceptor has
/// heard of and no backup has learned, is gone with them. It must be found again in the
/// votes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_leader_and_primary_at_once_loses_nothing() -> Result<()> {
    // With few clients there are moments in which nothing that follows tells acceptors of
    // the choice before.
    let shape = Shape { clients: 3, ..Shape::default() };
    Scenario::run("killing both", &Options::default(), shape, async |scenario| {
        while scenario.goes_on() {
            let (primary, backups) = scenario.replicas().await?;
            let victims = [scenario.cluster.leader().await?, primary];
            for backup in &backups {
                scenario.cluster.service(backup).signal(Signal::STOP)?;
            }
            tokio::time::sleep(scenario.between(50, 150)).await;
            for victim in &victims {
                scenario.cluster.service(victim).signal(Signal::KILL)?;
            }
            for victim in &victims {
                scenario.cluster.service(victim).kill()?;
            }
            for backup in &backups {
                scenario.cluster.service(backup).signal(Signal::CONT)?;
            }
            scenario.mix.wait_for_progress(10).await?;
            for victim in &victims {
                scenario.cluster.service(victim).start()?;
            }
            scenario.mix.wait_for_progress(20).await?;
            scenario.mix.check()?;
        }
        Ok(())
    })
    .await
}

/// Whom to kill: one, the two that matter most, a quorum of acceptors, or all of a kind.
async fn at_random(scenario: &mut Scenario) -> Result<Vec<String>> {
    let kinds = ["acceptor", "coordinator", "replica", "balancer"];
    Ok(match scenario.random.random_range(0..8) {
        0 => vec![scenario.cluster.leader().await?, scenario.replicas().await?.0],
        1 => scenario.cluster.names("acceptor").into_iter().skip(1).collect(),
        2 => {
            let kind = scenario.pick(&kinds);
            scenario.cluster.names(kind)
        }
        3 => vec![scenario.replicas().await?.0],
        4 => vec![scenario.cluster.leader().await?],
        _ => {
            let names = scenario.cluster.all();
            vec![scenario.pick(&names), scenario.pick(&names)]
        }
    })
}
