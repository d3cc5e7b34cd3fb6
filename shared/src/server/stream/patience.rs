//! How long a client is waited for: until its head is whole, and while it takes nothing
//! of its answer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// The lowest rate at which a client may take an answer, in bytes a second: what it has
/// taken counts against the time that it made the server wait. Far below any network.
const LOWEST_RATE: u32 = 4 << 10;

/// How long a client is waited for that takes nothing of what is written to it.
///
/// The wait begins anew with each byte that it takes; only where it takes fewer than
/// [`LOWEST_RATE`] on and on, what was waited before counts as well. An answer that has
/// nothing to say for hours is never waited for, and so never cut.
#[derive(Debug)]
pub(super) struct Patience {
    most: Duration,
    left: Duration,
    since: Option<Instant>,
    over: Timer,
}

impl Patience {
    pub(super) fn new(most: Duration) -> Self {
        Self { most, left: most, since: None, over: Timer::default() }
    }

    pub(super) fn judge(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Pending => {
                self.since.get_or_insert_with(now);
                ready!(self.over.poll(cx, self.left));
                Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the client takes nothing of its answer",
                )))
            }
            Poll::Ready(Ok(bytes)) => {
                if let Some(since) = self.since.take() {
                    self.over = Timer::default();
                    self.left = self.left.saturating_sub(now().saturating_duration_since(since));
                }
                if self.left < self.most {
                    let taken = u32::try_from(bytes).unwrap_or(u32::MAX);
                    let earned = Duration::from_secs(1) * taken / LOWEST_RATE;
                    self.left = (self.left + earned).min(self.most);
                }
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        }
    }
}

/// A moment in the future, once it is waited for.
#[derive(Debug, Default)]
pub(super) struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Ready when so much time has gone by since the first call.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, after: Duration) -> Poll<()> {
        self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep(after))).as_mut().poll(cx)
    }
}

#[expect(clippy::disallowed_methods, reason = "the shell reads the clock")]
fn now() -> Instant {
    Instant::now()
}
