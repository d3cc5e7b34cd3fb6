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
    Whole {
        /// None once it was read.
        body: Option<Bytes>,
        /// What it takes.
        _memory: Option<ByteShare>,
    },
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
        let body = Some(body).filter(|body| !body.is_empty());
        Self(Source::Whole { body, _memory: memory })
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
            Source::Whole { body, .. } => {
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
            Source::Whole { body, .. } => body.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Coming(coming) => coming.body.size_hint(),
            Source::Whole { body, .. } => {
                SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64))
            }
        }
    }
}
