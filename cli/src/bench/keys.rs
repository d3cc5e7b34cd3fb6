//! Single keys: written, and read linearizably or as one replica has them.

use anyhow::{Context, bail};
use futures::future::try_join_all;
use http::Method;

use super::connection::Connection;
use super::load::{Load, Sent};
use super::tally::{Measured, Outcome};

/// A client goes round this many keys of its own.
pub(super) const KEYS_PER_CLIENT: u64 = 256;

impl Load {
    /// Writes.
    pub(super) async fn write(&self) -> anyhow::Result<Measured> {
        self.closed_loop(|client| self.writes(client)).await
    }

    /// Reads, with this query.
    pub(super) async fn read(&self, query: &str) -> anyhow::Result<Measured> {
        self.fill().await?;
        let requests =
            |client| move |turn| self.request(Method::GET, &(self.path(client, turn) + query), "");
        self.closed_loop(requests).await
    }

    /// The writes of a client.
    pub(super) fn writes(&self, client: usize) -> impl Fn(u64) -> http::Result<Sent> {
        let value = self.value();
        move |turn| self.request(Method::PUT, &self.path(client, turn), value.clone())
    }

    /// Writes every key once, so that it is there.
    pub(super) async fn fill(&self) -> anyhow::Result<()> {
        let clients = (0..self.clients).map(async |client| {
            let mut connection = Connection::new(&self.url)?;
            let writes = self.writes(client);
            for turn in 0..KEYS_PER_CLIENT {
                if let Outcome::Failed(error) = connection.ask(writes(turn)?).await {
                    bail!(error);
                }
            }
            anyhow::Ok(())
        });
        try_join_all(clients).await.map(drop).context("cannot write the keys that are there before")
    }

    /// The key of a client's turn.
    pub(super) fn key(&self, client: usize, turn: u64) -> String {
        format!("{}{client}/{}", self.prefix, turn % KEYS_PER_CLIENT)
    }

    fn path(&self, client: usize, turn: u64) -> String {
        format!("/v1/kv/{}", self.key(client, turn))
    }
}
