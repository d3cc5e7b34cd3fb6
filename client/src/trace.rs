//! What is still held of a trace: the spans of a request, and of the batch that it went in.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::call::Call;
use crate::client::Client;
use crate::error::Error;

/// A request links to the batch that it went in, and to few others.
const MOST_LINKED: usize = 4;

/// What one service did for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// The trace, in hexadecimal digits.
    pub trace_id: String,
    /// The span in it.
    pub span_id: String,
    /// The span that it is below, if there is one.
    pub parent_span_id: Option<String>,
    /// What it is: `replica.put`, `acceptor.sync`, …
    pub name: String,
    /// Who did it, by name.
    pub service: String,
    /// When it began, in nanoseconds since 1970, by that service's clock.
    pub start_ns: u64,
    /// When it ended.
    pub end_ns: u64,
    /// What is known of it: `slot`, `ballot`, `http.response.status_code`, …
    pub attributes: BTreeMap<String, Value>,
    /// The spans, mostly of other traces, that it belongs together with.
    pub links: Vec<SpanLink>,
    /// Whether it says that it failed.
    pub failed: bool,
}

/// A span, named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SpanLink {
    /// Its trace.
    pub trace_id: String,
    /// The span in it.
    pub span_id: String,
}

/// A service whose spans are not among these.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MissingService {
    /// Its name, where that is known.
    pub id: Option<String>,
    /// Where it is.
    pub url: Option<String>,
    /// Why.
    pub reason: String,
}

/// What is held of a trace, and of those that it links to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trace {
    /// The trace that was asked for.
    pub trace_id: String,
    /// In the order in which they began.
    pub spans: Vec<Span>,
    /// Who did not tell.
    pub missing: Vec<MissingService>,
    /// So many spans were past a bound of the services.
    pub left_out: u64,
}

impl Client {
    /// What all services still hold of a trace (`GET /v1/spans`), and of the batch that it
    /// links to.
    ///
    /// # Errors
    /// [`Error::Refused`] where it is no trace's identity; else see [`Error`].
    pub async fn trace(&self, trace_id: &str) -> Result<Trace, Error> {
        let mut trace = self.spans(trace_id).await?;
        let id = trace_id.to_ascii_lowercase();
        let is_of_batch =
            trace.spans.iter().any(|span| span.trace_id == id && span.name == "replica.batch");
        if !is_of_batch {
            let own = trace.spans.iter().filter(|span| span.trace_id == id);
            let linked = own.flat_map(|span| &span.links).map(|link| link.trace_id.clone());
            let linked: BTreeSet<String> = linked.filter(|linked| *linked != id).collect();
            for linked in linked.iter().take(MOST_LINKED) {
                trace.add(self.spans(linked).await?);
            }
        }
        trace.spans.sort_by_key(|span| (span.start_ns, span.end_ns));
        Ok(trace)
    }

    async fn spans(&self, trace_id: &str) -> Result<Trace, Error> {
        let mut call = Call::read(Method::GET, "/v1/spans");
        call.param("trace", trace_id);
        call.param("of", "cluster");
        let told: Told = self.send(call).await?.json()?;
        let each = told.resource_spans.into_iter().flat_map(OfResource::spans);
        let (trace_id, spans) = (trace_id.to_ascii_lowercase(), each.collect());
        Ok(Trace { trace_id, spans, missing: told.missing, left_out: told.left_out })
    }
}

impl Trace {
    fn add(&mut self, other: Self) {
        let known: BTreeSet<String> = self.spans.iter().map(|span| span.span_id.clone()).collect();
        self.spans.extend(other.spans.into_iter().filter(|span| !known.contains(&span.span_id)));
        self.missing.extend(other.missing);
        self.missing.sort();
        self.missing.dedup_by(|one, other| (&one.id, &one.url) == (&other.id, &other.url));
        self.left_out = self.left_out.max(other.left_out);
    }
}

impl Span {
    /// What is known of it under this name, as text; empty where nothing is.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        match self.attributes.get(name) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }
}

