//! A lock that is held, and the lease behind it.
//!
//! The lease is renewed in the background, three times in its life. Whether it has ended is
//! for the log to say; but whoever hears nothing cannot know, and so takes the lock for lost
//! once its life has passed, by the clock here, since the last renewal that succeeded was
//! sent. It cannot have ended before: replicated time does not run ahead, and no change of
//! primary shortens a lease.

use std::future::pending;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::Fence;
use crate::client::Client;
use crate::error::Error;

/// A lease is renewed so often in its life.
const RENEWALS: u32 = 3;

/// A lease that is renewed for as long as this lives, and then ended.
#[derive(Debug)]
pub(super) struct Tenure {
    client: Client,
    lease: u64,
    lost: watch::Receiver<bool>,
    renewing: JoinHandle<()>,
    /// Whether there is still something to end.
    open: bool,
}

impl Tenure {
    pub(super) async fn begin(client: &Client, ttl: Duration) -> Result<Self, Error> {
        let sent = Instant::now();
        let lease = client.grant_lease(ttl).await?.id;
        let (tell, lost) = watch::channel(false);
        let renewing = tokio::spawn(renew(client.clone(), lease, ttl, sent + ttl, tell));
        Ok(Self { client: client.clone(), lease, lost, renewing, open: true })
    }

    pub(super) fn lease(&self) -> u64 {
        self.lease
    }

    /// Waits until the lease has ended, or may have.
    pub(super) async fn lost(&self) {
        let mut lost = self.lost.clone();
        if lost.wait_for(|lost| *lost).await.is_err() {
            // Nobody renews it any more, because it is given up.
            pending().await
        }
    }

    async fn end(mut self) -> Result<(), Error> {
        self.renewing.abort();
        self.open = false;
        match self.client.revoke_lease(self.lease).await {
            Ok(_) | Err(Error::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Tenure {
    fn drop(&mut self) {
        self.renewing.abort();
        if !self.open {
            return;
        }
        // Where no runtime is left to do it, the lease ends by itself.
        if let Ok(runtime) = Handle::try_current() {
            let revoke = self.client.revoke_lease(self.lease);
            runtime.spawn(async move { drop(revoke.await) });
        }
    }
}

/// Renews a lease that lasts until `end` until it is lost, and tells that.
async fn renew(
    client: Client,
    lease: u64,
    ttl: Duration,
    mut end: Instant,
    tell: watch::Sender<bool>,
) {
    loop {
        sleep(pause(ttl, end.saturating_duration_since(Instant::now()))).await;
        let sent = Instant::now();
        let left = end.saturating_duration_since(sent);
        let renewal = client.clone().with_timeout(left).renew_lease(lease);
        match tokio::time::timeout(left, renewal).await {
            Ok(Ok(_)) => end = sent + ttl,
            Ok(Err(Error::NotFound(_))) => break,
            Ok(Err(_)) | Err(_) if Instant::now() >= end => break,
            Ok(Err(_)) | Err(_) => {}
        }
    }
    tell.send_replace(true);
}

/// How long after one renewal the next one is due, of a lease of which so much is left: when
/// nothing is, that is told and not slept over.
fn pause(ttl: Duration, left: Duration) -> Duration {
    left.min(ttl / RENEWALS)
}

/// A lock that is held, until it is released, dropped or lost.
#[derive(Debug)]
pub struct LockGuard {
    tenure: Tenure,
    fence: Fence,
}

impl LockGuard {
    pub(super) fn new(tenure: Tenure, fence: Fence) -> Self {
        Self { tenure, fence }
    }

    /// What mutations are sent with that are to be executed only while it is held.
    #[must_use]
    pub fn fence(&self) -> &Fence {
        &self.fence
    }

    /// The lease that it is held by.
    #[must_use]
    pub fn lease(&self) -> u64 {
        self.tenure.lease()
    }

    /// Waits until the lock is lost: its lease has ended, or nothing was heard of the cluster
    /// for so long that it may have.
    pub async fn lost(&self) {
        self.tenure.lost().await;
    }

    /// Whether it is lost.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        *self.tenure.lost.borrow()
    }

    /// Releases it, and waits until that is done. Dropping the guard releases it too, in the
    /// background.
    ///
    /// # Errors
    /// See [`Error`]; the lock is released by itself then, once its lease has ended.
    pub async fn release(self) -> Result<(), Error> {
        self.tenure.end().await
    }
}

#[cfg(test)]
mod tests;
