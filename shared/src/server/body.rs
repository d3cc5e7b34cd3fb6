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
    /// All of it, where it is here already.
    whole: Option<Bytes>,
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
        Self::whole(Bytes::new())
    }

    /// Of a request that came in one piece.
    pub(super) fn whole(body: Bytes) -> Self {
        let whole = Some(body).filter(|body| !body.is_empty());
        Self { incoming: None, whole, left: None, awaits_word: false }
    }

    pub(super) fn new(incoming: Incoming, headers: &HeaderMap) -> (Self, Leftover) {
        // No head follows a body in chunks, see `ClientStream`.
        let closes = headers.contains_key(header::TRANSFER_ENCODING);
        if incoming.is_end_stream() {
            let incoming = Some(incoming);
            let body = Self { incoming, whole: None, left: None, awaits_word: false };
            return (body, Leftover { left: None, closes });
        }
        let (sender, receiver) = oneshot::channel();
        let awaits_word = headers.contains_key(header::EXPECT);
        let incoming = Some(incoming);
        let body = Self { incoming, whole: None, left: Some(sender), awaits_word };
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
        let Some(incoming) = &mut self.incoming else {
            return Poll::Ready(self.whole.take().map(|whole| Ok(Frame::data(whole))));
        };
        let frame = Pin::new(incoming).poll_frame(cx);
        if let Poll::Ready(None | Some(Err(_))) = &frame {
            self.left = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().map_or(self.whole.is_none(), Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let of_whole =
            || SizeHint::with_exact(self.whole.as_ref().map_or(0, |whole| whole.len() as u64));
        self.incoming.as_ref().map_or_else(of_whole, Body::size_hint)
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
