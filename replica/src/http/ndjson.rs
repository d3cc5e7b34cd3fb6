//! Answers of one JSON document a line, as a stream.

use std::io;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::Stream;
use http::{HeaderValue, header};
use shared::framing::NDJSON;

/// The response that streams. Where it breaks off before its end, so does the connection:
/// the client notices.
pub(super) fn ndjson(lines: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Response {
    let mut response = Response::new(Body::from_stream(lines));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(NDJSON));
    response
}
