//! Who is there, as the acceptors hear it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bounded;
use crate::ids::{ClusterId, Instance, Name};

/// The kind of a service.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// A durable voter.
    Acceptor,
    /// A distinguished proposer.
    Coordinator,
    /// A learner that executes the chosen log.
    Replica,
    /// The front door.
    Balancer,
}

impl Service {
    /// Its name as it stands in `service` fields, spans and flags.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Acceptor => "acceptor",
            Self::Coordinator => "coordinator",
            Self::Replica => "replica",
            Self::Balancer => "balancer",
        }
    }
}

/// A service as it announces itself to the acceptors, which keep it for a short while:
/// how services find each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its name, unique in the cluster.
    pub name: Name,
    /// What it is.
    pub service: Service,
    /// Where the others reach it, for instance `http://127.0.0.1:8301`.
    pub url: String,
    /// This life of its process; a coordinator's is also its
    /// [`CoordinatorId`](crate::ids::CoordinatorId).
    pub instance: Instance,
}

/// A service makes itself known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Announcement {
    /// The cluster that it belongs to, as its data or the acceptors have told it. None
    /// where it has no data and nobody has, and of a balancer, which belongs to none.
    pub cluster: Option<ClusterId>,
    /// The service.
    pub member: Member,
}

/// The services that an acceptor has heard from lately, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// In order of their names.
    #[serde(deserialize_with = "bounded::list")]
    pub members: Vec<DirectoryEntry>,
}

/// The answer to an announcement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// The cluster that the acceptor belongs to, if any.
    pub cluster: Option<ClusterId>,
    /// The acceptor that answers, as it is listed itself.
    pub acceptor: Member,
    /// Who is there.
    pub directory: Directory,
    /// The names by which more than one process announces itself.
    #[serde(deserialize_with = "bounded::list")]
    pub conflicts: Vec<NameConflict>,
    /// Whether another process had the announcer's name a moment ago: it may have ended,
    /// or yet turn out to live.
    pub is_contested: bool,
}

/// A coordinator that leads is about to end: another one may lead in its place at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ending {
    /// The cluster that it leads.
    pub cluster: ClusterId,
    /// Its name …
    pub coordinator: Name,
    /// … and this life of it.
    pub instance: Instance,
}

/// Two processes that live now and have one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameConflict {
    /// The one that is listed: it was there before.
    pub listed: Member,
    /// The other one.
    pub rival: Member,
}

/// A member and how fresh the news of it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryEntry {
    /// The service.
    pub member: Member,
    /// Milliseconds since it announced itself.
    pub age_ms: u64,
}
