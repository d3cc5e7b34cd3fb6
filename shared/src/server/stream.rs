//! A client's connection as hyper sees it: heads are judged before they are handed on
//! ([`super::head`]), a client that takes nothing of its answer is given up, and the end
//! is graceful.
//!
//! hyper gets one head at a time, and after it exactly the bytes of its body, so that the
//! next head is recognised. In place of a head that is refused it gets one of ours, which
//! [`super::guard`] answers with the refusal, in its turn.

mod patience;

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use http::Method;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Limits;
use super::head::{Framing, blank_lines, end_of_head, judge};
use super::refusal::Refusals;
use super::stream::patience::{Patience, Timer};
use crate::problem::Problem;
use crate::tls::{self, Transport};

/// What a closing connection still takes from a client that has not stopped sending, in
/// bytes and in time. Closed with bytes unread, it would be reset, and the client might
/// never see its answer.
const LINGER_BYTES: usize = 16 << 20;
const LINGER: Duration = Duration::from_secs(2);

/// How much is read at once while a head is awaited or bytes are thrown away.
const READ_BYTES: usize = 8 << 10;

/// What the next bytes from the client are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// A head.
    Head,
    /// So many bytes of a head that has been judged, and then its body.
    Judged(usize, Framing),
    /// So many bytes of a body.
    Body(u64),
    /// A body in chunks; there is no further head on this connection.
    Chunks,
    /// So many bytes of our own head in place of a refused one.
    Refused(usize),
}

/// The connection.
#[derive(Debug)]
pub(super) struct ClientStream {
    stream: Transport,
    limits: Limits,
    refusals: Arc<Refusals>,
    reading: Reading,
    /// What was read and not yet handed on.
    input: BytesMut,
    /// How much of it was searched for the end of a head.
    searched: usize,
    /// Until when the head that has begun must be whole.
    head_due: Timer,
    writing: Patience,
    lingering: Option<Lingering>,
}

/// The end of a connection, once our side of it is closed.
#[derive(Debug)]
struct Lingering {
    over: Timer,
    left: usize,
}

impl ClientStream {
    /// A connection, of which these bytes were read already.
    pub(super) fn new(
        stream: Transport,
        input: BytesMut,
        limits: Limits,
        refusals: Arc<Refusals>,
    ) -> Self {
        Self {
            stream,
            limits,
            refusals,
            reading: Reading::Head,
            input,
            searched: 0,
            head_due: Timer::default(),
            writing: Patience::new(limits.write_timeout),
            lingering: None,
        }
    }

