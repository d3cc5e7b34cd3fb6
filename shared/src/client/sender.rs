//! A connection that requests are sent on.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::SendRequest;

use crate::tls;

/// A connection, until its other end has to prove anew who it is.
#[derive(Debug)]
pub(super) struct Sender {
    requests: SendRequest<Full<Bytes>>,
    /// Until when it is used, by the certificates of both ends, in seconds since 1970; none
    /// without TLS.
    ends: Option<i64>,
}

impl Sender {
    pub(super) fn new(requests: SendRequest<Full<Bytes>>, ends: Option<i64>) -> Self {
        Self { requests, ends }
    }

    /// Whether nothing may be sent on it any more.
    pub(super) fn is_closed(&self) -> bool {
        self.requests.is_closed() || tls::is_over(self.ends)
    }

    /// Whether the answer before is read, and another request can be sent.
    pub(super) fn is_ready(&self) -> bool {
        self.requests.is_ready()
    }

    /// Sends a request; an error gives it back where it had not begun to be written.
    pub(super) async fn try_send_request(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>> {
        self.requests.try_send_request(request).await
    }
}
