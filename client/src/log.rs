//! The log: what Paxos decided, slot by slot.

use futures::stream::BoxStream;
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shared::chain::ChainHash;
use shared::ids::Ballot;

use crate::call::{Call, awaited};
use crate::client::Client;
use crate::error::Error;
use crate::pages;

impl Client {
    /// Reads a slot. [`Error::NotFound`] where it is not chosen yet, [`Error::Gone`] where it
    /// is not kept any more.
    #[must_use = "nothing is sent before it is awaited"]
    pub fn slot(&self, slot: u64) -> ReadSlot {
        ReadSlot { client: self.clone(), call: Call::read(Method::GET, format!("/v1/log/{slot}")) }
    }

    /// Reads the log. Awaiting it gives a page, [`Log::stream`] all of it.
    #[must_use = "nothing is sent before it is awaited"]
    pub fn log(&self) -> Log {
        Log { client: self.clone(), call: Call::read(Method::GET, "/v1/log"), from: None }
    }
}

/// What was chosen at a slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogEntry {
    /// The position.
    pub slot: u64,
    /// At which the replica that was asked learned of it.
    pub ballot: Ballot,
    /// `batch`, `view` or `noop`.
    pub kind: String,
    /// Of a view or a batch.
    pub epoch: Option<u64>,
    /// What clients asked for, in a batch.
    pub commands: Vec<Command>,
    /// The trace of a batch, if it is traced.
    pub trace_id: Option<String>,
    /// The revision that the slot came to.
    pub revision: u64,
    /// Of this slot and all before it.
    pub hash: ChainHash,
    /// Of all before it.
    pub previous_hash: ChainHash,
    /// What else is said of it.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// `put`, `delete`, `delete_prefix`, `txn`, …
    pub op: String,
    /// The key, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The prefix, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The token that asked for it, by its accessor; none where none was required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Who that is, where it is no token: somebody with a JWT or a certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Author>,
    /// The trace of the request, if it is traced.
    pub trace_id: Option<String>,
    /// The identity of the request.
    pub request: String,
    /// What else is said of it.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// Somebody whom an issuer of JWTs vouches for, or an authority of certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// Who vouches: the issuer of the JWT, or the trust domain (`spiffe://…`).
    pub issuer: String,
    /// For whom: the subject of the JWT, or role and name (`operator/ada`).
    pub subject: String,
}

/// Reads a slot: [`Client::slot`].
#[derive(Clone, Debug)]
pub struct ReadSlot {
    client: Client,
    call: Call,
}

awaited!(ReadSlot => LogEntry);

impl ReadSlot {
    async fn send(self) -> Result<LogEntry, Error> {
        self.client.send(self.call).await?.json()
    }
}

/// Reads the log: [`Client::log`].
#[derive(Clone, Debug)]
pub struct Log {
    client: Client,
    call: Call,
    from: Option<u64>,
}

awaited!(Log => Vec<LogEntry>);

impl Log {
    /// From this slot on; from the oldest one that is kept where it is not said.
    #[must_use]
    pub fn from(mut self, slot: u64) -> Self {
        self.from = Some(slot);
        self
    }

    /// At most so many in a page.
    #[must_use]
    pub fn limit(mut self, slots: u32) -> Self {
        self.call.param("limit", slots);
        self
    }

    /// What the replica that is asked has executed, without asking a quorum.
    #[must_use]
    pub fn local(mut self) -> Self {
        self.call.param("consistency", "local");
        self
    }

    async fn send(self) -> Result<Vec<LogEntry>, Error> {
        Ok(self.page().await?.items)
    }

    async fn page(mut self) -> Result<pages::Page<LogEntry, Option<u64>>, Error> {
        if let Some(from) = self.from {
            self.call.param("from", from);
        }
        let answer = self.client.send(self.call).await?;
        let items: Vec<LogEntry> = answer.json()?;
        let has_more = answer.headers.contains_key(http::header::LINK);
        let next = items.last().filter(|_| has_more).map(|last| Some(last.slot + 1));
        Ok(pages::Page { items, next })
    }

    /// All of it, as far as it was executed when the last page was read. It ends with the
    /// first error.
    #[must_use]
    pub fn stream(self) -> BoxStream<'static, Result<LogEntry, Error>> {
        pages::all(self.from, move |from| Self { from, ..self.clone() }.page())
    }
}
