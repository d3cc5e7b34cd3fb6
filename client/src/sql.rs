//! Queries in SQL.

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::call::{Call, awaited};
use crate::client::Client;
use crate::error::Error;

impl Client {
    /// Asks a query that reads, over the views that the API documents.
    #[must_use = "nothing is sent before it is awaited"]
    pub fn sql(&self, query: &str) -> Sql {
        let call = Call::read(Method::POST, "/v1/sql");
        Sql { client: self.clone(), call, body: json!({"sql": query}) }
    }
}

/// Asks a query: [`Client::sql`].
#[derive(Clone, Debug)]
pub struct Sql {
    client: Client,
    call: Call,
    body: Value,
}

/// What a query gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rows {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// A value for each column; bytes that are no text are `{"base64": "…"}`.
    pub rows: Vec<Vec<Value>>,
    /// The revision of the state that was asked.
    pub revision: u64,
}

awaited!(Sql => Rows);

impl Sql {
    /// What each `?` of the query stands for, in order: null, a boolean, a number, a string,
    /// or `{"base64": "…"}` for bytes.
    #[must_use]
    pub fn params(mut self, params: &[Value]) -> Self {
        self.body["params"] = params.into();
        self
    }

    /// Of the state as it was at a revision.
    #[must_use]
    pub fn revision(mut self, revision: u64) -> Self {
        self.body["revision"] = revision.into();
        self
    }

    /// Of what the replica that is asked has executed, without asking a quorum.
    #[must_use]
    pub fn local(mut self) -> Self {
        self.call.param("consistency", "local");
        self
    }

    async fn send(mut self) -> Result<Rows, Error> {
        self.call.json(&self.body);
        self.client.send(self.call).await?.json()
    }
}
