//! `GET /openapi.json`: the contract of the client API in OpenAPI 3.1, made of the entries
//! of [`operations`] and [`schemas`]. A test holds them against the routes, and `.ci/long`
//! against what a cluster answers.

mod entry;
mod operations;
mod schemas;
mod tenure;

use std::sync::LazyLock;

use axum::response::Response;
use http::{HeaderValue, header};
use serde_json::{Map, Value, json};

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

/// All of it.
fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for entry in operations::all() {
        let path = paths.entry(entry.path.clone()).or_insert_with(|| json!({}));
        path[entry.method] = entry.rendered();
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
        "components": {"schemas": schemas::all()},
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::entry::Entry;
    use super::*;
    use crate::http::{POLLS, SPANS, client_routes};

    /// A path as the router has it.
    fn routed(path: &str) -> String {
        path.replace("/v1/kv/{key}", "/v1/kv/{*key}")
            .replace("/v1/locks/{name}", "/v1/locks/{*name}")
    }

    #[test]
    fn every_route_has_an_entry_and_every_entry_a_route() {
        let entries: BTreeSet<String> =
            operations::all().iter().map(|entry| routed(&entry.path)).collect();
        // What every service answers is routed elsewhere.
        let others = ["/v1/status", "/v1/spans", "/livez", "/readyz", "/metrics"];
        let others = others.map(str::to_owned);
        let routes = client_routes().into_iter().map(|(path, _)| path.to_owned()).chain(others);
        // That there is a key, or a name, is said by their own entries.
        let routes: BTreeSet<String> =
            routes.filter(|path| path != "/v1/kv/" && path != "/v1/locks/").collect();
        assert_eq!(entries, routes);
    }

    #[test]
    fn every_route_is_counted_by_its_name() {
        let named: BTreeSet<&str> = SPANS
            .iter()
            .map(|(_, path, _)| *path)
            .chain(POLLS.iter().map(|(_, path)| *path))
            .collect();
        for (path, _) in client_routes() {
            // What is there to say that a key, or a name, is lacking is no route.
            if path != "/v1/kv/" && path != "/v1/locks/" {
                assert!(named.contains(path), "{path} would be counted as other");
            }
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_operation_has_examples_and_problems() {
        let document = document();
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
        }
        let mut ids = BTreeSet::new();
        for entry in operations::all() {
            let Entry { path, method, .. } = &entry;
            let rendered = entry.rendered();
            let id = rendered["operationId"].as_str().unwrap().to_owned();
            assert!(ids.insert(id), "{method} {path}: two have its name");
            let answers = rendered["responses"].as_object().unwrap();
            let problems = answers.keys().filter(|status| status.starts_with(['4', '5'])).count();
            assert!(problems > 0, "{method} {path} is never refused");
            for parameter in path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()) {
                let named = rendered["parameters"].as_array().unwrap().iter();
                let mut named = named.map(|it| it["name"].as_str().unwrap());
                assert!(named.any(|name| name == parameter), "{path} does not say {parameter}");
            }
            for (status, answer) in answers.iter().filter(|(status, _)| status.starts_with('2')) {
                let contents = answer["content"].as_object().into_iter().flatten();
                for (media_type, content) in contents {
                    let is_shown = content.get("example").is_some();
                    assert!(is_shown, "{method} {path} {status} {media_type} has no example");
                }
            }
        }
    }
}
