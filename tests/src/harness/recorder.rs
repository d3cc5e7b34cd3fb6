//! A client that remembers everything: what it asked for and when, what it heard and
//! when.
//!
//! Every operation is a trace of its own, and the log keeps the trace of each command: so
//! an executed command names the operation that it stems from, a deletion too. Every
//! value is unique. What comes of it is a history as
//! [`linearizability`](crate::linearizability) takes it.
//!
//! An answer that the API does not allow is an error and ends the test: a 500, a problem
//! without an outcome, a success without a revision.

mod outcome;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use reqwest::RequestBuilder;

use crate::linearizability::history::{
    Answer, Call, Consistency, Ending, Guard, Key, Operation, OperationId, ValueId,
};
use crate::linearizability::listing::{Listing, Order};
use outcome::{HttpOutcome, hear};

/// What a client says of its patience when nothing else is said. Shorter than the API's
/// default, so that one client finds out more during a fault.
pub const TIMEOUT: Duration = Duration::from_secs(3);

/// How long a client waits for an answer beyond the time that it granted: the service may
/// be stopped or cut off.
const GRACE: Duration = Duration::from_secs(1);

/// The number that a value stands for: a digest of its bytes.
#[must_use]
pub fn value_id(bytes: &[u8]) -> ValueId {
    let digest = blake3::hash(bytes);
    u64::from_le_bytes(*digest.as_bytes().first_chunk().expect("a digest has 32 bytes"))
}

/// Where and how an operation is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The service: its base URL.
    pub door: &'a str,
    /// How long it may take, as the service is told.
    pub timeout: Duration,
}

impl<'a> Ask<'a> {
    /// Of a service, with the usual [`TIMEOUT`].
    #[must_use]
    pub fn at(door: &'a str) -> Self {
        Self { door, timeout: TIMEOUT }
    }
}

/// Where a listing goes on.
#[derive(Clone, Debug)]
pub struct NextPage {
    listing: Listing,
    /// The first page's.
    revision: u64,
    cursor: String,
}

#[derive(Debug, Default)]
struct Recorded {
    operations: Vec<Operation>,
    acknowledged: Vec<Duration>,
}

/// Remembers the operations of all clients of a test, on one clock.
#[derive(Debug)]
pub struct Recorder {
    http: reqwest::Client,
    started: Instant,
    /// The upper half of every trace's identity: the lower is the operation's.
    nonce: u64,
    next: Mutex<u64>,
    recorded: Mutex<Recorded>,
}

