//! The spans that ended last, in memory: what `GET /v1/spans` tells. They are kept as the
//! SDK hands them out, and written down only when somebody asks.

use std::collections::VecDeque;
use std::mem::size_of;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use opentelemetry::trace::{Event, Link, TraceId};
use opentelemetry::{Array, Context, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};

/// The newest spans, as many as their bytes allow.
#[derive(Debug)]
pub(crate) struct SpanRing {
    /// The most memory, in bytes.
    limit: usize,
    held: Mutex<Held>,
    resource: OnceLock<Vec<KeyValue>>,
}

#[derive(Debug, Default)]
struct Held {
    spans: VecDeque<(SpanData, usize)>,
    bytes: usize,
}

/// What a ring holds of a trace.
#[derive(Debug)]
pub(crate) struct Found {
    /// In the order in which they ended.
    pub(crate) spans: Vec<SpanData>,
    /// So many older ones are left out.
    pub(crate) left_out: usize,
}

impl SpanRing {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, held: Mutex::default(), resource: OnceLock::new() })
    }

    fn push(&self, span: SpanData) {
        let bytes = bytes_of(&span);
        if bytes > self.limit {
            return;
        }
        let mut held = self.lock();
        held.bytes += bytes;
        held.spans.push_back((span, bytes));
        while held.bytes > self.limit
            && let Some((_, freed)) = held.spans.pop_front()
        {
            held.bytes -= freed;
        }
    }

    /// The spans of a trace, and those of others that link to it: at most so many, the
    /// newest ones.
    pub(crate) fn of_trace(&self, trace: TraceId, most: usize) -> Found {
        let held = self.lock();
        let is_of = |span: &SpanData| {
            let mut links = span.links.iter();
            span.span_context.trace_id() == trace
                || links.any(|link| link.span_context.trace_id() == trace)
        };
        let found = held.spans.iter().rev().map(|(span, _)| span).filter(|span| is_of(span));
        let mut found: Vec<&SpanData> = found.collect();
        let left_out = found.len().saturating_sub(most);
        found.truncate(most);
        Found { spans: found.into_iter().rev().cloned().collect(), left_out }
    }

    /// Whose spans they are.
    pub(crate) fn resource(&self) -> &[KeyValue] {
        self.resource.get().map_or(&[], Vec::as_slice)
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // A panic ends the process, so nobody ever meets a poisoned lock.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands spans that end to a ring.
#[derive(Debug)]
pub(super) struct ToRing(pub(super) Arc<SpanRing>);

impl SpanProcessor for ToRing {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.0.push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        let each = resource.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
        let _set_once = self.0.resource.set(each.collect());
    }
}

/// What a span takes in memory, in bytes.
fn bytes_of(span: &SpanData) -> usize {
    let events = span.events.iter().map(|event| of_attributes(&event.attributes));
    let links = span.links.iter().map(|link| of_attributes(&link.attributes));
    size_of::<(SpanData, usize)>()
        + span.span_context.trace_state().header().len()
        + of_attributes(&span.attributes)
        + span.events.len() * size_of::<Event>()
        + span.links.len() * size_of::<Link>()
        + events.chain(links).sum::<usize>()
}

fn of_attributes(attributes: &[KeyValue]) -> usize {
    attributes.iter().map(|attribute| size_of::<KeyValue>() + of_value(&attribute.value)).sum()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the SDK may add kinds of values")]
fn of_value(value: &Value) -> usize {
    match value {
        Value::String(text) => text.as_str().len(),
        Value::Array(Array::String(texts)) => {
            texts.iter().map(|text| 24 + text.as_str().len()).sum()
        }
        Value::Array(Array::I64(numbers)) => 8 * numbers.len(),
        Value::Array(Array::F64(numbers)) => 8 * numbers.len(),
        Value::Array(Array::Bool(flags)) => flags.len(),
        _ => 0,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::SystemTime;

    use opentelemetry::InstrumentationScope;
    use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceState};
    use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};

    use super::*;

    pub(crate) fn span(trace: u128, id: u64, links: &[u128], text: &str) -> SpanData {
        let context = |trace: u128, id: u64| {
            let (trace, id) = (TraceId::from(trace), SpanId::from(id));
            SpanContext::new(trace, id, TraceFlags::SAMPLED, false, TraceState::NONE)
        };
        let mut all = SpanLinks::default();
        all.links = links.iter().map(|to| Link::new(context(*to, 1), Vec::new(), 0)).collect();
        SpanData {
            span_context: context(trace, id),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Server,
            name: "replica.put".into(),
            start_time: SystemTime::UNIX_EPOCH + Duration::from_nanos(7),
            end_time: SystemTime::UNIX_EPOCH + Duration::from_nanos(9),
            attributes: vec![KeyValue::new("text", text.to_owned()), KeyValue::new("slot", 7)],
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: all,
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::builder("synod").build(),
        }
    }

    fn ids(found: &Found) -> Vec<u64> {
        let id = |span: &SpanData| u64::from_be_bytes(span.span_context.span_id().to_bytes());
        found.spans.iter().map(id).collect()
    }

    #[test]
    fn a_ring_holds_the_newest_spans_within_its_bytes_whatever_they_say() {
        let one = bytes_of(&span(1, 1, &[], ""));
        let ring = SpanRing::new(10 * one);
        for id in 1..=1_000 {
            ring.push(span(1, id, &[], &"x".repeat(usize::try_from(id % 7).unwrap())));
            assert!(ring.lock().bytes <= 10 * one);
        }
        let found = ring.of_trace(TraceId::from(1), 100);
        assert_eq!(ids(&found).last(), Some(&1_000));
        assert!((8..=10).contains(&found.spans.len()), "{found:?}");
        assert_eq!(ring.lock().bytes, found.spans.iter().map(bytes_of).sum::<usize>());
        ring.push(span(1, 1_001, &[], &"x".repeat(10 * one)));
        assert_eq!(ids(&ring.of_trace(TraceId::from(1), 100)), ids(&found), "it fits nowhere");
    }

    #[test]
    fn a_trace_is_found_with_what_links_to_it_and_nothing_else() {
        let ring = SpanRing::new(1 << 20);
        for (id, trace, links) in [(1, 1, &[][..]), (2, 2, &[3, 1]), (3, 3, &[]), (4, 1, &[2])] {
            ring.push(span(trace, id, links, ""));
        }
        assert_eq!(ids(&ring.of_trace(TraceId::from(1), 100)), [1, 2, 4]);
        assert_eq!(ids(&ring.of_trace(TraceId::from(3), 100)), [2, 3]);
        assert!(ids(&ring.of_trace(TraceId::from(9), 100)).is_empty());
        let newest = ring.of_trace(TraceId::from(1), 2);
        assert_eq!((ids(&newest), newest.left_out), (vec![2, 4], 1));
    }
}
