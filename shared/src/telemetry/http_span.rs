//! One span per request and service, and a `Trace-Id` on every response.

use std::future::Future;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt as _;
use tracing::{Instrument as _, Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::sample::is_first_of_interval;
use super::setup::{is_exporting, is_recording};
use super::{TraceContext, extract, in_context, set_parent};
use crate::message::Service;

/// The response header with the trace's identity.
pub const TRACE_ID: HeaderName = HeaderName::from_static("trace-id");

/// The spans of a service's routes: method, route template, and the span's name
/// (`role.verb`). A request to a route that is not listed (health checks, status) makes
/// no span.
pub type SpanNames = &'static [(&'static str, &'static str, &'static str)];

/// What the server traces and counts by name. Whatever is in neither list is counted as
/// `other`.
#[derive(Clone, Copy, Debug)]
pub struct Traced {
    /// Which service serves.
    pub service: Service,
    /// The names of its spans.
    pub names: SpanNames,
    /// Method and route template of its routes that make no spans. Those of all services
    /// need not be named.
    pub polls: &'static [(&'static str, &'static str)],
}

/// The trace of a request that is being served.
#[derive(Debug)]
pub struct RequestTrace {
    span: Span,
    context: Context,
}

impl RequestTrace {
    /// Takes up the caller's trace, or starts one. A span is made only where it has a
    /// `name`, spans are recorded, and the caller said "sampled", or nothing and its turn
    /// has come (see [`SAMPLE_INTERVAL`](super::SAMPLE_INTERVAL)).
    #[must_use]
    pub fn start(
        name: Option<&'static str>,
        method: &Method,
        route: &str,
        headers: &HeaderMap,
    ) -> Self {
        let caller = extract(headers);
        let parent = TraceContext::of(&caller);
        let is_wanted = || match parent {
            Some(caller) => caller.is_sampled(),
            None => is_exporting() || is_first_of_interval(),
        };
        if let Some(name) = name.filter(|_| is_recording() && is_wanted()) {
            let span = tracing::info_span!(
                parent: None,
                "request",
                otel.name = name,
                otel.kind = "server",
                otel.status_code = field::Empty,
                http.request.method = method.as_str(),
                http.route = route,
                http.response.status_code = field::Empty,
                url.scheme = "http",
                error.type = field::Empty,
            );
            set_parent(&span, caller.clone());
            let context = span.context();
            if context.has_active_span() {
                return Self { span, context };
            }
        }
        let context =
            if parent.is_some() { caller } else { TraceContext::unsampled().to_context() };
        Self { span: Span::none(), context }
    }

    /// The request's span; disabled where the request is not recorded.
    #[must_use]
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// The request's context: its own span, or the caller's where it has none.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Runs the request's work in the trace.
    pub fn run<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        in_context(self.context.clone(), work.instrument(self.span.clone()))
    }

    /// Records the outcome and puts `Trace-Id` on the response.
    pub fn finish(self, status: StatusCode, headers: &mut HeaderMap) {
        if !self.span.is_disabled() {
            self.span.record("http.response.status_code", i64::from(status.as_u16()));
            if status.is_server_error() {
                self.span.record("otel.status_code", "ERROR");
                self.span.record("error.type", status.as_str());
            }
        }
        if let Some(context) = TraceContext::of(&self.context)
            && let Ok(value) = HeaderValue::try_from(context.trace_id_hex())
        {
            headers.insert(TRACE_ID, value);
        }
    }
}
