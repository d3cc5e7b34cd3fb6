//! What a balancer counts and measures, for `GET /metrics`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use shared::metrics::{Counter, Metrics, SECONDS, Scrape, TracedHistogram};
use shared::problem::Problem;
use shared::telemetry::RequestTrace;

use crate::clients::{Clients, MAX_CLIENTS, Reason};
use crate::endpoints::Endpoints;
use crate::pool::{Endpoint, Health, Intent, Policy, Pool, Service, To};

/// The kinds of requests, in their order.
const INTENTS: [&str; 3] = ["read", "local_read", "mutation"];

fn index(intent: Intent) -> usize {
    match intent {
        Intent::Read => 0,
        Intent::LocalRead => 1,
        Intent::Mutation => 2,
    }
}

/// Why a request got a problem of the balancer's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    /// The request: it is malformed, too large or too slow.
    Request,
    /// No replica can be asked.
    Unavailable,
    /// No replica that can be asked hears a quorum.
    NoQuorum,
    /// More is asked than the replicas or the balancer take at once.
    Overloaded,
    /// A replica broke off.
    BadGateway,
    /// No answer came in time.
    Timeout,
}

impl Refused {
    /// Their names, in their order.
    const NAMES: [&str; 6] =
        ["request", "unavailable", "no_quorum", "overloaded", "bad_gateway", "timeout"];

    /// By the kind of the problem.
    fn of(problem: &Problem) -> Self {
        match problem.body().kind.rsplit(':').next() {
            Some("unavailable") => Self::Unavailable,
            Some("no-quorum") => Self::NoQuorum,
            Some("overloaded") => Self::Overloaded,
            Some("bad-gateway") => Self::BadGateway,
            Some("timeout") => Self::Timeout,
            Some(_) | None => Self::Request,
        }
    }
}

/// What the proxy has done since it started.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    requests: [Counter; INTENTS.len()],
    seconds: [TracedHistogram; INTENTS.len()],
    /// Attempts beyond a request's first.
    pub(crate) retries: Counter,
    /// Reads that were sent to a second replica before the first was late …
    pub(crate) hedges: Counter,
    /// … and those that it answered first.
    pub(crate) hedges_won: Counter,
    refusals: [Counter; Refused::NAMES.len()],
}

impl Measured {
    pub(crate) fn register(metrics: &mut Metrics) -> Self {
        Self {
            requests: metrics.counters(
                "synod_balancer_requests_total",
                "Requests for replicas, each once however often it was sent on",
                "intent",
                INTENTS,
            ),
            seconds: metrics.traced_histograms(
                "synod_balancer_forward_duration_seconds",
                "From a request for a replica to the head of its answer, waiting and retries \
                 included",
                ("intent", INTENTS),
                SECONDS,
            ),
            retries: metrics.counter(
                "synod_balancer_retries_total",
                "Times that a request was sent to a replica beyond its first",
            ),
            hedges: metrics.counter(
                "synod_balancer_hedges_total",
                "Reads that were sent to a second replica since the first took longer than usual",
            ),
            hedges_won: metrics.counter(
                "synod_balancer_hedges_won_total",
                "Of these, those that the second replica answered first",
            ),
            refusals: metrics.counters(
                "synod_balancer_refusals_total",
                "Requests that got no replica's answer, but a problem of the balancer's own",
                "reason",
                Refused::NAMES,
            ),
        }
    }

    /// A request for a replica begins.
    pub(crate) fn began(&self, intent: Intent) {
        self.requests[index(intent)].inc();
    }

    /// It has its answer.
    pub(crate) fn answered(&self, intent: Intent, after: Duration, trace: &RequestTrace) {
        self.seconds[index(intent)].observe(after.as_secs_f64(), trace.recorded());
    }

    /// A request got this problem of the balancer's own.
    pub(crate) fn refused(&self, problem: &Problem) {
        self.refusals[Refused::of(problem) as usize].inc();
    }

    /// Requests that got such a problem since the start.
    pub(crate) fn refusals(&self) -> u64 {
        self.refusals.iter().map(Counter::get).sum()
    }

    /// Requests for replicas since the start, however they ended.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.iter().map(Counter::get).sum()
    }
}

/// A number of an endpoint.
type OfEndpoint = fn(&Endpoint) -> u64;

