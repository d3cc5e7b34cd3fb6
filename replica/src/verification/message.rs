//! What replicas say to each other of their states.

use serde::{Deserialize, Serialize};
use shared::ids::{ClusterId, Name, Slot};

use crate::store::StateDigest;

/// The answer to `GET /v1/replication/digest?cluster=&at=`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DigestReply {
    /// Who answers.
    pub(crate) replica: Name,
    /// What it has to say.
    pub(crate) outcome: DigestOutcome,
}

/// What came of reading a state at a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DigestOutcome {
    /// It was read.
    Digest(Box<StateDigest>),
    /// More was executed already.
    Passed {
        /// Every slot below.
        executed_below: Slot,
    },
    /// Nothing brought it so far in time.
    NotReached {
        /// Every slot below is executed.
        executed_below: Slot,
    },
    /// There is none, and why.
    NotGiven {
        /// In words.
        reason: String,
    },
}

/// A replica has found another one's state to differ from a majority's: it is to look by
/// itself. `POST /v1/replication/suspicions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Suspicion {
    /// The cluster of whoever says so.
    pub(crate) cluster: ClusterId,
    /// At the state below which slot.
    pub(crate) below: Slot,
}

/// The answer to [`Suspicion`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SuspicionReply {
    /// It looks.
    Looks,
    /// It compares already.
    UnderWay,
    /// It has no digest of that state: nobody can have seen one.
    Unknown,
}
