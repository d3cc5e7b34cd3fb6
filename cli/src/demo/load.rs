//! The clients: each writes key after key, and remembers what was acknowledged.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use client::Client;
use futures::TryStreamExt as _;
use futures::future::join_all;
use tokio::time::sleep;

use super::tally::Tally;

/// How many clients.
pub(super) const CLIENTS: usize = 4;
/// The pause of a client after each write: enough is written to notice any pause, and all of
/// it fits into memory.
const PAUSE: Duration = Duration::from_millis(5);
/// What all keys begin with.
const PREFIX: &str = "demo/";

/// All clients.
pub(super) struct Load<'a> {
    client: Client,
    tally: &'a RefCell<Tally>,
    is_stopped: Cell<bool>,
}

impl<'a> Load<'a> {
    /// They write by this one.
    pub(super) fn of(client: Client, tally: &'a RefCell<Tally>) -> Self {
        Self { client, tally, is_stopped: Cell::new(false) }
    }

    /// Has every client end after the write that it is at.
    pub(super) fn stop(&self) {
        self.is_stopped.set(true);
    }

    /// Writes until it is stopped.
    pub(super) async fn run(&self) -> anyhow::Result<()> {
        join_all((0..CLIENTS).map(|client| self.write(client))).await;
        self.tally.borrow_mut().ended(Instant::now());
        Ok(())
    }

    async fn write(&self, client: usize) {
        for turn in 0_u64.. {
            if self.is_stopped.get() {
                return;
            }
            let (key, value) = (format!("{PREFIX}{client}/{turn}"), turn.to_string());
            let written = self.client.put(&key, value.clone()).await;
            match written {
                Ok(_) => self.tally.borrow_mut().acknowledged(key, value, Instant::now()),
                // It may be there or not: nobody was told that it is.
                Err(error) => self.tally.borrow_mut().failed(error.to_string()),
            }
            sleep(PAUSE).await;
        }
    }

    /// Reads all that there is at each of these replicas.
    pub(super) async fn look_for(&self, replicas: &[Client]) -> anyhow::Result<()> {
        for replica in replicas {
            let listed =
                replica.list(PREFIX).stream().try_fold(BTreeMap::new(), async |mut found, item| {
                    let value = item.value.unwrap_or_default();
                    found.insert(item.key, String::from_utf8_lossy(&value).into_owned());
                    Ok(found)
                });
            let address = replica.address();
            let found = listed.await.with_context(|| format!("cannot list what {address} has"))?;
            self.tally.borrow_mut().found(address, &found);
        }
        Ok(())
    }
}
