//! The client: to which addresses, and how long.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method};
use reqwest::Url;
use serde::de::DeserializeOwned;
use shared::client::{IDLE_TIMEOUT, MAX_IDLE, user_agent};
use shared::deadline;

use crate::attempts::{Attempts, Next};
use crate::call::Call;
use crate::error::{Error, Failure};
use crate::problem;

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
/// The largest answer taken: a full page of the largest values, encoded, stays well below.
const MAX_ANSWER_BYTES: usize = 256 * 1024 * 1024;
/// The longest error that is read, in bytes.
const MAX_PROBLEM_BYTES: usize = 64 * 1024;
/// The most addresses: beyond this the list is a mistake.
const MAX_ADDRESSES: usize = 64;

/// A cluster, as its users see it. A clone shares connections and addresses.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    addresses: Arc<Addresses>,
    timeout: Duration,
    retrying: bool,
}

/// Where the cluster is, and who answered last.
#[derive(Debug)]
struct Addresses {
    bases: Vec<String>,
    preferred: AtomicUsize,
}

impl Client {
    /// A client of the balancers, or replicas, at these addresses (`http://HOST[:PORT][/PATH]`,
    /// set apart by commas or blanks). Nothing is sent yet. While one does not answer, the
    /// next one is asked.
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
        if urls.is_empty() {
            return Err(Error::Invalid(String::from("no address is given")));
        }
        // No proxy of the environment and no redirect comes between, and small messages go
        // at once.
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(MAX_IDLE)
            .user_agent(user_agent())
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .expect("plain HTTP needs nothing that could be missing");
        let bases = urls.iter().map(|url| url.as_str().trim_end_matches('/').to_owned()).collect();
        let addresses = Arc::new(Addresses { bases, preferred: AtomicUsize::new(0) });
        Ok(Self { http, addresses, timeout: DEFAULT_TIMEOUT, retrying: true })
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
        self.addresses.preferred().1
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
    pub(crate) async fn open(&self, call: &Call) -> Result<reqwest::Response, Error> {
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
        let request = self.request(call, turn).timeout(patience);
        let response = request.send().await.map_err(|error| failure(turn.base, &error))?;
        let response = accepted(response).await?;
        let headers = response.headers().clone();
        let body = whole_body(response, turn.base).await?;
        Ok(Answer { headers, body })
    }

    async fn begin(&self, call: &Call, turn: Turn<'_>) -> Result<reqwest::Response, Failure> {
        let begin = async {
            let response = self.request(call, turn).send().await;
            accepted(response.map_err(|error| failure(turn.base, &error))?).await
        };
        let patience = turn.granted + call.begins_within + GRACE;
        tokio::time::timeout(patience, begin).await.unwrap_or_else(|_elapsed| {
            let reason = String::from("no answer in time");
            Err(Failure::Lost { url: turn.base.to_owned(), reason })
        })
    }

    /// The address that was asked last is not asked next.
    pub(crate) fn turn_away(&self) {
        self.addresses.advance(self.addresses.preferred().0);
    }

    fn tries(&self, call: &Call) -> Result<Tries<'_>, Error> {
        call.check()?;
        let attempts = Attempts::new(call.effect.clone(), self.addresses.bases.len());
        let timeout = self.timeout + call.waits;
        Ok(Tries { client: self, attempts, timeout, started: Instant::now(), asked: 0 })
    }

    fn request(&self, call: &Call, turn: Turn<'_>) -> reqwest::RequestBuilder {
        let request = self
            .http
            .request(call.method.clone(), format!("{}{}", turn.base, call.path))
            .query(&call.query)
            .headers(call.headers.clone())
            .body(call.body.clone());
        // Where the server is asked to wait, that comes on top of what it grants itself.
        if call.waits.is_zero() {
            request.header(deadline::HEADER, deadline::header_value(turn.granted))
        } else {
            request
        }
    }
}

/// Whom to ask, and the time that it is granted.
#[derive(Clone, Copy, Debug)]
struct Turn<'a> {
    base: &'a str,
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
    fn preferred(&self) -> (usize, &str) {
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

/// Reads addresses: `http://HOST[:PORT][/PATH]`, set apart by commas or blanks.
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

/// Reads an address: `http://HOST[:PORT][/PATH]`.
///
/// # Errors
/// Where it is no such URL; in words.
pub fn parse_url(text: &str) -> Result<Url, String> {
    let url: Url =
        text.parse().map_err(|error| format!("{error}; for instance http://127.0.0.1:8000"))?;
    if url.scheme() != "http" || url.host().is_none() {
        return Err(String::from(
            "it must begin with http:// and name a host, for instance http://127.0.0.1:8000",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(String::from("it must not hold a query or a fragment"));
    }
    Ok(url)
}

/// A successful answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// Reads the body as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Error::Malformed(format!("the answer is not what was asked for: {error}"))
        })
    }
}

/// A header field that is a number.
pub(crate) fn number(headers: &HeaderMap, name: &str) -> Result<u64, Error> {
    let text = headers.get(name).and_then(|value| value.to_str().ok());
    let number = text.and_then(|text| text.trim_matches('"').parse().ok());
    number.ok_or_else(|| Error::Malformed(format!("the answer has no {name}: {text:?}")))
}

/// Turns an error that was answered into one.
async fn accepted(mut response: reqwest::Response) -> Result<reqwest::Response, Failure> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let mut body = BytesMut::new();
    // Of a body that breaks off, or is too long, what there is has to do.
    while let Ok(Some(chunk)) = response.chunk().await
        && body.len() + chunk.len() <= MAX_PROBLEM_BYTES
    {
        body.extend_from_slice(&chunk);
    }
    let retry_after = problem::retry_after(response.headers());
    Err(Failure::Answered { problem: problem::read(status, &body), retry_after })
}

async fn whole_body(mut response: reqwest::Response, base: &str) -> Result<Bytes, Failure> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failure(base, &error))? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            let reason = format!("the answer is longer than {MAX_ANSWER_BYTES} bytes");
            return Err(Failure::Lost { url: base.to_owned(), reason });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn failure(base: &str, error: &reqwest::Error) -> Failure {
    let (url, reason) = (base.to_owned(), root_cause(error));
    if error.is_connect() || error.is_builder() {
        Failure::Unreachable { url, reason }
    } else {
        Failure::Lost { url, reason }
    }
}

/// The innermost error of a chain: the outer ones only say that there was one.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests;
