//! How long writes stop when the one that leads is killed: the longest time between two
//! acknowledgements, over all clients, from the kill on.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures::future::{join, join_all};
use serde::Serialize;
use tokio::time::{sleep, timeout};

use crate::client::Client;
use crate::report::{grouped, median};
use crate::systems::{System, Victim};
use crate::table::Table;
use crate::workload::Operation;

const CLIENTS: usize = 16;
/// From an answer to the client's next request.
const PACE: Duration = Duration::from_millis(20);
/// A client that has no answer by then counts an error, and asks the next node.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the load runs before the kill, and after it.
const BEFORE: Duration = Duration::from_secs(2);
const AFTER: Duration = Duration::from_secs(10);

/// One system, and one of its parts that was killed again and again.
#[derive(Serialize)]
pub(crate) struct Gaps {
    system: String,
    victim: &'static str,
    kills: Vec<Kill>,
}

#[derive(Serialize)]
struct Kill {
    killed: String,
    longest_gap_ms: f64,
    acknowledged: u64,
    errors: BTreeMap<String, u64>,
}

/// Kills a part of the system so often, under load. None where it has no such part.
pub(crate) async fn measure(
    system: &mut System,
    victim: Victim,
    kills: u32,
) -> anyhow::Result<Option<Gaps>> {
    if !system.has(victim) {
        return Ok(None);
    }
    let mut gaps =
        Gaps { system: system.name().to_owned(), victim: victim.name(), kills: Vec::new() };
    for kill in 1..=kills {
        eprintln!("{} killed, {kill} of {kills}: {}", victim.name(), system.name());
        gaps.kills.push(kill_once(system, victim).await?);
        system.revive().await?;
    }
    Ok(Some(gaps))
}

async fn kill_once(system: &mut System, victim: Victim) -> anyhow::Result<Kill> {
    let clients = system.connect(CLIENTS).await?;
    let tally = Tally::default();
    let load = join_all(
        clients.into_iter().zip(0..).map(|(client, number)| write(client, number, &tally)),
    );
    let killer = async {
        sleep(BEFORE).await;
        let killed = system.kill(victim).await;
        tally.clock.borrow_mut().killed(Instant::now());
        sleep(AFTER).await;
        tally.clock.borrow_mut().ended(Instant::now());
        tally.is_over.set(true);
        killed
    };
    let (killed, _) = join(killer, load).await;
    let clock = tally.clock.into_inner();
    ensure!(clock.acknowledged > 0, "no write was acknowledged");
    Ok(Kill {
        killed: killed?,
        longest_gap_ms: clock.longest.as_secs_f64() * 1_000.0,
        acknowledged: clock.acknowledged,
        errors: tally.errors.into_inner(),
    })
}

#[derive(Default)]
struct Tally {
    clock: RefCell<Clock>,
    errors: RefCell<BTreeMap<String, u64>>,
    is_over: Cell<bool>,
}

async fn write(mut client: Client, number: u32, tally: &Tally) {
    let (operation, value) = (Operation::Put, Operation::Put.value());
    for turn in 0.. {
        let written = operation.perform(&mut client, (number, turn), &value);
        match timeout(ATTEMPT_TIMEOUT, written).await.context("no answer in time").flatten() {
            Ok(()) => tally.clock.borrow_mut().acknowledged(Instant::now()),
            Err(error) => {
                *tally.errors.borrow_mut().entry(format!("{error:#}")).or_insert(0) += 1;
                // Where that one does not answer either, the next attempt fails and moves on.
                let _unreachable = timeout(ATTEMPT_TIMEOUT, client.go_elsewhere()).await;
            }
        }
        if tally.is_over.get() {
            break;
        }
        sleep(PACE).await;
    }
}

/// Finds the longest time without an acknowledgement that reaches beyond the kill.
#[derive(Debug, Default)]
struct Clock {
    last: Option<Instant>,
    killed: Option<Instant>,
    ended: Option<Instant>,
    longest: Duration,
    acknowledged: u64,
}

impl Clock {
    fn acknowledged(&mut self, now: Instant) {
        if self.ended.is_some() {
            return;
        }
        self.acknowledged += 1;
        if self.killed.is_some() {
            self.close(now);
        }
        self.last = Some(now);
    }

    fn killed(&mut self, now: Instant) {
        self.killed = Some(now);
    }

    /// A gap that is still open when the load ends counts as far as it was seen.
    fn ended(&mut self, now: Instant) {
        self.close(now);
        self.ended = Some(now);
    }

    fn close(&mut self, now: Instant) {
        if let Some(since) = self.last.or(self.killed) {
            self.longest = self.longest.max(now.saturating_duration_since(since));
        }
    }
}

pub(crate) fn table(gaps: &[Gaps]) -> String {
    let head = ["killed", "system", "kills", "gap ms, median", "gap ms, longest", "errors"];
    let mut table = Table::new(head.map(str::to_owned).into(), 2);
    for Gaps { system, victim, kills } in gaps {
        let longest: Vec<f64> = kills.iter().map(|kill| kill.longest_gap_ms).collect();
        let errors: u64 = kills.iter().flat_map(|kill| kill.errors.values()).sum();
        table.push(vec![
            (*victim).to_owned(),
            system.clone(),
            kills.len().to_string(),
            grouped(median(longest.clone())),
            grouped(longest.into_iter().fold(0.0, f64::max)),
            errors.to_string(),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_is_the_longest_pause_that_reaches_beyond_the_kill() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut clock = Clock::default();
        clock.acknowledged(at(0));
        clock.acknowledged(at(5_000));
        clock.killed(at(5_100));
        clock.acknowledged(at(5_900));
        clock.acknowledged(at(6_000));
        clock.ended(at(6_300));
        clock.acknowledged(at(9_000));
        assert_eq!((clock.acknowledged, clock.longest), (4, Duration::from_millis(900)));
    }

    #[test]
    fn writes_that_never_come_back_are_one_long_gap() {
        let start = Instant::now();
        let mut clock = Clock::default();
        clock.acknowledged(start);
        clock.killed(start + Duration::from_secs(1));
        clock.ended(start + Duration::from_secs(11));
        assert_eq!((clock.acknowledged, clock.longest), (1, Duration::from_secs(11)));
    }
}
