//! A connection that many short requests share, from the side that answers: [`crate::mux`].
//!
//! Only what is answered directly ([`super::direct`]) is taken, judged, traced and counted as
//! if it had come alone. What has a longer answer than a frame has room for goes back, if it
//! is safe to be asked once more.

use std::collections::BTreeMap;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::future::{AbortHandle, Abortable, Aborted};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Body as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use super::Limits;
use super::body::RequestBody;
use super::direct::Shortcut;
use super::doors::ForClients;
use crate::mux::{
    ANSWER_BYTES, Closed, Frame, IN_FLIGHT, Id, Link, PREFACE, Patience, REQUEST_FRAME_BYTES,
    TooLong, checks, push_answer, push_going_away, push_not_taken,
};
use crate::tls::{self, Caller, Transport};

/// What a client speaks that has connected.
pub(super) enum Speaks {
    /// HTTP, as far as can be seen.
    Http,
    /// Frames.
    Mux,
    /// Nothing: it said no word in its time, or it is too late.
    Nothing,
}

/// Who answers on such a connection.
#[derive(Clone)]
pub(super) struct Multiplexed {
    pub(super) shortcut: Arc<Shortcut>,
    pub(super) for_clients: Option<ForClients>,
}

/// Whether a request may be asked once more, another way.
type IsSafe = bool;

/// From so many bytes of answers on that the client has not taken, a read goes back.
const HELD_BYTES: usize = 2 << 20;

/// How many frames are taken in before others have their turn.
const AT_ONCE: usize = 64;

/// What came of a request.
enum Answered {
    Answer(Response<Bytes>, IsSafe),
    /// It has to be asked for another way.
    NotTaken,
    /// It was carried out, and cannot be answered.
    Broken,
}

/// Finds out what a client speaks. What was read for that is in `input`.
pub(super) async fn listen(
    transport: &mut Transport,
    input: &mut BytesMut,
    limits: &Limits,
    shutdown: &CancellationToken,
) -> Speaks {
    while input.len() < PREFACE.len() && PREFACE.starts_with(input) {
        let time = if input.is_empty() { limits.idle_timeout } else { limits.header_timeout };
        let read = tokio::time::timeout(time, transport.read_buf(input));
        match shutdown.run_until_cancelled(read).await {
            Some(Ok(Ok(bytes))) if bytes > 0 => {}
            None | Some(Err(_)) if input.is_empty() => return Speaks::Nothing,
            None | Some(_) => return Speaks::Http,
        }
    }
    if input.starts_with(PREFACE) { Speaks::Mux } else { Speaks::Http }
}

impl Multiplexed {
    /// Serves the connection until the client ends it, it is of no use any more, or
    /// everything ends.
    pub(super) async fn serve(
        self,
        mut transport: Transport,
        mut input: BytesMut,
        caller: Option<Caller>,
        limits: Limits,
        shutdown: CancellationToken,
    ) {
        let _greeting = input.split_to(PREFACE.len());
        let greeted = async {
            transport.write_all(PREFACE).await?;
            transport.flush().await
        };
        if !matches!(tokio::time::timeout(limits.write_timeout, greeted).await, Ok(Ok(()))) {
            return;
        }
        let patience = Patience {
            longest: REQUEST_FRAME_BYTES,
            write: limits.write_timeout,
            frame: limits.header_timeout,
            idle: limits.idle_timeout,
        };
        let link = Link::new(transport, input, patience);
        let ends = caller.as_ref().and_then(Caller::ends);
        let mut serving = Serving {
            answering: self,
            caller,
            link,
            in_flight: FuturesUnordered::new(),
            aborts: BTreeMap::new(),
            is_behind: false,
            is_going_away: false,
        };
        let reason = serving.until_it_ends(shutdown, ends).await;
        tracing::debug!(reason, "a connection of many requests ended");
    }

