//! `GET /openapi.json`: the contract of the client API in OpenAPI 3.1.
//!
//! Nothing of it is written twice. Each file of [`http`](super) that answers a request says
//! what its [`Entry`] is: with the parameters that it reads the query by, and with the types
//! that it reads and answers, from which the schemas are derived and of which the examples
//! are values. A test holds the entries against the routes, and `.ci/long` against what a
//! cluster answers.

pub(super) mod content;
mod entry;

use std::sync::LazyLock;

use axum::response::Response;
use http::{HeaderValue, header};
use serde_json::{Map, Value, json};

use self::content::Schemas;
pub(super) use self::entry::Entry;
use super::{
    acceptors, append, cluster, compact, diff, events, get, leases, list, locks, log, mutate,
    policies, primary, removal, rollback, snapshot, sql, status, tokens, txn, verify, watching,
};

/// The document, written once.
static DOCUMENT: LazyLock<Vec<u8>> =
    LazyLock::new(|| serde_json::to_vec(&document()).expect("JSON can be written"));

/// Answers it.
pub(super) async fn openapi() -> Response {
    let mut response = Response::new(DOCUMENT.as_slice().into());
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    std::future::ready(response).await
}

/// All entries, in the order of the documentation.
fn entries() -> Vec<Entry> {
    let itself = Entry::own("get", "/openapi.json", ("openapi", "This document."));
    let itself = itself
        .answers(200, "OpenAPI 3.1.", [content::json(&json!({"openapi": "3.1.0"}))])
        .refused(&[502]);
    [
        mutate::entries(),
        get::entries(),
        list::entries(),
        txn::entries(),
        leases::entries(),
        locks::entries(),
        diff::entries(),
        rollback::entries(),
        compact::entries(),
        watching::entries(),
        append::entries(),
        log::entries(),
        sql::entries(),
        snapshot::entries(),
        cluster::entries(),
        events::entries(),
        primary::entries(),
        acceptors::entries(),
        removal::entries(),
        verify::entries(),
        tokens::entries(),
        policies::entries(),
        status::entries(),
        vec![itself],
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// All of it.
fn document() -> Value {
    let (mut paths, mut schemas): (Map<String, Value>, Schemas) = (Map::new(), Schemas::new());
    for entry in entries() {
        let path = paths.entry(entry.path).or_insert_with(|| json!({}));
        path[entry.method] = entry.rendered(&mut schemas);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Synod",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "A key-value store, lock service and replicated log over HTTP.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas.all(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        // Where no first token is made, none is needed.
        "security": [{"token": []}, {}],
    })
}

/// What clients ask for, by method and path as the router has it; not what every service
/// answers.
#[cfg(test)]
pub(super) fn client_operations() -> Vec<(String, String)> {
    const OF_ALL: [&str; 4] = ["/livez", "/readyz", "/metrics", "/v1/status"];
    let entries = entries().into_iter().filter(|entry| !OF_ALL.contains(&entry.path));
    let entries = entries.filter(|entry| entry.method != "head");
    entries.map(|entry| (entry.method.to_owned(), tests::routed(entry.path))).collect()
}

#[cfg(test)]
mod tests;
