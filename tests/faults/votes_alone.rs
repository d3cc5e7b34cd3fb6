//! Acknowledged writes that stand in the votes of two acceptors and nowhere else, when
//! the log of one of the two is damaged.
//!
//! The third acceptor and the backups have missed them, the leader is dead, and the
//! primary has lost its disk. A majority of the acceptors keep theirs, so nothing may be
//! lost: the vote of a single acceptor has to bring it back.

use std::fs;

use anyhow::{Context, Result, ensure};
use rand::RngExt;
use rustix::process::Signal;
use tests::harness::cluster::Options;
use tests::harness::disk::{Rot, files};
use tests::harness::mix::Shape;
use tests::harness::recorder::Ask;
use tests::operations::Guard;

use crate::damage::{refuses, used_bytes};
use crate::scenario::Scenario;

const DAMAGED: &str = "acceptor-1";
const ABSENT: &str = "acceptor-3";
/// Mutations that only the two acceptors and the primary know of.
const ALONE: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `.ci/long` runs it"]
async fn what_one_undamaged_acceptor_alone_has_kept_is_not_lost() -> Result<()> {
    Scenario::run("votes alone", &Options::default(), Shape::default(), async |scenario| {
        let (primary, backups) = scenario.replicas().await?;
        let leader = scenario.cluster.leader().await?;
        let absent = [&backups[..], &[ABSENT.to_owned()]].concat();
        signal(scenario, &absent, Signal::STOP)?;
        scenario
            .mix
            .wait_for_progress(ALONE)
            .await
            .context("two acceptors and the primary are left")?;
        let victims = [leader.clone(), primary.clone(), DAMAGED.to_owned()];
        // All at one moment, and only then wait for their ends.
        signal(scenario, &victims, Signal::KILL)?;
        victims.iter().try_for_each(|victim| scenario.cluster.service(victim).kill())?;
        fs::remove_dir_all(scenario.cluster.data_dir(&primary))?;
        damage(scenario)?;
        signal(scenario, &absent, Signal::CONT)?;
        scenario.mix.wait_for_progress(ALONE).await.context("the others have found it")?;
        scenario.cluster.service(&leader).start()?;
        scenario.cluster.service(&primary).start()?;
        scenario.mix.wait_for_progress(100).await?;
        // What the error advises: without its directory it is another acceptor, and no
        // vote comes back by it.
        fs::remove_dir_all(scenario.cluster.data_dir(DAMAGED))?;
        scenario.cluster.service(DAMAGED).start()?;
        scenario.mix.wait_for_progress(100).await?;
        is_no_second_vote(scenario).await
    })
    .await
}

fn signal(scenario: &mut Scenario, names: &[String], signal: Signal) -> Result<()> {
    names.iter().try_for_each(|name| scenario.cluster.service(name).signal(signal))
}

/// Flips a bit where later records show that it was synced, and sees to it that the
/// acceptor notices.
fn damage(scenario: &mut Scenario) -> Result<()> {
    let segments = files(&scenario.cluster.data_dir(DAMAGED).join("log"))?;
    let (path, _) = segments.last().context("an acceptor that voted has a segment")?;
    let offset = scenario.random.random_range(0..used_bytes(path)? / 2);
    Rot::Flip { offset, bit: scenario.random.random_range(0..8) }.befall(path)?;
    refuses(scenario, DAMAGED, path)
}

/// With the new acceptor and one old one there is no quorum.
async fn is_no_second_vote(scenario: &mut Scenario) -> Result<()> {
    scenario.cluster.service(ABSENT).kill()?;
    // What the two had decided before is answered; then nothing can be.
    let ask = Ask::at(scenario.cluster.front());
    let last = scenario.recorder.put(ask, "hot/0", Guard::Always).await?;
    let next = scenario.recorder.put(ask, "hot/0", Guard::Always).await?;
    ensure!(
        !next.is_acknowledged(),
        "acknowledged on the strength of a new acceptor: {last:?}, {next:?}"
    );
    scenario.cluster.service(ABSENT).start()?;
    scenario.mix.wait_for_progress(100).await
}
