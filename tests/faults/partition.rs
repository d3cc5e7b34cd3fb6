//! Packets that are lost without a word: partitions of a real network, full, one-way and
//! bridged; and cables that come and go.
//!
//! While it lasts, whoever has a quorum goes on, within
//! [`RECOVERY`](crate::hosts::RECOVERY), and whoever has none acknowledges nothing.
//! Afterwards connections that have been dead for seconds must not hold anybody up: TCP
//! would wait ever longer before it tries again.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rand::RngExt;
use tests::harness::lan::{Lan, apart};

use crate::hosts::{
    Deposed, Partition, WAYS, Ways, among_hosts, answers_no_one, comes_together, cut_off,
    goes_on_in_spite, goes_on_meanwhile,
};
use crate::scenario::Scenario;

/// Long enough for TCP to have sent again four times, and to wait for longer than any
/// time-out of a service.
const BLACKOUT: Duration = Duration::from_secs(5);

#[test]
#[ignore = "long: `.ci/long` runs it"]
fn a_leader_whose_packets_are_lost_is_replaced_and_chooses_nothing() -> Result<()> {
    among_hosts("a leader's packets lost", async |scenario, lan| {
        for ways in WAYS {
            let leader = scenario.cluster.leader().await?;
            let partition = Partition {
                what: format!("{leader}, the leader, is cut off ({ways:?})"),
                drops: cut_off(&leader, &scenario.cluster.all(), ways),
                whole: doors(scenario, &[]),
            };
            let look = async |scenario: &Scenario| Deposed::new(&scenario.cluster, &leader).await;
            let deposed = goes_on_meanwhile(scenario, lan, partition, look).await?;
            tokio::time::sleep(scenario.between(500, 1_500)).await;
            deposed.has_chosen_nothing(&scenario.cluster).await?;
            comes_together(scenario, lan).await?;
        }
        Ok(())
    })
}

#[test]
fn a_primary_whose_packets_are_lost_is_replaced_and_answers_no_one() -> Result<()> {
    among_hosts("a primary's packets lost", async |scenario, lan| {
        for ways in WAYS {
            let (primary, _) = scenario.replicas().await?;
            let partition = Partition {
                what: format!("{primary}, the primary, is cut off ({ways:?})"),
                drops: cut_off(&primary, &scenario.cluster.all(), ways),
                whole: doors(scenario, std::slice::from_ref(&primary)),
            };
            goes_on_in_spite(scenario, lan, partition).await?;
            answers_no_one(scenario, &primary).await?;
            comes_together(scenario, lan).await?;
        }
        Ok(())
    })
}

