//! The body of an answer, which has the connection until it was read whole.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::pool::Connections;
use super::sender::Sender;

/// An answer's body as it comes. At its end the connection is free for the next request;
/// dropped before, it closes the connection, since nobody reads on.
#[derive(Debug)]
pub struct AnswerBody {
    body: Incoming,
    connection: Option<(Sender, Arc<Connections>)>,
}

impl AnswerBody {
    pub(super) fn new(body: Incoming, sender: Sender, connections: Arc<Connections>) -> Self {
        let mut answer = Self { body, connection: Some((sender, connections)) };
        if answer.body.is_end_stream() {
            answer.give_back();
        }
        answer
    }

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
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Err(_)) => self.connection = None,
            // Whoever reads a body of announced length needs not ask for its end.
            Some(Ok(_)) if !self.body.is_end_stream() => {}
            Some(Ok(_)) | None => self.give_back(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
