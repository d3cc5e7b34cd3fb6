//! The body of an answer, which has the connection until it was read whole, or is here whole.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::pool::Connections;
use super::sender::Sender;
use crate::byte_budget::ByteShare;

/// An answer's body.
#[derive(Debug)]
pub struct AnswerBody(Source);

#[derive(Debug)]
enum Source {
    Coming(Coming),
    /// None once it was read.
    Whole(Option<Bytes>),
}

/// Bytes with what counts them, for as long as anybody has them: whoever reads the body may hold
/// them long after, while its own client takes nothing.
struct Counted {
    bytes: Bytes,
    _memory: ByteShare,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A body as it comes. At its end the connection is free for the next request; dropped before,
/// it closes the connection, since nobody reads on.
#[derive(Debug)]
struct Coming {
    body: Incoming,
    connection: Option<(Sender, Arc<Connections>)>,
}

impl AnswerBody {
    pub(super) fn new(body: Incoming, sender: Sender, connections: Arc<Connections>) -> Self {
        let mut coming = Coming { body, connection: Some((sender, connections)) };
        if coming.body.is_end_stream() {
            coming.give_back();
        }
        Self(Source::Coming(coming))
    }

    /// One that is here, in memory that is counted.
    pub(super) fn whole(body: Bytes, memory: Option<ByteShare>) -> Self {
        let body = match memory {
            Some(memory) => Bytes::from_owner(Counted { bytes: body, _memory: memory }),
            None => body,
        };
        Self(Source::Whole(Some(body).filter(|body| !body.is_empty())))
    }
}

impl Coming {
    fn give_back(&mut self) {
        if let Some((sender, connections)) = self.connection.take() {
            connections.put_back(sender);
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let coming = match &mut self.0 {
            Source::Coming(coming) => coming,
            Source::Whole(body) => {
                return Poll::Ready(body.take().map(|body| Ok(Frame::data(body))));
            }
        };
        let frame = ready!(Pin::new(&mut coming.body).poll_frame(context));
        match &frame {
            Some(Err(_)) => coming.connection = None,
            // Whoever reads a body of announced length needs not ask for its end.
            Some(Ok(_)) if !coming.body.is_end_stream() => {}
            Some(Ok(_)) | None => coming.give_back(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::Coming(coming) => coming.body.is_end_stream(),
            Source::Whole(body) => body.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Coming(coming) => coming.body.size_hint(),
            Source::Whole(body) => {
                SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::byte_budget::ByteBudget;

    #[tokio::test]
    async fn memory_is_counted_for_as_long_as_somebody_has_what_was_read() {
        const ALL: usize = 64 << 10;
        let budget = ByteBudget::new(ALL);
        let memory = budget.reserve(ALL).unwrap();
        let body = AnswerBody::whole(Bytes::from_static(b"12345678"), Some(memory));
        let read = body.collect().await.unwrap().to_bytes();
        assert_eq!(read, "12345678");
        assert!(budget.reserve(1).is_err(), "they are in some client's buffer");
        drop(read);
        assert!(budget.reserve(ALL).is_ok());
    }
}
