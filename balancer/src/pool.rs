//! Which replica gets the next request: the balancer's core.
//!
//! Three things are kept apart, as in linkerd2-proxy and pingora: *discovery* says which
//! replicas there are ([`Pool::set_replicas`]), *health* says which of them answer
//! ([`Pool::checked`] from active checks, [`Pool::finish`] from the requests themselves),
//! and *selection* picks one ([`Pool::begin`]). This file decides all three and does none
//! of the I/O.
//!
//! - An endpoint is picked only while it is healthy. A new one is unproven and waits for
//!   its first good check.
//! - Health changes on consecutive outcomes ([`Thresholds`]), so that one lost packet
//!   does not empty the pool. Only a check revives an endpoint: a request's answer says
//!   that a process lives, a check also says which replica it is and what its role is.
//! - Reads go round-robin, in order of ids, over the healthy endpoints that by their own
//!   word can answer them ([`Reads`]): every replica serves linearizable reads, unless it
//!   is cut off from the acceptors. One that is behind is asked only where none is
//!   current. A local read is answered by any. Mutations go to the primary; while none is
//!   known, to the next healthy replica, which forwards them.
//! - The primary is the healthy replica that says it is, at the highest epoch that *any*
//!   healthy replica reports: an old primary that has not heard of its successor is not
//!   asked once one backup has.
//! - Nobody able: nothing is picked, and the caller fails at once.
//!
//! Not here: weights, least-loaded choice, slow start. Replicas are alike, and a
//! restarted one reports healthy only once it serves.

mod endpoint;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use shared::ids::{Name, Slot};
use shared::message::{Member, Service};

pub use self::endpoint::{Counts, Endpoint, EndpointId, Health, Reads, Report, Role, Thresholds};

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

/// How a request to an endpoint ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered, whatever it said.
    Answered,
    /// No connection, or one that broke before an answer.
    Failed,
    /// The wait ended for a reason that says nothing of the endpoint: the client went
    /// away, or its time was up.
    Abandoned,
}

/// Where to send a request.
#[derive(Clone, Debug)]
pub struct Target {
    /// To be handed back to [`Pool::finish`].
    pub id: EndpointId,
    /// The replica.
    pub member: Arc<Member>,
}

/// The replicas and their health. At most [`Pool::MAX_ENDPOINTS`].
#[derive(Debug)]
pub struct Pool {
    thresholds: Thresholds,
    endpoints: BTreeMap<EndpointId, Endpoint>,
    next_id: u64,
    /// The endpoint that the last round-robin pick chose.
    turn: EndpointId,
}

impl Pool {
    /// The most replicas a balancer looks after; those beyond, in order of names, are
    /// left out.
    pub const MAX_ENDPOINTS: usize = 64;

    /// An empty pool.
    #[must_use]
    pub fn new(thresholds: Thresholds) -> Self {
        Self { thresholds, endpoints: BTreeMap::new(), next_id: 0, turn: EndpointId(0) }
    }

