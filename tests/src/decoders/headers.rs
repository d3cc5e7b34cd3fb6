//! Header fields, of requests and on their way through the balancer.

use std::net::Ipv4Addr;
use std::time::Duration;

use balancer::headers::{Origin, end_to_end_option, forward_request, strip_hop_by_hop};
use client::problem::retry_after;
use http::{HeaderMap, HeaderName, HeaderValue, Version, header};
use replica::http::request::conditions::{Guard, ReadConditions, Verdict, etag, guard_of};
use replica::http::request::headers::{idempotency_key, min_revision};
use shared::deadline::{self, timeout_of};
use shared::framing::wants_ndjson;
use shared::ids::{Name, Revision};
use shared::telemetry::{Context, TraceContext, extract, inject};
use shared::wire::{MediaType, Reply};

use super::short;

/// Fields of names that mean something, one a line: the first byte of a line chooses the
/// name, the rest is the value.
const NAMES: [HeaderName; 17] = [
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    HeaderName::from_static(deadline::HEADER),
    HeaderName::from_static("synod-min-revision"),
    header::ACCEPT,
    header::CONTENT_TYPE,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::CONTENT_LENGTH,
    header::VIA,
    HeaderName::from_static("x-forwarded-for"),
    header::RETRY_AFTER,
    HeaderName::from_static("keep-alive"),
    header::CONTENT_ENCODING,
    HeaderName::from_static("idempotency-key"),
];

fn fields(bytes: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n').take(64) {
        let Some((&name, value)) = line.split_first() else { continue };
        // What is no value of a field, hyper does not let through.
        let Ok(value) = HeaderValue::from_bytes(value) else { continue };
        headers.append(NAMES[usize::from(name) % NAMES.len()].clone(), value);
    }
    headers
}

pub(super) fn decode(bytes: &[u8]) {
    let headers = fields(bytes);
    conditions(&headers);
    numbers(&headers);
    if let Err(problem) = Reply::of(&headers) {
        short(&problem);
    }
    let _wanted = wants_ndjson(&headers);
    if let Err(problem) = idempotency_key(&headers) {
        short(&problem);
    }
    if let Some(MediaType::Spoken(encoding)) =
        headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).and_then(MediaType::of)
    {
        let own = MediaType::of(encoding.media_type());
        assert_eq!(own, Some(MediaType::Spoken(encoding)));
    }
    traces(&headers);
    forwarded(headers);
}

fn conditions(headers: &HeaderMap) {
    match guard_of(headers) {
        Ok(Guard::Always) => assert!(
            !headers.contains_key(header::IF_MATCH) && !headers.contains_key(header::IF_NONE_MATCH)
        ),
        Ok(Guard::IfMatch(revisions)) => {
            let fields: Vec<_> = headers.get_all(header::IF_MATCH).iter().collect();
            for revision in revisions {
                let tag = etag(revision);
                let says = |field: &&HeaderValue| {
                    field.as_bytes().windows(tag.len()).any(|part| part == tag.as_bytes())
                };
                assert!(fields.iter().any(says), "{fields:?} was read as {revision}");
            }
        }
        Ok(Guard::IfMatchAny | Guard::IfNoneMatchAny) => {}
        Err(problem) => short(&problem),
    }
    let Ok(conditions) = ReadConditions::of(headers) else { return };
    for present in [None, Some(Revision(17)), Some(Revision(u64::MAX))] {
        let verdict = conditions.judge(present);
        assert!(
            present.is_some() || verdict != Verdict::NotModified,
            "what is not there is not modified: {headers:?}"
        );
    }
}

fn numbers(headers: &HeaderMap) {
    match timeout_of(headers) {
        Ok(timeout) => {
            assert!((Duration::from_millis(1)..=deadline::MAX).contains(&timeout), "{timeout:?}");
            let sent = HeaderMap::from_iter([(
                HeaderName::from_static(deadline::HEADER),
                HeaderValue::try_from(deadline::header_value(timeout)).expect("digits and a unit"),
            )]);
            assert_eq!(timeout_of(&sent), Ok(timeout), "what is sent on is what was granted");
        }
        Err(problem) => short(&problem),
    }
    if let Err(problem) = min_revision(headers) {
        short(&problem);
    }
    let _pause = retry_after(headers);
}

fn traces(headers: &HeaderMap) {
    let Some(context) = TraceContext::of(&extract(headers)) else { return };
    assert_ne!((context.trace_id, context.span_id), ([0; 16], [0; 8]), "a context that is none");
    let mut sent = HeaderMap::new();
    inject(&context.to_context(), &mut sent);
    let read = TraceContext::of(&extract(&sent)).expect("what is sent is understood");
    assert_eq!((read.trace_id, read.span_id), (context.trace_id, context.span_id));
}

fn forwarded(mut headers: HeaderMap) {
    let is_refused = end_to_end_option(&headers).is_some();
    let conditions = headers.get_all(header::IF_MATCH).iter().cloned().collect::<Vec<_>>();
    let balancer: Name = "balancer-1".parse().expect("a name");
    let origin = Origin {
        client: Ipv4Addr::LOCALHOST.into(),
        version: Version::HTTP_11,
        balancer: &balancer,
    };
    forward_request(&mut headers, origin, &Context::new());
    for name in
        [header::CONNECTION, header::TRANSFER_ENCODING, HeaderName::from_static("keep-alive")]
    {
        assert!(!headers.contains_key(&name), "{name} is about one connection");
    }
    let kept = headers.get_all(header::IF_MATCH).iter().cloned().collect::<Vec<_>>();
    assert!(is_refused || kept == conditions, "a condition is passed on, or the request refused");
    let before = headers.clone();
    strip_hop_by_hop(&mut headers);
    assert_eq!(headers, before, "nothing of one connection is left");
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let line = |name: u8, value: &str| format!("{}{value}", char::from(name)).into_bytes();
    let all = [
        line(0, "\"17\""),
        line(1, "*"),
        line(0, "W/\"3\", \"17\""),
        line(2, "500ms"),
        line(2, "60s"),
        line(3, "17"),
        line(4, "text/html, application/x-ndjson;q=0.9"),
        line(4, "application/vnd.synod.v1+postcard"),
        line(4, "application/vnd.synod.v2+postcard"),
        line(5, "application/vnd.synod.v4294967296+postcard"),
        line(5, "application/json; charset=utf-8"),
        line(6, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        line(8, "keep-alive, If-Match"),
        line(8, "close, x-private"),
        line(9, "chunked"),
        line(10, "5"),
        line(12, "192.0.2.7"),
        line(13, "2"),
    ];
    let state = [
        line(6, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        line(7, "vendor=x,other=y"),
    ]
    .join(&b'\n');
    all.iter().cloned().chain([all.join(&b'\n'), state]).collect()
}
