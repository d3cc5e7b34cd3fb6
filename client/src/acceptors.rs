//! Which acceptors vote, on request.

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::call::Call;
use crate::client::Client;
use crate::error::Error;

/// The acceptors of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roster {
    /// The cluster.
    pub cluster_id: String,
    /// Which of its rosters: the one that it formed with is 0.
    pub generation: u64,
    /// Where they are: what `--acceptors` of all services is to say from now on.
    pub acceptors: Vec<String>,
    /// The services that have not shown in time that they know.
    pub not_heard: Vec<String>,
}

impl Client {
    /// `POST /v1/cluster/acceptors`: puts a new acceptor, without data, at the address `with`
    /// into the place of another one, which is named by its name or its address. It is sent
    /// again where that may help, which does no harm.
    ///
    /// # Errors
    /// See [`Error`]; a problem with 404 or 409 where that cannot be, which says what to do.
    pub async fn replace_acceptor(&self, replace: &str, with: &str) -> Result<Roster, Error> {
        self.change(&serde_json::json!({ "replace": replace, "with": with })).await
    }

    /// `POST /v1/cluster/acceptors`: these are to be the acceptors, by their addresses.
    ///
    /// # Errors
    /// As of [`Client::replace_acceptor`].
    pub async fn set_acceptors(&self, acceptors: &[String]) -> Result<Roster, Error> {
        self.change(&serde_json::json!({ "acceptors": acceptors })).await
    }

    async fn change(&self, body: &Value) -> Result<Roster, Error> {
        let mut call = Call::mutation(Method::POST, "/v1/cluster/acceptors");
        call.unname();
        call.json(body);
        self.send(call).await?.json()
    }
}
