//! The client: to which addresses, and how long.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Method};
use serde::de::DeserializeOwned;
use shared::client::{Pool, PoolLimits};
use shared::deadline;
use shared::tls::{Calls, Trust};
use url::Url;

use crate::address::Address;
use crate::answer::{Answer, Coming};
use crate::attempts::{Attempts, Next};
use crate::call::Call;
use crate::error::{Error, Failure};

/// The longest wait for a connection: the cluster may be far away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a request is tried, where nothing else is said: longer than a change of primary
/// takes, and time enough to try another address.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one attempt may take: what the API grants where nothing is said.
const ATTEMPT_TIMEOUT: Duration = deadline::DEFAULT;
/// An answer is waited for so much longer than the server is granted, so that it is the
/// server who says what happened.
const GRACE: Duration = Duration::from_secs(1);
/// The most addresses: beyond this the list is a mistake.
const MAX_ADDRESSES: usize = 64;

/// A cluster, as its users see it. A clone shares connections and addresses.
#[derive(Clone, Debug)]
pub struct Client {
    addresses: Arc<Addresses>,
    timeout: Duration,
    retrying: bool,
    /// Marked as sensitive, so that it is shown nowhere.
    token: Option<HeaderValue>,
}

/// Where the cluster is, and who answered last.
#[derive(Debug)]
struct Addresses {
    bases: Vec<Address>,
    preferred: AtomicUsize,
}

impl Client {
    /// A client of the balancers, or replicas, at these addresses (`http://HOST[:PORT][/PATH]`
    /// or `https://…`, set apart by commas or blanks). Nothing is sent yet. While one
    /// does not answer, the next one is asked.
    ///
    /// # Errors
    /// [`Error::Invalid`] where there is none, or one is no such URL.
    pub fn new(urls: &str) -> Result<Self, Error> {
        Self::of_urls(&parse_urls(urls).map_err(Error::Invalid)?)
    }

    /// A client of these addresses, which [`parse_urls`] has taken.
    ///
    /// # Errors
    /// [`Error::Invalid`] where there is none.
    pub fn of_urls(urls: &[Url]) -> Result<Self, Error> {
        let addresses = Arc::new(Addresses::of(urls, Calls::of_process())?);
        Ok(Self { addresses, timeout: DEFAULT_TIMEOUT, retrying: true, token: None })
    }

    /// The same client, which believes these certificates of addresses that begin with
    /// `https://`.
    ///
    /// # Panics
    /// Never: the addresses were taken before.
    #[must_use]
    pub fn trusting(mut self, trust: Trust) -> Self {
        let urls: Vec<Url> = self.addresses.bases.iter().map(|base| base.url().clone()).collect();
        let addresses = Addresses::of(&urls, Calls::AsSaid(trust));
        self.addresses = Arc::new(addresses.expect("they were taken before"));
        self
    }

    /// The same client, which sends this token's secret with each request. Say it to nobody but
    /// the cluster: over `http://` whoever is on the way can read it.
    ///
    /// # Errors
    /// [`Error::Invalid`] where it is no secret.
    pub fn with_token(mut self, secret: &str) -> Result<Self, Error> {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if secret.is_empty() || !secret.bytes().all(is_part) {
            let why = "what is given as the secret of a token is none: it has the characters \
                       A-Z a-z 0-9 - . _ ~ + / =";
            return Err(Error::Invalid(why.to_owned()));
        }
        let value = HeaderValue::from_str(&format!("Bearer {secret}"));
        let mut value = value.expect("these characters are visible ASCII");
        value.set_sensitive(true);
        self.token = Some(value);
        Ok(self)
    }

    /// The same client, which tries each request for at most so long (30 s if not said).
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same client, which sends each request once.
    #[must_use]
    pub fn without_retries(mut self) -> Self {
        self.retrying = false;
        self
    }

    /// How long a request is tried.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The address that is asked next, without a slash at its end.
    #[must_use]
    pub fn address(&self) -> &str {
        self.addresses.preferred().1.text()
    }

    /// `GET` of anything that has no method of its own, for instance `/readyz`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn fetch(&self, path: &str) -> Result<Bytes, Error> {
        Ok(self.send(Call::read(Method::GET, path)).await?.body)
    }

    /// `GET` of JSON that has no method of its own, for instance `/v1/status`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.send(Call::read(Method::GET, path)).await?.json()
    }

    /// Sends a request until it is answered for good, or its time is over.
    pub(crate) async fn send(&self, call: Call) -> Result<Answer, Error> {
        let mut tries = self.tries(&call)?;
        loop {
            match self.exchange(&call, tries.next()).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => tries.failed(failure).await?,
            }
        }
    }

    /// Begins an answer that is streamed.
    pub(crate) async fn open(&self, call: &Call) -> Result<Coming, Error> {
        let mut tries = self.tries(call)?;
        loop {
            match self.begin(call, tries.next()).await {
                Ok(response) => return Ok(response),
                Err(failure) => tries.failed(failure).await?,
            }
        }
    }

    async fn exchange(&self, call: &Call, turn: Turn<'_>) -> Result<Answer, Failure> {
        let patience = turn.granted + call.waits + GRACE;
        within(patience, turn, async { self.sent(call, turn).await?.whole().await }).await
    }

    async fn begin(&self, call: &Call, turn: Turn<'_>) -> Result<Coming, Failure> {
        let patience = turn.granted + call.begins_within + GRACE;
        within(patience, turn, self.sent(call, turn)).await
    }

    /// The address that was asked last is not asked next.
    pub(crate) fn turn_away(&self) {
        self.addresses.advance(self.addresses.preferred().0);
    }

    fn tries(&self, call: &Call) -> Result<Tries<'_>, Error> {
        call.check()?;
        self.addresses.bases.iter().try_for_each(Address::check)?;
        let attempts = Attempts::new(call.effect.clone(), self.addresses.bases.len());
        let timeout = self.timeout + call.waits;
        Ok(Tries { client: self, attempts, timeout, started: Instant::now(), asked: 0 })
    }

    /// Sends a request; what is answered, where that is no error.
    async fn sent(&self, call: &Call, turn: Turn<'_>) -> Result<Coming, Failure> {
        // Where the server is asked to wait, that comes on top of what it grants itself.
        let granted = call.waits.is_zero().then_some(turn.granted);
        turn.base.send(call, granted, self.token.as_ref()).await?.accepted().await
    }
}