    /// Answers a request; none where it is not answered here.
    fn answer(
        &self,
        caller: Option<&Caller>,
        request: Request<Bytes>,
    ) -> Option<impl Future<Output = Answered> + Send + use<>> {
        let (mut parts, body) = request.into_parts();
        let is_safe = parts.method.is_safe();
        // How long a body is, its frame says.
        if parts.headers.contains_key(header::TRANSFER_ENCODING) {
            return None;
        }
        parts.headers.remove(header::CONTENT_LENGTH);
        if !body.is_empty() || !is_safe {
            parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        if let Some(for_clients) = self.for_clients {
            parts.extensions.insert(for_clients);
        }
        if let Some(caller) = caller {
            parts.extensions.insert(caller.clone());
        }
        let request = Request::from_parts(parts, RequestBody::whole(body));
        let route = self.shortcut.route(&request)?;
        let answer = Arc::clone(&self.shortcut).answer(route, request);
        Some(async move {
            let (parts, body) = answer.await.into_parts();
            let is_long = body.size_hint().lower() > ANSWER_BYTES as u64;
            let read =
                if is_long { None } else { Limited::new(body, ANSWER_BYTES).collect().await.ok() };
            match read {
                Some(body) => {
                    Answered::Answer(Response::from_parts(parts, body.to_bytes()), is_safe)
                }
                None if is_safe => Answered::NotTaken,
                None => Answered::Broken,
            }
        })
    }
}

/// A connection and what is under way on it.
struct Serving {
    answering: Multiplexed,
    caller: Option<Caller>,
    link: Link,
    in_flight: FuturesUnordered<InFlight>,
    aborts: BTreeMap<Id, AbortHandle>,
    /// Whether there may be frames among what was read that nobody has looked at.
    is_behind: bool,
    is_going_away: bool,
}

/// A request that is being answered, unless nobody waits for it any more.
type InFlight = Pin<Box<dyn Future<Output = (Id, Result<Answered, Aborted>)> + Send>>;

impl Serving {
    /// Why it ended.
    async fn until_it_ends(&mut self, shutdown: CancellationToken, ends: Option<i64>) -> String {
        let mut checks = checks();
        // Whoever is at the other end has to prove anew who they are.
        let mut over = pin!(async {
            tokio::select! {
                () = tls::over(ends) => {}
                () = shutdown.cancelled() => {}
            }
        });
        // What came with the greeting.
        if let Err(error) = self.hear() {
            return error.to_string();
        }
        loop {
            // Whoever takes no answers asks no more.
            let (has_room, is_behind) = (self.link.has_room(), self.is_behind);
            tokio::select! {
                biased;
                // The client then ends it, once all that it has sent is answered.
                () = &mut over, if !self.is_going_away => {
                    self.is_going_away = true;
                    push_going_away(&mut self.link.output);
                }
                _ = checks.tick() => {
                    if let Err(reason) = self.link.check(!self.in_flight.is_empty()) {
                        return reason.to_owned();
                    }
                }
                Some(answered) = self.in_flight.next() => {
                    if let Err(error) = self.say_all(answered) {
                        return error.to_string();
                    }
                }
                () = tokio::task::yield_now(), if is_behind && has_room => {
                    if let Err(error) = self.hear() {
                        return error.to_string();
                    }
                }
                moved = self.link.step(has_room && !is_behind) => match moved.and_then(|open| {
                    self.hear()?;
                    Ok(open)
                }) {
                    Ok(Ok(())) => {}
                    Ok(Err(Closed)) => return String::from("the client closed it"),
                    Err(error) => return error.to_string(),
                },
            }
        }
    }

    /// Takes in some of what was read.
    fn hear(&mut self) -> io::Result<()> {
        self.is_behind = true;
        for _ in 0..AT_ONCE {
            if !self.link.has_room() {
                return Ok(());
            }
            let Some(frame) = self.link.next()? else {
                self.is_behind = false;
                return Ok(());
            };
            match frame {
                Frame::Request(id, _) | Frame::Unreadable(id, _)
                    if self.aborts.contains_key(&id) =>
                {
                    return Err(io::Error::other("it asks twice by one id"));
                }
                Frame::Unreadable(id, malformed) => {
                    tracing::debug!(%malformed, "a request of many has to be asked another way");
                    push_not_taken(&mut self.link.output, id);
                }
                Frame::Request(id, request) => self.begin(id, request),
                Frame::Cancel(id) => {
                    if let Some(abort) = self.aborts.remove(&id) {
                        abort.abort();
                    }
                }
                Frame::Answer(..) | Frame::NotTaken(_) | Frame::GoingAway => {
                    return Err(io::Error::other("it answers on a connection for requests"));
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, id: Id, request: Request<Bytes>) {
        let takes = !self.is_going_away && self.in_flight.len() < IN_FLIGHT;
        let answer = takes.then(|| self.answering.answer(self.caller.as_ref(), request)).flatten();
        let Some(answer) = answer else {
            return push_not_taken(&mut self.link.output, id);
        };
        let (abort, registration) = AbortHandle::new_pair();
        self.aborts.insert(id, abort);
        let answer = Abortable::new(answer, registration);
        self.in_flight.push(Box::pin(async move { (id, answer.await) }));
    }

    /// Says what came of a request, and of all others that are ready.
    fn say_all(&mut self, first: (Id, Result<Answered, Aborted>)) -> io::Result<()> {
        let mut ready = Some(first);
        while let Some((id, answered)) = ready {
            if let Ok(answered) = answered {
                self.aborts.remove(&id);
                self.say(id, answered)?;
            }
            ready = self.in_flight.next().now_or_never().flatten();
        }
        Ok(())
    }

    fn say(&mut self, id: Id, answered: Answered) -> io::Result<()> {
        let cannot_say = || io::Error::other("an answer is too long");
        match answered {
            // What the client does not take is not held here without end: another way has its
            // own bounds.
            Answered::Answer(_, true) if self.link.output.len() > HELD_BYTES => {
                push_not_taken(&mut self.link.output, id);
                Ok(())
            }
            Answered::Answer(answer, _) => {
                push_answer(&mut self.link.output, id, &answer).map_err(|TooLong| cannot_say())
            }
            Answered::NotTaken => {
                push_not_taken(&mut self.link.output, id);
                Ok(())
            }
            Answered::Broken => Err(cannot_say()),
        }
    }
}