#[test]
#[ignore = "long: `.ci/long` runs it"]
fn a_minority_with_leader_and_primary_acknowledges_nothing_and_the_majority_goes_on() -> Result<()>
{
    among_hosts("a minority", async |scenario, lan| {
        // The front door is on either side in turn: clients reach both.
        for balancers in [Side::Majority, Side::Minority] {
            let (leader, (primary, _)) =
                (scenario.cluster.leader().await?, scenario.replicas().await?);
            let acceptor = scenario.pick(&scenario.cluster.names("acceptor"));
            let mut minority = vec![leader.clone(), primary.clone(), acceptor];
            if balancers == Side::Minority {
                minority.push("balancer-1".to_owned());
            }
            let majority = without(&scenario.cluster.all(), &minority);
            let partition = Partition {
                what: format!("{} are cut off", minority.join(", ")),
                drops: apart(&minority, &majority),
                whole: doors(scenario, &minority),
            };
            let deposed = goes_on_meanwhile(scenario, lan, partition, async |scenario| {
                let deposed = Deposed::new(&scenario.cluster, &leader).await?;
                // Leader and primary do not know yet: what they are asked for now, they
                // propose.
                answers_no_one(scenario, &primary).await?;
                Ok(deposed)
            })
            .await?;
            answers_no_one(scenario, &primary).await?;
            deposed.has_chosen_nothing(&scenario.cluster).await?;
            comes_together(scenario, lan).await?;
        }
        Ok(())
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Majority,
    Minority,
}

/// Neither half has a quorum of its own; one acceptor sees both.
#[test]
fn halves_that_share_one_acceptor_go_on() -> Result<()> {
    among_hosts("halves with a bridge", async |scenario, lan| {
        for halves in [Halves::Together, Halves::LeaderFromPrimary, Halves::LeaderFromPrimary] {
            let (leader, (primary, backups)) =
                (scenario.cluster.leader().await?, scenario.replicas().await?);
            let replica = match halves {
                Halves::Together => primary,
                Halves::LeaderFromPrimary => backups[0].clone(),
            };
            let one = vec![leader, "acceptor-1".to_owned(), replica.clone()];
            let mut other = without(&scenario.cluster.all(), &one);
            other.retain(|name| name != "acceptor-2");
            let partition = Partition {
                what: format!("{} and the others meet only at acceptor-2", one.join(", ")),
                drops: apart(&one, &other),
                whole: vec![replica],
            };
            goes_on_in_spite(scenario, lan, partition).await?;
            tokio::time::sleep(scenario.between(500, 1_500)).await;
            comes_together(scenario, lan).await?;
        }
        Ok(())
    })
}

#[derive(Clone, Copy, Debug)]
enum Halves {
    /// Leader and primary are on one side.
    Together,
    /// They are not.
    LeaderFromPrimary,
}

/// Everybody sees somebody, but not everybody sees everybody.
#[test]
#[ignore = "long: `.ci/long` runs it"]
fn a_network_that_has_lost_some_of_its_links_goes_on() -> Result<()> {
    among_hosts("links lost", async |scenario, lan| {
        for number in 0..LINKS {
            let partition = lost_links(scenario, number).await?;
            goes_on_in_spite(scenario, lan, partition).await?;
            tokio::time::sleep(scenario.between(300, 1_000)).await;
            comes_together(scenario, lan).await?;
        }
        Ok(())
    })
}

const LINKS: usize = 6;

async fn lost_links(scenario: &Scenario, number: usize) -> Result<Partition> {
    let (leader, (primary, backups)) =
        (scenario.cluster.leader().await?, scenario.replicas().await?);
    let (replicas, acceptors) =
        (scenario.cluster.names("replica"), scenario.cluster.names("acceptor"));
    let all = doors(scenario, &[]);
    let (what, drops, whole) = match number {
        0 => (
            format!("{leader}, the leader, sees acceptors but no replicas"),
            cut_off(&leader, &replicas, Ways::Both),
            all,
        ),
        1 => (
            format!("{leader}, the leader, sees one acceptor"),
            cut_off(&leader, &acceptors[1..], Ways::Both),
            all,
        ),
        2 => (
            format!("{leader} and {primary}, leader and primary, lost each other"),
            apart(&[leader], &[primary]),
            all,
        ),
        3 => (
            format!("the balancer lost {primary}, the primary"),
            cut_off("balancer-1", &[primary], Ways::Both),
            all,
        ),
        // It cannot read any more.
        4 => (
            format!("{primary}, the primary, sees no acceptors"),
            cut_off(&primary, &acceptors, Ways::Both),
            doors(scenario, &[primary]),
        ),
        // They cannot send mutations on to it.
        _ => (
            format!("{primary}, the primary, sees no other replicas"),
            cut_off(&primary, &backups, Ways::Both),
            doors(scenario, &backups),
        ),
    };
    Ok(Partition { what, drops, whole })
}

#[test]
#[ignore = "long: `.ci/long` runs it"]
fn cables_that_come_and_go_lose_nothing() -> Result<()> {
    among_hosts("flapping cables", async |scenario, lan| {
        let names = scenario.cluster.all();
        let before = lan.losses()?.sent_again;
        let mut turn = 0;
        // Every cable once, then at random, one or two at a time.
        while turn < names.len() || scenario.goes_on() {
            let flapping = match names.get(turn) {
                Some(name) => vec![name.clone()],
                None => vec![scenario.pick(&names), scenario.pick(&names)],
            };
            turn += 1;
            for _ in 0..scenario.random.random_range(1..4) {
                let pulled_for = scenario.between(20, 700);
                scenario.note(format!(
                    "{} pulled for {} ms",
                    flapping.join(", "),
                    pulled_for.as_millis()
                ));
                flapping.iter().try_for_each(|name| lan.unplug(name))?;
                tokio::time::sleep(pulled_for).await;
                flapping.iter().try_for_each(|name| lan.plug(name))?;
                tokio::time::sleep(scenario.between(20, 200)).await;
            }
            scenario.mix.check()?;
        }
        ensure!(lan.losses()?.sent_again > before, "no cable carried anything when it was pulled");
        comes_together(scenario, lan).await
    })
}

/// All connections have sent into the void for so long that TCP would wait for seconds
/// before the next attempt. Services give up their requests, and with them the
/// connections, long before.
#[test]
#[ignore = "long: `.ci/long` runs it"]
fn connections_that_were_dead_for_seconds_hold_nobody_up() -> Result<()> {
    among_hosts("a blackout", async |scenario, lan| {
        scenario.must_leave_open(1);
        let dead = ["", "primary", "leader", "balancer-1", "acceptor-1"];
        let tried = if scenario.is_long() { dead.len() } else { 2 };
        for name in dead.into_iter().take(tried) {
            let dead = match name {
                "" => scenario.cluster.all(),
                "leader" => vec![scenario.cluster.leader().await?],
                "primary" => vec![scenario.replicas().await?.0],
                other => vec![other.to_owned()],
            };
            blackout(scenario, lan, &dead)
                .await
                .with_context(|| format!("{} were dead", dead.join(", ")))?;
        }
        Ok(())
    })
}

async fn blackout(scenario: &mut Scenario, lan: &Lan, dead: &[String]) -> Result<()> {
    let before = lan.losses()?;
    lan.set(apart(dead, &scenario.cluster.all()))?;
    tokio::time::sleep(BLACKOUT).await;
    let losses = lan.losses()?;
    ensure!(
        losses.dropped > before.dropped && losses.sent_again > before.sent_again,
        "nothing was lost: {before:?}, {losses:?}"
    );
    println!("  {} dead for {BLACKOUT:?}", dead.join(", "));
    comes_together(scenario, lan).await
}

/// Where clients come in, but for some.
fn doors(scenario: &Scenario, others: &[String]) -> Vec<String> {
    let mut doors = scenario.cluster.names("replica");
    doors.push("balancer-1".to_owned());
    without(&doors, others)
}

fn without(names: &[String], others: &[String]) -> Vec<String> {
    names.iter().filter(|name| !others.contains(name)).cloned().collect()
}
