//! One span per request and service, and a `Trace-Id` on every response.

use std::future::Future;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt as _;
use tracing::{Instrument as _, Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::sample::{RequestedTraces, is_first_of_interval};
use super::setup::{is_exporting, is_recording};
use super::{TraceContext, extract, in_context, set_parent};
use crate::message::Service;
use crate::tls;

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
    /// has come (see [`SAMPLE_INTERVAL`](super::SAMPLE_INTERVAL)). Of those that say
    /// "sampled" past what is `asked` for at most, nobody records anything from here on.
    #[must_use]
    pub fn start(
        name: Option<&'static str>,
        method: &Method,
        route: &str,
        headers: &HeaderMap,
        asked: &RequestedTraces,
    ) -> Self {
        let mut caller = extract(headers);
        let mut parent = TraceContext::of(&caller);
        let asks = name.is_some() && parent.is_some_and(TraceContext::is_sampled);
        if asks && !is_exporting() && !asked.takes() {
            parent = parent.map(TraceContext::not_sampled);
            caller = parent.map_or(caller, TraceContext::to_context);
        }
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
                url.scheme = tls::own_scheme().as_str(),
                error.type = field::Empty,
            );
            set_parent(&span, caller.clone());
            let context = span.context();
            if context.has_active_span() {
                return Self { span, context };
            }
        }
        match parent {
            Some(_) => Self { span: Span::none(), context: caller },
            None => Self::unsampled(),
        }
    }

    /// One of its own, that nobody records.
    #[must_use]
    pub fn unsampled() -> Self {
        Self { span: Span::none(), context: TraceContext::unsampled().to_context() }
    }

    /// The trace's identity, where the request is recorded here.
    #[must_use]
    pub fn recorded(&self) -> Option<String> {
        let context = TraceContext::of(&self.context).filter(|_| !self.span.is_disabled())?;
        Some(context.trace_id_hex())
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
            && let Ok(value) = HeaderValue::from_bytes(&context.trace_id_digits())
        {
            headers.insert(TRACE_ID, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_what_may_be_asked_for_a_trace_goes_on_without_being_recorded() {
        let (asked, mut headers) = (RequestedTraces::of(Service::Balancer), HeaderMap::new());
        let context = TraceContext { trace_id: [7; 16], span_id: [9; 8], flags: 1 };
        super::super::inject(&context.to_context(), &mut headers);
        let begun = || {
            let trace = RequestTrace::start(Some("x"), &Method::GET, "/", &headers, &asked);
            TraceContext::of(trace.context()).unwrap()
        };
        assert_eq!(begun(), context, "the first is passed on as it came");
        let last = (0..100_000).fold(begun(), |_, _| begun());
        assert_eq!(last, TraceContext { flags: 0, ..context });
    }
}
