//! Trace contexts: where they are now, how they travel in headers and in stored values.

use std::future::Future;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::context::FutureExt as _;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use serde::{Deserialize, Serialize};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::hex;
use crate::random;

/// A W3C trace context (without its vendors' state) as it is kept in messages and in the
/// log. Its encoding is a format: it never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span in it.
    pub span_id: [u8; 8],
    /// Bit 0: sampled.
    pub flags: u8,
}

impl TraceContext {
    /// That of the work at hand, if it has one.
    #[must_use]
    pub fn current() -> Option<Self> {
        Context::map_current(Self::of)
    }

    /// That of a context, if it has one.
    #[must_use]
    pub fn of(context: &Context) -> Option<Self> {
        let span = context.span();
        let span = span.span_context();
        span.is_valid().then(|| Self {
            trace_id: span.trace_id().to_bytes(),
            span_id: span.span_id().to_bytes(),
            flags: span.trace_flags().to_u8(),
        })
    }

    /// A trace of its own that nobody records: it only gives answers and logs something
    /// in common.
    #[must_use]
    pub fn unsampled() -> Self {
        let [head, tail, span] = [random::nonce(), random::nonce(), random::nonce()];
        let trace_id = (u128::from(head) << 64 | u128::from(tail)).max(1);
        Self { trace_id: trace_id.to_be_bytes(), span_id: span.max(1).to_be_bytes(), flags: 0 }
    }

    /// Whether the trace is recorded.
    #[must_use]
    pub fn is_sampled(self) -> bool {
        self.flags & 1 == 1
    }

    /// The same trace, of which nobody is to record anything.
    #[must_use]
    pub fn not_sampled(self) -> Self {
        Self { flags: self.flags & !1, ..self }
    }

    /// The trace's identity as 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id_hex(self) -> String {
        String::from_utf8_lossy(&self.trace_id_digits()).into_owned()
    }

    /// The same as ASCII.
    pub(super) fn trace_id_digits(self) -> [u8; 32] {
        let mut digits = [0; 32];
        hex::write(&self.trace_id, &mut digits);
        digits
    }

    /// As `traceparent` has it (W3C Trace Context, section 3.2).
    fn traceparent(self) -> [u8; TRACEPARENT_BYTES] {
        let mut text = *b"00-TTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTT-SSSSSSSSSSSSSSSS-FF";
        hex::write(&self.trace_id, &mut text[3..35]);
        hex::write(&self.span_id, &mut text[36..52]);
        hex::write(&[self.flags & TraceFlags::SAMPLED.to_u8()], &mut text[53..]);
        text
    }

    /// Reads a `traceparent` of the present version, as nearly all are; none where it is
    /// anything else.
    fn of_traceparent(text: &[u8]) -> Option<Self> {
        let text: &[u8; TRACEPARENT_BYTES] = text.try_into().ok()?;
        let is_present = text.starts_with(b"00-") && text[35] == b'-' && text[52] == b'-';
        let mut flags = [0];
        let mut read = Self { trace_id: [0; 16], span_id: [0; 8], flags: 0 };
        let is_hex = hex::read(&text[3..35], &mut read.trace_id)
            && hex::read(&text[36..52], &mut read.span_id)
            && hex::read(&text[53..], &mut flags);
        let is_known = flags[0] <= TraceFlags::SAMPLED.to_u8();
        read.flags = flags[0];
        let is_valid = read.trace_id != [0; 16] && read.span_id != [0; 8];
        (is_present && is_hex && is_known && is_valid).then_some(read)
    }

    /// As a context from elsewhere, to be a parent.
    #[must_use]
    pub fn to_context(self) -> Context {
        Context::new().with_remote_span_context(self.into())
    }
}

impl From<TraceContext> for SpanContext {
    fn from(context: TraceContext) -> Self {
        let trace = TraceId::from_bytes(context.trace_id);
        let span = SpanId::from_bytes(context.span_id);
        Self::new(trace, span, TraceFlags::new(context.flags), true, TraceState::NONE)
    }
}

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// How long a `traceparent` of version 00 is, in bytes.
const TRACEPARENT_BYTES: usize = 55;

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        // An empty `tracestate` is allowed, and better not sent (W3C Trace Context,
        // section 3.3.1.2).
        if value.is_empty() {
            return;
        }
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}

/// The context that a request's `traceparent` and `tracestate` name; an empty one where
/// they are missing or malformed.
#[must_use]
pub fn extract(headers: &HeaderMap) -> Context {
    let Some(traceparent) = headers.get(TRACEPARENT) else { return Context::new() };
    let plain = TraceContext::of_traceparent(traceparent.as_bytes());
    if let Some(plain) = plain.filter(|_| !headers.contains_key(TRACESTATE)) {
        plain.to_context()
    } else {
        TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers))
    }
}

