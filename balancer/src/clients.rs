//! What one client may take of a balancer: requests at once, requests in a second, and a
//! fair share where all is taken.
//!
//! A client is an address; of IPv6 the /64 before it, since whoever has one has all of
//! these (RFC 6177). An `X-Forwarded-For` is believed only of `--trusted-proxies`: of its
//! addresses the last one counts that is none of theirs. Who sends an access token that
//! replicas have vouched for counts by that ([`tokens`]). Requests in a second are counted
//! by a token bucket (GCRA, of the crate `governor`).
//!
//! A connection looks its client up once; each request then counts in atomics. A request
//! that a trusted proxy passes on, or that has a token, takes one short lock. What is remembered is bounded
//! ([`MAX_CLIENTS`]): those who are not connected and whose bucket is full again are
//! forgotten first, for they are as new; if that is not enough, those who come then share
//! one bucket.

mod admission;
mod forwarded;
mod tokens;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use http::{HeaderMap, Response};
use ipnet::IpNet;
use shared::places::ClientNetwork;
use shared::problem::Problem;

use self::forwarded::forwarded_for;
pub(crate) use self::tokens::ACCESSOR;
use self::tokens::{Holder, Vouched};

/// The most clients that are remembered apart.
pub(crate) const MAX_CLIENTS: usize = 16_384;
/// From one clean-up to the next, so that a flood of addresses costs little.
const CLEAN_UP_EVERY: Duration = Duration::from_millis(100);
/// Refusals in a second that a client hears at once; further ones come after [`PAUSE`]: a
/// client that asks again at once is refused at its connections' pace, not at the
/// processor's.
const REFUSED_AT_ONCE: u32 = 20;
/// See there.
const PAUSE: Duration = Duration::from_millis(100);
/// No client's number.
const NOBODY: u64 = u64::MAX;

/// What a client may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Requests in a second; none: any number.
    pub(crate) rate: Option<NonZeroU32>,
    /// Requests at once beyond that, after a pause.
    pub(crate) burst: NonZeroU32,
    /// Requests at once; none: as many as there are places, shared fairly.
    pub(crate) requests: Option<usize>,
    /// The places of all together.
    pub(crate) places: usize,
}

/// Why a client is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Rate,
    Requests,
    Share,
}

impl Reason {
    /// Their names, in their order.
    pub(crate) const NAMES: [&str; 3] = ["rate", "requests", "share"];

    pub(crate) fn as_str(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

type Bucket<C> = RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// What clients are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identity {
    Network(ClientNetwork),
    Token(Holder),
}

/// One client, or all that are not told apart.
#[derive(Debug)]
pub(crate) struct Client<C: Clock = MonotonicClock> {
    number: u64,
    bucket: Option<Bucket<C>>,
    in_flight: AtomicUsize,
    /// The millisecond of its last request.
    used: AtomicU64,
    /// Which second it is, and the refusals in it.
    refused: Mutex<(u64, u32)>,
}

/// The clients of a balancer.
#[derive(Debug)]
pub(crate) struct Clients<C: Clock = MonotonicClock> {
    limits: Limits,
    trusted: Vec<IpNet>,
    clock: C,
    began: C::Instant,
    known: Mutex<Known<C>>,
    vouched: Vouched,
    /// For those who find no room.
    others: Arc<Client<C>>,
    in_flight: AtomicUsize,
    /// Clients that have requests in flight.
    active: AtomicUsize,
    refused: [AtomicU64; Reason::NAMES.len()],
    /// How many clients were made, of which each has its number.
    made: AtomicU64,
    /// Who has asked last, and in which millisecond.
    latest: AtomicU64,
    latest_at: AtomicU64,
    /// Up to which millisecond more than one client is there.
    two_until: AtomicU64,
}

#[derive(Debug)]
struct Known<C: Clock> {
    clients: BTreeMap<Identity, Arc<Client<C>>>,
    cleaned_at: Duration,
}

/// A request that counts against its client until this is dropped.
#[derive(Debug)]
pub(crate) struct Held<'a, C: Clock = MonotonicClock> {
    clients: &'a Clients<C>,
    client: Arc<Client<C>>,
}

/// A request that is refused.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) reason: Reason,
    /// 429.
    pub(crate) problem: Problem,
    /// How long to wait before it is said.
    pub(crate) pause: Duration,
}

impl Clients {
    pub(crate) fn new(limits: Limits, trusted: Vec<IpNet>) -> Arc<Self> {
        Arc::new(Self::with_clock(limits, trusted, MonotonicClock))
    }
}