/// OTLP's `TracesData`, in JSON, and what is lacking.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    resource_spans: Vec<OfResource>,
    #[serde(default)]
    missing: Vec<MissingService>,
    #[serde(default, rename = "left_out")]
    left_out: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct OfResource {
    resource: Attributes,
    scope_spans: Vec<OfScope>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OfScope {
    spans: Vec<Written>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Attributes {
    attributes: Vec<Attribute>,
}

#[derive(Debug, Deserialize)]
struct Attribute {
    key: String,
    value: BTreeMap<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Written {
    trace_id: String,
    span_id: String,
    parent_span_id: String,
    name: String,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Vec<Attribute>,
    links: Vec<WrittenLink>,
    status: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenLink {
    trace_id: String,
    span_id: String,
}

impl OfResource {
    fn spans(self) -> impl Iterator<Item = Span> {
        let mut of_service = values(self.resource.attributes);
        let service = match of_service.remove("service.instance.id") {
            Some(Value::String(name)) => name,
            Some(_) | None => String::from("?"),
        };
        let spans = self.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.map(move |span| span.read(&service))
    }
}

impl Written {
    fn read(self, service: &str) -> Span {
        let link = |link: WrittenLink| SpanLink { trace_id: link.trace_id, span_id: link.span_id };
        Span {
            parent_span_id: Some(self.parent_span_id).filter(|parent| !parent.is_empty()),
            service: service.to_owned(),
            start_ns: self.start_time_unix_nano.parse().unwrap_or_default(),
            end_ns: self.end_time_unix_nano.parse().unwrap_or_default(),
            attributes: values(self.attributes),
            links: self.links.into_iter().map(link).collect(),
            failed: self.status.get("code").is_some_and(|code| *code == 2),
            trace_id: self.trace_id,
            span_id: self.span_id,
            name: self.name,
        }
    }
}

/// Attributes as JSON has them: numbers of 64 bits are texts in OTLP.
fn values(attributes: Vec<Attribute>) -> BTreeMap<String, Value> {
    let value = |kind: &str, value: Value| match (kind, &value) {
        ("intValue", Value::String(text)) => {
            text.parse::<i64>().map_or_else(|_| value.clone(), Value::from)
        }
        _other => value,
    };
    let read = |Attribute { key, value: kinds }| {
        let first = kinds.into_iter().next();
        (key, first.map_or(Value::Null, |(kind, said)| value(&kind, said)))
    };
    attributes.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::stub::{Said, Stub};

    const REQUEST: &str = "0af7651916cd43dd8448eb211c80319c";
    const BATCH: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn told(service: &str, trace: &str, name: &str, link: &str) -> Value {
        json!({
            "resource": {"attributes": [
                {"key": "service.instance.id", "value": {"stringValue": service}},
            ]},
            "scopeSpans": [{"spans": [{
                "traceId": trace, "spanId": format!("{:0>16}", name.len()), "name": name,
                "startTimeUnixNano": "7", "endTimeUnixNano": "1760000000000000009",
                "attributes": [{"key": "slot", "value": {"intValue": "42"}}],
                "links": [{"traceId": link, "spanId": "00000000000000aa", "attributes": []}],
                "status": {"code": 2},
            }]}],
        })
    }

    #[tokio::test]
    async fn a_request_is_followed_to_its_batch_and_no_further() {
        let stub = Stub::start(|asked, _| {
            let (trace, name, link) = if asked.line.contains(REQUEST) {
                (REQUEST, "replica.put", BATCH)
            } else {
                (BATCH, "replica.batch", REQUEST)
            };
            let missing = [json!({"id": "acceptor-2", "url": null, "reason": "no answer"})];
            let told = [told("replica-1", trace, name, link)];
            let answer = json!({"resourceSpans": told, "missing": missing, "left_out": 0});
            Said::Answer(200, answer.to_string())
        })
        .await;
        let trace = stub.client().trace(REQUEST).await.unwrap();
        let names: Vec<&str> = trace.spans.iter().map(|span| span.name.as_str()).collect();
        assert_eq!(names, ["replica.put", "replica.batch"]);
        let put = &trace.spans[0];
        assert_eq!((put.service.as_str(), put.text("slot").as_str()), ("replica-1", "42"));
        assert_eq!((put.start_ns, put.end_ns, put.failed), (7, 1_760_000_000_000_000_009, true));
        assert_eq!(trace.missing.len(), 1, "named once: {:?}", trace.missing);
        let batch = stub.client().trace(BATCH).await.unwrap();
        assert_eq!(batch.spans.len(), 1, "its requests may be many");
    }
}
