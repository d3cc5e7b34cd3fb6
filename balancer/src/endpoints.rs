//! The pool, shared by the requests and the checks: a lock, a word in the log when health
//! changes, and a wake-up for those who wait for an endpoint that is lost.
#![expect(clippy::disallowed_methods, reason = "a shell: the pool is told what time it is")]

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use shared::ids::{ClusterId, Name};
use shared::message::Member;
use shared::random;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, watch};

use crate::pool::{
    Ask, EndpointId, Health, Intent, Order, Outcome, Policy, Pool, Reads, Report, Rules, Service,
    Start, Target, To,
};

/// How long a primary that is none any more, and still there, has to answer what it took.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// The one [`Pool`] of a balancer. The lock is held for a few instructions, never over a
/// wait.
#[derive(Debug)]
pub(crate) struct Endpoints {
    pool: Mutex<Pool>,
    /// Of which cluster they have to be, once that is known.
    cluster: watch::Receiver<Option<ClusterId>>,
    /// When the pool began.
    began: Instant,
    /// Notified when an endpoint has become able to answer some requests, or has ceased to
    /// be, and when the primary is another one.
    abilities: Notify,
    /// How many requests wait for an endpoint that can answer them.
    waiting: watch::Sender<usize>,
}

impl Endpoints {
    pub(crate) fn new(rules: Rules, cluster: watch::Receiver<Option<ClusterId>>) -> Arc<Self> {
        Arc::new(Self {
            pool: Mutex::new(Pool::new(rules)),
            cluster,
            began: Instant::now(),
            abilities: Notify::new(),
            waiting: watch::Sender::new(0),
        })
    }

    /// The cluster that they have to be of, where it is known.
    pub(crate) fn cluster(&self) -> Option<ClusterId> {
        *self.cluster.borrow()
    }

    /// Reads the pool.
    pub(crate) fn read<R>(&self, read: impl FnOnce(&Pool) -> R) -> R {
        read(&self.lock())
    }

    /// Time since the pool began.
    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Picks an endpoint for a request, see [`Pool::begin`].
    pub(crate) fn begin(self: &Arc<Self>, wanted: &Wanted<'_>) -> Option<InFlight> {
        let Wanted { intent, start, tried, key, paced } = *wanted;
        let (dice, now) = (random::nonce(), self.now());
        let picked = self.lock().begin(&Ask { intent, start, tried, key, dice, now })?;
        Some(InFlight {
            endpoints: Arc::clone(self),
            target: picked.target,
            hedge_after: picked.hedge_after,
            began: (paced == Paced::Yes).then_some(now),
            outcome: Outcome::Abandoned,
        })
    }

    /// Does what the operator says of the replica of that name, see [`Pool::order`].
    pub(crate) fn order(&self, name: &Name, change: impl FnOnce(Order) -> Order) -> Option<Order> {
        let mut is_new = false;
        let change = |before: Order| {
            let order = change(before);
            is_new = order != before;
            order
        };
        let order = self.change(|pool| pool.order(name, change, self.now()))?;
        if !is_new {
            return Some(order);
        }
        let word = match order.service {
            Service::Serving => "serves",
            Service::Drained => "is drained",
        };
        tracing::info!(endpoint = %name, weight = order.weight, "{name} {word}, says the operator");
        // Who follows a drained endpoint goes elsewhere, whoever else is able.
        self.abilities.notify_waiters();
        Some(order)
    }

    /// Shares reads out so from now on.
    pub(crate) fn set_policy(&self, policy: Policy) {
        let mut pool = self.lock();
        if pool.policy() == policy {
            return;
        }
        pool.set_policy(policy);
        drop(pool);
        tracing::info!("reads are shared out by {}, says the operator", policy.as_str());
    }

    /// Takes in what discovery found; returns all endpoints.
    pub(crate) fn set_replicas(&self, members: &[Member]) -> Vec<Target> {
        self.change(|pool| {
            pool.set_replicas(members, self.now());
            pool.endpoints()
                .map(|endpoint| Target { id: endpoint.id, member: Arc::clone(&endpoint.member) })
                .collect()
        })
    }

