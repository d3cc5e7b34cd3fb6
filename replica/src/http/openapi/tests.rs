use std::collections::BTreeSet;

use super::*;
use crate::http::{POLLS, SPANS, client_routes};

/// A path as the router has it.
pub(in crate::http) fn routed(path: &str) -> String {
    path.replace("/v1/kv/{key}", "/v1/kv/{*key}").replace("/v1/locks/{name}", "/v1/locks/{*name}")
}

#[test]
fn every_route_has_an_entry_and_every_entry_a_route() {
    let entries: BTreeSet<String> = entries().iter().map(|entry| routed(entry.path)).collect();
    // What every service answers is routed elsewhere.
    let others = ["/v1/status", "/v1/spans", "/livez", "/readyz", "/metrics"].map(str::to_owned);
    let routes = client_routes().into_iter().map(|(path, _)| path.to_owned()).chain(others);
    // That there is a key, or a name, is said by their own entries.
    let routes: BTreeSet<String> =
        routes.filter(|path| path != "/v1/kv/" && path != "/v1/locks/").collect();
    assert_eq!(entries, routes);
}

#[test]
fn every_route_is_counted_by_its_name() {
    let named: BTreeSet<&str> =
        SPANS.iter().map(|(_, path, _)| *path).chain(POLLS.iter().map(|(_, path)| *path)).collect();
    for (path, _) in client_routes() {
        // What is there to say that a key, or a name, is lacking is no route.
        if path != "/v1/kv/" && path != "/v1/locks/" {
            assert!(named.contains(path), "{path} would be counted as other");
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document = whole();
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
    }
}

#[test]
fn every_operation_has_a_name_examples_problems_and_the_parameters_of_its_path() {
    let (document, mut ids) = (whole(), BTreeSet::new());
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, rendered) in methods.as_object().unwrap() {
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
            for (status, answer) in answers {
                for (media_type, content) in answer["content"].as_object().into_iter().flatten() {
                    let is_shown = content.get("example").is_some();
                    assert!(is_shown, "{method} {path} {status} {media_type} has no example");
                }
            }
        }
    }
}

#[test]
fn an_answer_says_the_fields_that_it_is_sent_with() {
    let document = whole();
    for (method, path, status, fields) in [
        ("put", "/v1/kv/{key}", "201", &["ETag", "Idempotency-Replayed"][..]),
        ("put", "/v1/kv/{key}", "412", &["ETag", "Idempotency-Replayed"]),
        (
            "get",
            "/v1/kv/{key}",
            "200",
            &["ETag", "Synod-Created-Revision", "Synod-Version", "Synod-Lease", "Synod-Lag"],
        ),
        ("get", "/v1/kv/{key}", "304", &["ETag", "Synod-Version"]),
        ("head", "/v1/kv/{key}", "200", &["ETag", "Synod-Version"]),
        ("get", "/v1/kv", "200", &["Link", "Synod-Lag"]),
        ("get", "/v1/log", "200", &["Link"]),
        ("post", "/v1/log", "201", &["Location", "Idempotency-Replayed"]),
        ("post", "/v1/leases", "201", &["Location"]),
        ("post", "/v1/tokens", "201", &["Location"]),
        ("post", "/v1/tokens/bootstrap", "201", &["Location"]),
        ("get", "/v1/snapshot", "200", &["ETag", "Repr-Digest", "Accept-Ranges"]),
        ("get", "/v1/snapshot", "206", &["ETag", "Repr-Digest", "Content-Range"]),
        ("get", "/v1/snapshot", "416", &["Content-Range"]),
        ("get", "/v1/kv", "401", &["WWW-Authenticate"]),
        ("get", "/v1/kv", "503", &["Retry-After"]),
        ("get", "/v1/events", "429", &["Retry-After"]),
    ] {
        let headers = &document["paths"][path][method]["responses"][status]["headers"];
        for field in ["Trace-Id", "Synod-Revision"].iter().chain(fields) {
            assert!(headers[*field]["schema"].is_object(), "{method} {path} {status}: {field}");
        }
    }
}

