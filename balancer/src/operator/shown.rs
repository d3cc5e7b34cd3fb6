//! What is shown of a balancer to its operator.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use shared::ids::{Epoch, Name, Slot};

use super::Operated;
use crate::clients::Limits;
use crate::pool::{Budget, Endpoint, Health, Order, Policy, Pool, Reads, Role, Service};

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Balancer")]
pub(super) struct Shown {
    id: Name,
    zone: Option<Name>,
    policy: Policy,
    policies: [Policy; Policy::ALL.len()],
    primary: Option<Name>,
    /// From when on a read is hedged, and an answer slow.
    hedge_after_ms: Option<u64>,
    slow_after_ms: Option<u64>,
    retries: ShownBudget,
    hedges: ShownBudget,
    clients: ShownClients,
    endpoints: Vec<ShownEndpoint>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "BalancerBudget")]
struct ShownBudget {
    sent: u64,
    refused: u64,
    left: u64,
}

impl From<&Budget> for ShownBudget {
    fn from(budget: &Budget) -> Self {
        Self { sent: budget.spent(), refused: budget.refused(), left: budget.left() }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "BalancerClients")]
struct ShownClients {
    remembered: usize,
    rate: Option<u32>,
    requests: Option<usize>,
    refused: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "BalancerEndpoint")]
struct ShownEndpoint {
    id: Name,
    url: String,
    zone: Option<Name>,
    /// Whether it gets linearizable reads in turn.
    #[serde(rename = "in")]
    is_in: bool,
    why: Vec<String>,
    /// Its share beside the others', as it is now.
    share: f64,
    /// What it says of itself.
    replica: Option<Said>,
    /// What requests show.
    requests: Seen,
    /// What the operator says.
    operator: ShownOrder,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "BalancerEndpointSays")]
struct Said {
    role: &'static str,
    reads: &'static str,
    epoch: Epoch,
    executed_slot: Option<Slot>,
    quorum_answers: bool,
    can_execute: bool,
    lag_ms: Option<u64>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "BalancerEndpointSeen")]
struct Seen {
    health: &'static str,
    ejected_for_ms: Option<u64>,
    ejections: u64,
    in_flight: u64,
    sent: u64,
    failures: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "BalancerOrder")]
pub(super) struct ShownOrder {
    drain: bool,
    weight: u32,
}

impl From<Order> for ShownOrder {
    fn from(order: Order) -> Self {
        Self { drain: order.service == Service::Drained, weight: order.weight }
    }
}

/// The answer to what is said of an endpoint.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "BalancerOrdered")]
pub(super) struct Ordered {
    pub(super) id: Name,
    #[serde(flatten)]
    pub(super) order: ShownOrder,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "BalancerPolicy")]
pub(super) struct Shared {
    pub(super) policy: Policy,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl ShownEndpoint {
    fn of(pool: &Pool, endpoint: &Endpoint, now: Duration) -> Self {
        let (standing, report) = (pool.standing(endpoint, now), endpoint.report.as_ref());
        let ejected = endpoint.record.ejected_until.map(|until| until.saturating_sub(now));
        Self {
            id: endpoint.member.name.clone(),
            url: endpoint.member.url.clone(),
            zone: report.and_then(|report| report.zone.clone()),
            is_in: standing.is_in,
            why: standing.why,
            share: f64::from(pool.weight(endpoint, now)) / 100.0,
            replica: report.map(|report| Said {
                role: Role::as_str(report.role),
                reads: Reads::as_str(pool.reads(endpoint)),
                epoch: report.epoch,
                executed_slot: report.executed_slot,
                quorum_answers: report.quorum_answers,
                can_execute: report.can_execute,
                lag_ms: report.lag.map(millis),
            }),
            requests: Seen {
                health: Health::as_str(endpoint.health),
                ejected_for_ms: ejected.map(millis),
                ejections: endpoint.counts.ejections,
                in_flight: endpoint.counts.in_flight,
                sent: endpoint.counts.requests,
                failures: endpoint.counts.failures,
            },
            operator: endpoint.order.into(),
        }
    }
}

impl Shown {
    /// What there is to show now.
    pub(super) fn of(operated: &Operated) -> Self {
        let now = operated.endpoints.now();
        let Limits { rate, requests, .. } = operated.clients.limits();
        let clients = ShownClients {
            remembered: operated.clients.remembered(),
            rate: rate.map(std::num::NonZeroU32::get),
            requests,
            refused: operated.clients.refused().iter().sum(),
        };
        operated.endpoints.read(|pool| {
            let primary = pool.primary().and_then(|id| pool.endpoint(id));
            let [retries, hedges] = pool.budgets();
            let [slow_after, hedge_after] = pool.slowness();
            let mut endpoints: Vec<ShownEndpoint> =
                pool.endpoints().map(|endpoint| ShownEndpoint::of(pool, endpoint, now)).collect();
            endpoints.sort_by(|one, other| one.id.cmp(&other.id));
            Shown {
                id: operated.id.clone(),
                zone: pool.zone().cloned(),
                policy: pool.policy(),
                policies: Policy::ALL,
                primary: primary.map(|endpoint| endpoint.member.name.clone()),
                hedge_after_ms: hedge_after.map(millis),
                slow_after_ms: slow_after.map(millis),
                retries: retries.into(),
                hedges: hedges.into(),
                clients,
                endpoints,
            }
        })
    }

    /// One for the contract.
    pub(super) fn example() -> Self {
        let name = |name: &str| name.parse::<Name>().expect("a name");
        let budget = || ShownBudget { sent: 3, refused: 0, left: 12 };
        let endpoint = ShownEndpoint {
            id: name("replica-1"),
            url: "http://127.0.0.1:8301".to_owned(),
            zone: None,
            is_in: true,
            why: Vec::new(),
            share: 1.0,
            replica: Some(Said {
                role: Role::as_str(Role::Primary),
                reads: Reads::as_str(Reads::Current),
                epoch: Epoch(7),
                executed_slot: Some(Slot(42)),
                quorum_answers: true,
                can_execute: true,
                lag_ms: Some(2),
            }),
            requests: Seen {
                health: Health::as_str(Health::Healthy),
                ejected_for_ms: None,
                ejections: 0,
                in_flight: 1,
                sent: 42,
                failures: 0,
            },
            operator: ShownOrder { drain: false, weight: 1 },
        };
        Self {
            id: name("balancer-1"),
            zone: None,
            policy: Policy::default(),
            policies: Policy::ALL,
            primary: Some(name("replica-1")),
            hedge_after_ms: Some(5),
            slow_after_ms: Some(1_000),
            retries: budget(),
            hedges: budget(),
            clients: ShownClients { remembered: 1, rate: None, requests: None, refused: 0 },
            endpoints: vec![endpoint],
        }
    }
}

impl Ordered {
    /// One for the contract.
    pub(super) fn example() -> Self {
        let id = "replica-1".parse().expect("a name");
        Self { id, order: ShownOrder { drain: true, weight: 3 } }
    }
}
