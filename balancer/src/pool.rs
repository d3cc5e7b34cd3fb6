//! Which replica gets the next request: the balancer's core.
//!
//! Three things are kept apart, as in linkerd2-proxy and pingora: *discovery* says which
//! replicas there are ([`Pool::set_replicas`]), *health* which of them should be asked, and
//! *selection* picks one ([`Pool::begin`]). This decides all three and does none of the I/O;
//! time and chance are handed in.
//!
//! Health is three things:
//!
//! - **What a replica says of itself** ([`Report`], by active checks): whether a quorum
//!   answers it, whether it is current, whether its disk takes anything ([`Reads`]). Every
//!   replica serves linearizable reads unless it is cut off from the acceptors; one that is
//!   behind is asked only where none is current. A local read is answered by any.
//! - **What requests show**: an endpoint is picked only while it is healthy, which changes on
//!   consecutive outcomes ([`Thresholds`]), so that one lost packet does not empty the pool.
//!   Only a check revives an endpoint: a request's answer says that a process lives, a check
//!   also says which replica it is. One that is much slower than the others is asked only
//!   where no other is able, for a while (`outliers`). One with too many requests in flight
//!   gets no more reads.
//! - **What the operator says** ([`Order`], by name): a drained endpoint is not picked, but
//!   finishes what it has.
//!
//! Of those that are fittest for a read, in this balancer's zone where one there is as fit,
//! a [`Policy`] chooses. Who comes back begins with a small share. Mutations go to the
//! primary; while none is known, or it is drained, to the next healthy replica, which
//! forwards them. The primary is the healthy replica that says it is, at the highest epoch
//! that *any* healthy replica reports: an old primary that has not heard of its successor is
//! not asked once one backup has.
//!
//! What is sent beyond clients' requests is paid for from a [`Budget`]. Nobody able: nothing
//! is picked, and the caller fails at once.

mod asked;
pub mod budget;
#[cfg(test)]
mod choice_tests;
mod endpoint;
mod latency;
mod members;
mod outliers;
pub mod policy;
mod standing;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shared::ids::{Name, Revision, Slot};
use shared::message::Member;

pub use self::asked::{Ask, Outcome, Picked, Start};
pub use self::budget::Budget;
pub use self::endpoint::{
    Counts, Endpoint, EndpointId, Health, Order, Reads, Report, Role, Service, Thresholds,
};
use self::latency::Latencies;
pub use self::outliers::{Record, most_ejected};
use self::policy::Candidate;
pub use self::policy::Policy;
pub use self::standing::{Fitness, Standing, To};

/// What a request asks of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// A replica that a quorum of acceptors answers.
    Read,
    /// Any replica will do.
    LocalRead,
    /// The primary, if it is known.
    Mutation,
}

/// Where to send a request.
#[derive(Clone, Debug)]
pub struct Target {
    /// To be handed back to [`Pool::finish`].
    pub id: EndpointId,
    /// The replica.
    pub member: Arc<Member>,
}

/// What a pool is told.
#[derive(Clone, Debug)]
pub struct Rules {
    /// From when on an endpoint counts as what.
    pub thresholds: Thresholds,
    /// Where this balancer runs, if it is told.
    pub zone: Option<Name>,
    /// How reads are shared out, until the operator says otherwise.
    pub policy: Policy,
    /// How many percent of requests may be sent once more, beside a reserve.
    pub retry_percent: u32,
    /// How many percent of reads may be sent to a second replica before the first is late.
    pub hedge_percent: u32,
}

/// Retries that may follow each other before requests have earned them: as many clients lose
/// their replica at once.
const RETRY_RESERVE: u32 = 100;
/// Hedged reads that requests may have earned beforehand.
const HEDGE_RESERVE: u32 = 10;

/// The replicas and their health. At most [`Pool::MAX_ENDPOINTS`].
#[derive(Debug)]
pub struct Pool {
    thresholds: Thresholds,
    zone: Option<Name>,
    policy: Policy,
    endpoints: BTreeMap<EndpointId, Endpoint>,
    next_id: u64,
    /// What the operator said, by name: it outlives the endpoint.
    orders: BTreeMap<Name, Order>,
    retries: Budget,
    hedges: Budget,
    latencies: Latencies,
    /// When endpoints were last judged by their latency.
    judged_at: Duration,
    /// From when on a read is slow, and a second replica may be asked.
    slow_after: Option<Duration>,
    hedge_after: Option<Duration>,
    /// For [`Pool::begin`], which then takes no memory.
    candidates: Vec<Candidate>,
}

impl Pool {
    /// The most replicas a balancer looks after; those beyond, in order of names, are
    /// left out.
    pub const MAX_ENDPOINTS: usize = 64;

