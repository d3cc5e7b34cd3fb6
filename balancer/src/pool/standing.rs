//! How well an endpoint does for a request, and why.

use std::time::Duration;

use super::{Endpoint, EndpointId, Health, Intent, Pool, Reads, Service};

/// How well an endpoint does for a read: the greatest get it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fitness {
    reads: Reads,
    pace: Pace,
    place: Place,
}

/// Whether it keeps up with the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pace {
    Ejected,
    Usual,
}

/// Whether it is near.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Elsewhere,
    Here,
}

/// What an endpoint is to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// It gets one.
    Take,
    /// It has one, and answers it. The operator's word does not count: what a drained endpoint
    /// has, it finishes.
    Finish,
}

/// Whether an endpoint gets linearizable reads, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// It is one of those that get them in turn.
    pub is_in: bool,
    /// Each a sentence.
    pub why: Vec<String>,
}

impl Pool {
    /// Whether the endpoint is able to do that with such a request.
    #[must_use]
    pub fn is_able(&self, id: EndpointId, intent: Intent, to: To) -> bool {
        self.endpoints.get(&id).is_some_and(|endpoint| self.does(endpoint, intent, to))
    }

    /// How many endpoints are.
    #[must_use]
    pub fn able(&self, intent: Intent, to: To) -> usize {
        self.endpoints.values().filter(|endpoint| self.does(endpoint, intent, to)).count()
    }

    fn does(&self, endpoint: &Endpoint, intent: Intent, to: To) -> bool {
        match to {
            To::Take => self.fitness(endpoint, intent).is_some(),
            To::Finish => self.health(endpoint, intent).is_some(),
        }
    }

    /// How many endpoints are healthy.
    #[must_use]
    pub fn healthy(&self) -> usize {
        self.endpoints.values().filter(|endpoint| endpoint.health == Health::Healthy).count()
    }

    /// How many healthy endpoints are answered by a quorum of acceptors.
    #[must_use]
    pub fn with_quorum(&self) -> usize {
        self.reports().filter(|(_, report)| report.quorum_answers).count()
    }

    /// Whether a quorum of acceptors answered some healthy endpoint a moment ago: while other
    /// acceptors take over it may be none, and is one again once replicas have followed.
    #[must_use]
    pub fn lost_quorum_lately(&self, now: Duration) -> bool {
        const LATELY: Duration = Duration::from_secs(2);
        let is_late = |lost: Duration| now.saturating_sub(lost) < LATELY;
        self.endpoints.values().any(|endpoint| {
            endpoint.health == Health::Healthy && endpoint.quorum_lost.is_some_and(is_late)
        })
    }

    /// The endpoints that the operator has drained.
    pub fn drained(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.values().filter(|endpoint| endpoint.order.service == Service::Drained)
    }

    /// How many endpoints would be picked for such a request, but for having too many in
    /// flight.
    #[must_use]
    pub fn full(&self, intent: Intent) -> usize {
        let is_full = |endpoint: &&Endpoint| {
            self.is_full(endpoint) && self.fitness(endpoint, intent).is_some()
        };
        self.endpoints.values().filter(is_full).count()
    }

    /// Which reads the endpoint can answer, by its last report.
    #[must_use]
    pub fn reads(&self, endpoint: &Endpoint) -> Reads {
        let report = endpoint.report.as_ref();
        report.map_or(Reads::Local, |report| report.reads(self.thresholds.behind_after))
    }

    /// Its share of the reads now, in hundredths of the operator's unit.
    #[must_use]
    pub fn weight(&self, endpoint: &Endpoint, now: Duration) -> u32 {
        endpoint.weight(now, self.thresholds.slow_start)
    }

    /// By its own word and by its answers.
    fn health(&self, endpoint: &Endpoint, intent: Intent) -> Option<Reads> {
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

    /// How well an endpoint does for a request. `None`: not at all.
    pub(super) fn fitness(&self, endpoint: &Endpoint, intent: Intent) -> Option<Fitness> {
        if endpoint.order.service == Service::Drained {
            return None;
        }
        let reads = self.health(endpoint, intent)?;
        let is_ejected = endpoint.record.ejected_until.is_some() && intent != Intent::Mutation;
        let pace = if is_ejected { Pace::Ejected } else { Pace::Usual };
        let place = if self.is_here(endpoint) { Place::Here } else { Place::Elsewhere };
        Some(Fitness { reads, pace, place })
    }

    /// Whether it is in this balancer's zone, or that has none.
    fn is_here(&self, endpoint: &Endpoint) -> bool {
        let zone = || endpoint.report.as_ref()?.zone.as_ref();
        self.zone.is_none() || zone() == self.zone.as_ref()
    }

    /// Whether it has so many requests in flight that it gets no more reads.
    pub(super) fn is_full(&self, endpoint: &Endpoint) -> bool {
        endpoint.counts.in_flight >= self.thresholds.max_in_flight
    }

    /// Whether an endpoint gets linearizable reads, and why.
    #[must_use]
    pub fn standing(&self, endpoint: &Endpoint, now: Duration) -> Standing {
        let fitness = self.fitness(endpoint, Intent::Read);
        let best = self
            .endpoints
            .values()
            .filter(|other| !self.is_full(other))
            .filter_map(|other| self.fitness(other, Intent::Read))
            .max();
        let is_in = fitness.is_some() && fitness == best && !self.is_full(endpoint);
        let mut why = self.against(endpoint, now);
        if why.is_empty() {
            why.push("it is healthy and current".to_owned());
        }
        if fitness.is_some() && !is_in && fitness < best {
            why.push("others do better".to_owned());
        }
        Standing { is_in, why }
    }

    /// What speaks against giving an endpoint its whole share of the reads.
    fn against(&self, endpoint: &Endpoint, now: Duration) -> Vec<String> {
        let mut why = Vec::new();
        let mut say = |applies: bool, reason: &str| {
            if applies {
                why.push(reason.to_owned());
            }
        };
        say(endpoint.order.service == Service::Drained, "the operator has drained it");
        say(endpoint.health == Health::Unproven, "no check has succeeded yet");
        say(endpoint.health == Health::Unhealthy, "it failed too often in a row");
        if let Some(report) = &endpoint.report {
            say(!report.quorum_answers, "it says that no quorum of acceptors answers it");
            say(report.is_missing_slots, "it says that it lacks slots that it can get nowhere");
            say(!report.can_execute, "it says that its disk takes nothing");
            let lags = report.lag.is_none_or(|lag| lag > self.thresholds.behind_after);
            say(lags && report.quorum_answers, "it says that it is behind");
        }
        say(self.is_full(endpoint), "it has as many requests in flight as it may");
        say(!self.is_here(endpoint), "it is not in this balancer's zone");
        if let Some(until) = endpoint.record.ejected_until {
            let left = until.saturating_sub(now).as_millis();
            why.push(format!("its answers were much slower than the others': {left} ms to go"));
        }
        let share = endpoint.weight(now, self.thresholds.slow_start) / endpoint.order.weight;
        if share < 100 {
            why.push(format!("it has come back, and has {share} % of its share"));
        }
        why
    }
}
