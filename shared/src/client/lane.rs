//! A connection that many short requests share, from the side that asks: [`crate::mux`].
//!
//! A request that is given back was not carried out, and can go another way. That is so where
//! nothing of it was written, and where the other side says so; of all others nobody knows once
//! the connection broke.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response, header};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::answer::AnswerBody;
use super::connection::reach;
use super::pool::Connections;
use crate::byte_budget::ByteBudget;
use crate::mux::{
    Closed, FRAME_BYTES, Frame, IN_FLIGHT, Id, Link, PREFACE, Patience, TooLong, checks,
    push_cancel, push_request,
};
use crate::tls::{self, Transport};

/// How long the other side may take to say that it knows how.
const GREETING_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the other side may take nothing, or be in the middle of a frame.
const STALLED: Duration = Duration::from_secs(10);

/// How long the other side's system may leave unheard what was sent: a path that is dead is no
/// way for what comes after.
const UNHEARD: Duration = Duration::from_secs(3);

/// How many requests are put into frames before any byte of them is written.
const AT_ONCE: usize = 64;

/// Why a request has no answer.
#[derive(Debug)]
pub(super) enum Failed {
    /// It was not carried out, and can go another way.
    NotTaken(Box<Request<Bytes>>),
    /// Nobody knows.
    Broken(String),
}

/// Why there is no such connection.
#[derive(Debug)]
pub(super) enum NotOpened {
    /// The other side speaks HTTP only.
    Unknown,
    /// That may pass.
    NotNow,
}

/// The way to a connection.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    queue: mpsc::Sender<Said>,
    next: Arc<AtomicU32>,
    places: Arc<Semaphore>,
}

/// What its task is told.
#[derive(Debug)]
enum Said {
    Request(Box<Asked>),
    Cancel(Id),
}

/// A request that awaits its answer.
#[derive(Debug)]
struct Asked {
    id: Id,
    request: Request<Bytes>,
    answer: oneshot::Sender<Result<Response<AnswerBody>, Failed>>,
    /// One of [`IN_FLIGHT`].
    _place: OwnedSemaphorePermit,
}

/// Says that nobody waits any more, where that is so before there is an answer.
struct Waiting<'a> {
    queue: &'a mpsc::Sender<Said>,
    id: Id,
    is_over: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            // Where there is no room, the other side answers in vain.
            let _full = self.queue.try_send(Said::Cancel(self.id));
        }
    }
}

impl Lane {
    /// Opens a connection. What is given back moves its bytes until it ends.
    pub(super) async fn open(
        connections: &Connections,
        answers: ByteBudget,
    ) -> Result<(Self, impl Future<Output = ()> + Send + use<>), NotOpened> {
        let (mut transport, ends) = reach(connections).await.map_err(|_| NotOpened::NotNow)?;
        transport.give_up_after(UNHEARD);
        match tokio::time::timeout(GREETING_TIMEOUT, greet(&mut transport)).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => return Err(NotOpened::Unknown),
            Ok(Err(_)) | Err(_) => return Err(NotOpened::NotNow),
        }
        let idle = connections.limits().idle_timeout;
        let patience = Patience { longest: FRAME_BYTES, write: STALLED, frame: STALLED, idle };
        let link = Link::new(transport, BytesMut::new(), patience);
        let (queue, said) = mpsc::channel(2 * IN_FLIGHT);
        let lane =
            Self { queue, next: Arc::default(), places: Arc::new(Semaphore::new(IN_FLIGHT)) };
        let moving = Moving { link, said, pending: BTreeMap::new(), takes: true, answers };
        Ok((lane, moving.run(ends)))
    }

    /// Whether nothing can be sent on it any more.
    pub(super) fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    /// Sends a request and waits for its answer. Dropped before, the other side stops working
    /// on it.
    pub(super) async fn send(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<AnswerBody>, Failed> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return Err(Failed::NotTaken(Box::new(request)));
        };
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        let asked = Box::new(Asked { id, request, answer, _place: place });
        if let Err(refused) = self.queue.try_send(Said::Request(asked)) {
            let Said::Request(asked) = refused.into_inner() else { unreachable!("it was one") };
            return Err(Failed::NotTaken(Box::new(asked.request)));
        }
        let mut waiting = Waiting { queue: &self.queue, id, is_over: false };
        let answer = answered.await;
        waiting.is_over = true;
        answer.unwrap_or_else(|_| Err(Failed::Broken(String::from("its connection ended"))))
    }
}

/// Whether the other side knows how.
async fn greet(transport: &mut Transport) -> std::io::Result<bool> {
    transport.write_all(PREFACE).await?;
    transport.flush().await?;
    let mut heard = [0; PREFACE.len()];
    transport.read_exact(&mut heard).await?;
    Ok(heard == PREFACE)
}

