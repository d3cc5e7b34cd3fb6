//! Who may ask what: the one table of all services' routes.
//!
//! Where services are known by their certificates (`--tls-client-ca`), what they say to each
//! other is taken from those alone who have it to say. What is for everybody needs no
//! certificate. A route that does not stand here is nobody's. Balancers are there for everybody
//! and have nothing that services ask them for, so they do not look here (whom they take orders
//! from is for `--operators`).
//!
//! By whose name somebody speaks (a replica's own heartbeats, a service's own announcement)
//! stands in the message, and is held against the certificate where that is read
//! ([`Caller::must_be`](super::Caller::must_be)).

use http::Method;

use super::identity::Role;
use crate::message::Service;

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Everybody, with and without a certificate.
    Anyone,
    /// Those who are one of these.
    Roles(&'static [Role]),
}

const ACCEPTOR: Service = Service::Acceptor;
const COORDINATOR: Service = Service::Coordinator;
const REPLICA: Service = Service::Replica;
const BALANCER: Service = Service::Balancer;

const COORDINATORS: Who = Who::Roles(&[Role::Service(COORDINATOR)]);
const REPLICAS: Who = Who::Roles(&[Role::Service(REPLICA)]);
/// Whoever reads the log: replicas copy it, an operator's `log verify --recompute` checks it.
const READERS: Who = Who::Roles(&[Role::Service(REPLICA), Role::Operator]);
/// Quorum reads, and leaders that recover.
const LEARNERS: Who = Who::Roles(&[Role::Service(COORDINATOR), Role::Service(REPLICA)]);
/// Those who announce themselves to acceptors.
const MEMBERS: Who =
    Who::Roles(&[Role::Service(COORDINATOR), Role::Service(REPLICA), Role::Service(BALANCER)]);

/// Whoever is a service of the cluster.
const SERVICES: Who = Who::Roles(&[
    Role::Service(ACCEPTOR),
    Role::Service(COORDINATOR),
    Role::Service(REPLICA),
    Role::Service(BALANCER),
]);

/// What is asked for by one method only; else whatever is asked for by no other entry.
const BY_POST: Option<Method> = Some(Method::POST);

/// What services ask each other, by the asked one, method and route. Of two entries of one
/// route the first counts that has the method.
const INTERNAL: &[(Service, Option<Method>, &str, Who)] = &[
    (ACCEPTOR, None, "/v1/prepare", COORDINATORS),
    (ACCEPTOR, None, "/v1/accept", COORDINATORS),
    (ACCEPTOR, None, "/v1/votes", LEARNERS),
    (ACCEPTOR, None, "/v1/watermarks", LEARNERS),
    (ACCEPTOR, None, "/v1/members", MEMBERS),
    (ACCEPTOR, None, "/v1/members/{name}", MEMBERS),
    // A change of the acceptors is its leader's to bring about, and all services learn of it.
    (ACCEPTOR, BY_POST, "/v1/succession", COORDINATORS),
    (ACCEPTOR, None, "/v1/succession", SERVICES),
    (COORDINATOR, None, "/v1/succession", SERVICES),
    (COORDINATOR, None, "/v1/acceptors", REPLICAS),
    (COORDINATOR, None, "/v1/proposals", REPLICAS),
    (COORDINATOR, None, "/v1/chosen", REPLICAS),
    (COORDINATOR, None, "/v1/heartbeats", REPLICAS),
    (COORDINATOR, None, "/v1/primary", REPLICAS),
    (COORDINATOR, None, "/v1/endings", COORDINATORS),
    (REPLICA, None, "/v1/succession", SERVICES),
    (REPLICA, None, "/v1/replication/log", READERS),
    (REPLICA, None, "/v1/replication/snapshot", REPLICAS),
    (REPLICA, None, "/v1/replication/digest", REPLICAS),
    (REPLICA, None, "/v1/replication/suspicions", REPLICAS),
    (REPLICA, None, "/v1/replication/commands", REPLICAS),
];

/// What all services answer to everybody: health, and what people and their programs watch.
const COMMON: &[&str] = &["/livez", "/readyz", "/metrics", "/v1/status", crate::spans::PATH];

