//! Traces (OTLP over HTTP, W3C trace context) and logs (text on a terminal, JSON
//! elsewhere).
//!
//! The trace context of the work at hand is OpenTelemetry's current [`Context`], whether
//! or not a span is recorded for it: a recorded span sets it while it is entered, and
//! [`RequestTrace`] sets it for requests that are not sampled, for which no span is made
//! at all (a span costs about 2 µs). Logs, `Trace-Id` headers and [`inject_current`] all
//! read it from there.
//!
//! The spans that ended last are kept in memory (`ring`), for `GET /v1/spans`. They are
//! exported only where `OTEL_EXPORTER_OTLP_ENDPOINT` or
//! `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set, by a thread of its own behind a bounded
//! queue: a collector that is slow or gone costs spans, never requests. So are metrics
//! (`crate::metrics`), where that variable or `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT` is.
//!
//! Recorded is a request whose caller says "sampled", but no more of them than [`RequestedTraces`]
//! has; of those that say nothing, one in each [`SAMPLE_INTERVAL`]. Where spans are
//! exported, all of both are. A batch is recorded where one of its requests is.

mod collector;
mod context;
mod hex;
mod http_span;
mod log;
pub(crate) mod otlp;
mod ring;
mod sample;
mod seldom;
mod setup;

pub(crate) use collector::MetricsCollector;
pub use context::{
    TraceContext, attribute, current, extract, in_context, inject, inject_current, link, of_span,
    set_parent,
};
pub use http_span::{RequestTrace, SpanNames, TRACE_ID, Traced};
pub use log::timestamp;
pub use opentelemetry::Context;
pub use sample::{RequestedTraces, SAMPLE_INTERVAL};
pub use seldom::Seldom;
pub use setup::{Guard, init, is_recording};
pub(crate) use setup::{metrics_collector, ring};