/// Whether every field of an example stands in the schema, and every required one in the
/// example.
fn fits(document: &Value, schema: &Value, example: &Value) -> bool {
    if let Some(reference) = schema["$ref"].as_str() {
        let named = document.pointer(&reference[1..]).unwrap();
        return fits(document, named, example);
    }
    for any in ["anyOf", "oneOf"] {
        if let Some(schemas) = schema[any].as_array()
            && !schemas.iter().any(|one| fits(document, one, example))
        {
            return false;
        }
    }
    match example {
        Value::Object(fields) => {
            let mut required = schema["required"].as_array().into_iter().flatten();
            required.all(|name| fields.contains_key(name.as_str().unwrap()))
                && fields.iter().all(|(name, value)| {
                    schema["properties"].get(name).is_none_or(|of| fits(document, of, value))
                })
        }
        Value::Array(items) => items.iter().all(|item| fits(document, &schema["items"], item)),
        Value::Null => is_of(schema, &["null"]),
        Value::Bool(_) => is_of(schema, &["boolean"]),
        Value::Number(_) => is_of(schema, &["integer", "number"]),
        Value::String(_) => is_of(schema, &["string"]),
    }
}

/// Whether a schema says one of these types, or nothing.
fn is_of(schema: &Value, types: &[&str]) -> bool {
    let said = schema["type"].as_array().cloned();
    let said = said.unwrap_or_else(|| schema.get("type").cloned().into_iter().collect());
    said.is_empty() || said.iter().any(|of| types.iter().any(|it| of == it))
}

#[test]
fn every_example_fits_the_schema_that_is_derived_of_its_type() {
    let document = whole();
    let mut seen = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, entry) in methods.as_object().unwrap() {
            let answers = entry["responses"].as_object().unwrap().values();
            let bodies = answers.chain(entry.get("requestBody")).map(|body| &body["content"]);
            for (media_type, content) in bodies.filter_map(Value::as_object).flatten() {
                let Value::Object(_) = &content["example"] else { continue };
                let is_fit = fits(&document, &content["schema"], &content["example"]);
                assert!(is_fit, "{method} {path} {media_type}: {content:#}");
                seen += 1;
            }
        }
    }
    assert!(seen > 100, "only {seen}");
}

#[test]
fn nothing_that_is_sent_may_be_null_but_the_revision_of_a_query() {
    let document = whole();
    for name in [
        "Txn",
        "Guard",
        "TxnOperation",
        "TxnPut",
        "TxnDelete",
        "TxnGet",
        "Rollback",
        "Compact",
        "LeaseRequest",
        "LockRequest",
        "SwitchOver",
    ] {
        let schema = &document["components"]["schemas"][name];
        assert_eq!(schema["additionalProperties"] == Value::Bool(false), name != "TxnOperation");
        assert!(!schema.to_string().contains("null"), "{name}: {schema:#}");
    }
}

#[test]
fn what_is_known_of_a_type_stands_in_its_schema() {
    let document = whole();
    let fields = |name: &str| -> BTreeSet<String> {
        let properties = document["components"]["schemas"][name]["properties"].as_object();
        properties.unwrap_or_else(|| panic!("no {name}")).keys().cloned().collect()
    };
    let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let item = [
        "key",
        "value",
        "encoding",
        "content_type",
        "revision",
        "created_revision",
        "version",
        "lease",
    ];
    assert_eq!(fields("Item"), named(&item));
    assert_eq!(fields("LockHeld"), named(&["name", "lease", "fence"]));
    assert_eq!(fields("Txn"), named(&["if", "then", "else"]));
}

#[test]
fn no_two_types_have_one_name() {
    let document = whole();
    let names = document["components"]["schemas"].as_object().unwrap().keys();
    // Such a name is given to the second one.
    let numbered: Vec<&String> =
        names.filter(|name| name.ends_with(|c: char| c.is_ascii_digit())).collect();
    assert!(numbered.is_empty(), "{numbered:?}");
}
