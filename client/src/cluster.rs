//! Who leads, who is primary and how far everybody is.

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::call::Call;
use crate::client::Client;
use crate::error::Error;

/// What `GET /v1/cluster` tells; the rest of it is to be had by [`Client::json`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Cluster {
    /// The identity that all of it has; none before it has formed.
    pub cluster_id: Option<String>,
    /// The newest revision that the replica which was asked has executed.
    pub revision: u64,
    /// The oldest revision whose state can be read there.
    #[serde(default)]
    pub compacted_below: u64,
    /// Who proposes.
    pub leader: Option<Leader>,
    /// Who executes.
    pub view: Option<View>,
    /// All replicas of the view, and others that were heard of.
    pub replicas: Vec<Replica>,
}

/// The coordinator that leads.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Leader {
    /// Its name, or the identity in its ballot.
    pub coordinator: Value,
    /// Where it is.
    pub url: Option<String>,
}

/// Who takes mutations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// The number of the view.
    pub epoch: u64,
    /// The name of the primary.
    pub primary: Option<String>,
    /// The names of the others that execute.
    #[serde(default)]
    pub backups: Vec<String>,
}

/// A replica.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Replica {
    /// Its name.
    pub id: String,
    /// Where the other services reach it, or last did; none where that is not known.
    pub url: Option<String>,
    /// Whether it answered.
    pub healthy: bool,
    /// What it does: `primary`, `backup`, …
    pub role: Option<String>,
    /// The last slot that it has executed.
    pub executed_slot: Option<i64>,
    /// The revision that it has come to.
    pub revision: Option<u64>,
    /// How many slots it is behind the first of them.
    pub lag_slots: Option<i64>,
}

impl Client {
    /// `GET /v1/cluster`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn cluster(&self) -> Result<Cluster, Error> {
        self.send(Call::read(Method::GET, "/v1/cluster")).await?.json()
    }
}