    /// Takes in what discovery found, other services included.
    ///
    /// An endpoint that is missing from `members` goes only once it isn't healthy either:
    /// acceptors that just restarted list nobody for a moment, and that is no reason to
    /// stop serving. A replica that restarted or moved is a new endpoint.
    pub fn set_replicas<'a>(&mut self, members: impl IntoIterator<Item = &'a Member>) {
        let found: BTreeMap<&Name, &Member> = members
            .into_iter()
            .filter(|member| member.service == Service::Replica)
            .map(|member| (&member.name, member))
            .take(Self::MAX_ENDPOINTS)
            .collect();
        let mut counts = BTreeMap::new();
        self.endpoints.retain(|_, endpoint| {
            let stays = match found.get(&endpoint.member.name) {
                Some(member) => **member == *endpoint.member,
                None => endpoint.health == Health::Healthy,
            };
            if !stays {
                counts.insert(endpoint.member.name.clone(), endpoint.counts);
            }
            stays
        });
        for member in found.into_values() {
            if self.endpoints.len() < Self::MAX_ENDPOINTS && self.find(&member.name).is_none() {
                let id = EndpointId(self.next_id);
                self.next_id += 1;
                // What is still in flight to the former life ends there.
                let counts = Counts {
                    in_flight: 0,
                    ..counts.get(&member.name).copied().unwrap_or_default()
                };
                let member = Arc::new(member.clone());
                self.endpoints.insert(
                    id,
                    Endpoint {
                        id,
                        member,
                        health: Health::Unproven,
                        report: None,
                        counts,
                        against: 0,
                    },
                );
            }
        }
        self.check_invariants();
    }

    /// Picks an endpoint that isn't in `tried` and counts a request to it. `None`: nobody
    /// who is able is left to try.
    #[must_use]
    pub fn begin(&mut self, intent: Intent, tried: &[EndpointId]) -> Option<Target> {
        let primary = match intent {
            Intent::Read | Intent::LocalRead => None,
            Intent::Mutation => self.primary().filter(|id| !tried.contains(id)),
        };
        let id = match primary {
            Some(id) => id,
            None => self.take_turn(intent, tried)?,
        };
        let endpoint = self.endpoints.get_mut(&id).expect("what was picked is in the pool");
        endpoint.counts.requests += 1;
        endpoint.counts.in_flight += 1;
        Some(Target { id, member: Arc::clone(&endpoint.member) })
    }

    /// A request that [`Pool::begin`] gave out has ended. Returns the new health where it
    /// changed.
    pub fn finish(&mut self, id: EndpointId, outcome: Outcome) -> Option<Health> {
        let thresholds = self.thresholds;
        let endpoint = self.endpoints.get_mut(&id)?;
        endpoint.counts.in_flight =
            endpoint.counts.in_flight.checked_sub(1).expect("every request ends once");
        match outcome {
            Outcome::Answered if endpoint.health == Health::Healthy => {
                endpoint.against = 0;
                None
            }
            Outcome::Answered | Outcome::Abandoned => None,
            Outcome::Failed => {
                endpoint.counts.failures += 1;
                endpoint.failed(thresholds)
            }
        }
    }

    /// An active check has ended, with what it learned or without an answer. Returns the
    /// new health where it changed.
    pub fn checked(&mut self, id: EndpointId, result: Option<Report>) -> Option<Health> {
        let thresholds = self.thresholds;
        let endpoint = self.endpoints.get_mut(&id)?;
        let changed = match result {
            Some(report) => {
                endpoint.counts.checks += 1;
                endpoint.report = Some(report);
                endpoint.succeeded(thresholds)
            }
            None => {
                endpoint.counts.check_failures += 1;
                endpoint.failed(thresholds)
            }
        };
        self.check_invariants();
        changed
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

    /// Below which slot everything is executed, for the names of requests; none where some
    /// replica does not say that it knows requests by name: it would execute one twice.
    #[must_use]
    pub fn named_since(&self) -> Option<Slot> {
        let knows = |endpoint: &Endpoint| endpoint.report?.requests_from;
        let all_know = self.endpoints.values().all(|endpoint| knows(endpoint).is_some());
        let executed = self.reports().filter_map(|(_, report)| report.executed_slot).max()?;
        all_know.then(|| executed.next())
    }

    /// Whether the endpoint is still picked for such a request.
    #[must_use]
    pub fn is_able(&self, id: EndpointId, intent: Intent) -> bool {
        self.endpoints.get(&id).is_some_and(|endpoint| self.fitness(endpoint, intent).is_some())
    }

    /// How many endpoints are picked for such a request.
    #[must_use]
    pub fn able(&self, intent: Intent) -> usize {
        let is_able = |endpoint: &&Endpoint| self.fitness(endpoint, intent).is_some();
        self.endpoints.values().filter(is_able).count()
    }

    /// How many endpoints are healthy.
    #[must_use]
    pub fn healthy(&self) -> usize {
        self.able(Intent::LocalRead)
    }

    /// How many healthy endpoints are answered by a quorum of acceptors.
    #[must_use]
    pub fn with_quorum(&self) -> usize {
        self.reports().filter(|(_, report)| report.quorum_answers).count()
    }

    /// Which reads the endpoint can answer, by its last report.
    #[must_use]
    pub fn reads(&self, endpoint: &Endpoint) -> Reads {
        endpoint.report.map_or(Reads::Local, |report| report.reads(self.thresholds.behind_after))
    }

    /// The endpoint, unless discovery has dropped it.
    #[must_use]
    pub fn endpoint(&self, id: EndpointId) -> Option<&Endpoint> {
        self.endpoints.get(&id)
    }

    /// All endpoints, in the order of round-robin.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.values()
    }

    /// How well an endpoint does for a request: the fittest get it. `None`: not at all.
    fn fitness(&self, endpoint: &Endpoint, intent: Intent) -> Option<Reads> {
        if endpoint.health != Health::Healthy {
            return None;
        }
        match intent {
            Intent::Read => Some(self.reads(endpoint)).filter(|reads| *reads > Reads::Local),
            Intent::LocalRead => Some(Reads::Local),
            // Who reaches the acceptors is likelier to reach the primary, too.
            Intent::Mutation => Some(self.reads(endpoint)),
        }
    }

    /// The next endpoint, of those that are fittest, after the one that had the last
    /// turn.
    fn take_turn(&mut self, intent: Intent, tried: &[EndpointId]) -> Option<EndpointId> {
        let fitness = |endpoint: &Endpoint| {
            self.fitness(endpoint, intent).filter(|_| !tried.contains(&endpoint.id))
        };
        let fittest = self.endpoints.values().filter_map(fitness).max()?;
        let eligible = |endpoint: &&Endpoint| fitness(endpoint) == Some(fittest);
        let after = (std::ops::Bound::Excluded(self.turn), std::ops::Bound::Unbounded);
        let following = self.endpoints.range(after).map(|(_, endpoint)| endpoint).find(eligible);
        let id = following.or_else(|| self.endpoints.values().find(eligible))?.id;
        self.turn = id;
        Some(id)
    }

    fn reports(&self) -> impl Iterator<Item = (EndpointId, Report)> {
        let healthy = self.endpoints.values().filter(|endpoint| endpoint.health == Health::Healthy);
        healthy.filter_map(|endpoint| endpoint.report.map(|report| (endpoint.id, report)))
    }

    fn find(&self, name: &Name) -> Option<&Endpoint> {
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
        }
    }
}
