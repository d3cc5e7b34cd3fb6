//! Bodies that nobody read.
//!
//! A connection that closes while its client still sends is reset, and the answer lost
//! with it. So whoever answers early, and however, the rest of the body is read here and
//! thrown away before the answer goes out.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::oneshot;

/// How much of a body is thrown away, in bytes: twice the largest proposal. Whoever sends
/// more is answered at once.
const DRAIN_BYTES: u64 = 16 << 20;

/// The body of a request. Dropped before its end, what is left of it is drained.
#[derive(Debug)]
pub struct RequestBody {
    incoming: Option<Incoming>,
    /// None where there is nothing to be left.
    left: Option<oneshot::Sender<Unread>>,
    /// Whether the client was never told to go on (`Expect: 100-continue`).
    awaits_word: bool,
}

/// A body that was dropped before its end.
#[derive(Debug)]
enum Unread {
    /// The client sends on.
    Coming(Incoming),
    /// The client waits for the word to go on, and must not be given it only to throw
    /// away what it sends.
    Waiting,
}

/// What becomes of a request's body when it is answered.
#[derive(Debug)]
pub(super) struct Leftover {
    left: Option<oneshot::Receiver<Unread>>,
    closes: bool,
}

impl RequestBody {
    /// Of a request that has none.
    #[must_use]
    pub fn empty() -> Self {
        Self { incoming: None, left: None, awaits_word: false }
    }

    pub(super) fn new(incoming: Incoming, headers: &HeaderMap) -> (Self, Leftover) {
        // No head follows a body in chunks, see `ClientStream`.
        let closes = headers.contains_key(header::TRANSFER_ENCODING);
        if incoming.is_end_stream() {
            let body = Self { incoming: Some(incoming), left: None, awaits_word: false };
            return (body, Leftover { left: None, closes });
        }
        let (sender, receiver) = oneshot::channel();
        let awaits_word = headers.contains_key(header::EXPECT);
        let body = Self { incoming: Some(incoming), left: Some(sender), awaits_word };
        (body, Leftover { left: Some(receiver), closes })
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.awaits_word = false;
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let frame = Pin::new(incoming).poll_frame(cx);
        if let Poll::Ready(None | Some(Err(_))) = &frame {
            self.left = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let incoming = self.incoming.take().filter(|body| !body.is_end_stream());
        if let (Some(incoming), Some(left)) = (incoming, self.left.take()) {
            let unread = if self.awaits_word { Unread::Waiting } else { Unread::Coming(incoming) };
            // Where nobody takes it, the connection is gone.
            let _gone = left.send(unread);
        }
    }
}

impl Leftover {
    /// Drains what was left of the body, and has the connection close after the answer
    /// where there is more of it, or may be.
    pub(super) async fn settle<B>(self, response: &mut Response<B>, within: Duration) {
        let drained = match self.left {
            None => true,
            // A client that was too slow is not waited for once more.
            Some(_) if response.status() == StatusCode::REQUEST_TIMEOUT => false,
            Some(left) => drain(left, within).await,
        };
        if self.closes || !drained {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// Whether all of the body was read, by its reader or here.
async fn drain(mut left: oneshot::Receiver<Unread>, within: Duration) -> bool {
    let mut body = match left.try_recv() {
        Ok(Unread::Coming(body)) => body,
        Ok(Unread::Waiting) => return false,
        // It was read to its end, or is read while the answer goes out.
        Err(oneshot::error::TryRecvError::Closed | oneshot::error::TryRecvError::Empty) => {
            return true;
        }
    };
    if body.size_hint().lower() > DRAIN_BYTES {
        return false;
    }
    let to_end = async {
        let mut left = DRAIN_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
            match left.checked_sub(bytes) {
                Some(rest) => left = rest,
                None => return false,
            }
        }
        true
    };
    tokio::time::timeout(within, to_end).await.unwrap_or(false)
}
