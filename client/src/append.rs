//! Values that clients append to the log, roll-backs and compaction.

use bytes::Bytes;
use http::{Method, header};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::call::{Call, awaited, mutation};
use crate::client::Client;
use crate::error::Error;

impl Client {
    /// Appends a value to the log, with those of others between.
    #[must_use = "nothing is sent before it is awaited"]
    pub fn append(&self, value: impl Into<Bytes>) -> Append {
        let mut call = Call::mutation(Method::POST, "/v1/log");
        call.body = value.into();
        Append { client: self.clone(), call }
    }

    /// Makes the keys with a prefix what they were at a revision, as one step; the empty
    /// prefix is that of all.
    #[must_use = "nothing is sent before it is awaited"]
    pub fn rollback(&self, prefix: &str, revision: u64) -> Rollback {
        let mut call = Call::mutation(Method::POST, "/v1/rollback");
        call.json(&body(prefix, revision));
        Rollback { client: self.clone(), call }
    }

    /// Drops the history before a revision, on every replica: the state of that revision
    /// and of later ones can still be read. What is dropped already stays so.
    #[must_use = "nothing is sent before it is awaited"]
    pub fn compact(&self, revision: u64) -> Compact {
        let mut call = Call::mutation(Method::POST, "/v1/compact");
        call.json(&json!({"revision": revision}));
        Compact { client: self.clone(), call }
    }

    /// What a [roll-back](Self::rollback) would change now.
    #[must_use = "nothing is sent before it is awaited"]
    pub fn rollback_preview(&self, prefix: &str, revision: u64) -> RollbackPreview {
        let mut call = Call::read(Method::POST, "/v1/rollback");
        call.param("dry_run", "true");
        call.json(&body(prefix, revision));
        RollbackPreview { client: self.clone(), call }
    }
}

fn body(prefix: &str, revision: u64) -> serde_json::Value {
    let mut body = json!({"prefix": prefix, "revision": revision});
    if prefix.is_empty() {
        body["all"] = true.into();
    }
    body
}

/// Where a value was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appended {
    /// The position; values that were appended at once may share it.
    pub slot: u64,
    /// The revision, of which each has its own.
    pub revision: u64,
}

/// Appends a value: [`Client::append`].
#[derive(Clone, Debug)]
pub struct Append {
    client: Client,
    call: Call,
}

mutation!(Append => Appended);

impl Append {
    /// What the value is, kept with it.
    #[must_use]
    pub fn content_type(mut self, content_type: &str) -> Self {
        self.call.header(header::CONTENT_TYPE, content_type);
        self
    }

    async fn send(self) -> Result<Appended, Error> {
        self.client.send(self.call).await?.json()
    }
}

/// What a roll-back changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledBack {
    /// At this revision.
    pub revision: u64,
    /// How many keys were written again.
    pub restored: u64,
    /// How many were deleted.
    pub deleted: u64,
}

/// Rolls back: [`Client::rollback`].
#[derive(Clone, Debug)]
pub struct Rollback {
    client: Client,
    call: Call,
}

mutation!(Rollback => RolledBack);

impl Rollback {
    async fn send(self) -> Result<RolledBack, Error> {
        self.client.send(self.call).await?.json()
    }
}

/// How far history is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compacted {
    /// The revision of the state.
    pub revision: u64,
    /// The oldest revision whose state can be read.
    pub compacted_below: u64,
}

/// Drops history: [`Client::compact`].
#[derive(Clone, Debug)]
pub struct Compact {
    client: Client,
    call: Call,
}

mutation!(Compact => Compacted);

impl Compact {
    async fn send(self) -> Result<Compacted, Error> {
        self.client.send(self.call).await?.json()
    }
}

/// What a roll-back would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// How many keys, and of which state.
    #[serde(flatten)]
    pub would: RolledBack,
    /// Which, in byte order.
    pub changes: Vec<Undone>,
}

/// A key that a roll-back would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undone {
    /// The key.
    pub key: String,
    /// How.
    pub change: UndoneKind,
}

/// How a roll-back would change a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UndoneKind {
    /// It would be written again.
    Restored,
    /// It would be deleted.
    Deleted,
}

/// Looks what a roll-back would change: [`Client::rollback_preview`].
#[derive(Clone, Debug)]
pub struct RollbackPreview {
    client: Client,
    call: Call,
}

awaited!(RollbackPreview => Preview);

impl RollbackPreview {
    async fn send(self) -> Result<Preview, Error> {
        self.client.send(self.call).await?.json()
    }
}
