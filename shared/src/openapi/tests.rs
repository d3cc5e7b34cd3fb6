use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::content::{self, Schemas};
use super::{Entry, add, document, field};
use crate::query::Parameter;

#[test]
#[should_panic = "Same is the name of two types"]
fn what_is_sent_and_what_is_answered_is_not_called_the_same() {
    #[derive(Serialize, JsonSchema)]
    #[schemars(rename = "Same")]
    struct Answered {
        a: u64,
    }
    #[derive(Deserialize, JsonSchema)]
    #[schemars(rename = "Same")]
    struct Sent {
        #[serde(rename = "b")]
        _b: u64,
    }
    let mut schemas = Schemas::new();
    schemas.rendered(&[content::json(&Answered { a: 1 }), content::sent::<Sent>(json!({"b": 1}))]);
    schemas.all();
}

fn entry(path: &'static str) -> Entry {
    Entry::own("get", path, (path, "Tells."))
        .query(&[Parameter::number("limit", "1")])
        .answers(200, "Told.", [content::json(&1_u64)])
        .says(&[field::ETAG])
}

fn fields(document: &Value, path: &str, status: &str) -> Vec<String> {
    let headers = &document["paths"][path]["get"]["responses"][status]["headers"];
    headers.as_object().unwrap_or_else(|| panic!("{path} {status}")).keys().cloned().collect()
}

#[test]
fn every_answer_says_the_fields_that_it_may_have() {
    let document = document([entry("/v1/one")]);
    let of = |status| fields(&document, "/v1/one", status);
    assert_eq!(of("200"), ["ETag", "Link", "Synod-Revision", "Trace-Id"]);
    assert_eq!(of("401"), ["Synod-Revision", "Trace-Id", "WWW-Authenticate"]);
    assert_eq!(of("429"), ["Retry-After", "Synod-Revision", "Trace-Id"]);
    assert_eq!(of("501"), ["Synod-Revision", "Trace-Id"]);
    assert_eq!(of("503"), ["Retry-After", "Synod-Revision", "Trace-Id"]);
}

#[test]
fn every_status_of_a_refusal_is_one_that_a_problem_has() {
    let all = [
        400, 401, 403, 404, 408, 409, 410, 412, 413, 415, 416, 421, 422, 429, 431, 500, 501, 502,
        503, 504, 507,
    ];
    let document = document([entry("/v1/one").refused(&all)]);
    for (status, answer) in document["paths"]["/v1/one"]["get"]["responses"].as_object().unwrap() {
        let example = &answer["content"]["application/problem+json"]["example"];
        let is_its = status.parse().is_ok_and(|status: u64| example["status"] == status);
        assert!(status == "200" || is_its, "{status}: {example}");
    }
}

#[test]
fn what_is_added_takes_nothing_away() {
    let mut all = document([entry("/v1/one")]);
    let before = all["paths"]["/v1/one"].clone();
    let mut more = document([entry("/v1/two")]);
    more["paths"]["/v1/one"] = json!({});
    more["components"]["schemas"]["Two"] = json!({"type": "object"});
    add(&mut all, &more);
    assert_eq!(all["paths"]["/v1/one"], before);
    assert_eq!(all["paths"]["/v1/two"], more["paths"]["/v1/two"]);
    assert_eq!(all["components"]["schemas"]["Two"]["type"], "object");
    assert!(all["components"]["schemas"]["Problem"].is_object());
}
