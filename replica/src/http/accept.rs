//! What a reader of many things wants them as.

use std::io;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::Stream;
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;

const NDJSON: &str = "application/x-ndjson";

/// Whether `Accept` asks for one JSON document a line, as a stream of everything.
pub(super) fn wants_ndjson(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case(NDJSON)) && !parts.any(|parameter| parameter == "q=0")
    })
}

/// Appends a line.
pub(super) fn push_line(lines: &mut Vec<u8>, document: &impl Serialize) {
    serde_json::to_writer(&mut *lines, document).expect("plain JSON, into memory");
    lines.push(b'\n');
}

/// The response that streams. Where it breaks off before its end, so does the connection: the client notices.
pub(super) fn ndjson(lines: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Response {
    let mut response = Response::new(Body::from_stream(lines));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(NDJSON));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_sent_to_whom_asks_for_them() {
        let wants =
            |accept: &'static str| wants_ndjson(&HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]));
        assert!(wants("application/x-ndjson"));
        assert!(wants("text/html, Application/X-NDJSON;q=0.9, */*"));
        assert!(!wants("*/*"));
        assert!(!wants("application/json"));
        assert!(!wants("application/x-ndjson;q=0"));
        assert!(!wants_ndjson(&HeaderMap::new()));
    }
}
