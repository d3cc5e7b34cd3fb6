//! `GET /v1/spans?trace=ID`: what of a trace is still held, as OTLP in JSON.
//!
//! Every service answers with its own ([`SpanScope::Service`]); balancers and replicas, which
//! know all others, also with everybody's (`gather`). Beside `resourceSpans` stands what
//! is lacking: `missing` names the services that did not tell, `left_out` counts spans
//! past a bound.

mod gather;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::request::Parts;
use opentelemetry::trace::TraceId;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

pub use gather::Gather;

use crate::ids::Name;
use crate::places::ClientNetwork;
use crate::problem::Problem;
use crate::query::{Kind, Parameter, Query};
use crate::telemetry::{otlp, ring};
use crate::wire;

/// Where to ask.
pub const PATH: &str = "/v1/spans";

/// The most spans of a trace that one service tells: many times what a request makes.
const MOST_SPANS: usize = 256;

/// About the most that one service tells, in bytes of JSON.
const OWN_BYTES: usize = 192 << 10;

/// Whose spans a service can tell.
#[derive(Clone, Debug)]
pub enum SpanScope {
    /// Its own.
    Service(Name),
    /// Its own, or everybody's where it is asked for those.
    OnRequest(Gather),
    /// Everybody's, or its own where it is asked for those.
    Cluster(Gather),
}

/// Whose spans are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Service,
    Cluster,
}

/// The trace whose spans are asked for, …
pub const TRACE: Parameter =
    Parameter::pattern("trace", "^[0-9a-fA-F]{32}$", "4bf92f3577b34da6a3ce929d0e0e4736");
/// … and whose spans.
pub const OF: Parameter = Parameter::of("of", Kind::OneOf(&["service", "cluster"]), "cluster");

/// The answer.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Spans")]
pub struct Told {
    /// OTLP's `TracesData` has this field, and no others.
    resource_spans: Vec<Value>,
    /// Those whose spans are not among these.
    missing: Vec<Missing>,
    /// So many spans are past a bound.
    #[serde(rename = "left_out")]
    left_out: u64,
}

/// A service whose spans are not told, and why.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SpansMissing")]
struct Missing {
    id: Option<Name>,
    url: Option<String>,
    reason: String,
}

/// The route.
pub fn routes<S: Clone + Send + Sync + 'static>(scope: SpanScope) -> Router<S> {
    Router::new().route(PATH, get(answer)).with_state(Arc::new(scope))
}

async fn answer(State(scope): State<Arc<SpanScope>>, parts: Parts) -> Result<Response, Problem> {
    let query = Query::parse(parts.uri.query(), &[TRACE, OF])?;
    let words = [("service", Of::Service), ("cluster", Of::Cluster)];
    let of = query.has(OF.name).then(|| query.one_of(OF.name, &words)).transpose()?;
    let client = ClientNetwork::asking(&parts.extensions);
    let trace = trace_id(query.text(TRACE.name).unwrap_or_default())?;
    let told = match (&*scope, of) {
        (SpanScope::Service(_), Some(Of::Cluster)) => {
            return Err(Problem::bad_request(
                "this service tells its own spans only: ask a balancer or a replica for those of \
                 the cluster",
            ));
        }
        (SpanScope::Cluster(gather), None | Some(Of::Cluster))
        | (SpanScope::OnRequest(gather), Some(Of::Cluster)) => gather.all(trace, client).await?,
        (SpanScope::Service(name), None | Some(Of::Service)) => own(name, trace),
        (SpanScope::OnRequest(gather), None | Some(Of::Service))
        | (SpanScope::Cluster(gather), Some(Of::Service)) => own(gather.name(), trace),
    };
    Ok(wire::json(&told))
}

/// Reads a trace's identity: 32 hexadecimal digits, not all of them 0.
fn trace_id(text: &str) -> Result<TraceId, Problem> {
    let is_spelt = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let read = TraceId::from_hex(text).ok().filter(|id| is_spelt && *id != TraceId::INVALID);
    read.ok_or_else(|| {
        let given: String = text.chars().take(64).collect();
        Problem::bad_request(format!(
            "trace {given:?} is not 32 hexadecimal digits, as Trace-Id of an answer has them"
        ))
    })
}

/// What this service holds.
fn own(name: &Name, trace: TraceId) -> Told {
    let Some(ring) = ring() else {
        let reason = "it keeps no spans: --span-ring-bytes is 0".to_owned();
        let missing = vec![Missing { id: Some(name.clone()), url: None, reason }];
        return Told { missing, ..Told::default() };
    };
    let mut found = ring.of_trace(trace, MOST_SPANS);
    let mut left_out = found.left_out;
    loop {
        let written = otlp::resource_spans(ring.resource(), &found.spans);
        let bytes = written.to_string().len();
        if bytes <= OWN_BYTES || found.spans.is_empty() {
            let resource_spans = if found.spans.is_empty() { vec![] } else { vec![written] };
            let left_out = u64::try_from(left_out).unwrap_or(u64::MAX);
            return Told { resource_spans, missing: Vec::new(), left_out };
        }
        let half = found.spans.len().div_ceil(2);
        found.spans.drain(..half);
        left_out += half;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_named_by_32_hexadecimal_digits() {
        let named = "0af7651916cd43dd8448eb211c80319c";
        assert_eq!(trace_id(named).unwrap().to_string(), named);
        assert!(trace_id(&named.to_uppercase()).is_ok());
        let zeros = "0".repeat(32);
        let long = "a".repeat(33);
        for bad in
            ["", "x", "0af7", &zeros, &long, &"é".repeat(16), "+af7651916cd43dd8448eb211c80319c"]
        {
            let problem = trace_id(bad).unwrap_err();
            assert_eq!(problem.status(), 400, "{bad}");
            assert!(problem.body().detail.len() < 300);
        }
    }

    #[test]
    fn a_service_that_keeps_no_spans_says_so() {
        let told = own(&"acceptor-1".parse().unwrap(), TraceId::from(1));
        let told = serde_json::to_value(&told).unwrap();
        assert_eq!(told["resourceSpans"], serde_json::json!([]));
        assert_eq!(told["missing"][0]["id"], "acceptor-1");
    }
}
