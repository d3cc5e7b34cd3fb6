//! An answer that is cut off after the mutation took effect: the client hears that it is not known, never that it didn't happen.

use anyhow::{Result, ensure};
use tests::harness::cluster::Options;
use tests::harness::mix::Shape;
use tests::harness::network::{CLIENT, Fault, Rule};
use tests::harness::recorder::Ask;
use tests::linearizability::history::{Answer, Consistency, Ending, Guard};

use crate::scenario::Scenario;

/// Where an answer is cut: within its first byte, its status line, its head, and wherever that leads further on.
const AFTER: [usize; 10] = [0, 1, 9, 15, 40, 90, 180, 280, 380, 480];
/// Bytes of an answer that surely do not hold its whole head.
const WITHIN_HEAD: usize = 90;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_cut_after_the_mutation_took_effect_is_unknown() -> Result<()> {
    let options = Options { networked: true, ..Options::default() };
    Scenario::run("answers cut", &options, Shape { clients: 2, ..Shape::default() }, async |scenario| {
        loop {
            for after in AFTER {
                let (primary, backups) = scenario.replicas().await?;
                let at = [("balancer-1", "balancer-1", &primary), (&*backups[0], &*backups[0], &primary)];
                for (door, from, to) in at {
                    cut(scenario, door, from, to, after).await?;
                }
                let front = "balancer-1".to_owned();
                cut(scenario, "balancer-1", CLIENT, &front, after).await?;
            }
            scenario.mix.check()?;
            if !scenario.goes_on() {
                return Ok(());
            }
        }
    })
    .await
}

/// Puts a key while the answers on one link are cut, and looks at what became of it.
async fn cut(scenario: &mut Scenario, door: &str, from: &str, to: &str, after: usize) -> Result<()> {
    let fault = Fault::AnswerCut { request: "PUT /v1/kv/cut/", after };
    let key = format!("cut/{from}/{after}");
    let ask = Ask::at(scenario.cluster.door(door));
    scenario.cluster.network().set(vec![Rule::between(from, to, fault)]);
    let ending = scenario.recorder.put(ask, &key, Guard::Always, 0).await?;
    scenario.cluster.network().heal();
    ensure!(ending != Ending::NotApplied, "{after} bytes of an answer from {to} to {from}: not_applied");
    if after <= WITHIN_HEAD {
        ensure!(ending == Ending::Unresolved, "{after} bytes of an answer from {to} to {from}: {ending:?}");
    }
    let read = scenario.recorder.read(ask, &key, Consistency::Linearizable).await?;
    let Ending::Answered { answer: Answer::Read(seen), .. } = read else { return Ok(()) };
    ensure!(seen.is_some(), "the request had been carried out when {after} bytes of its answer came from {to} to {from}");
    Ok(())
}
