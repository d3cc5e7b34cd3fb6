//! One replica as the pool sees it, and how consecutive outcomes change its health.

use std::sync::Arc;
use std::time::Duration;

use shared::ids::{Epoch, Name, Revision, Slot};
use shared::message::Member;

use super::outliers::Record;

/// One life of one replica at one address, as this balancer numbers them. Never used
/// twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EndpointId(pub(in crate::pool) u64);

/// From when on an endpoint counts as what.
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
    /// How long an endpoint that comes back takes to its whole share of the reads; zero:
    /// none.
    pub slow_start: Duration,
    /// Requests in flight from which on an endpoint gets no more reads; at least 1.
    pub max_in_flight: u64,
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

/// What the operator says of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order {
    /// Whether it gets requests.
    pub service: Service,
    /// Its share of the reads, beside the others' shares.
    pub weight: u32,
}

/// Whether the operator lets an endpoint have requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// As health allows.
    Serving,
    /// None that are new.
    Drained,
}

impl Order {
    /// The weights that may be given. To give an endpoint no requests, drain it.
    pub const WEIGHTS: std::ops::RangeInclusive<u32> = 1..=100;
}

impl Default for Order {
    fn default() -> Self {
        Self { service: Service::Serving, weight: 1 }
    }
}

/// What a good check learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What the replica says it is.
    pub role: Role,
    /// The epoch of the view it executed last.
    pub epoch: Epoch,
    /// The last slot executed there; none before the first.
    pub executed_slot: Option<Slot>,
    /// The revision of its state; none where it was not told.
    pub revision: Option<Revision>,
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
    /// Where it runs, if it is told.
    pub zone: Option<Name>,
}

impl Report {
    /// What it says of the reads that the replica can answer.
    pub(super) fn reads(&self, behind_after: Duration) -> Reads {
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
    /// Times that it was left alone for being slow.
    pub ejections: u64,
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
    /// Whether the last good check of any of its lives said that it knows requests by name.
    pub(super) knows_names: bool,
    /// Counters of its name, over its lives.
    pub counts: Counts,
    /// What the operator says of its name.
    pub order: Order,
    /// What its answers were like of late.
    pub record: Record,
    /// When it said that no quorum of acceptors answers it any more, while that is so.
    pub(super) quorum_lost: Option<Duration>,
    /// When it came back, while its share grows since.
    pub(super) back_since: Option<Duration>,
    /// What round-robin owes it.
    pub(super) owed: i64,
    /// The hash of its name.
    pub(super) hash: u64,
    /// Outcomes in a row that speak against `health`.
    pub(super) against: u32,
}

/// The least share of an endpoint that comes back, in hundredths of its own.
const FIRST_SHARE: u128 = 10;

impl Endpoint {
    /// A life of a replica that nothing is known of.
    pub(super) fn new(id: EndpointId, member: Member, counts: Counts, order: Order) -> Self {
        Self {
            id,
            hash: super::policy::hash(member.name.as_str().as_bytes()),
            member: Arc::new(member),
            health: Health::Unproven,
            report: None,
            knows_names: false,
            counts,
            order,
            record: Record::default(),
            quorum_lost: None,
            back_since: None,
            owed: 0,
            against: 0,
        }
    }

    /// Its share of the reads now, in hundredths of the operator's unit: one that comes back
    /// begins with a tenth of its own.
    pub(super) fn weight(&self, now: Duration, slow_start: Duration) -> u32 {
        let percent = match self.back_since {
            Some(since) if !slow_start.is_zero() => {
                let passed = now.saturating_sub(since).as_millis();
                (passed * 100 / slow_start.as_millis().max(1)).clamp(FIRST_SHARE, 100)
            }
            Some(_) | None => 100,
        };
        self.order.weight * u32::try_from(percent).unwrap_or(100)
    }

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