    /// An empty pool.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self {
            thresholds: rules.thresholds,
            zone: rules.zone,
            policy: rules.policy,
            endpoints: BTreeMap::new(),
            next_id: 0,
            orders: BTreeMap::new(),
            retries: Budget::full(rules.retry_percent, RETRY_RESERVE),
            hedges: Budget::empty(rules.hedge_percent, HEDGE_RESERVE),
            latencies: Latencies::new(),
            judged_at: Duration::ZERO,
            slow_after: None,
            hedge_after: None,
            candidates: Vec::with_capacity(Self::MAX_ENDPOINTS),
        }
    }

    /// Where mutations go: the healthy replica that says it is primary at the highest
    /// epoch any healthy one reports.
    #[must_use]
    pub fn primary(&self) -> Option<EndpointId> {
        let latest = self.reports().map(|(_, report)| report.epoch).max()?;
        self.reports()
            .find(|(_, report)| report.role == Role::Primary && report.epoch == latest)
            .map(|(id, _)| id)
    }

    /// Who said last to be primary, at the highest epoch that any replica reported, whether it
    /// is still there or not: whom the others mean who speak of the primary.
    #[must_use]
    pub fn last_primary(&self) -> Option<EndpointId> {
        let said = self.endpoints.values().filter_map(|endpoint| {
            endpoint.report.as_ref().map(|report| (endpoint.id, report.role, report.epoch))
        });
        let latest = said.clone().map(|(_, _, epoch)| epoch).max()?;
        said.filter(|(_, role, epoch)| *role == Role::Primary && *epoch == latest)
            .map(|(id, _, _)| id)
            .next()
    }

    /// Below which slot everything is executed, for the names of requests; none where some
    /// replica does not say that it knows requests by name: it would execute one twice.
    #[must_use]
    pub fn named_since(&self) -> Option<Slot> {
        let all_know = self.endpoints.values().all(|endpoint| endpoint.knows_names);
        let executed = self.reports().filter_map(|(_, report)| report.executed_slot).max()?;
        all_know.then(|| executed.next())
    }

    /// How many requests each replica may have in flight.
    pub(crate) fn max_in_flight(&self) -> u64 {
        self.thresholds.max_in_flight
    }

    /// How reads are shared out.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Shares reads out so from now on.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// The budgets of retries and of hedged reads.
    #[must_use]
    pub fn budgets(&self) -> [&Budget; 2] {
        [&self.retries, &self.hedges]
    }

    /// The budget of retries.
    #[must_use]
    pub fn retries(&self) -> &Budget {
        &self.retries
    }

    /// From when on a read counts as slow, and from when on it may be hedged, by the
    /// latencies of late.
    #[must_use]
    pub fn slowness(&self) -> [Option<Duration>; 2] {
        [self.slow_after, self.hedge_after]
    }

    /// Where this balancer runs.
    #[must_use]
    pub fn zone(&self) -> Option<&Name> {
        self.zone.as_ref()
    }

    /// The endpoint, unless discovery has dropped it.
    #[must_use]
    pub fn endpoint(&self, id: EndpointId) -> Option<&Endpoint> {
        self.endpoints.get(&id)
    }

    /// All endpoints, in the order in which they were found.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.values()
    }

    /// The newest revision of which a replica has told.
    #[must_use]
    pub fn newest_revision(&self) -> Option<Revision> {
        let reports = self.endpoints.values().filter_map(|endpoint| endpoint.report.as_ref());
        reports.filter_map(|report| report.revision).max()
    }

    fn reports(&self) -> impl Iterator<Item = (EndpointId, &Report)> {
        let healthy = self.endpoints.values().filter(|endpoint| endpoint.health == Health::Healthy);
        healthy.filter_map(|endpoint| endpoint.report.as_ref().map(|report| (endpoint.id, report)))
    }

    /// The endpoint of that name.
    #[must_use]
    pub fn find(&self, name: &Name) -> Option<&Endpoint> {
        self.endpoints.values().find(|endpoint| endpoint.member.name == *name)
    }

    /// A name has one endpoint, a healthy endpoint has a report, and there are no more
    /// than the limit.
    fn check_invariants(&self) {
        if cfg!(debug_assertions) {
            assert!(
                self.endpoints.len() <= Self::MAX_ENDPOINTS,
                "{} endpoints",
                self.endpoints.len()
            );
            for endpoint in self.endpoints.values() {
                assert!(
                    endpoint.health != Health::Healthy || endpoint.report.is_some(),
                    "{endpoint:?} was never checked"
                );
                let same = self.find(&endpoint.member.name).map(|found| found.id);
                assert_eq!(same, Some(endpoint.id), "{} has two endpoints", endpoint.member.name);
            }
            let ejected =
                self.endpoints.values().filter(|one| one.record.ejected_until.is_some()).count();
            assert!(ejected <= most_ejected(Self::MAX_ENDPOINTS), "{ejected} are ejected");
        }
    }
}
