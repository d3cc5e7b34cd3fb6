//! Whether all replicas have made the same of the log, while they run.
//!
//! That the *log* is the same everywhere is looked at all the time, by its hash
//! ([`replica`](crate::replica), `history`). What executing made of it can differ all the
//! same: by a defect, or a disk that gives back what was not written. So the replicas' digests
//! of their states ([`store::digest`](crate::store)) are compared, all at one slot:
//!
//! ```text
//! operator ──POST /v1/cluster/verify──▶ any replica            (or the primary, every --verify-every)
//!                                          │ chooses a slot a little ahead
//!                                          ├──GET /v1/replication/digest?at=──▶ every replica, itself too
//!                                          │◀─DigestReply────────────────────── when it has read its state there
//!                                          │ compares; is alarmed where they differ
//!                                          └──Suspicion──▶ whoever is odd      (compares by itself, and ends)
//! ```
//!
//! The slot is executed everywhere, exactly: executing stands still there for a moment
//! (`driver::pin`) while a read transaction begins, and then goes on. The transaction lives
//! for [`digests::READ_AT_MOST`], and ends early where the WAL, which cannot start over
//! meanwhile, has come to [`digests::MOST_WAL_BYTES`].
//!
//! A replica is *odd* where more than half of the view agree on another digest at that slot.
//! It ends (78), and starts no more on the same data (`diverged`). It never does so by
//! another one's word: what a suspicion says is only a reason to ask all the others. Without
//! such a majority, as of two replicas, it is an alarm and nothing else.
//!
//! In reading order: `message`, `digests` (the own one, one at a time), `verdict` (what is
//! made of all of them; pure), `check` (asking), `conclude` (what follows), `diverged`.

mod check;
mod conclude;
mod digests;
mod diverged;
mod message;
mod verdict;

use std::sync::Arc;

use shared::events::Events;
use shared::ids::{Name, Slot};
use shared::message::Member;
use tokio::sync::{Semaphore, watch};

pub(crate) use self::check::NotChecked;
pub(crate) use self::digests::{Digests, READ_AT_MOST};
pub(crate) use self::diverged::Diverged;
pub use self::diverged::found as diverged;
pub(crate) use self::message::{DigestReply, Suspicion, SuspicionReply};
pub(crate) use self::verdict::{Check, Overall};
use crate::driver::Handle;
use crate::metrics::Measured;

/// Compares the replicas' states.
#[derive(Debug)]
pub(crate) struct Verification {
    name: Name,
    driver: Handle,
    members: watch::Receiver<Vec<Member>>,
    digests: Arc<Digests>,
    diverged: Diverged,
    events: Arc<Events>,
    measured: Measured,
    /// One check at a time.
    one: Semaphore,
    /// What was alarmed about last, while it holds.
    alarm: watch::Sender<Option<String>>,
}

/// What comparing is made of.
pub(crate) struct Parts {
    /// The name of this replica.
    pub(crate) name: Name,
    /// The way to the core.
    pub(crate) driver: Handle,
    /// The services that were heard from lately.
    pub(crate) members: watch::Receiver<Vec<Member>>,
    /// The own digest.
    pub(crate) digests: Arc<Digests>,
    /// How this replica ends where it is the odd one.
    pub(crate) diverged: Diverged,
    /// For those who follow what happens.
    pub(crate) events: Arc<Events>,
    /// What is counted.
    pub(crate) measured: Measured,
}

impl Verification {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let Parts { name, driver, members, digests, diverged, events, measured } = parts;
        let (one, alarm) = (Semaphore::new(1), watch::Sender::default());
        Arc::new(Self { name, driver, members, digests, diverged, events, measured, one, alarm })
    }

    /// The own digest, for another replica.
    pub(crate) async fn digest(&self, below: Slot) -> DigestReply {
        DigestReply { replica: self.name.clone(), outcome: self.digests.of(below).await }
    }

    /// Why this replica is the odd one, once it is known to be that.
    pub(crate) fn why_diverged(&self) -> Option<&str> {
        self.diverged.why()
    }
}
