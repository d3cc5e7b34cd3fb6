//! One service after the other is killed, once all are there.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use client::Client;
use shared::message::Service;
use tokio::time::{sleep, sleep_until};

use super::story::{Role, times};
use super::tally::{Tally, millis};
use crate::bench::processes::{Discovered, discover};
use crate::console;
use crate::up::plan::Planned;
use crate::up::ready::stragglers;
use crate::up::report::Board;

/// How long a service may take to be back, or writes to go on.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Kills one at each time, and says what comes of it.
pub(super) async fn run(
    plan: &[Planned],
    (board, tally): (&RefCell<Board<'_>>, &RefCell<Tally>),
    seconds: Duration,
    every: Duration,
) -> anyhow::Result<()> {
    let began = tokio::time::Instant::now();
    for (turn, at) in times(seconds.as_secs(), every.as_secs()).enumerate() {
        sleep_until(began + Duration::from_secs(at)).await;
        // Two at once may be more than a majority bears: writes would wait for it.
        all_are_back(plan, board).await?;
        let role = Role::of_turn(turn);
        let victim = find(plan, role).await?;
        let (name, pid) = (&victim.status.id, victim.status.pid);
        console::say(format_args!(
            "{:>4} s  {name} (pid {pid}) is killed: {}",
            began.elapsed().as_secs(),
            role.why()
        ));
        victim.kill()?;
        tally.borrow_mut().killed(role, Instant::now());
        let came = what_came((board, tally), plan, &victim, role).await?;
        console::say(format_args!("        {came}\n"));
    }
    sleep_until(began + seconds).await;
    all_are_back(plan, board).await
}

/// Waits until all are ready but those that were taken out.
async fn all_are_back(plan: &[Planned], board: &RefCell<Board<'_>>) -> anyhow::Result<()> {
    let stay = plan.iter().filter(|planned| !board.borrow().is_out(&planned.name));
    let late = stragglers(stay).await;
    if late.is_empty() { Ok(()) } else { bail!("{} did not come back", late.join(", ")) }
}

/// A service of that role. Whoever leads or is primary may be about to change.
async fn find(plan: &[Planned], role: Role) -> anyhow::Result<Discovered> {
    let began = Instant::now();
    loop {
        let found = services(plan).await?.into_iter().find(|it| role.is_of(&it.status));
        match found {
            Some(found) => return Ok(found),
            None if began.elapsed() > PATIENCE => bail!("no service is the {}", role.name()),
            None => sleep(PAUSE).await,
        }
    }
}

async fn services(plan: &[Planned]) -> anyhow::Result<Vec<Discovered>> {
    let front = plan.iter().find(|planned| planned.service == Service::Balancer);
    let front = Client::new(&front.context("there is no balancer")?.url())?;
    discover(&front.with_timeout(PATIENCE)).await
}

/// Waits until writes go on and the one that was killed is back, and says how that went.
async fn what_came(
    (board, tally): (&RefCell<Board<'_>>, &RefCell<Tally>),
    plan: &[Planned],
    victim: &Discovered,
    role: Role,
) -> anyhow::Result<String> {
    let began = Instant::now();
    let (name, pid) = (&victim.status.id, victim.status.pid);
    loop {
        let is_late = began.elapsed() > PATIENCE;
        let services = services(plan).await.unwrap_or_default();
        let back = services.iter().find(|it| it.status.id == *name && it.status.pid != pid);
        let taken = match role {
            Role::Leader | Role::Primary => services.iter().find(|it| role.is_of(&it.status)),
            Role::Acceptor | Role::Backup | Role::Balancer | Role::Standby => back,
        };
        let pause = tally.borrow().pause();
        if let (true, Some(pause)) = (board.borrow().is_out(name), pause) {
            return Ok(format!("writes paused for {}; {name} is out for good", millis(pause)));
        }
        if let (Some(back), Some(taken), Some(pause)) = (back, taken, pause) {
            let now = match role {
                Role::Leader => format!("{} leads", taken.status.id),
                Role::Primary => format!("{} is primary", taken.status.id),
                Role::Acceptor | Role::Backup | Role::Balancer | Role::Standby => {
                    "nobody had to take over".to_owned()
                }
            };
            let pid = back.status.pid;
            return Ok(format!(
                "writes paused for {}; {now}; {name} is back (pid {pid})",
                millis(pause)
            ));
        }
        if is_late {
            bail!("{name} is not back, or nothing is written, after {PATIENCE:?}");
        }
        sleep(PAUSE).await;
    }
}
