//! Replicas that are gone for long: they leave the view, trimming goes on without them,
//! and they come back by themselves.

use anyhow::{Context, Result, ensure};
use tests::harness::cluster::{Options, eventually};
use tests::harness::mix::Shape;

use crate::scenario::Scenario;

/// So many mutations of this size fill the acceptors several times over.
const MORE_THAN_FIT: usize = 3_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `.ci/long` runs it"]
async fn two_of_three_replicas_that_are_gone_do_not_fill_the_acceptors_up() -> Result<()> {
    let small = ["--max-votes-mib", "8", "--segment-mib", "1"];
    let soon = ["--replica-gone-after", "3"];
    let options = Options {
        args: &[
            ("acceptor-1", &small),
            ("acceptor-2", &small),
            ("acceptor-3", &small),
            ("coordinator-1", &soon),
            ("coordinator-2", &soon),
        ],
        ..Options::default()
    };
    let shape = Shape { value_bytes: 6_000, ..Shape::default() };
    Scenario::run("gone replicas", &options, shape, async |scenario| {
        let (_, backups) = scenario.replicas().await?;
        for backup in &backups {
            scenario.cluster.service(backup).kill()?;
        }
        scenario
            .mix
            .wait_for_progress(MORE_THAN_FIT)
            .await
            .context("two replicas that are gone hold nobody up")?;
        for backup in &backups {
            scenario.cluster.service(backup).start()?;
        }
        eventually("all replicas are in the view again", || async {
            let (primary, _) = scenario.replicas().await?;
            let status = scenario.cluster.json(&primary, "/v1/status").await?;
            let backups = status["view"]["backups"].as_array().map_or(0, Vec::len);
            ensure!(backups == 2, "{primary} says {}", status["view"]);
            Ok(())
        })
        .await?;
        scenario.mix.check()
    })
    .await
}
