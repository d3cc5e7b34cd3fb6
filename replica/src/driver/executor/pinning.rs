//! Standing still at a slot, for somebody to begin to read the state there.
#![expect(clippy::disallowed_methods, reason = "the shell reads clocks")]

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::Executor;
use crate::driver::pin::{Held, NotPinned, Pin};
use crate::store::StoreError;

/// How long a slot is waited for that is not executed yet: far longer than what somebody who
/// asks chooses it ahead.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long executing stands still at most until the other one's transaction has begun. That
/// takes a statement; where its thread is not let run for so long, it asks again.
const HELD_AT_MOST: Duration = Duration::from_millis(250);

/// One who waits, and until when.
#[derive(Debug)]
pub(super) struct Pinned {
    pin: Pin,
    until: Instant,
}

impl Executor {
    /// Whether nobody waits for a slot any more.
    pub(super) fn takes_pin(&self) -> bool {
        self.pinned.as_ref().is_none_or(|pinned| pinned.pin.reply.is_closed())
    }

    /// When whoever waits for a slot has waited for long enough.
    pub(super) fn pin_due(&self) -> Option<Instant> {
        self.pinned.as_ref().map(|pinned| pinned.until)
    }

    /// Somebody waits for a slot.
    pub(super) async fn pin(&mut self, pin: Pin) -> Result<(), StoreError> {
        self.pinned = Some(Pinned { pin, until: Instant::now() + PATIENCE });
        self.look_at_pin().await
    }

    /// Stands still where this is the slot that somebody waits for.
    pub(super) async fn look_at_pin(&mut self) -> Result<(), StoreError> {
        let executed_below = self.writer.executed_below();
        let is_due = |pinned: &mut Pinned| pinned.pin.below <= executed_below;
        let Some(Pinned { pin, .. }) = self.pinned.take_if(is_due) else { return Ok(()) };
        if pin.below < executed_below {
            // Whoever asked may have gone.
            let _ = pin.reply.send(Err(NotPinned::Passed { executed_below }));
            return Ok(());
        }
        self.store().await?;
        if self.writer.meta().executed_below != pin.below {
            let _ = pin.reply.send(Err(NotPinned::Closed));
            return Ok(());
        }
        let (held, dropped) = oneshot::channel();
        if pin.reply.send(Ok(Held { _until_dropped: held })).is_ok() {
            // Either way it goes on: who was too slow finds another slot, and asks again.
            let _ = timeout(HELD_AT_MOST, dropped).await;
        }
        Ok(())
    }

    /// Nothing brought the state to the slot in time.
    pub(super) fn give_pin_up(&mut self) {
        let executed_below = self.writer.executed_below();
        if let Some(Pinned { pin, .. }) = self.pinned.take() {
            let _ = pin.reply.send(Err(NotPinned::NotReached { executed_below }));
        }
    }
}
