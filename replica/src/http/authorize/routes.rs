//! What each route of clients needs: the one table of them, which tests hold against the
//! router and, each entry with five kinds of tokens, against a running cluster.

use http::Method;

use crate::machine::access::policy::{ClusterRight, Right};

/// What whoever asks needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: it is for everybody.
    Nothing,
    /// To be at the replica's own machine, or its bootstrap secret; once.
    Bootstrap,
    /// A token.
    Token,
    /// A token with these rights at the keys or the lock that the request names.
    Keys(&'static [Right]),
    /// A token, with the rights that what the body or the lease says needs.
    Body,
    /// A token with these rights at all keys.
    Everything(&'static [Right]),
    /// A token with this right in the cluster.
    Cluster(ClusterRight),
}

use ClusterRight::Operate;
use Right::{History, List, Lock, Read, Watch, Write};

/// Every route of clients, by method. `HEAD` is as `GET`.
pub const TABLE: &[(&str, &str, Need)] = &[
    ("GET", "/v1/kv", Need::Keys(&[List, Read])),
    ("DELETE", "/v1/kv", Need::Keys(&[Write])),
    ("GET", "/v1/kv/{*key}", Need::Keys(&[Read])),
    ("PUT", "/v1/kv/{*key}", Need::Keys(&[Write])),
    ("DELETE", "/v1/kv/{*key}", Need::Keys(&[Write])),
    ("GET", "/v1/diff", Need::Keys(&[History, Read])),
    ("POST", "/v1/txn", Need::Body),
    ("POST", "/v1/rollback", Need::Keys(&[History, Read, Write])),
    ("POST", "/v1/compact", Need::Cluster(Operate)),
    ("POST", "/v1/leases", Need::Body),
    ("GET", "/v1/leases", Need::Token),
    ("GET", "/v1/leases/{id}", Need::Body),
    ("POST", "/v1/leases/{id}/renew", Need::Body),
    ("DELETE", "/v1/leases/{id}", Need::Body),
    ("GET", "/v1/locks", Need::Keys(&[Lock])),
    ("GET", "/v1/locks/{*name}", Need::Keys(&[Lock])),
    ("PUT", "/v1/locks/{*name}", Need::Keys(&[Lock])),
    ("DELETE", "/v1/locks/{*name}", Need::Keys(&[Lock])),
    ("GET", "/v1/log", Need::Everything(&[Read, List, History])),
    ("POST", "/v1/log", Need::Everything(&[Write])),
    ("GET", "/v1/log/{slot}", Need::Everything(&[Read, List, History])),
    ("GET", "/v1/snapshot", Need::Cluster(Operate)),
    ("POST", "/v1/sql", Need::Everything(&[Read, List, History])),
    ("GET", "/v1/watch", Need::Keys(&[Watch, Read])),
    ("GET", "/v1/cluster", Need::Cluster(ClusterRight::Read)),
    ("GET", "/v1/events", Need::Cluster(ClusterRight::Read)),
    ("GET", "/v1/spans", Need::Cluster(ClusterRight::Read)),
    ("POST", "/v1/cluster/primary", Need::Cluster(Operate)),
    ("POST", "/v1/cluster/acceptors", Need::Cluster(Operate)),
    ("DELETE", "/v1/cluster/replicas/{id}", Need::Cluster(Operate)),
    ("POST", "/v1/cluster/verify", Need::Cluster(Operate)),
    ("POST", "/v1/tokens", Need::Cluster(Operate)),
    ("GET", "/v1/tokens", Need::Cluster(Operate)),
    ("GET", "/v1/tokens/self", Need::Token),
    ("POST", "/v1/tokens/bootstrap", Need::Bootstrap),
    ("GET", "/v1/tokens/{accessor}", Need::Cluster(Operate)),
    ("DELETE", "/v1/tokens/{accessor}", Need::Cluster(Operate)),
    ("GET", "/v1/policies", Need::Cluster(Operate)),
    ("GET", "/v1/policies/{name}", Need::Cluster(Operate)),
    ("PUT", "/v1/policies/{name}", Need::Cluster(Operate)),
    ("DELETE", "/v1/policies/{name}", Need::Cluster(Operate)),
    ("GET", "/openapi.json", Need::Nothing),
];

/// Paths that stand in the router to say that something is lacking in them.
pub const EMPTY: &[&str] = &["/v1/kv/", "/v1/locks/"];

/// What a request needs; what does not stand in the table is for operators.
#[must_use]
pub fn need_of(method: &Method, route: &str, query: Option<&str>) -> Need {
    if EMPTY.contains(&route) {
        return Need::Token;
    }
    if route == shared::spans::PATH && !asks_for_all_spans(query) {
        // Services ask each other for their own.
        return Need::Nothing;
    }
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    let entry = TABLE.iter().find(|(of, path, _)| (*of, *path) == (method, route));
    entry.map_or(Need::Cluster(Operate), |(.., need)| *need)
}

/// Whether the spans of all services are asked for. What is encoded may say so.
fn asks_for_all_spans(query: Option<&str>) -> bool {
    let is_plain = |parameter: &str| {
        !parameter.contains(['%', '+'])
            && (parameter == "of=service" || !parameter.starts_with("of"))
    };
    !query.unwrap_or_default().split('&').all(is_plain)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::http::openapi::client_operations;

    #[test]
    fn every_operation_of_the_contract_stands_in_the_table_once() {
        let table: Vec<(String, &str)> =
            TABLE.iter().map(|(method, path, _)| (method.to_lowercase(), *path)).collect();
        let distinct: BTreeSet<(String, &str)> = table.iter().cloned().collect();
        assert_eq!(distinct.len(), table.len());
        let contract = client_operations();
        let contract: BTreeSet<(String, &str)> =
            contract.iter().map(|(method, path)| (method.clone(), path.as_str())).collect();
        assert_eq!(distinct, contract);
    }

    #[test]
    fn what_stands_nowhere_is_for_operators() {
        assert_eq!(need_of(&Method::GET, "/v1/new", None), Need::Cluster(Operate));
        assert_eq!(need_of(&Method::PATCH, "/v1/kv/{*key}", None), Need::Cluster(Operate));
        assert_eq!(need_of(&Method::HEAD, "/v1/kv/{*key}", None), Need::Keys(&[Read]));
        assert_eq!(need_of(&Method::GET, "", None), Need::Cluster(Operate));
    }

    #[test]
    fn services_ask_each_other_for_spans_and_only_who_may_for_all() {
        let of = |query| need_of(&Method::GET, "/v1/spans", Some(query));
        assert_eq!(of("trace=a"), Need::Nothing);
        assert_eq!(of("trace=a&of=service"), Need::Nothing);
        for all in ["trace=a&of=cluster", "trace=a&of=%63luster", "trace=a&%6ff=cluster", "of"] {
            assert_eq!(of(all), Need::Cluster(ClusterRight::Read), "{all}");
        }
    }
}