/// What comes of a turn within its time.
async fn within<T>(
    patience: Duration,
    turn: Turn<'_>,
    outcome: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::time::timeout(patience, outcome).await.unwrap_or_else(|_elapsed| {
        let reason = String::from("no answer in time");
        Err(Failure::Lost { url: turn.base.text().to_owned(), reason })
    })
}

/// Whom to ask, and the time that it is granted.
#[derive(Clone, Copy, Debug)]
struct Turn<'a> {
    base: &'a Address,
    granted: Duration,
}

/// The attempts at a request.
#[derive(Debug)]
struct Tries<'a> {
    client: &'a Client,
    attempts: Attempts,
    timeout: Duration,
    started: Instant,
    /// Which address is asked.
    asked: usize,
}

impl<'a> Tries<'a> {
    fn next(&mut self) -> Turn<'a> {
        let (index, base) = self.client.addresses.preferred();
        self.asked = index;
        let left = self.timeout.saturating_sub(self.started.elapsed());
        Turn { base, granted: left.min(ATTEMPT_TIMEOUT) }
    }

    /// Waits for the next attempt, if there is one.
    async fn failed(&mut self, failure: Failure) -> Result<(), Error> {
        let waited = self.started.elapsed();
        let left = self.timeout.saturating_sub(waited);
        let left = if self.client.retrying { left } else { Duration::ZERO };
        match self.attempts.failed(failure, waited, left, rand::random()) {
            Next::Over(error) => Err(error),
            Next::Again(pause) => {
                self.client.addresses.advance(self.asked);
                tokio::time::sleep(pause).await;
                Ok(())
            }
        }
    }
}

impl Addresses {
    fn of(urls: &[Url], calls: Calls) -> Result<Self, Error> {
        if urls.is_empty() {
            return Err(Error::Invalid(String::from("no address is given")));
        }
        let limits = PoolLimits { connect_timeout: CONNECT_TIMEOUT, ..PoolLimits::default() };
        let pool = Pool::new(limits).calling(calls);
        let bases = urls.iter().map(|url| Address::of(url, &pool)).collect::<Result<_, _>>()?;
        Ok(Self { bases, preferred: AtomicUsize::new(0) })
    }

    fn preferred(&self) -> (usize, &Address) {
        let index = self.preferred.load(Ordering::Relaxed);
        (index, &self.bases[index])
    }

    /// Whoever asked this one asks the next one now; unless another did so meanwhile.
    fn advance(&self, from: usize) {
        let next = (from + 1) % self.bases.len();
        let (ordering, ignored) = (Ordering::Relaxed, Ordering::Relaxed);
        let _moved = self.preferred.compare_exchange(from, next, ordering, ignored);
    }
}

/// Reads addresses: `http://HOST[:PORT][/PATH]` or `https://…`, set apart by commas or blanks.
///
/// # Errors
/// Where one is no such URL, and where there are too many; in words.
pub fn parse_urls(text: &str) -> Result<Vec<Url>, String> {
    let parts = text.split([',', ' ', '\t', '\n']).filter(|part| !part.is_empty());
    let urls: Vec<Url> = parts.map(parse_url).collect::<Result<_, _>>()?;
    match urls.len() {
        0 => Err(String::from("no address is given, such as http://127.0.0.1:8000")),
        1..=MAX_ADDRESSES => Ok(urls),
        count => Err(format!("{count} addresses are given, the limit is {MAX_ADDRESSES}")),
    }
}

/// Reads an address: `http://HOST[:PORT][/PATH]` or `https://…`.
///
/// # Errors
/// Where it is no such URL; in words.
pub fn parse_url(text: &str) -> Result<Url, String> {
    let url: Url =
        text.parse().map_err(|error| format!("{error}; for instance http://127.0.0.1:8000"))?;
    if !["http", "https"].contains(&url.scheme()) || url.host().is_none() {
        return Err(String::from(
            "it must begin with http:// or https:// and name a host, for instance \
             http://127.0.0.1:8000",
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(String::from("user and password are not supported"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(String::from("it must not hold a query or a fragment"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests;
