//! One replica as the pool sees it, and how consecutive outcomes change its health.

use std::sync::Arc;
use std::time::Duration;

use shared::ids::{Epoch, Slot};
use shared::message::Member;

/// One life of one replica at one address, as this balancer numbers them. Never used
/// twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EndpointId(pub(super) u64);

/// How many outcomes in a row change an endpoint's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Failures in a row (checks and requests alike) that make a healthy endpoint
    /// unhealthy; at least 1.
    pub unhealthy_after: u32,
    /// Good checks in a row that make an unhealthy endpoint healthy again; at least 1.
    pub healthy_after: u32,
    /// How long ago a replica may have last known itself current before it counts as
    /// behind.
    pub behind_after: Duration,
}

/// Whether an endpoint is picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// No check has succeeded yet.
    Unproven,
    /// It is picked.
    Healthy,
    /// It failed too often in a row.
    Unhealthy,
}

impl Health {
    /// Its name in `GET /v1/status`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unproven => "unproven",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// What a replica says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It takes mutations.
    Primary,
    /// It forwards them.
    Backup,
}

impl Role {
    /// Its name in `GET /v1/status`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Backup => "backup",
        }
    }
}

/// Which reads a replica can answer. The later, the fitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reads {
    /// Only local ones: no quorum of acceptors answers it, or it lacks slots that nobody
    /// has.
    Local,
    /// Linearizable ones once it has caught up, which may be too late.
    Behind,
    /// All of them.
    Current,
}

impl Reads {
    /// Its name in `GET /v1/status`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Behind => "behind",
            Self::Current => "current",
        }
    }
}

/// What a good check learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// What the replica says it is.
    pub role: Role,
    /// The epoch of the view it executed last.
    pub epoch: Epoch,
    /// The last slot executed there; none before the first.
    pub executed_slot: Option<Slot>,
    /// It knows which requests were executed at that slot and above; none: it does not know
    /// requests by name.
    pub requests_from: Option<Slot>,
    /// Whether a quorum of acceptors answered it lately.
    pub quorum_answers: bool,
    /// Whether its disk takes what it executes: if not, it is about to fall behind.
    pub can_execute: bool,
    /// Whether it lacks chosen slots that it can get nowhere.
    pub is_missing_slots: bool,
    /// How long ago it last knew itself current; none while it never has.
    pub lag: Option<Duration>,
}

impl Report {
    /// What it says of the reads that the replica can answer.
    pub(super) fn reads(self, behind_after: Duration) -> Reads {
        match self.lag {
            _ if !self.quorum_answers || self.is_missing_slots => Reads::Local,
            Some(lag) if lag <= behind_after && self.can_execute => Reads::Current,
            Some(_) | None => Reads::Behind,
        }
    }
}

/// What happened at one endpoint since its name was first seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests sent to it, attempts that were retried elsewhere included.
    pub requests: u64,
    /// Requests it has not answered yet.
    pub in_flight: u64,
    /// Requests that ended without an answer because of it.
    pub failures: u64,
    /// Active checks that succeeded.
    pub checks: u64,
    /// Active checks that failed.
    pub check_failures: u64,
}

/// A replica as the balancer sees it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// This life of the replica.
    pub id: EndpointId,
    /// How it announced itself.
    pub member: Arc<Member>,
    /// Whether it is picked.
    pub health: Health,
    /// What the last good check of this life learned.
    pub report: Option<Report>,
    /// Counters of its name, over its lives.
    pub counts: Counts,
    /// Outcomes in a row that speak against `health`.
    pub(super) against: u32,
}

impl Endpoint {
    /// A good check. Returns the new health where it changed.
    pub(super) fn succeeded(&mut self, thresholds: Thresholds) -> Option<Health> {
        let needed = match self.health {
            Health::Healthy => {
                self.against = 0;
                return None;
            }
            // It is not known to have failed, so there is nothing to recover from.
            Health::Unproven => 1,
            Health::Unhealthy => thresholds.healthy_after,
        };
        self.turn_after(needed, Health::Healthy)
    }

    /// A failed check or request. Returns the new health where it changed.
    pub(super) fn failed(&mut self, thresholds: Thresholds) -> Option<Health> {
        match self.health {
            Health::Healthy => self.turn_after(thresholds.unhealthy_after, Health::Unhealthy),
            Health::Unproven | Health::Unhealthy => {
                self.against = 0;
                None
            }
        }
    }

    fn turn_after(&mut self, needed: u32, health: Health) -> Option<Health> {
        self.against += 1;
        if self.against < needed {
            return None;
        }
        self.against = 0;
        self.health = health;
        Some(health)
    }
}
