//! `GET /openapi.json`: the contract of the client API in OpenAPI 3.1.
//!
//! Each file of [`http`](super) that answers a request says what its [`Entry`] is. A test
//! holds the entries against the routes, and `.ci/long` against what a cluster answers.

use std::sync::LazyLock;

use axum::response::Response;
use http::{HeaderValue, header};
use serde_json::{Value, json};
pub(super) use shared::openapi::{Entry, content, field};
use shared::openapi::{PATH, document};

use super::{
    append, cluster, compact, diff, events, get, leases, list, locks, log, mutate, policies,
    rollback, snapshot, sql, status, tokens, txn, watching,
};
use crate::http::request::parameter::{FENCE, IDEMPOTENCY_KEY, MIN_REVISION, TIMEOUT, TRACEPARENT};

/// The document, written once.
static DOCUMENT: LazyLock<Vec<u8>> =
    LazyLock::new(|| serde_json::to_vec(&whole()).expect("JSON can be written"));

/// Answers it.
pub(super) async fn openapi() -> Response {
    let mut response = Response::new(DOCUMENT.as_slice().into());
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    std::future::ready(response).await
}

/// What reads the state.
pub(super) fn read(
    method: &'static str,
    path: &'static str,
    named: (&'static str, &'static str),
) -> Entry {
    let entry = Entry::own(method, path, named);
    entry.headers(&[TIMEOUT, MIN_REVISION, TRACEPARENT]).refused(&[502])
}

/// What changes the state, once however often it comes with the same key.
pub(super) fn mutation(
    method: &'static str,
    path: &'static str,
    named: (&'static str, &'static str),
) -> Entry {
    let entry = read(method, path, named);
    entry.headers(&[IDEMPOTENCY_KEY, FENCE]).refused(&[412, 415, 422, 507])
}

/// All entries, in the order of the documentation.
fn entries() -> Vec<Entry> {
    let itself = Entry::own("get", PATH, ("openapi", "This document."));
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
        cluster::primary::entries(),
        cluster::acceptors::entries(),
        cluster::removal::entries(),
        cluster::verify::entries(),
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
fn whole() -> Value {
    document(entries())
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