/// Has the rest read from the pool whenever somebody asks. Its labels are names of replicas,
/// of which there are as many as the acceptors list.
pub(crate) fn expose(metrics: &mut Metrics, endpoints: Arc<Endpoints>, max_waiting: usize) {
    metrics.at_scrape(move |scrape| {
        let listed = endpoints.read(|pool| {
            let mut listed: Vec<Endpoint> = pool.endpoints().cloned().collect();
            listed.sort_by(|one, other| one.member.name.cmp(&other.member.name));
            // Of two lives of one name, the later: counts are of the name.
            listed.dedup_by(|one, other| one.member.name == other.member.name);
            listed
        });
        let (healthy, linearizable, primary) = endpoints.read(|pool| {
            (
                pool.healthy(),
                pool.able(Intent::Read, To::Take),
                usize::from(pool.primary().is_some()),
            )
        });
        for (name, help, value) in [
            (
                "synod_balancer_waiting_requests",
                "Requests that wait for a replica",
                endpoints.waiting(),
            ),
            ("synod_balancer_waiting_requests_limit", "How many may wait", max_waiting),
            ("synod_balancer_healthy_endpoints", "Replicas that get requests", healthy),
            (
                "synod_balancer_linearizable_endpoints",
                "Replicas that get linearizable reads",
                linearizable,
            ),
            ("synod_balancer_primary_known", "Whether it knows where mutations go", primary),
        ] {
            scrape.gauge(name, help, value)?;
        }
        endpoints.read(|pool| expose_choice(scrape, pool))?;
        let gauges: [(&str, &str, OfEndpoint); 5] = [
            (
                "synod_balancer_endpoint_drained",
                "Whether the operator has drained this replica",
                |endpoint| u64::from(endpoint.order.service == Service::Drained),
            ),
            (
                "synod_balancer_endpoint_ejected",
                "Whether this replica is left alone for a while, for being slow",
                |endpoint| u64::from(endpoint.record.ejected_until.is_some()),
            ),
            (
                "synod_balancer_endpoint_weight",
                "What the operator gave this replica for a share of the reads",
                |endpoint| endpoint.order.weight.into(),
            ),
            ("synod_balancer_endpoint_healthy", "Whether this replica gets requests", |endpoint| {
                u64::from(endpoint.health == Health::Healthy)
            }),
            (
                "synod_balancer_endpoint_in_flight",
                "Requests that this replica has not answered yet",
                |endpoint| endpoint.counts.in_flight,
            ),
        ];
        for (name, help, of) in gauges {
            let each = listed.iter().map(|endpoint| (endpoint.member.name.as_str(), of(endpoint)));
            scrape.gauges(name, help, "endpoint", each)?;
        }
        let counters: [(&str, &str, OfEndpoint); 5] = [
            (
                "synod_balancer_endpoint_ejections_total",
                "Times that this replica was left alone for being slow",
                |endpoint| endpoint.counts.ejections,
            ),
            (
                "synod_balancer_endpoint_requests_total",
                "Requests sent to this replica, retries included",
                |endpoint| endpoint.counts.requests,
            ),
            (
                "synod_balancer_endpoint_failures_total",
                "Requests that ended without an answer because of this replica",
                |endpoint| endpoint.counts.failures,
            ),
            (
                "synod_balancer_endpoint_checks_total",
                "Health checks of this replica that succeeded",
                |endpoint| endpoint.counts.checks,
            ),
            (
                "synod_balancer_endpoint_check_failures_total",
                "Health checks of this replica that failed",
                |endpoint| endpoint.counts.check_failures,
            ),
        ];
        for (name, help, of) in counters {
            let each = listed.iter().map(|endpoint| (endpoint.member.name.as_str(), of(endpoint)));
            scrape.counters(name, help, "endpoint", each)?;
        }
        Ok(())
    });
}

/// How reads are shared out, how many at once, and what is left for sending more than clients do.
fn expose_choice(scrape: &mut Scrape<'_>, pool: &Pool) -> fmt::Result {
    scrape.gauge(
        "synod_balancer_endpoint_in_flight_limit",
        "How many may be in flight at each replica",
        pool.max_in_flight(),
    )?;
    let names = Policy::ALL.map(Policy::as_str);
    scrape.state(
        "synod_balancer_policy",
        "How reads are shared out",
        "policy",
        &names,
        pool.policy().as_str(),
    )?;
    let budgets = ["retries", "hedges"].into_iter().zip(pool.budgets());
    let left = budgets.clone().map(|(name, budget)| (name, budget.left()));
    scrape.gauges(
        "synod_balancer_budget_left",
        "How often requests may be sent beyond the first time at once",
        "budget",
        left,
    )?;
    let refused = budgets.map(|(name, budget)| (name, budget.refused()));
    scrape.counters(
        "synod_balancer_budget_refusals_total",
        "Times that a request was not sent once more, since the budget for it was spent",
        "budget",
        refused,
    )
}

/// What clients took, and were refused. No label names one: there may be any number.
pub(crate) fn expose_clients(metrics: &mut Metrics, clients: Arc<Clients>) {
    metrics.at_scrape(move |scrape| {
        scrape.gauge(
            "synod_balancer_clients",
            "Clients that are remembered: addresses and access tokens",
            clients.remembered(),
        )?;
        scrape.gauge(
            "synod_balancer_clients_limit",
            "How many are told apart at most",
            MAX_CLIENTS,
        )?;
        let refused = Reason::NAMES.into_iter().zip(clients.refused());
        scrape.counters(
            "synod_balancer_client_refusals_total",
            "Requests that were answered 429, by the limit that their client has reached",
            "reason",
            refused,
        )
    });
}