impl Recorder {
    /// One that has recorded nothing.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(seed: u64) -> Result<Arc<Self>> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let nonce = value_id(&seed.to_le_bytes()).max(1);
        let (next, recorded) = (Mutex::new(1), Mutex::default());
        Ok(Arc::new(Self { http, started: Instant::now(), nonce, next, recorded }))
    }

    /// Reads a key, as it is or as it was at a revision.
    ///
    /// # Errors
    /// When the answer is none that the API allows.
    pub async fn read(
        &self,
        ask: Ask<'_>,
        key: &str,
        at: Option<u64>,
        consistency: Consistency,
    ) -> Result<Ending> {
        let mut request =
            consistent(self.http.get(format!("{}/v1/kv/{key}", ask.door)), consistency);
        if let Some(revision) = at {
            request = request.query(&[("revision", revision)]);
        }
        self.record(ask, Call::Read { key: Key::from(key), at, consistency }, request).await
    }

    /// Reads the first page of a listing, or all of it as a stream where it has no limit;
    /// as it is or as it was at a revision.
    ///
    /// # Errors
    /// When the answer is none that the API allows.
    pub async fn list(
        &self,
        ask: Ask<'_>,
        listing: Listing,
        at: Option<u64>,
        consistency: Consistency,
    ) -> Result<(Ending, Option<NextPage>)> {
        let mut request = consistent(self.http.get(format!("{}/v1/kv", ask.door)), consistency);
        request = request.query(&[("prefix", &*listing.prefix), ("start", &*listing.start)]);
        if let Some(end) = &listing.end {
            request = request.query(&[("end", &**end)]);
        }
        request = match listing.order {
            Order::Ascending => request,
            Order::Descending => request.query(&[("reverse", "true")]),
        };
        if let Some(revision) = at {
            request = request.query(&[("revision", revision)]);
        }
        self.page(ask, request, listing, at, consistency).await
    }

    /// Reads the page after another, which must be of the same revision: a replica that
    /// is read locally waits until it has that.
    ///
    /// # Errors
    /// When the answer is none that the API allows.
    pub async fn next_page(
        &self,
        ask: Ask<'_>,
        next: NextPage,
        consistency: Consistency,
    ) -> Result<(Ending, Option<NextPage>)> {
        let NextPage { listing, revision, cursor } = next;
        let request = consistent(self.http.get(format!("{}/v1/kv", ask.door)), consistency)
            .query(&[("cursor", cursor)]);
        let consistency = match consistency {
            Consistency::Linearizable => Consistency::Linearizable,
            Consistency::Local { at_least } => {
                Consistency::Local { at_least: at_least.max(revision) }
            }
        };
        self.page(ask, request, listing, Some(revision), consistency).await
    }

    async fn page(
        &self,
        ask: Ask<'_>,
        request: RequestBuilder,
        listing: Listing,
        at: Option<u64>,
        consistency: Consistency,
    ) -> Result<(Ending, Option<NextPage>)> {
        let request = match listing.limit {
            Some(limit) => request.query(&[("limit", limit)]),
            None => request.header("accept", "application/x-ndjson"),
        };
        let (ending, heard) = self
            .hear(ask, Call::List { listing: listing.clone(), at, consistency }, request)
            .await?;
        let Ending::Answered { revision, answer: Answer::Listed(page), .. } = &ending else {
            return Ok((ending, None));
        };
        let next = listing.next(page).zip(heard.cursor());
        let next = next.map(|(listing, cursor)| NextPage { listing, revision: *revision, cursor });
        Ok((ending, next))
    }

    /// Writes a unique value, with so many bytes of padding.
    ///
    /// # Errors
    /// When the answer is none that the API allows.
    pub async fn put(
        &self,
        ask: Ask<'_>,
        key: &str,
        guard: Guard,
        padding: usize,
    ) -> Result<Ending> {
        let value = format!("{}.{}", self.unique(), "x".repeat(padding));
        let call = Call::Put { key: Key::from(key), value: value_id(value.as_bytes()), guard };
        let request = self.http.put(format!("{}/v1/kv/{key}", ask.door)).body(value);
        self.record(ask, call, guarded(request, guard)).await
    }

    /// Deletes a key.
    ///
    /// # Errors
    /// When the answer is none that the API allows.
    pub async fn delete(&self, ask: Ask<'_>, key: &str, guard: Guard) -> Result<Ending> {
        let request = self.http.delete(format!("{}/v1/kv/{key}", ask.door));
        self.record(ask, Call::Delete { key: Key::from(key), guard }, guarded(request, guard)).await
    }

    /// Deletes all keys below a prefix.
    ///
    /// # Errors
    /// When the answer is none that the API allows.
    pub async fn delete_prefix(&self, ask: Ask<'_>, prefix: &str) -> Result<Ending> {
        let request = self.http.delete(format!("{}/v1/kv", ask.door)).query(&[("prefix", prefix)]);
        self.record(ask, Call::DeletePrefix { prefix: Key::from(prefix) }, request).await
    }

    /// Everything recorded so far. To be asked for when no operation is under way.
    #[must_use]
    pub fn history(&self) -> Vec<Operation> {
        self.lock().operations.clone()
    }

    /// When a mutation was acknowledged, each time; since the recorder was made, in
    /// order.
    #[must_use]
    pub fn acknowledged(&self) -> Vec<Duration> {
        self.lock().acknowledged.clone()
    }

    /// How many mutations were acknowledged.
    #[must_use]
    pub fn acknowledgements(&self) -> usize {
        self.lock().acknowledged.len()
    }

    /// The time on the recorder's clock.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// The operation that a command in the log stems from, by the identity of its trace;
    /// none: of no client of this recorder.
    #[must_use]
    pub fn operation_of(&self, trace_id: [u8; 16]) -> Option<OperationId> {
        let trace = u128::from_be_bytes(trace_id);
        let (nonce, id) =
            (u64::try_from(trace >> 64).ok()?, u64::try_from(trace & u128::from(u64::MAX)).ok()?);
        (nonce == self.nonce).then_some(OperationId(id))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Recorded> {
        self.recorded.lock().expect("no panic under the lock")
    }

    fn unique(&self) -> u64 {
        let mut next = self.next.lock().expect("no panic under the lock");
        *next += 1;
        *next
    }

    async fn record(&self, ask: Ask<'_>, call: Call, request: RequestBuilder) -> Result<Ending> {
        Ok(self.hear(ask, call, request).await?.0)
    }

    async fn hear(
        &self,
        ask: Ask<'_>,
        call: Call,
        request: RequestBuilder,
    ) -> Result<(Ending, HttpOutcome)> {
        let id = self.unique();
        let trace = u128::from(self.nonce) << 64 | u128::from(id);
        let request = request
            .header("traceparent", format!("00-{trace:032x}-{id:016x}-01"))
            .header("synod-timeout", format!("{}ms", ask.timeout.as_millis()))
            .timeout(ask.timeout + GRACE);
        let called = self.nanoseconds();
        let heard = hear(request).await;
        let at = self.nanoseconds();
        let ending = heard
            .ending(&call, at)
            .with_context(|| format!("operation {id} at {}: {call:?}", ask.door))?;
        let mut recorded = self.lock();
        if call.is_mutation()
            && matches!(ending, Ending::Answered { answer: Answer::Put | Answer::Deleted(_), .. })
        {
            recorded.acknowledged.push(Duration::from_nanos(at));
        }
        recorded.operations.push(Operation {
            id: OperationId(id),
            called,
            call,
            ending: ending.clone(),
        });
        Ok((ending, heard))
    }

    fn nanoseconds(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).expect("a test ends within 500 years")
    }
}

fn consistent(request: RequestBuilder, consistency: Consistency) -> RequestBuilder {
    match consistency {
        Consistency::Linearizable => request,
        Consistency::Local { at_least: 0 } => request.query(&[("consistency", "local")]),
        Consistency::Local { at_least } => {
            request.query(&[("consistency", "local")]).header("synod-min-revision", at_least)
        }
    }
}

fn guarded(request: RequestBuilder, guard: Guard) -> RequestBuilder {
    match guard {
        Guard::Always => request,
        Guard::Revision(revision) => request.header("if-match", format!("\"{revision}\"")),
        Guard::Exists => request.header("if-match", "*"),
        Guard::Absent => request.header("if-none-match", "*"),
    }
}
