//! `GET /v1/events`: what happens in the cluster, as a service hears of it.
//!
//! A service that tells of events has one [`Events`]: a ring of the newest, and the places
//! of those who follow. Whoever knows of a change says so with [`Events::tell`]; what is
//! only known as a state is compared with what was told last ([`Observer`]).
//!
//! In reading order: `kind` (what can happen), `heard` (states compared, pure), `refusals`
//! (counts compared, pure), `ring` (what is held, pure), `stream` (how it is followed).

#![expect(clippy::disallowed_methods, reason = "the shell starts tasks")]

mod heard;
mod kind;
mod refusals;
mod ring;
mod stream;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use heard::{LeaderSeen, Observer, Seen, Sources, ViewSeen};
pub use kind::{Happening, Presence, Standing, cut};
pub use refusals::RefusalsHeard;
pub use stream::{HELD, LAST_EVENT_ID, PATH, answer};

use crate::discovery::{Acceptors, Mixups};
use crate::ids::{Instance, Slot};
use crate::message::Member;
use crate::places::{ClientNetwork, Place, Places};
use crate::problem::Problem;
use crate::telemetry;
use ring::Ring;

/// Followers at once; one more is answered 503.
pub const FOLLOWERS: usize = 64;

/// Those of one client; one more is answered 429.
pub const FOLLOWERS_OF_A_CLIENT: usize = FOLLOWERS / 4;

/// What happened last, and those who are told of it.
#[derive(Debug)]
pub struct Events {
    /// Which ring it is: numbers of another one mean nothing here.
    instance: Instance,
    ring: Mutex<Ring>,
    /// How far the log is executed, as far as is known here.
    executed_below: AtomicU64,
    grown: watch::Sender<u64>,
    places: Arc<Places>,
    shutdown: CancellationToken,
}

/// The place of one who follows.
#[derive(Debug)]
struct Follower {
    events: Arc<Events>,
    grown: watch::Receiver<u64>,
    _place: Place,
}

impl Events {
    /// Begins with who is there, as discovery finds it. Those who follow are told until
    /// `shutdown`.
    #[must_use]
    pub fn start(
        instance: Instance,
        members: watch::Receiver<Vec<Member>>,
        acceptors: watch::Receiver<Acceptors>,
        mixups: Mixups,
        shutdown: CancellationToken,
    ) -> Arc<Self> {
        let events = Self::new(instance, shutdown);
        tokio::spawn(follow_members(Arc::clone(&events), members, mixups));
        tokio::spawn(follow_acceptors(Arc::clone(&events), acceptors));
        events
    }

    fn new(instance: Instance, shutdown: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            instance,
            ring: Mutex::default(),
            executed_below: AtomicU64::new(0),
            grown: watch::Sender::new(0),
            places: Places::new("follow the events", FOLLOWERS, FOLLOWERS_OF_A_CLIENT),
            shutdown,
        })
    }

    /// Takes in how far the log is executed: what names no place in it is told with that. It
    /// goes back only where another cluster is met.
    pub fn executed(&self, below: Slot) {
        self.executed_below.store(below.0, Ordering::Relaxed);
    }

    /// Tells everybody what has happened.
    pub fn tell(&self, happening: Happening) {
        let executed = self.executed_below.load(Ordering::Relaxed).checked_sub(1).map(Slot);
        let next = self.lock().push(telemetry::timestamp(), executed, happening);
        self.grown.send_replace(next);
    }

    /// The same for some.
    pub fn tell_all(&self, happenings: impl IntoIterator<Item = Happening>) {
        happenings.into_iter().for_each(|happening| self.tell(happening));
    }

    fn follow(self: &Arc<Self>, client: Option<ClientNetwork>) -> Result<Follower, Problem> {
        let place = self.places.take(client)?;
        Ok(Follower { events: Arc::clone(self), grown: self.grown.subscribe(), _place: place })
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        // A panic ends the process, so nobody ever meets a poisoned lock.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells which acceptors follow others, until discovery ends.
async fn follow_acceptors(events: Arc<Events>, mut acceptors: watch::Receiver<Acceptors>) {
    while acceptors.changed().await.is_ok() {
        let present = acceptors.borrow_and_update().succession.clone();
        events.tell_all(present.iter().map(Happening::succession));
    }
}

/// Tells who comes and goes, and which of them are mixed up, until discovery ends.
async fn follow_members(
    events: Arc<Events>,
    mut members: watch::Receiver<Vec<Member>>,
    mut mixups: Mixups,
) {
    let mut known = Vec::new();
    let mut told = Vec::new();
    loop {
        let now = members.borrow_and_update().clone();
        events.tell_all(heard::of_members(&known, &now));
        known = now;
        let mixed_up = mixups.told();
        events.tell_all(heard::of_mixups(&told, &mixed_up));
        told = mixed_up;
        tokio::select! {
            changed = members.changed() => if changed.is_err() { return },
            changed = mixups.changed() => if !changed { return },
        }
    }
}