    /// Takes in the result of a check, see [`Pool::checked`].
    pub(crate) fn checked(&self, target: &Target, result: Option<Report>) {
        self.change(|pool| {
            let (before, ejected_before) = (reads_of(pool, target.id), ejected(pool));
            log_change(target, pool.checked(target.id, result, self.now()));
            log_reads(target, before, reads_of(pool, target.id));
            log_ejected(&ejected_before, &ejected(pool));
        });
    }

    /// Waits until the endpoint can't answer such requests; or until there has been another
    /// primary for a moment than the one whose word the request awaits: it then either has its
    /// answer or waits for one that is primary no more.
    pub(crate) async fn lost(&self, id: EndpointId, intent: Intent, awaits: Awaits) {
        loop {
            // Made before the look, so that a notification between the look and the wait
            // counts.
            let notified = self.abilities.notified();
            let (is_able, primary) =
                self.read(|pool| (pool.is_able(id, intent, To::Finish), pool.primary()));
            if !is_able {
                return;
            }
            if primary.is_some() && awaits.is_of_another(primary) {
                return tokio::time::sleep(LAST_WORDS).await;
            }
            notified.await;
        }
    }

    /// Waits until whoever follows the endpoint should follow another one: it is drained or
    /// not healthy, or hears of nothing new while another one does.
    pub(crate) async fn outdone(&self, id: EndpointId) {
        loop {
            let notified = self.abilities.notified();
            let is_outdone = self.read(|pool| {
                let hears = pool.is_able(id, Intent::Read, To::Take)
                    || pool.able(Intent::Read, To::Take) == 0;
                !(hears && pool.is_able(id, Intent::LocalRead, To::Take))
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
        let able = |pool: &Pool| {
            [Intent::Read, Intent::LocalRead]
                .map(|intent| [To::Take, To::Finish].map(|to| pool.able(intent, to)))
        };
        let epoch = |pool: &Pool| {
            pool.endpoint(pool.primary()?)?.report.as_ref().map(|report| report.epoch)
        };
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

/// Who gets no reads for answering slowly.
fn ejected(pool: &Pool) -> Vec<Name> {
    let ejected = pool.endpoints().filter(|endpoint| endpoint.record.ejected_until.is_some());
    ejected.map(|endpoint| endpoint.member.name.clone()).collect()
}

fn log_ejected(before: &[Name], after: &[Name]) {
    for name in after.iter().filter(|name| !before.contains(name)) {
        tracing::warn!(endpoint = %name, "{name} answers slowly and gets no reads for a while");
    }
    for name in before.iter().filter(|name| !after.contains(name)) {
        tracing::info!(endpoint = %name, "{name} gets reads again");
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

/// Whose word a request awaits at its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaits {
    /// The endpoint's own.
    Endpoint,
    /// That of whoever was primary when it was sent, if anybody was known to be.
    Primary(Option<EndpointId>),
}

impl Awaits {
    fn is_of_another(self, primary: Option<EndpointId>) -> bool {
        matches!(self, Self::Primary(then) if then != primary)
    }
}

/// Whether how long a request takes says something of its endpoint's pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paced {
    /// A read that any endpoint should answer soon.
    Yes,
    /// What takes as long as it is.
    No,
}

/// A request that wants an endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) intent: Intent,
    pub(crate) start: Start,
    pub(crate) tried: &'a [EndpointId],
    pub(crate) key: &'a [u8],
    pub(crate) paced: Paced,
}

/// A request that an endpoint is working on. Dropped without a word it counts as
/// abandoned: the client has gone away.
#[derive(Debug)]
pub(crate) struct InFlight {
    endpoints: Arc<Endpoints>,
    target: Target,
    hedge_after: Option<Duration>,
    /// When it was sent, where that counts.
    began: Option<Duration>,
    outcome: Outcome,
}

impl InFlight {
    /// Which endpoint.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// How long it may take before another endpoint may be asked as well.
    pub(crate) fn hedge_after(&self) -> Option<Duration> {
        self.hedge_after
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
        let (id, outcome) = (self.target.id, self.outcome);
        let waited = self.began.map(|began| self.endpoints.now().saturating_sub(began));
        match outcome {
            // Neither changes who is primary.
            Outcome::Answered | Outcome::Abandoned => {
                let _unchanged = self.endpoints.lock().finish(id, outcome, waited);
            }
            Outcome::Failed => {
                self.endpoints
                    .change(|pool| log_change(&self.target, pool.finish(id, outcome, waited)));
            }
        }
    }
}
