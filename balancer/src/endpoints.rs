//! The pool, shared by the requests and the checks: a lock, a word in the log when health
//! changes, and a wake-up for those who wait for an endpoint that is lost.

use std::sync::{Arc, Mutex, MutexGuard};

use shared::ids::Name;
use shared::message::Member;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, watch};

use crate::pool::{EndpointId, Health, Intent, Outcome, Pool, Reads, Report, Target, Thresholds};

/// The one [`Pool`] of a balancer. The lock is held for a few instructions, never over a
/// wait.
#[derive(Debug)]
pub(crate) struct Endpoints {
    pool: Mutex<Pool>,
    /// Notified when an endpoint has become able to answer some requests, or has ceased to
    /// be, and when the primary is another one.
    abilities: Notify,
    /// How many requests wait for an endpoint that can answer them.
    waiting: watch::Sender<usize>,
}

impl Endpoints {
    pub(crate) fn new(thresholds: Thresholds) -> Arc<Self> {
        Arc::new(Self {
            pool: Mutex::new(Pool::new(thresholds)),
            abilities: Notify::new(),
            waiting: watch::Sender::new(0),
        })
    }

    /// Reads the pool.
    pub(crate) fn read<R>(&self, read: impl FnOnce(&Pool) -> R) -> R {
        read(&self.lock())
    }

    /// Picks an endpoint for a request, see [`Pool::begin`].
    pub(crate) fn begin(
        self: &Arc<Self>,
        intent: Intent,
        tried: &[EndpointId],
    ) -> Option<InFlight> {
        let target = self.lock().begin(intent, tried)?;
        Some(InFlight { endpoints: Arc::clone(self), target, outcome: Outcome::Abandoned })
    }

    /// Takes in what discovery found; returns all endpoints.
    pub(crate) fn set_replicas(&self, members: &[Member]) -> Vec<Target> {
        self.change(|pool| {
            pool.set_replicas(members);
            pool.endpoints()
                .map(|endpoint| Target { id: endpoint.id, member: Arc::clone(&endpoint.member) })
                .collect()
        })
    }

    /// Takes in the result of a check, see [`Pool::checked`].
    pub(crate) fn checked(&self, target: &Target, result: Option<Report>) {
        self.change(|pool| {
            let before = reads_of(pool, target.id);
            log_change(target, pool.checked(target.id, result));
            log_reads(target, before, reads_of(pool, target.id));
        });
    }

    /// Waits until the endpoint can't answer such requests.
    pub(crate) async fn lost(&self, id: EndpointId, intent: Intent) {
        loop {
            // Made before the look, so that a notification between the look and the wait
            // counts.
            let notified = self.abilities.notified();
            if !self.lock().is_able(id, intent) {
                return;
            }
            notified.await;
        }
    }

    /// Waits until whoever follows the endpoint should follow another one: it is not
    /// healthy, or hears of nothing new while another one does.
    pub(crate) async fn outdone(&self, id: EndpointId) {
        loop {
            let notified = self.abilities.notified();
            let is_outdone = self.read(|pool| {
                let hears = pool.is_able(id, Intent::Read) || pool.able(Intent::Read) == 0;
                !(hears && pool.is_able(id, Intent::LocalRead))
            });
            if is_outdone {
                return;
            }
            notified.await;
        }
    }

    /// Ends when the primary or what some endpoint is able to answer has changed since this
    /// was called.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.abilities.notified()
    }

    /// A place among the requests that wait, of which there are so many.
    pub(crate) fn wait(self: &Arc<Self>, places: usize) -> Option<Waiting> {
        let takes_place = |waiting: &mut usize| {
            let has_room = *waiting < places;
            *waiting += usize::from(has_room);
            has_room
        };
        let has_room = self.waiting.send_if_modified(takes_place);
        has_room.then(|| Waiting(Arc::clone(self)))
    }

    /// How many requests wait.
    pub(crate) fn waiting(&self) -> usize {
        *self.waiting.borrow()
    }

    /// Ends when a request waits.
    pub(crate) async fn somebody_waits(&self) {
        let mut waiting = self.waiting.subscribe();
        let _sender_is_here = waiting.wait_for(|waiting| *waiting > 0).await;
    }

    /// Changes the pool, and says so where the primary is another one afterwards.
    fn change<R>(&self, change: impl FnOnce(&mut Pool) -> R) -> R {
        let mut pool = self.lock();
        let able = |pool: &Pool| [Intent::Read, Intent::LocalRead].map(|intent| pool.able(intent));
        let epoch = |pool: &Pool| pool.endpoint(pool.primary()?)?.report.map(|report| report.epoch);
        let (before, able_before, epoch_before) = (pool.primary(), able(&pool), epoch(&pool));
        let result = change(&mut pool);
        let after = pool.primary();
        let differs = after != before || able(&pool) != able_before || epoch(&pool) != epoch_before;
        let name = after
            .filter(|_| after != before)
            .and_then(|id| pool.endpoint(id))
            .map(|endpoint| endpoint.member.name.clone());
        drop(pool);
        if differs {
            self.abilities.notify_waiters();
        }
        log_primary(after.is_none() && before.is_some(), name);
        result
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().expect("a panic under the lock ends the process")
    }
}

fn log_change(target: &Target, health: Option<Health>) {
    if let Some(health) = health {
        tracing::info!(endpoint = %target.member.name, url = target.member.url, "{} is {}", target.member.name, health.as_str());
    }
}

fn reads_of(pool: &Pool, id: EndpointId) -> Option<Reads> {
    let endpoint = pool.endpoint(id).filter(|endpoint| endpoint.report.is_some())?;
    Some(pool.reads(endpoint))
}

fn log_reads(target: &Target, before: Option<Reads>, after: Option<Reads>) {
    let (name, url) = (&target.member.name, &target.member.url);
    let Some(reads) = after.filter(|_| after != before) else { return };
    match reads {
        Reads::Local => tracing::warn!(
            endpoint = %name, url,
            "{name} gets only local reads: no quorum of acceptors answers it, or it lacks slots"
        ),
        Reads::Behind => tracing::warn!(
            endpoint = %name, url,
            "{name} is behind: it gets linearizable reads only where no replica is current"
        ),
        Reads::Current => tracing::info!(endpoint = %name, url, "{name} gets all reads"),
    }
}

fn log_primary(lost: bool, name: Option<Name>) {
    match name {
        Some(name) => tracing::info!(endpoint = %name, "{name} is primary"),
        None if lost => tracing::info!("no primary is known"),
        None => {}
    }
}

/// The place of a request that waits.
#[derive(Debug)]
pub(crate) struct Waiting(Arc<Endpoints>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.send_modify(|waiting| *waiting -= 1);
    }
}

/// A request that an endpoint is working on. Dropped without a word it counts as
/// abandoned: the client has gone away.
#[derive(Debug)]
pub(crate) struct InFlight {
    endpoints: Arc<Endpoints>,
    target: Target,
    outcome: Outcome,
}

impl InFlight {
    /// Which endpoint.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// It has answered.
    pub(crate) fn answered(mut self) {
        self.outcome = Outcome::Answered;
    }

    /// There is no answer, because of the endpoint.
    pub(crate) fn failed(mut self) {
        self.outcome = Outcome::Failed;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        match self.outcome {
            // Neither changes who is primary.
            Outcome::Answered | Outcome::Abandoned => {
                let _unchanged = self.endpoints.lock().finish(self.target.id, self.outcome);
            }
            Outcome::Failed => {
                self.endpoints.change(|pool| {
                    log_change(&self.target, pool.finish(self.target.id, self.outcome))
                });
            }
        }
    }
}
