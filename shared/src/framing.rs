//! How what is told bit by bit is written down: as Server-Sent Events, or as one JSON
//! document a line. Pure.

use std::fmt::Display;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::accept::preferred;
use crate::wire::JSON;

/// The media type of one JSON document a line.
pub const NDJSON: &str = "application/x-ndjson";

/// How long an `EventSource` waits before it comes again, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// Tells nginx to pass on what comes as it comes.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The media type of Server-Sent Events.
const EVENT_STREAM: &str = "text/event-stream";

/// Whether `Accept` prefers one JSON document a line, as a stream of everything, to one
/// document.
#[must_use]
pub fn wants_ndjson(headers: &HeaderMap) -> bool {
    preferred(headers, &[JSON, NDJSON]) == NDJSON
}

/// Appends a line.
///
/// # Panics
/// When the document is none that JSON has.
pub fn push_line(lines: &mut Vec<u8>, document: &impl Serialize) {
    serde_json::to_writer(&mut *lines, document).expect("plain JSON, into memory");
    lines.push(b'\n');
}

/// In which format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// `text/event-stream`.
    EventStream,
    /// One JSON document a line.
    Lines,
}

/// An event as a line.
#[derive(Serialize)]
struct Line<'a, I> {
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<I>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
}

impl Framing {
    /// As `Accept` asks for it.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let is_lines = preferred(headers, &[EVENT_STREAM, NDJSON]) == NDJSON;
        if is_lines { Self::Lines } else { Self::EventStream }
    }

    /// Its media type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::EventStream => EVENT_STREAM,
            Self::Lines => NDJSON,
        }
    }

    /// The answer, which nobody keeps or holds up.
    #[must_use]
    pub fn response(self, body: Body) -> Response {
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type()));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(UNBUFFERED, HeaderValue::from_static("no"));
        response
    }

    /// The beginning: with an `id`, a client that is cut off before the first event misses
    /// nothing either.
    pub fn begin<I: Display + Serialize>(self, out: &mut Vec<u8>, id: Option<I>) {
        match self {
            Self::EventStream => {
                out.extend_from_slice(format!("retry: {RETRY_MS}\n").as_bytes());
                end(out, id);
            }
            Self::Lines if id.is_some() => self.heartbeat(out, id),
            Self::Lines => {}
        }
    }

    /// What keeps proxies awake, and says up to where there was nothing.
    pub fn heartbeat<I: Display + Serialize>(self, out: &mut Vec<u8>, id: Option<I>) {
        match self {
            Self::EventStream => {
                out.extend_from_slice(b": heartbeat\n");
                end(out, id);
            }
            Self::Lines => push_line(out, &Line { event: "heartbeat", id, data: None }),
        }
    }

    /// An event, of which `data` is JSON on one line.
    ///
    /// # Panics
    /// When it is not.
    pub fn event<I: Display + Serialize>(
        self,
        out: &mut Vec<u8>,
        event: &str,
        data: &[u8],
        id: Option<I>,
    ) {
        match self {
            Self::EventStream => {
                for (field, value) in [("event", event.as_bytes()), ("data", data)] {
                    out.extend_from_slice(field.as_bytes());
                    out.extend_from_slice(b": ");
                    out.extend_from_slice(value);
                    out.push(b'\n');
                }
                end(out, id);
            }
            Self::Lines => {
                let data: &RawValue = serde_json::from_slice(data).expect("JSON of our own");
                push_line(out, &Line { event, id, data: Some(data) });
            }
        }
    }
}

/// The end of an event of an event stream.
fn end(out: &mut Vec<u8>, id: Option<impl Display>) {
    if let Some(id) = id {
        out.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Revision;

    #[test]
    fn lines_are_sent_to_whom_asks_for_them() {
        let wants = |accept: &'static str| {
            let accept = (header::ACCEPT, HeaderValue::from_static(accept));
            Framing::of(&HeaderMap::from_iter([accept])) == Framing::Lines
        };
        assert!(wants("application/x-ndjson"));
        assert!(wants("text/html, Application/X-NDJSON;q=0.9, */*;q=0.8"));
        assert!(wants("text/event-stream;q=0.5, application/x-ndjson"));
        assert!(!wants("text/event-stream, application/x-ndjson;q=0.5"));
        assert!(!wants("text/event-stream, application/x-ndjson"));
        assert!(!wants("*/*"));
        assert!(!wants("application/json"));
        assert!(!wants("application/x-ndjson;q=0"));
        assert_eq!(Framing::of(&HeaderMap::new()), Framing::EventStream);
    }

    fn written(framing: Framing) -> String {
        let (mut out, none) = (Vec::new(), None::<Revision>);
        framing.begin(&mut out, Some(Revision(6)));
        framing.begin(&mut out, none);
        framing.event(&mut out, "put", b"{\"key\":\"k\"}", none);
        framing.event(&mut out, "delete", b"{\"key\":\"k\"}", Some(Revision(7)));
        framing.heartbeat(&mut out, none);
        framing.heartbeat(&mut out, Some("aa-9"));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_event_stream_is_written_as_event_sources_read_it() {
        let expected = "retry: 1000\nid: 6\n\nretry: 1000\n\n\
            event: put\ndata: {\"key\":\"k\"}\n\n\
            event: delete\ndata: {\"key\":\"k\"}\nid: 7\n\n\
            : heartbeat\n\n: heartbeat\nid: aa-9\n\n";
        assert_eq!(written(Framing::EventStream), expected);
    }

    #[test]
    fn lines_say_the_same() {
        let expected = "{\"event\":\"heartbeat\",\"id\":6}\n\
            {\"event\":\"put\",\"data\":{\"key\":\"k\"}}\n\
            {\"event\":\"delete\",\"id\":7,\"data\":{\"key\":\"k\"}}\n\
            {\"event\":\"heartbeat\"}\n{\"event\":\"heartbeat\",\"id\":\"aa-9\"}\n";
        assert_eq!(written(Framing::Lines), expected);
    }
}
