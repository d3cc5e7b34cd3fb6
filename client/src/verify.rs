//! Whether all replicas have the same state, on request.

use http::Method;
use serde::{Deserialize, Serialize};
use shared::deadline::SNAPSHOT_WAIT;

use crate::call::Call;
use crate::client::Client;
use crate::error::Error;

/// What came of comparing the replicas' states at one slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateCheck {
    /// Every slot below was executed in the states that were compared, and no other.
    pub executed_below: u64,
    /// `agree`; `diverged` where not all have the same; `incomplete` where those have that
    /// could be compared.
    pub verdict: String,
    /// Each of them, by name.
    pub replicas: Vec<CheckedReplica>,
}

/// A replica, and whether its state is what the others have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedReplica {
    /// Its name.
    pub replica: String,
    /// Whether the view names it: only those make a majority.
    pub in_view: bool,
    /// `agrees`; `odd` where more than half of the view agree on another state, which ends it;
    /// `differs` where no state has such a majority; `not_compared`.
    pub verdict: String,
    /// The hash of the log up to that slot.
    pub hash: Option<String>,
    /// The digest of the state there.
    pub digest: Option<String>,
    /// In which parts it differs, or why it could not be compared.
    pub detail: Option<String>,
}

impl Client {
    /// `POST /v1/cluster/verify`: has a replica compare the states of all of them at one slot,
    /// while they go on. Each reads all of its state, so it takes as long as that does.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn verify_cluster(&self) -> Result<StateCheck, Error> {
        let mut call = Call::mutation(Method::POST, "/v1/cluster/verify");
        call.unname();
        call.waits = SNAPSHOT_WAIT;
        self.send(call).await?.json()
    }
}
