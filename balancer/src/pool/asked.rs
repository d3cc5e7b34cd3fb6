//! A request to an endpoint: who gets it, what it costs, and how it ended.

use std::sync::Arc;
use std::time::Duration;

use super::policy::{self, Candidate, Policy};
use super::{EndpointId, Health, Intent, Pool, Target, To};

/// Why a request is sent to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// It has just come from its client.
    First,
    /// It has waited in one of a limited number of places, and for a pause.
    Waited,
    /// Another endpoint failed it, or is late.
    Retry,
    /// Another endpoint has not answered a read yet, as most reads are by now.
    Hedge,
}

/// What is to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// What is asked of a replica.
    pub intent: Intent,
    /// Why now.
    pub start: Start,
    /// Who was asked already.
    pub tried: &'a [EndpointId],
    /// What [`Policy::ConsistentHash`] goes by.
    pub key: &'a [u8],
    /// A number that is equally likely to be any.
    pub dice: u64,
    /// Time since the pool began.
    pub now: Duration,
}

/// Who gets a request.
#[derive(Clone, Debug)]
pub struct Picked {
    /// Which endpoint.
    pub target: Target,
    /// How long a read may wait for it before a second one may be asked; none where that is
    /// not known.
    pub hedge_after: Option<Duration>,
}

/// How a request to an endpoint ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered, whatever it said.
    Answered,
    /// No connection, or one that broke before an answer.
    Failed,
    /// The wait ended for a reason that says nothing of the endpoint: the client went
    /// away, its time was up, or another endpoint was faster.
    Abandoned,
}

impl Pool {
    /// Picks an endpoint that isn't in `tried` and counts a request to it. `None`: nobody
    /// who is able is left to try, or the budget for it is spent.
    #[must_use]
    pub fn begin(&mut self, ask: &Ask<'_>) -> Option<Picked> {
        let primary = match ask.intent {
            Intent::Read | Intent::LocalRead => None,
            Intent::Mutation => self.primary().filter(|id| {
                !ask.tried.contains(id) && self.is_able(*id, Intent::Mutation, To::Take)
            }),
        };
        let id = match primary {
            Some(id) => id,
            None => self.choose(ask)?,
        };
        if !self.pay(ask) {
            return None;
        }
        let endpoint = self.endpoints.get_mut(&id).expect("what was picked is in the pool");
        endpoint.counts.requests += 1;
        endpoint.counts.in_flight += 1;
        let target = Target { id, member: Arc::clone(&endpoint.member) };
        Some(Picked { target, hedge_after: self.hedge_after })
    }

    /// Whether it may be sent. What has waited costs nothing: places and pauses bound it.
    fn pay(&mut self, ask: &Ask<'_>) -> bool {
        match ask.start {
            Start::First => {
                self.retries.earn();
                if ask.intent != Intent::Mutation {
                    self.hedges.earn();
                }
                true
            }
            Start::Waited => true,
            Start::Retry => self.retries.spend(),
            Start::Hedge => ask.intent != Intent::Mutation && self.hedges.spend(),
        }
    }

    /// One of those that are fittest, by the policy.
    fn choose(&mut self, ask: &Ask<'_>) -> Option<EndpointId> {
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.clear();
        let mut fittest = None;
        for endpoint in self.endpoints.values() {
            let is_full = ask.intent != Intent::Mutation && self.is_full(endpoint);
            let Some(fitness) = self.fitness(endpoint, ask.intent) else { continue };
            if is_full || ask.tried.contains(&endpoint.id) || Some(fitness) < fittest {
                continue;
            }
            if Some(fitness) > fittest {
                fittest = Some(fitness);
                candidates.clear();
            }
            candidates.push(Candidate {
                id: endpoint.id,
                weight: self.weight(endpoint, ask.now),
                in_flight: endpoint.counts.in_flight,
                name: endpoint.hash,
                owed: endpoint.owed,
            });
        }
        let policy = match ask.intent {
            Intent::Read | Intent::LocalRead => self.policy,
            Intent::Mutation => Policy::RoundRobin,
        };
        let picked = match policy {
            Policy::RoundRobin => policy::round_robin(&mut candidates),
            Policy::Random => policy::random(&candidates, ask.dice),
            Policy::LeastInFlight => policy::least_in_flight(&candidates, ask.dice),
            Policy::ConsistentHash => policy::consistent_hash(&candidates, policy::hash(ask.key)),
        };
        if policy == Policy::RoundRobin {
            for candidate in &candidates {
                let endpoint = self.endpoints.get_mut(&candidate.id);
                endpoint.expect("it was just seen").owed = candidate.owed;
            }
        }
        let id = picked.map(|at| candidates[at].id);
        self.candidates = candidates;
        id
    }

    /// A request that [`Pool::begin`] gave out has ended, after its client waited so long
    /// for it; none where what it asked for says nothing of the endpoint's pace. Returns the
    /// new health where it changed.
    pub fn finish(
        &mut self,
        id: EndpointId,
        outcome: Outcome,
        waited: Option<Duration>,
    ) -> Option<Health> {
        let thresholds = self.thresholds;
        if let (Outcome::Answered, Some(waited)) = (outcome, waited) {
            self.latencies.record(waited);
        }
        let is_slow =
            waited.is_some_and(|waited| self.slow_after.is_some_and(|slow| waited > slow));
        let endpoint = self.endpoints.get_mut(&id)?;
        endpoint.counts.in_flight =
            endpoint.counts.in_flight.checked_sub(1).expect("every request ends once");
        endpoint.record.slow += u64::from(is_slow);
        endpoint.record.reads += u64::from(waited.is_some());
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
}
