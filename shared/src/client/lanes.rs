//! The connections to a service that short requests share, and whether it knows how.
#![expect(clippy::disallowed_methods, reason = "a shell: it reads the clock and starts a task")]

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::answer::AnswerBody;
use super::lane::{Failed, Lane, NotOpened};
use super::pool::Connections;
use crate::byte_budget::ByteBudget;

/// Before a service that knows only HTTP is asked again: it may be a newer program by then.
const UNKNOWN_FOR: Duration = Duration::from_secs(30);
/// Before a connection is tried again that could not be opened.
const NOT_OPENED_FOR: Duration = Duration::from_millis(100);

/// The connections to one service: as many as this process has threads that send, so that no
/// one of them is what all wait for.
#[derive(Debug)]
pub(super) struct Lanes {
    answers: ByteBudget,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: Vec<Lane>,
    /// Whose turn it is.
    turn: usize,
    is_opening: bool,
    not_before: Option<Instant>,
}

impl Lanes {
    /// None yet. Those to all services have one memory for answers.
    pub(super) fn new(answers: ByteBudget) -> Self {
        Self { answers, state: Mutex::default() }
    }

    /// Sends a request on one of them. Where there is none, one is opened for those that come
    /// after it.
    pub(super) async fn send(
        &self,
        connections: &Arc<Connections>,
        request: Request<Bytes>,
    ) -> Result<Response<AnswerBody>, Failed> {
        match self.next(connections) {
            Some(lane) => lane.send(request).await,
            None => Err(Failed::NotTaken(Box::new(request))),
        }
    }

    fn next(&self, connections: &Arc<Connections>) -> Option<Lane> {
        let mut state = self.lock();
        state.open.retain(|lane| !lane.is_closed());
        let most = Handle::current().metrics().num_workers();
        if state.open.len() < most && !state.is_opening {
            let now = Instant::now();
            if state.not_before.is_none_or(|not_before| now >= not_before) {
                state.is_opening = true;
                tokio::spawn(open(Arc::clone(connections)));
            }
        }
        state.turn = state.turn.wrapping_add(1);
        let turn = state.turn.checked_rem(state.open.len())?;
        state.open.get(turn).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("a panic under the lock ends the process")
    }
}

/// Opens one more connection, and moves its bytes until it ends.
async fn open(connections: Arc<Connections>) {
    let lanes = connections.lanes();
    let opened = Lane::open(&connections, lanes.answers.clone()).await;
    let moving = {
        let mut state = lanes.lock();
        state.is_opening = false;
        let (lane, moving) = match opened {
            Ok(opened) => opened,
            Err(not_opened) => {
                let wait = match not_opened {
                    NotOpened::Unknown => UNKNOWN_FOR,
                    NotOpened::NotNow => NOT_OPENED_FOR,
                };
                state.not_before = Some(Instant::now() + wait);
                return;
            }
        };
        state.open.push(lane);
        moving
    };
    moving.await;
}
