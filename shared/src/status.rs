//! `GET /v1/status`: what every service says of itself, with what its role knows beside
//! it.
#![expect(clippy::disallowed_methods, reason = "the age of a process is read from the clock")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::watch;

use crate::discovery::Acceptors;
use crate::ids::Name;
use crate::message::Service;
use crate::versions::{self, OtherVersion};
use crate::wire;

/// Counted by [`Admission`](crate::server::Admission), for the whole process.
static REQUESTS: AtomicU64 = AtomicU64::new(0);

/// Counts a request that was taken on.
pub(crate) fn count_request() {
    REQUESTS.fetch_add(1, Ordering::Relaxed);
}

/// The version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The part of a status that all services share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Common {
    /// Which service.
    pub service: Service,
    /// Its name.
    pub id: Name,
    /// Where it runs, if it is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<Name>,
    /// Its version.
    pub version: &'static str,
    /// The version of the messages between services that it speaks.
    pub messages_version: u32,
    /// Whether it goes on with other acceptors when those that it knows are replaced.
    pub follows_acceptors: bool,
    /// Which generation of the acceptors it goes by, unless it is one of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acceptors_generation: Option<u64>,
    /// The services met lately that speak another one.
    pub other_versions: Vec<OtherVersion>,
    /// Its process.
    pub pid: u32,
    /// Milliseconds since it started.
    pub uptime_ms: u64,
    /// Requests taken on since then, health checks left out.
    pub requests: u64,
}

/// A whole status, one flat JSON object.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Status")]
pub struct Status<T> {
    /// What all services say.
    #[serde(flatten)]
    pub common: Common,
    /// What this role says.
    #[serde(flatten)]
    pub role: T,
}

/// Who this process is and since when: makes statuses.
#[derive(Clone, Debug)]
pub struct Identity {
    service: Service,
    name: Name,
    zone: Option<Name>,
    started: Instant,
    acceptors: Option<watch::Receiver<Acceptors>>,
}

impl Identity {
    /// A process that starts now.
    #[must_use]
    pub fn new(service: Service, name: Name) -> Self {
        Self { service, name, zone: None, started: Instant::now(), acceptors: None }
    }

    /// The same, of a process that goes by these acceptors.
    #[must_use]
    pub fn following(self, acceptors: watch::Receiver<Acceptors>) -> Self {
        Self { acceptors: Some(acceptors), ..self }
    }

    /// The same, in this zone.
    #[must_use]
    pub fn in_zone(self, zone: Option<Name>) -> Self {
        Self { zone, ..self }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The status now, with what the role says.
    #[must_use]
    pub fn status<T: Serialize>(&self, role: T) -> Status<T> {
        let uptime_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let pid = std::process::id();
        let requests = REQUESTS.load(Ordering::Relaxed);
        Status {
            common: Common {
                service: self.service,
                id: self.name.clone(),
                zone: self.zone.clone(),
                version: VERSION,
                messages_version: wire::VERSION,
                follows_acceptors: true,
                acceptors_generation: self.acceptors.as_ref().map(generation),
                other_versions: versions::others(),
                pid,
                uptime_ms,
                requests,
            },
            role,
        }
    }
}

fn generation(acceptors: &watch::Receiver<Acceptors>) -> u64 {
    acceptors.borrow().generation().0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_flat_object() {
        #[derive(Serialize)]
        struct Role {
            phase: &'static str,
        }
        let identity = Identity::new(Service::Coordinator, "coordinator-1".parse().unwrap());
        let mut json = serde_json::to_value(identity.status(Role { phase: "inactive" })).unwrap();
        assert!(json["uptime_ms"].take().is_u64() && json["requests"].take().is_u64());
        let expected = serde_json::json!({
            "service": "coordinator", "id": "coordinator-1", "version": VERSION, "messages_version": 1, "follows_acceptors": true, "other_versions": [], "pid": std::process::id(), "uptime_ms": null,
            "requests": null,
            "phase": "inactive",
        });
        assert_eq!(json, expected);
    }
}
