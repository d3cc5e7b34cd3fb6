//! Spans as OTLP writes them in JSON (the protocol's specification, "JSON Protobuf
//! Encoding"): identities in hexadecimal digits, numbers of 64 bits as text.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{Event, Link, SpanId, SpanKind, Status};
use opentelemetry::{Array, KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;
use serde_json::{Value as Json, json};

/// `ResourceSpans`: spans of one service.
pub(crate) fn resource_spans(resource: &[KeyValue], spans: &[SpanData]) -> Json {
    let scope = spans.first().map_or("", |span| span.instrumentation_scope.name());
    json!({
        "resource": {"attributes": attributes(resource)},
        "scopeSpans": [{
            "scope": {"name": scope},
            "spans": spans.iter().map(span).collect::<Vec<Json>>(),
        }],
    })
}

fn span(span: &SpanData) -> Json {
    let context = &span.span_context;
    let kind = match span.span_kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    };
    let status = match &span.status {
        Status::Unset => json!({}),
        Status::Ok => json!({"code": 1}),
        Status::Error { description } => json!({"code": 2, "message": description}),
    };
    let mut written = json!({
        "traceId": context.trace_id().to_string(),
        "spanId": context.span_id().to_string(),
        "flags": context.trace_flags().to_u8(),
        "name": span.name,
        "kind": kind,
        "startTimeUnixNano": nanos(span.start_time),
        "endTimeUnixNano": nanos(span.end_time),
        "attributes": attributes(&span.attributes),
        "droppedAttributesCount": span.dropped_attributes_count,
        "events": span.events.iter().map(event).collect::<Vec<Json>>(),
        "droppedEventsCount": span.events.dropped_count,
        "links": span.links.iter().map(link).collect::<Vec<Json>>(),
        "droppedLinksCount": span.links.dropped_count,
        "status": status,
    });
    if span.parent_span_id != SpanId::INVALID {
        written["parentSpanId"] = json!(span.parent_span_id.to_string());
    }
    written
}

fn event(event: &Event) -> Json {
    json!({
        "timeUnixNano": nanos(event.timestamp),
        "name": event.name,
        "attributes": attributes(&event.attributes),
    })
}

fn link(link: &Link) -> Json {
    json!({
        "traceId": link.span_context.trace_id().to_string(),
        "spanId": link.span_context.span_id().to_string(),
        "attributes": attributes(&link.attributes),
    })
}

fn nanos(time: SystemTime) -> String {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}

fn attributes(attributes: &[KeyValue]) -> Vec<Json> {
    let written = |attribute: &KeyValue| json!({"key": attribute.key.as_str(), "value": value(&attribute.value)});
    attributes.iter().map(written).collect()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the SDK may add kinds of values")]
fn value(value: &Value) -> Json {
    let array = |values: Vec<Json>| json!({"arrayValue": {"values": values}});
    match value {
        Value::Bool(flag) => json!({"boolValue": flag}),
        Value::I64(number) => json!({"intValue": number.to_string()}),
        Value::F64(number) => json!({"doubleValue": number}),
        Value::String(text) => json!({"stringValue": text.as_str()}),
        Value::Array(Array::Bool(each)) => {
            array(each.iter().map(|flag| json!({"boolValue": flag})).collect())
        }
        Value::Array(Array::I64(each)) => {
            array(each.iter().map(|number| json!({"intValue": number.to_string()})).collect())
        }
        Value::Array(Array::F64(each)) => {
            array(each.iter().map(|number| json!({"doubleValue": number})).collect())
        }
        Value::Array(Array::String(each)) => {
            array(each.iter().map(|text| json!({"stringValue": text.as_str()})).collect())
        }
        other => json!({"stringValue": other.to_string()}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::ring::tests::span as spanned;

    #[test]
    fn spans_are_written_as_the_protocol_says() {
        let resource = [KeyValue::new("service.name", "synod-replica")];
        let spans = [spanned(0xab, 0xcd, &[0xef], "<b>\n")];
        let expected = json!({
            "resource": {"attributes": [
                {"key": "service.name", "value": {"stringValue": "synod-replica"}},
            ]},
            "scopeSpans": [{"scope": {"name": "synod"}, "spans": [{
                "traceId": "000000000000000000000000000000ab", "spanId": "00000000000000cd",
                "flags": 1, "name": "replica.put", "kind": 2,
                "startTimeUnixNano": "7", "endTimeUnixNano": "9",
                "attributes": [
                    {"key": "text", "value": {"stringValue": "<b>\n"}},
                    {"key": "slot", "value": {"intValue": "7"}},
                ],
                "droppedAttributesCount": 0,
                "events": [], "droppedEventsCount": 0,
                "links": [{
                    "traceId": "000000000000000000000000000000ef",
                    "spanId": "0000000000000001", "attributes": [],
                }],
                "droppedLinksCount": 0,
                "status": {},
            }]}],
        });
        assert_eq!(resource_spans(&resource, &spans), expected);
    }
}
