//! Hand-overs of a lock: all clients want the same one, and whoever has it gives it back at
//! once.
//!
//! A hand-over is from when its holder sends the release to when the next one hears that it
//! has the lock. With one client that is the same one, which asks again once it has heard of
//! the release.

use std::cell::Cell;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use http::Method;
use serde_json::json;
use tokio::time::sleep;

use super::connection::Connection;
use super::load::{ERROR_PAUSE, Load};
use super::tally::{Measured, Outcome, Tally};

/// How long a client waits for the lock before it asks again: less than a request may take.
const WAIT: Duration = Duration::from_secs(8);

impl Load {
    /// Hand-overs.
    pub(super) async fn hand_over(&self) -> anyhow::Result<Measured> {
        let leases = self.grant_leases().await?;
        let tally = Tally::over(self.duration)?;
        let released = Cell::new(None);
        let clients = leases.iter().map(|lease| self.locker(*lease, &tally, &released));
        try_join_all(clients).await?;
        self.revoke_leases(&leases).await?;
        Ok(tally.measured())
    }

    /// Takes the lock and gives it back, until the time is over. `released` is when whoever
    /// had it last gave it back.
    async fn locker(
        &self,
        lease: u64,
        tally: &Tally,
        released: &Cell<Option<Instant>>,
    ) -> anyhow::Result<()> {
        let mut connection = Connection::new(&self.url)?;
        let path = format!("/v1/locks/{}lock", self.prefix);
        let wanted = json!({"lease": lease, "wait_ms": WAIT.as_millis() as u64});
        loop {
            let asked = Instant::now();
            let mut goes_on = match connection.ask(self.json(Method::PUT, &path, &wanted)?).await {
                Outcome::Done => tally.note(released.take().unwrap_or(asked), Outcome::Done),
                failed @ Outcome::Failed(_) => {
                    let goes_on = tally.note(asked, failed);
                    sleep(ERROR_PAUSE).await;
                    if goes_on {
                        continue;
                    }
                    return Ok(());
                }
            };
            let sent = Instant::now();
            released.set(Some(sent));
            let release = format!("{path}?lease={lease}");
            let given = connection.ask(self.request(Method::DELETE, &release, "")?).await;
            if matches!(given, Outcome::Failed(_)) {
                goes_on = tally.note(sent, given);
            }
            if !goes_on {
                return Ok(());
            }
        }
    }
}
