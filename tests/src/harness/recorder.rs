//! A client that remembers everything: what it asked for and when, what it heard and
//! when.
//!
//! Every operation is a trace of its own, and the log keeps the trace of each command: so
//! an executed command names the operation that it stems from, a deletion too. Every
//! value is unique. What comes of it is a history as
//! [`linearizability`](crate::linearizability) takes it.
//!
//! An answer that the API does not allow ends the test.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use replica::machine::command::Command;
use reqwest::RequestBuilder;
use shared::message::ChosenEntry;

use crate::operations::http::{Response, request, send};
use crate::operations::{
    Answer, Call, Consistency, Guard, Key, Listing, Operation, OperationId, Outcome, Time, Value,
    command,
};

/// What a client says of its patience when nothing else is said. Shorter than the API's
/// default, so that one client finds out more during a fault.
pub const TIMEOUT: Duration = Duration::from_secs(3);

/// How long a client waits for an answer beyond the time that it granted: the service may
/// be stopped or cut off.
const GRACE: Duration = Duration::from_secs(1);

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
    /// Tells its operations from those of others.
    nonce: u64,
    next: Mutex<u64>,
    recorded: Mutex<Recorded>,
    /// The beginning of the log, which the cluster may drop.
    log: Mutex<Vec<ChosenEntry>>,
}

impl Recorder {
    /// One that has recorded nothing.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(seed: u64) -> Result<Arc<Self>> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let digest = blake3::hash(&seed.to_le_bytes());
        let nonce = u64::from_le_bytes(*digest.as_bytes().first_chunk().context("32 bytes")?);
        let (next, recorded, log) = (Mutex::new(1), Mutex::default(), Mutex::default());
        Ok(Arc::new(Self { http, started: Instant::now(), nonce, next, recorded, log }))
    }

    /// Asks a service for something.
    ///
    /// # Errors
    /// When the answer is none that the API allows.
    pub async fn perform(&self, ask: Ask<'_>, call: Call) -> Result<Outcome> {
        let request = request(&self.http, ask.door, &call, None);
        Ok(self.record(ask, call, request).await?.0)
    }

    /// Writes a short value.
    ///
    /// # Errors
    /// When the answer is none that the API allows.
    pub async fn put(&self, ask: Ask<'_>, key: &str, guard: Guard) -> Result<Outcome> {
        let value = self.value(0);
        self.perform(ask, Call::Put { key: Key::from(key), value, guard }).await
    }

    /// Asks for a listing: its first page, or all of it as a stream where it has no
    /// limit. Then says where it goes on.
    ///
    /// # Errors
    /// When the answer is none that the API allows.
    pub async fn list(
        &self,
        ask: Ask<'_>,
        listing: Listing,
        at: Option<u64>,
        consistency: Consistency,
    ) -> Result<(Outcome, Option<NextPage>)> {
        let call = Call::List { listing: listing.clone(), at, consistency };
        let request = request(&self.http, ask.door, &call, None);
        let (outcome, response) = self.record(ask, call, request).await?;
        let next = next_page(&listing, &outcome, &response);
        Ok((outcome, next))
    }

    /// Reads the page after another, which must be of the same revision: a replica that
    /// is read locally waits until it has that, without being told.
    ///
    /// # Errors
    /// When the answer is none that the API allows.
    pub async fn next_page(
        &self,
        ask: Ask<'_>,
        next: NextPage,
        consistency: Consistency,
    ) -> Result<(Outcome, Option<NextPage>)> {
        let NextPage { listing, revision, cursor } = next;
        let at = Some(revision);
        let asked = Call::List { listing: listing.clone(), at, consistency };
        let request = request(&self.http, ask.door, &asked, Some(&cursor));
        let consistency = match consistency {
            Consistency::Linearizable => Consistency::Linearizable,
            Consistency::Local { at_least } => {
                Consistency::Local { at_least: at_least.max(revision) }
            }
        };
        let call = Call::List { listing: listing.clone(), at, consistency };
        let (outcome, response) = self.record(ask, call, request).await?;
        let next = next_page(&listing, &outcome, &response);
        Ok((outcome, next))
    }

    /// A value of so many bytes that nobody has written.
    #[must_use]
    pub fn value(&self, bytes: usize) -> Value {
        Value::new(self.unique(), bytes)
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

    /// Remembers the log from its beginning, as far as it is known.
    pub fn keep_log(&self, log: Vec<ChosenEntry>) {
        *self.log.lock().expect("no panic under the lock") = log;
    }

    /// The beginning of the log that was kept last.
    #[must_use]
    pub fn kept_log(&self) -> Vec<ChosenEntry> {
        self.log.lock().expect("no panic under the lock").clone()
    }

    /// The time on the recorder's clock.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// The operation that a command in the log stems from; none: of no client of this
    /// recorder.
    #[must_use]
    pub fn operation_of(&self, command: &Command) -> Option<OperationId> {
        command::operation(command, self.nonce)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Recorded> {
        self.recorded.lock().expect("no panic under the lock")
    }

    fn unique(&self) -> u64 {
        let mut next = self.next.lock().expect("no panic under the lock");
        *next += 1;
        *next
    }

    async fn record(
        &self,
        ask: Ask<'_>,
        call: Call,
        request: RequestBuilder,
    ) -> Result<(Outcome, Response)> {
        let id = OperationId(self.unique());
        let request = request
            .header("traceparent", traceparent(self.nonce, id))
            .header("synod-timeout", format!("{}ms", ask.timeout.as_millis()))
            .timeout(ask.timeout + GRACE);
        let called = self.nanoseconds();
        let response = send(request).await;
        let returned = self.nanoseconds();
        let outcome =
            response.outcome(&call).with_context(|| format!("{id:?} at {}: {call:?}", ask.door))?;
        let mut recorded = self.lock();
        if outcome.is_acknowledged() {
            recorded.acknowledged.push(Duration::from_nanos(returned));
        }
        recorded.operations.push(Operation {
            id,
            called,
            call,
            returned,
            outcome: outcome.clone(),
        });
        Ok((outcome, response))
    }

    fn nanoseconds(&self) -> Time {
        u64::try_from(self.started.elapsed().as_nanos()).expect("a test ends within 500 years")
    }
}

fn traceparent(nonce: u64, operation: OperationId) -> String {
    let trace = command::trace(nonce, operation);
    let (trace_id, span_id) =
        (u128::from_be_bytes(trace.trace_id), u64::from_be_bytes(trace.span_id));
    format!("00-{trace_id:032x}-{span_id:016x}-{:02x}", trace.flags)
}

fn next_page(listing: &Listing, outcome: &Outcome, response: &Response) -> Option<NextPage> {
    let Outcome::Answered { revision, answer: Answer::Listed(page) } = outcome else { return None };
    let (listing, cursor) = listing.next(page).zip(response.cursor())?;
    Some(NextPage { listing, revision: *revision, cursor })
}