impl Asked {
    fn give_back(self) {
        let _gone = self.answer.send(Err(Failed::NotTaken(Box::new(self.request))));
    }
}

/// A connection and what is under way on it.
struct Moving {
    link: Link,
    said: mpsc::Receiver<Said>,
    /// With where they stand among the bytes that are written.
    pending: BTreeMap<Id, (u64, Box<Asked>)>,
    /// Whether further requests may be sent.
    takes: bool,
    /// The memory of answers.
    answers: ByteBudget,
}

impl Moving {
    async fn run(mut self, ends: Option<i64>) {
        let reason = self.until_it_ends(ends).await;
        self.stop();
        for (position, asked) in std::mem::take(&mut self.pending).into_values() {
            if self.link.was_not_begun(position) {
                asked.give_back();
            } else {
                let _gone = asked.answer.send(Err(Failed::Broken(reason.clone())));
            }
        }
    }

    /// Why it ended.
    async fn until_it_ends(&mut self, ends: Option<i64>) -> String {
        let mut said = Vec::with_capacity(AT_ONCE);
        let mut checks = checks();
        let mut over = pin!(tls::over(ends));
        loop {
            if !self.takes && self.pending.is_empty() && self.link.is_all_written() {
                return String::from("its connection ended");
            }
            let wants_more = self.takes && self.link.has_room();
            tokio::select! {
                biased;
                () = &mut over, if self.takes => self.stop(),
                _ = checks.tick() => {
                    self.forget();
                    if let Err(reason) = self.link.check(!self.pending.is_empty()) {
                        return reason.to_owned();
                    }
                }
                count = self.said.recv_many(&mut said, AT_ONCE), if wants_more => {
                    said.drain(..).for_each(|said| self.say(said));
                    self.takes &= count > 0;
                }
                moved = self.link.step(true) => match moved.and_then(|open| {
                    self.hear()?;
                    Ok(open)
                }) {
                    Ok(Ok(())) => {}
                    Ok(Err(Closed)) => return String::from("it closed the connection"),
                    Err(error) => return error.to_string(),
                },
            }
        }
    }

    /// Cancels what nobody waits for any more and could not say so.
    fn forget(&mut self) {
        let Self { link, pending, .. } = self;
        pending.retain(|id, (_, asked)| {
            let is_awaited = !asked.answer.is_closed();
            if !is_awaited {
                push_cancel(&mut link.output, *id);
            }
            is_awaited
        });
    }

    fn say(&mut self, said: Said) {
        match said {
            // Nobody waits for it any more.
            Said::Request(asked) if asked.answer.is_closed() => {}
            Said::Request(asked) => {
                let position = self.link.position();
                match push_request(&mut self.link.output, asked.id, &asked.request) {
                    Ok(()) => drop(self.pending.insert(asked.id, (position, asked))),
                    Err(TooLong) => asked.give_back(),
                }
            }
            Said::Cancel(id) => {
                if self.pending.remove(&id).is_some() {
                    push_cancel(&mut self.link.output, id);
                }
            }
        }
    }

    /// Takes in what was read.
    fn hear(&mut self) -> std::io::Result<()> {
        while let Some(frame) = self.link.next()? {
            match frame {
                Frame::Answer(id, answer) => {
                    if let Some((_, asked)) = self.pending.remove(&id) {
                        self.answer(asked, answer);
                    }
                }
                Frame::NotTaken(id) => {
                    if let Some((_, asked)) = self.pending.remove(&id) {
                        asked.give_back();
                    }
                }
                Frame::GoingAway => self.stop(),
                Frame::Request(..) | Frame::Unreadable(..) | Frame::Cancel(_) => {
                    return Err(std::io::Error::other("it asks on a connection for answers"));
                }
            }
        }
        Ok(())
    }

    /// Hands an answer over. Where answers that nobody has read take all the memory that they
    /// may, a read goes another way, on which what is not taken is not sent.
    fn answer(&self, asked: Box<Asked>, mut answer: Response<Bytes>) {
        // How long it is, its frame says.
        answer.headers_mut().remove(header::CONTENT_LENGTH);
        let memory = self.answers.reserve(answer.body().len()).ok();
        if memory.is_none() && asked.request.method().is_safe() {
            return asked.give_back();
        }
        let _gone = asked.answer.send(Ok(answer.map(|body| AnswerBody::whole(body, memory))));
    }

    /// Sends nothing more: what was to be sent goes another way.
    fn stop(&mut self) {
        self.takes = false;
        self.said.close();
        while let Ok(said) = self.said.try_recv() {
            match said {
                Said::Request(asked) => asked.give_back(),
                Said::Cancel(id) => drop(self.pending.remove(&id)),
            }
        }
    }
}