/// Writes a context into a request's headers; an empty one writes nothing.
pub fn inject(context: &Context, headers: &mut HeaderMap) {
    let Some(traced) = TraceContext::of(context) else { return };
    let has_state = *context.span().span_context().trace_state() != TraceState::NONE;
    if has_state {
        TraceContextPropagator::new().inject_context(context, &mut HeadersMut(headers));
    } else if let Ok(value) = HeaderValue::from_bytes(&traced.traceparent()) {
        headers.insert(TRACEPARENT, value);
    }
}

/// Writes the context of the work at hand into a request's headers. Work without one says
/// "not sampled", so that signs of life and polls between services start no traces.
pub fn inject_current(headers: &mut HeaderMap) {
    Context::map_current(|context| {
        if context.has_active_span() {
            inject(context, headers);
        } else {
            inject(&TraceContext::unsampled().to_context(), headers);
        }
    });
}

/// The context of the work at hand, for work that goes on in another task.
#[must_use]
pub fn current() -> Context {
    Context::current()
}

/// Runs the future in a context.
pub fn in_context<F: Future>(context: Context, future: F) -> impl Future<Output = F::Output> {
    future.with_context(context)
}

/// Makes the span a child of the context. To be called before the span is entered, on one
/// made with `parent: None`.
pub fn set_parent(span: &Span, context: Context) {
    // It fails for spans that nobody records, which need no parent.
    let _unrecorded = span.set_parent(context);
}

/// Links the span to another one, usually of another trace: a batch to its requests, and
/// they to it.
pub fn link(span: &Span, to: TraceContext) {
    span.add_link(to.into());
}

/// Sets an attribute that the span was not made with.
pub fn attribute(span: &Span, key: &'static str, value: impl Into<opentelemetry::Value>) {
    span.set_attribute(key, value);
}

/// The trace context of a span; none where it is not recorded.
#[must_use]
pub fn of_span(span: &Span) -> Option<TraceContext> {
    if span.is_disabled() { None } else { TraceContext::of(&span.context()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(traceparent: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", traceparent.parse().unwrap());
        headers
    }

    #[test]
    fn a_context_goes_through_headers_and_values_unchanged() {
        let context = TraceContext::of(&extract(&headers(PARENT))).unwrap();
        assert_eq!(context.trace_id_hex(), "0af7651916cd43dd8448eb211c80319c");
        assert!(context.is_sampled());
        let bytes = postcard::to_allocvec(&context).unwrap();
        let read: TraceContext = postcard::from_bytes(&bytes).unwrap();
        let mut sent = HeaderMap::new();
        inject(&read.to_context(), &mut sent);
        assert_eq!(sent["traceparent"], PARENT);
        assert!(!sent.contains_key("tracestate"));
    }

    #[test]
    fn a_context_is_written_as_it_has_always_been() {
        let context = TraceContext { trace_id: [7; 16], span_id: [9; 8], flags: 1 };
        let bytes = [&[7; 16][..], &[9; 8], &[1]].concat();
        assert_eq!(postcard::to_allocvec(&context).unwrap(), bytes);
        assert_eq!(postcard::from_bytes::<TraceContext>(&bytes).unwrap(), context);
    }

    #[test]
    fn what_is_read_and_written_here_is_what_the_library_reads_and_writes() {
        let library = TraceContextPropagator::new();
        for flags in ["00", "01", "02", "03", "ff", "0g"] {
            for prefix in ["00", "01", "ff", "0"] {
                let ids = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
                let received = headers(&format!("{prefix}-{ids}-{flags}"));
                let theirs = library.extract_with_context(&Context::new(), &Headers(&received));
                let context = extract(&received);
                assert_eq!(TraceContext::of(&context), TraceContext::of(&theirs), "{received:?}");
                let (mut sent, mut expected) = (HeaderMap::new(), HeaderMap::new());
                inject(&context, &mut sent);
                library.inject_context(&theirs, &mut HeadersMut(&mut expected));
                assert_eq!(sent, expected, "{received:?}");
            }
        }
    }

    #[test]
    fn the_state_of_vendors_is_passed_on() {
        let mut received = headers(PARENT);
        received.insert("tracestate", "vendor=x".parse().unwrap());
        let mut sent = HeaderMap::new();
        inject(&extract(&received), &mut sent);
        assert_eq!(sent["tracestate"], "vendor=x");
    }

    #[test]
    fn a_malformed_traceparent_counts_as_none() {
        for bad in [
            "",
            "x",
            "00-0-0-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            &PARENT.to_uppercase(),
        ] {
            assert_eq!(TraceContext::of(&extract(&headers(bad))), None, "{bad:?}");
        }
    }

    #[test]
    fn work_without_a_context_says_not_sampled() {
        let mut sent = HeaderMap::new();
        inject_current(&mut sent);
        let context = TraceContext::of(&extract(&sent)).unwrap();
        assert!(!context.is_sampled());
    }

    #[test]
    fn work_in_a_context_passes_it_on() {
        let _guard = extract(&headers(PARENT)).attach();
        let mut sent = HeaderMap::new();
        inject_current(&mut sent);
        assert_eq!(sent["traceparent"], PARENT);
    }
}