/// What replicas answer to everybody: the API.
const OF_REPLICAS: &[&str] = &[
    "/openapi.json",
    "/v1/cluster",
    "/v1/cluster/acceptors",
    "/v1/cluster/primary",
    "/v1/cluster/replicas/{id}",
    "/v1/cluster/verify",
    "/v1/compact",
    "/v1/diff",
    "/v1/events",
    "/v1/kv",
    "/v1/kv/",
    "/v1/kv/{*key}",
    "/v1/leases",
    "/v1/leases/{id}",
    "/v1/leases/{id}/renew",
    "/v1/locks",
    "/v1/locks/",
    "/v1/locks/{*name}",
    "/v1/log",
    "/v1/log/{slot}",
    "/v1/policies",
    "/v1/policies/{name}",
    "/v1/rollback",
    "/v1/snapshot",
    "/v1/sql",
    "/v1/tokens",
    "/v1/tokens/bootstrap",
    "/v1/tokens/self",
    "/v1/tokens/{accessor}",
    "/v1/txn",
    "/v1/watch",
];

/// The console: pages and what they load.
const CONSOLE: &str = "/ui";

/// Who may ask a service, by a method, for what stands under a route; nobody, where nothing is
/// said of it.
#[must_use]
pub fn who_may(asked: Service, method: &Method, route: &str) -> Option<Who> {
    let is_public = match asked {
        ACCEPTOR | COORDINATOR => false,
        REPLICA => OF_REPLICAS.contains(&route) || route.starts_with(CONSOLE),
        BALANCER => true,
    };
    if is_public || COMMON.contains(&route) {
        return Some(Who::Anyone);
    }
    let entry = INTERNAL.iter().find(|(of, by, path, _)| {
        (*of, *path) == (asked, route) && by.as_ref().is_none_or(|by| by == method)
    });
    entry.map(|(.., who)| *who)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(asked: Service, method: &Method, route: &str) -> Vec<&'static str> {
        match who_may(asked, method, route) {
            Some(Who::Roles(roles)) => roles.iter().map(|role| role.as_str()).collect(),
            Some(Who::Anyone) => vec!["anyone"],
            None => Vec::new(),
        }
    }

    #[test]
    fn what_services_ask_each_other_is_for_those_whom_the_documents_name() {
        let services = vec!["acceptor", "coordinator", "replica", "balancer"];
        for (asked, method, route, expected) in [
            (ACCEPTOR, Method::POST, "/v1/prepare", vec!["coordinator"]),
            (ACCEPTOR, Method::POST, "/v1/accept", vec!["coordinator"]),
            (ACCEPTOR, Method::GET, "/v1/votes", vec!["coordinator", "replica"]),
            (ACCEPTOR, Method::GET, "/v1/watermarks", vec!["coordinator", "replica"]),
            (ACCEPTOR, Method::GET, "/v1/members", vec!["coordinator", "replica", "balancer"]),
            (
                ACCEPTOR,
                Method::PUT,
                "/v1/members/{name}",
                vec!["coordinator", "replica", "balancer"],
            ),
            (ACCEPTOR, Method::POST, "/v1/succession", vec!["coordinator"]),
            (ACCEPTOR, Method::GET, "/v1/succession", services.clone()),
            (COORDINATOR, Method::GET, "/v1/succession", services.clone()),
            (REPLICA, Method::GET, "/v1/succession", services),
            (COORDINATOR, Method::POST, "/v1/acceptors", vec!["replica"]),
            (COORDINATOR, Method::POST, "/v1/proposals", vec!["replica"]),
            (COORDINATOR, Method::GET, "/v1/chosen", vec!["replica"]),
            (COORDINATOR, Method::POST, "/v1/heartbeats", vec!["replica"]),
            (COORDINATOR, Method::POST, "/v1/primary", vec!["replica"]),
            (COORDINATOR, Method::POST, "/v1/endings", vec!["coordinator"]),
            (REPLICA, Method::GET, "/v1/replication/log", vec!["replica", "operator"]),
            (REPLICA, Method::GET, "/v1/replication/snapshot", vec!["replica"]),
            (REPLICA, Method::POST, "/v1/replication/commands", vec!["replica"]),
            (REPLICA, Method::GET, "/v1/replication/digest", vec!["replica"]),
            (REPLICA, Method::POST, "/v1/replication/suspicions", vec!["replica"]),
            (REPLICA, Method::POST, "/v1/cluster/acceptors", vec!["anyone"]),
        ] {
            assert_eq!(roles(asked, &method, route), expected, "{asked:?} {method} {route}");
        }
    }

    #[test]
    fn what_is_said_of_one_service_is_not_said_of_another() {
        assert_eq!(who_may(REPLICA, &Method::GET, "/v1/kv"), Some(Who::Anyone));
        for (asked, route) in [
            (ACCEPTOR, "/v1/kv"),
            (REPLICA, "/v1/prepare"),
            (ACCEPTOR, "/ui"),
            (REPLICA, "/v1/made/up"),
        ] {
            assert_eq!(who_may(asked, &Method::POST, route), None, "{asked:?} {route}");
        }
    }
}
