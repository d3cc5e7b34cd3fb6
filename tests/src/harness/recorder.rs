//! A client that remembers everything: what it asked for and when, what it heard and when.
//!
//! Every operation is a trace of its own, and the log keeps the trace of each command: so an executed command names the
//! operation that it stems from, a deletion too. Every value is unique. What comes of it is a history as
//! [`linearizability`](crate::linearizability) takes it.
//!
//! An answer that the API does not allow is an error and ends the test: a 500, a problem without an outcome, a success without a
//! revision.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::HeaderMap;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::Value;

use crate::linearizability::history::{Answer, Call, Consistency, Ending, Guard, Key, Operation, OperationId, Seen, ValueId};

/// What a client says of its patience when nothing else is said. Shorter than the API's default, so that one client finds out
/// more during a fault.
pub const TIMEOUT: Duration = Duration::from_secs(3);

/// How long a client waits for an answer beyond the time that it granted: the service may be stopped or cut off.
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

    /// Reads a key.
    ///
    /// # Errors
    /// When the answer is none that the API allows.
    pub async fn read(&self, ask: Ask<'_>, key: &str, consistency: Consistency) -> Result<Ending> {
        let mut request = self.http.get(format!("{}/v1/kv/{key}", ask.door));
        if let Consistency::Local { at_least } = consistency {
            request = request.query(&[("consistency", "local")]);
            if at_least > 0 {
                request = request.header("synod-min-revision", at_least);
            }
        }
        self.record(ask, Call::Read { key: Key::from(key), consistency }, request).await
    }

    /// Writes a unique value, with so many bytes of padding.
    ///
    /// # Errors
    /// When the answer is none that the API allows.
    pub async fn put(&self, ask: Ask<'_>, key: &str, guard: Guard, padding: usize) -> Result<Ending> {
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

    /// When a mutation was acknowledged, each time; since the recorder was made, in order.
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

    /// The operation that a command in the log stems from, by the identity of its trace; none: of no client of this recorder.
    #[must_use]
    pub fn operation_of(&self, trace_id: [u8; 16]) -> Option<OperationId> {
        let trace = u128::from_be_bytes(trace_id);
        let (nonce, id) = (u64::try_from(trace >> 64).ok()?, u64::try_from(trace & u128::from(u64::MAX)).ok()?);
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
        let id = self.unique();
        let trace = u128::from(self.nonce) << 64 | u128::from(id);
        let request = request
            .header("traceparent", format!("00-{trace:032x}-{id:016x}-01"))
            .header("synod-timeout", format!("{}ms", ask.timeout.as_millis()))
            .timeout(ask.timeout + GRACE);
        let called = self.nanoseconds();
        let heard = hear(request).await;
        let at = self.nanoseconds();
        let ending = ending_of(&call, heard, at).with_context(|| format!("operation {id} at {}: {call:?}", ask.door))?;
        let mut recorded = self.lock();
        if call.is_mutation() && matches!(ending, Ending::Answered { answer: Answer::Put | Answer::Deleted(_), .. }) {
            recorded.acknowledged.push(Duration::from_nanos(at));
        }
        recorded.operations.push(Operation { id: OperationId(id), called, call, ending });
        Ok(ending)
    }

    fn nanoseconds(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).expect("a test ends within 500 years")
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

/// What came back.
enum Heard {
    Answer {
        status: StatusCode,
        headers: HeaderMap,
        body: Bytes,
    },
    /// The connection was refused: no byte of the request was sent.
    NeverSent,
    /// No answer, or not all of it.
    Nothing,
}

async fn hear(request: RequestBuilder) -> Heard {
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) if error.is_connect() => return Heard::NeverSent,
        Err(_) => return Heard::Nothing,
    };
    let (status, headers) = (response.status(), response.headers().clone());
    match response.bytes().await {
        Ok(body) => Heard::Answer { status, headers, body },
        Err(_) => Heard::Nothing,
    }
}

fn ending_of(call: &Call, heard: Heard, at: u64) -> Result<Ending> {
    let (status, headers, body) = match heard {
        Heard::Answer { status, headers, body } => (status, headers, body),
        Heard::NeverSent => return Ok(Ending::NotApplied),
        Heard::Nothing => return Ok(Ending::Unresolved),
    };
    if status.is_server_error() {
        return refused(call, status, &body);
    }
    let revision = number(&headers, "synod-revision").with_context(|| format!("{status}: {}", text(&body)))?;
    let answer = match (call, status) {
        (Call::Read { .. }, StatusCode::OK) => Answer::Read(Some(Seen { value: value_id(&body), modified: etag(&headers)? })),
        (Call::Read { .. }, StatusCode::NOT_FOUND) => Answer::Read(None),
        (Call::Put { .. }, StatusCode::OK | StatusCode::CREATED) => {
            ensure!(etag(&headers)? == revision, "{headers:?}: the ETag of a put is its revision");
            Answer::Put
        }
        (Call::Delete { .. } | Call::DeletePrefix { .. }, StatusCode::OK) => {
            let said: Value = serde_json::from_slice(&body).with_context(|| text(&body))?;
            ensure!(said["revision"] == revision, "{said} at revision {revision}");
            Answer::Deleted(said["deleted"].as_u64().with_context(|| said.to_string())?)
        }
        (Call::Put { .. } | Call::Delete { .. }, StatusCode::PRECONDITION_FAILED) => Answer::GuardFailed,
        (Call::Read { .. } | Call::Put { .. } | Call::Delete { .. } | Call::DeletePrefix { .. }, _) => {
            bail!("answered {status}: {}", text(&body))
        }
    };
    Ok(Ending::Answered { at, revision, answer })
}

/// A 5xx: is it one that the API knows, and what does it say of a mutation?
fn refused(call: &Call, status: StatusCode, body: &[u8]) -> Result<Ending> {
    let problem: Value = serde_json::from_slice(body).with_context(|| format!("{status} is not problem+json: {}", text(body)))?;
    ensure!(status != StatusCode::INTERNAL_SERVER_ERROR, "{problem}");
    if !call.is_mutation() {
        return Ok(Ending::Unresolved);
    }
    match problem["outcome"].as_str() {
        Some("not_applied") => Ok(Ending::NotApplied),
        Some("unknown") => Ok(Ending::Unresolved),
        other => bail!("{status} says outcome {other:?}: {problem}"),
    }
}

fn number(headers: &HeaderMap, name: &str) -> Result<u64> {
    let value = headers.get(name).with_context(|| format!("no {name}"))?;
    value.to_str()?.parse().with_context(|| format!("{name}: {value:?}"))
}

fn etag(headers: &HeaderMap) -> Result<u64> {
    let value = headers.get("etag").context("no ETag")?.to_str()?;
    let digits = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    digits.and_then(|digits| digits.parse().ok()).with_context(|| format!("ETag: {value}"))
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}
