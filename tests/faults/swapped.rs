//! Data directories that are gone, swapped, or another's.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tests::harness::cluster::Options;
use tests::harness::mix::Shape;
use tests::harness::recorder::Ask;
use tests::operations::Guard;

use crate::scenario::Scenario;

const START: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acceptor_without_its_disk_is_not_counted() -> Result<()> {
    Scenario::run("a wiped acceptor", &Options::default(), Shape::default(), async |scenario| {
        // Kept, to be put back in the end: then its old self may vote again.
        let dir = scenario.cluster.data_dir("acceptor-3");
        let kept = scenario.cluster.dir().join("kept");
        scenario.cluster.service("acceptor-3").kill()?;
        fs::rename(&dir, &kept)?;
        scenario.cluster.service("acceptor-3").start()?;
        scenario.mix.wait_for_progress(100).await.context("two of three are left")?;
        scenario.cluster.service("acceptor-2").kill()?;
        // What the two had decided before is answered; then nothing can be.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let ask = Ask { door: scenario.cluster.front(), timeout: Duration::from_secs(1) };
        for number in 0..3 {
            let outcome =
                scenario.recorder.put(ask, &format!("hot/{number}"), Guard::Always).await?;
            ensure!(
                !outcome.is_acknowledged(),
                "acknowledged on the strength of a wiped acceptor: {outcome:?}"
            );
        }
        scenario.cluster.service("acceptor-3").kill()?;
        fs::remove_dir_all(&dir)?;
        fs::rename(&kept, &dir)?;
        scenario.cluster.service("acceptor-3").start()?;
        scenario
            .mix
            .wait_for_progress(100)
            .await
            .context("its disk is back, and with the first it is a quorum")?;
        scenario.cluster.service("acceptor-2").start()?;
        scenario.mix.check()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `.ci/long` runs it"]
async fn data_directories_swapped_between_services_are_refused() -> Result<()> {
    Scenario::run("swapped data", &Options::default(), Shape::default(), async |scenario| {
        for (one, other) in
            [("acceptor-1", "acceptor-2"), ("replica-1", "replica-2"), ("acceptor-3", "replica-3")]
        {
            for name in [one, other] {
                scenario.cluster.service(name).kill()?;
            }
            let (dir, other_dir) =
                (scenario.cluster.data_dir(one), scenario.cluster.data_dir(other));
            swap(&dir, &other_dir)?;
            for (name, others) in [(one, other), (other, one)] {
                let service = scenario.cluster.service(name);
                service.start()?;
                let status = service
                    .wait(START)
                    .with_context(|| format!("{name} runs on the data of {others}"))?;
                ensure!(!status.success(), "{name} ended with {status}");
                let said = service.output()?;
                ensure!(
                    said.contains(others),
                    "{name} does not name {others}: {:?}",
                    said.lines().last()
                );
            }
            swap(&dir, &other_dir)?;
            for name in [one, other] {
                scenario.cluster.service(name).start()?;
            }
            scenario.mix.wait_for_progress(100).await?;
        }
        scenario.mix.check()
    })
    .await
}

/// The logs alone are swapped, under the names of their new owners: votes stay with who
/// cast them, wherever they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `.ci/long` runs it"]
async fn acceptors_whose_logs_are_swapped_vote_as_each_other_and_lose_nothing() -> Result<()> {
    Scenario::run("swapped logs", &Options::default(), Shape::default(), async |scenario| {
        for name in ["acceptor-1", "acceptor-2"] {
            scenario.cluster.service(name).kill()?;
        }
        let logs =
            ["acceptor-1", "acceptor-2"].map(|name| scenario.cluster.data_dir(name).join("log"));
        swap(&logs[0], &logs[1])?;
        for name in ["acceptor-1", "acceptor-2"] {
            scenario.cluster.service(name).start()?;
        }
        scenario.mix.wait_for_progress(100).await?;
        scenario.mix.check()
    })
    .await
}

/// A copy of another's log is no third vote: with one of the two originals gone there is
/// no quorum.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `.ci/long` runs it"]
async fn an_acceptor_copied_onto_another_counts_once() -> Result<()> {
    Scenario::run("a copied acceptor", &Options::default(), Shape::default(), async |scenario| {
        let (source, target) = (
            scenario.cluster.data_dir("acceptor-1").join("log"),
            scenario.cluster.data_dir("acceptor-2").join("log"),
        );
        let kept = scenario.cluster.dir().join("kept");
        for name in ["acceptor-1", "acceptor-2", "acceptor-3"] {
            scenario.cluster.service(name).kill()?;
        }
        fs::rename(&target, &kept)?;
        copy(&source, &target)?;
        for name in ["acceptor-1", "acceptor-2"] {
            scenario.cluster.service(name).start()?;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let ask = Ask { door: scenario.cluster.front(), timeout: Duration::from_secs(2) };
        let outcome = scenario.recorder.put(ask, "hot/0", Guard::Always).await?;
        ensure!(!outcome.is_acknowledged(), "one acceptor's votes were counted twice: {outcome:?}");
        scenario.cluster.service("acceptor-2").kill()?;
        fs::remove_dir_all(&target)?;
        fs::rename(&kept, &target)?;
        for name in ["acceptor-2", "acceptor-3"] {
            scenario.cluster.service(name).start()?;
        }
        scenario.cluster.leader().await?;
        scenario.mix.wait_for_progress(100).await
    })
    .await
}

fn swap(one: &Path, other: &Path) -> Result<()> {
    let aside = one.with_extension("aside");
    fs::rename(one, &aside)?;
    fs::rename(other, one)?;
    fs::rename(&aside, other)?;
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}