    /// Reads until a head is whole, and judges it. `false`: the client has sent all that
    /// it had to send.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            if self.searched == 0 {
                self.input.advance(blank_lines(&self.input));
            }
            if self.input.first() == Some(&tls::HANDSHAKE) {
                self.refuse(&Problem::takes_no_tls());
                return Poll::Ready(Ok(true));
            }
            if let Some(end) = end_of_head(&self.input, self.searched) {
                self.judge_head(end);
                return Poll::Ready(Ok(true));
            }
            self.searched = self.input.len();
            if self.searched > self.most_head_bytes() {
                self.refuse(&self.limits.too_large_a_header());
                return Poll::Ready(Ok(true));
            }
            match self.poll_more(cx)? {
                Poll::Ready(0) if self.input.is_empty() => return Poll::Ready(Ok(false)),
                Poll::Ready(0) => {
                    self.refuse(&Problem::bad_request("the request's head breaks off"));
                    return Poll::Ready(Ok(true));
                }
                Poll::Ready(_) => {}
                Poll::Pending if self.input.is_empty() => {
                    // A connection that waits long, for its next request or in the middle of
                    // an answer, holds no memory for what is not there.
                    self.input = BytesMut::new();
                    return Poll::Pending;
                }
                Poll::Pending => {
                    ready!(self.head_due.poll(cx, self.limits.header_timeout));
                    self.refuse(&Problem::slow_header(self.limits.header_timeout));
                    return Poll::Ready(Ok(true));
                }
            }
        }
    }

    /// Reads on. Of the memory that reading takes only what is read is kept: between two
    /// requests that is nothing.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut bytes = [MaybeUninit::uninit(); READ_BYTES];
        let mut read = ReadBuf::uninit(&mut bytes);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
        self.input.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }

    /// More than [`Limits::header_bytes`], which counts without blanks and line ends: up
    /// to here the limit is told with the trace that the client sent.
    fn most_head_bytes(&self) -> usize {
        4 * self.limits.header_bytes
    }

    fn judge_head(&mut self, end: usize) {
        (self.searched, self.head_due) = (0, Timer::default());
        if end > self.most_head_bytes() {
            self.refuse(&self.limits.too_large_a_header());
            return;
        }
        match judge(&self.input[..end]) {
            Ok(framing) => self.reading = Reading::Judged(end, framing),
            Err(problem) => self.refuse(&problem),
        }
    }

    fn refuse(&mut self, problem: &Problem) {
        self.head_due = Timer::default();
        let method = method_of(&self.input);
        let head = format!("{method} / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n");
        self.reading = Reading::Refused(head.len());
        self.input = BytesMut::from(head.as_bytes());
        self.refusals.put(problem.clone());
    }

    /// Hands on what was read, at most so many bytes; how many that were.
    fn hand_on(&mut self, most: usize, buf: &mut ReadBuf<'_>) -> usize {
        let bytes = most.min(self.input.len()).min(buf.remaining());
        buf.put_slice(&self.input[..bytes]);
        self.input.advance(bytes);
        bytes
    }

    fn body(left: u64) -> Reading {
        if left == 0 { Reading::Head } else { Reading::Body(left) }
    }

    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        left: u64,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        let mut bytes = self.hand_on(most, buf);
        if bytes == 0 {
            let room = most.min(buf.remaining());
            let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
            bytes = part.filled().len();
            buf.advance(bytes);
        }
        self.reading = Self::body(left - bytes as u64);
        Poll::Ready(Ok(()))
    }

    /// Whether the client may have sent what nobody has read.
    fn has_unread(&self) -> bool {
        self.reading != Reading::Head || !self.input.is_empty()
    }

    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let lingering = self
            .lingering
            .get_or_insert_with(|| Lingering { over: Timer::default(), left: LINGER_BYTES });
        self.input = BytesMut::new();
        loop {
            if lingering.over.poll(cx, LINGER).is_ready() {
                return Poll::Ready(());
            }
            let mut bytes = [MaybeUninit::uninit(); READ_BYTES];
            let mut read = ReadBuf::uninit(&mut bytes);
            let result = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read));
            match read.filled().len() {
                bytes @ 1.. if result.is_ok() && bytes <= lingering.left => lingering.left -= bytes,
                _ => return Poll::Ready(()),
            }
        }
    }
}

/// The method of a head that was refused, as far as it says one: whether the answer has a
/// body, and whether it speaks of a mutation, depends on it.
fn method_of(head: &[u8]) -> Method {
    let head = head.trim_ascii_start();
    let end = head.iter().position(|byte| *byte == b' ').unwrap_or(0);
    [Method::HEAD, Method::PUT, Method::POST, Method::DELETE, Method::PATCH]
        .into_iter()
        .find(|method| method.as_str().as_bytes() == &head[..end])
        .unwrap_or(Method::GET)
}

impl AsyncRead for ClientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match this.reading {
                Reading::Head => {
                    if !ready!(this.poll_head(cx))? {
                        return Poll::Ready(Ok(()));
                    }
                }
                Reading::Judged(left, framing) => {
                    let left = left - this.hand_on(left, buf);
                    this.reading = match (left, framing) {
                        (1.., _) => Reading::Judged(left, framing),
                        (0, Framing::Length(length)) => Self::body(length),
                        (0, Framing::Chunked) => Reading::Chunks,
                    };
                    return Poll::Ready(Ok(()));
                }
                Reading::Body(left) => return this.poll_body(cx, left, buf),
                Reading::Chunks if this.input.is_empty() => {
                    return Pin::new(&mut this.stream).poll_read(cx, buf);
                }
                Reading::Chunks => {
                    this.hand_on(usize::MAX, buf);
                    return Poll::Ready(Ok(()));
                }
                // What else the client sends is of no interest, nor whether it has
                // stopped sending: it may still read.
                Reading::Refused(0) => return Poll::Pending,
                Reading::Refused(left) => {
                    this.reading = Reading::Refused(left - this.hand_on(left, buf));
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.writing.judge(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.writing.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        match this.stream {
            // The system has what was written.
            Transport::Plain(_) => flushed,
            Transport::Tls(_) => this.writing.judge(cx, flushed.map_ok(|()| 0)).map_ok(|_| ()),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingering.is_none() {
            // In TLS there are words for the end, too, which the client has to take.
            let shut_down = Pin::new(&mut this.stream).poll_shutdown(cx);
            ready!(this.writing.judge(cx, shut_down.map_ok(|()| 0)))?;
            if !this.has_unread() {
                return Poll::Ready(Ok(()));
            }
        }
        this.poll_linger(cx).map(Ok)
    }
}