impl<C: Clock + Clone> Clients<C> {
    fn with_clock(limits: Limits, trusted: Vec<IpNet>, clock: C) -> Self {
        let began = clock.now();
        let known = Known { clients: BTreeMap::new(), cleaned_at: Duration::ZERO };
        Self {
            others: Arc::new(Client::new(0, limits, &clock)),
            limits,
            trusted,
            clock,
            began,
            known: Mutex::new(known),
            vouched: Vouched::default(),
            in_flight: AtomicUsize::new(0),
            active: AtomicUsize::new(0),
            refused: std::array::from_fn(|_| AtomicU64::new(0)),
            made: AtomicU64::new(0),
            latest: AtomicU64::new(NOBODY),
            latest_at: AtomicU64::new(0),
            two_until: AtomicU64::new(0),
        }
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// How many are remembered.
    pub(crate) fn remembered(&self) -> usize {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clients.len()
    }

    /// How many requests were refused, in the order of [`Reason::NAMES`].
    pub(crate) fn refused(&self) -> [u64; Reason::NAMES.len()] {
        std::array::from_fn(|reason| self.refused[reason].load(Ordering::Relaxed))
    }

    /// The client at an address.
    pub(crate) fn at(&self, address: IpAddr) -> Arc<Client<C>> {
        self.find(Identity::Network(ClientNetwork::of(address)))
    }

    /// The client whose token a request has; none where it has none that a replica has
    /// vouched for lately.
    pub(crate) fn of_token(&self, headers: &HeaderMap) -> Option<Arc<Client<C>>> {
        let token = self.vouched.fingerprint(headers)?;
        let holder = self.vouched.holder(token, self.now())?;
        Some(self.find(Identity::Token(holder)))
    }

    /// What a replica's answer to a request with these headers is to teach; none where they
    /// have no token.
    pub(crate) fn to_learn<B>(
        &self,
        headers: &HeaderMap,
    ) -> Option<impl Fn(&Response<B>) + use<'_, B, C>> {
        let token = self.vouched.fingerprint(headers)?;
        Some(move |answer: &Response<B>| self.vouched.learn(token, answer, self.now()))
    }

    /// Who asks, of a request that a trusted proxy has passed on; none: the proxy itself, or
    /// a connection that is no proxy's.
    pub(crate) fn asked_for(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        // Most balancers have no proxy before them.
        if self.trusted.is_empty() {
            return None;
        }
        forwarded_for(peer, headers, &self.trusted)
    }

    fn now(&self) -> Duration {
        self.clock.now().duration_since(self.began).into()
    }

    fn find(&self, identity: Identity) -> Arc<Client<C>> {
        let now = self.now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = known.clients.get(&identity) {
            return Arc::clone(client);
        }
        let is_full = known.clients.len() >= MAX_CLIENTS;
        if is_full && now.saturating_sub(known.cleaned_at) >= CLEAN_UP_EVERY {
            known.cleaned_at = now;
            let full_after = self.full_after();
            known.clients.retain(|_, client| {
                Arc::strong_count(client) > 1 || now.saturating_sub(client.used()) < full_after
            });
        }
        if known.clients.len() >= MAX_CLIENTS {
            return Arc::clone(&self.others);
        }
        let number = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        let client = Arc::new(Client::new(number, self.limits, &self.clock));
        client.use_at(now);
        known.clients.insert(identity, Arc::clone(&client));
        client
    }

    /// After how long without a request a bucket is certainly full.
    fn full_after(&self) -> Duration {
        let rate = self.limits.rate.map(|rate| Duration::from_secs(1) / rate.get());
        rate.map_or(Duration::ZERO, |each| each * self.limits.burst.get())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl<C: Clock + Clone> Client<C> {
    fn new(number: u64, limits: Limits, clock: &C) -> Self {
        let quota = limits.rate.map(|rate| Quota::per_second(rate).allow_burst(limits.burst));
        Self {
            number,
            bucket: quota.map(|quota| RateLimiter::direct_with_clock(quota, clock.clone())),
            in_flight: AtomicUsize::new(0),
            used: AtomicU64::new(0),
            refused: Mutex::new((0, 0)),
        }
    }
}

impl<C: Clock> Client<C> {
    fn use_at(&self, now: Duration) {
        self.used.store(millis(now), Ordering::Relaxed);
    }

    fn used(&self) -> Duration {
        Duration::from_millis(self.used.load(Ordering::Relaxed))
    }

    /// How long to wait with a refusal now.
    fn pause(&self, now: Duration) -> Duration {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let (second, times) = &mut *refused;
        if *second != now.as_secs() {
            (*second, *times) = (now.as_secs(), 0);
        }
        *times = times.saturating_add(1);
        if *times > REFUSED_AT_ONCE { PAUSE } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests;
