//! Operations over HTTP: how they are asked for, and what an answer says of them.
//!
//! An answer that the API does not allow is an error: a 500, a problem without an
//! outcome, a success without a revision.

mod tenure;
mod transaction;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::HeaderMap;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::Value as Json;

use crate::harness::tunnel::NEVER_SENT;

use super::{
    Answer, Call, Consistency, Guard, Key, Listing, Order, Outcome, Page, Seen, Value, Version,
};

/// What is certain of tokens is looked at by the simulation.
const WITHOUT_TOKENS: &str = "clients of services ask without tokens";

/// The request for a call at a service, by its base URL. A page after the first goes on
/// from the cursor of the one before.
pub fn request(http: &Client, door: &str, call: &Call, cursor: Option<&str>) -> RequestBuilder {
    let keys = format!("{door}/v1/kv");
    match call {
        Call::Read { key, at, consistency } => {
            read(http.get(format!("{keys}/{key}")), *at, *consistency)
        }
        Call::List { listing, at, consistency } => match cursor {
            Some(cursor) => {
                let next = http.get(keys).query(&[("cursor", cursor)]);
                paged(read(next, None, *consistency), listing)
            }
            None => paged(bounded(read(http.get(keys), *at, *consistency), listing), listing),
        },
        Call::Put { key, value, guard } => {
            guarded(http.put(format!("{keys}/{key}")).body(value.encode()), *guard)
        }
        Call::Delete { key, guard } => guarded(http.delete(format!("{keys}/{key}")), *guard),
        Call::DeletePrefix { prefix } => http.delete(keys).query(&[("prefix", &**prefix)]),
        Call::Transaction(asked) => {
            http.post(format!("{door}/v1/txn")).json(&transaction::body(asked))
        }
        Call::Append { value } => http.post(format!("{door}/v1/log")).body(value.encode()),
        Call::Rollback { prefix, to } => {
            let all = prefix.is_empty();
            let body = serde_json::json!({"prefix": &**prefix, "revision": to, "all": all});
            http.post(format!("{door}/v1/rollback")).json(&body)
        }
        Call::Tenure(asked) => tenure::request(http, door, asked),
        Call::Compact { below } => {
            let body = serde_json::json!({"revision": below});
            http.post(format!("{door}/v1/compact")).json(&body)
        }
        Call::Access(_) => unreachable!("{WITHOUT_TOKENS}"),
    }
}

fn read(request: RequestBuilder, at: Option<u64>, consistency: Consistency) -> RequestBuilder {
    let request = match consistency {
        Consistency::Linearizable => request,
        Consistency::Local { at_least: 0 } => request.query(&[("consistency", "local")]),
        Consistency::Local { at_least } => {
            request.query(&[("consistency", "local")]).header("synod-min-revision", at_least)
        }
    };
    match at {
        Some(revision) => request.query(&[("revision", revision)]),
        None => request,
    }
}

fn bounded(request: RequestBuilder, listing: &Listing) -> RequestBuilder {
    let mut request = request.query(&[("prefix", &*listing.prefix), ("start", &*listing.start)]);
    if let Some(end) = &listing.end {
        request = request.query(&[("end", &**end)]);
    }
    match listing.order {
        Order::Ascending => request,
        Order::Descending => request.query(&[("reverse", "true")]),
    }
}

/// A page of so many keys; without a limit all of them, as a stream.
fn paged(request: RequestBuilder, listing: &Listing) -> RequestBuilder {
    match listing.limit {
        Some(limit) => request.query(&[("limit", limit)]),
        None => request.header("accept", "application/x-ndjson"),
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
#[derive(Debug)]
pub enum Response {
    /// A whole answer.
    Answer {
        /// Its status.
        status: StatusCode,
        /// Its headers.
        headers: HeaderMap,
        /// Its body.
        body: Bytes,
    },
    /// The connection was refused, to us or to a tunnel: no byte of the request was sent.
    NeverSent,
    /// No answer, or not all of it.
    Nothing,
}

/// Sends a request, and waits for all of the answer.
pub async fn send(request: RequestBuilder) -> Response {
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) if error.is_connect() => return Response::NeverSent,
        Err(_) => return Response::Nothing,
    };
    let (status, headers) = (response.status(), response.headers().clone());
    if headers.contains_key(NEVER_SENT) {
        return Response::NeverSent;
    }
    match response.bytes().await {
        Ok(body) => Response::Answer { status, headers, body },
        Err(_) => Response::Nothing,
    }
}

impl Response {
    /// How the call ended that this came back for.
    ///
    /// # Errors
    /// When the API allows no such answer.
    pub fn outcome(&self, call: &Call) -> Result<Outcome> {
        let (status, headers, body) = match self {
            Self::Answer { status, headers, body } => (*status, headers, body),
            Self::NeverSent => return Ok(Outcome::NotApplied),
            Self::Nothing => return Ok(Outcome::Unknown),
        };
        // A busy machine may take longer to pass a long value on than a client is
        // patient: then it was not even read.
        if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT {
            return refused(call, status, body);
        }
        let revision = number(headers, "synod-revision")
            .with_context(|| format!("{status}: {}", text(body)))?;
        let answer = answer(call, status, headers, body, revision)?;
        Ok(Outcome::Answered { revision, answer })
    }

    /// Where a listing goes on.
    #[must_use]
    pub fn cursor(&self) -> Option<String> {
        let Self::Answer { body, .. } = self else { return None };
        let page: Json = serde_json::from_slice(body).ok()?;
        page["next"].as_str().map(str::to_owned)
    }
}

fn answer(
    call: &Call,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    revision: u64,
) -> Result<Answer> {
    Ok(match (call, status) {
        (Call::Read { .. }, StatusCode::OK) => {
            Answer::Read(Some(Seen { value: Value::decode(body), modified: etag(headers)? }))
        }
        (Call::Read { .. }, StatusCode::NOT_FOUND) => Answer::Read(None),
        (Call::List { listing, .. }, StatusCode::OK) => {
            Answer::Listed(page(listing, headers, body, revision)?)
        }
        (
            Call::Read { at: Some(_), .. }
            | Call::List { at: Some(_), .. }
            | Call::Rollback { .. }
            | Call::Compact { .. },
            StatusCode::BAD_REQUEST,
        ) => Answer::NotYet,
        (
            Call::Read { at: Some(_), .. } | Call::List { at: Some(_), .. } | Call::Rollback { .. },
            StatusCode::GONE,
        ) => {
            let said: Json = serde_json::from_slice(body).with_context(|| text(body))?;
            let oldest = said["oldest_revision"].as_u64().with_context(|| said.to_string())?;
            Answer::Gone { oldest }
        }
        (Call::Compact { .. }, StatusCode::OK) => {
            let said: Json = serde_json::from_slice(body).with_context(|| text(body))?;
            ensure!(said["revision"] == revision, "{said} at revision {revision}");
            let below = said["compacted_below"].as_u64().with_context(|| said.to_string())?;
            Answer::Compacted { below }
        }
        (Call::Put { .. }, StatusCode::OK | StatusCode::CREATED) => {
            ensure!(etag(headers)? == revision, "{headers:?}: the ETag of a put is its revision");
            Answer::Put
        }
        (Call::Delete { .. } | Call::DeletePrefix { .. }, StatusCode::OK) => {
            let said: Json = serde_json::from_slice(body).with_context(|| text(body))?;
            ensure!(said["revision"] == revision, "{said} at revision {revision}");
            Answer::Deleted(said["deleted"].as_u64().with_context(|| said.to_string())?)
        }
        (Call::Transaction(asked), StatusCode::OK) => {
            let said: Json = serde_json::from_slice(body).with_context(|| text(body))?;
            ensure!(said["revision"] == revision, "{said} at revision {revision}");
            Answer::Transaction(transaction::taken(asked, &said, revision)?)
        }
        (Call::Append { .. }, StatusCode::CREATED) => {
            let said: Json = serde_json::from_slice(body).with_context(|| text(body))?;
            ensure!(said["revision"] == revision, "{said} at revision {revision}");
            let place = headers.get("location").and_then(|value| value.to_str().ok());
            ensure!(place == Some(&format!("/v1/log/{}", said["slot"])), "{headers:?} of {said}");
            Answer::Appended
        }
        (Call::Rollback { .. }, StatusCode::OK) => {
            let said: Json = serde_json::from_slice(body).with_context(|| text(body))?;
            ensure!(said["revision"] == revision, "{said} at revision {revision}");
            let count = |name: &str| said[name].as_u64().with_context(|| said.to_string());
            Answer::RolledBack { restored: count("restored")?, deleted: count("deleted")? }
        }
        (Call::Put { .. } | Call::Delete { .. }, StatusCode::PRECONDITION_FAILED) => {
            Answer::GuardFailed
        }
        (Call::Access(_), _) => unreachable!("{WITHOUT_TOKENS}"),
        (Call::Tenure(asked), status) => Answer::Tenure(tenure::answer(asked, status, body)?),
        (
            Call::Read { .. }
            | Call::List { .. }
            | Call::Put { .. }
            | Call::Delete { .. }
            | Call::DeletePrefix { .. }
            | Call::Transaction(_)
            | Call::Append { .. }
            | Call::Rollback { .. }
            | Call::Compact { .. },
            _,
        ) => {
            bail!("answered {status}: {}", text(body))
        }
    })
}

/// A page, or a whole listing of one item a line where no limit was given.
fn page(listing: &Listing, headers: &HeaderMap, body: &[u8], revision: u64) -> Result<Page> {
    if listing.limit.is_none() {
        let lines = text(body);
        let items = lines
            .lines()
            .map(|line| item(&serde_json::from_str(line).with_context(|| line.to_owned())?));
        return Ok(Page { items: items.collect::<Result<_>>()?, has_more: false });
    }
    let said: Json = serde_json::from_slice(body).with_context(|| text(body))?;
    ensure!(said["revision"] == revision, "{said} at revision {revision}");
    let has_more = said["next"].is_string();
    ensure!(has_more == headers.contains_key("link"), "{headers:?} of {said}");
    let items =
        said["items"].as_array().with_context(|| format!("no items: {said}"))?.iter().map(item);
    Ok(Page { items: items.collect::<Result<_>>()?, has_more })
}

fn item(said: &Json) -> Result<(Key, Seen)> {
    version(said).map(|(key, version)| (key, version.into()))
}

fn version(said: &Json) -> Result<(Key, Version)> {
    let key = said["key"].as_str().with_context(|| format!("no key: {said}"))?;
    let value = said["value"].as_str().with_context(|| format!("no value: {said}"))?;
    ensure!(said["encoding"] == "utf8", "nobody wrote such bytes: {said}");
    let number = |name: &str| said[name].as_u64().with_context(|| format!("no {name}: {said}"));
    let version = Version {
        value: Value::decode(value.as_bytes()),
        modified: number("revision")?,
        created: number("created_revision")?,
        version: number("version")?,
    };
    Ok((Key::from(key), version))
}

/// Not now: is it a refusal that the API knows, and what does it say of a mutation?
fn refused(call: &Call, status: StatusCode, body: &[u8]) -> Result<Outcome> {
    let problem: Json = serde_json::from_slice(body)
        .with_context(|| format!("{status} is not problem+json: {}", text(body)))?;
    ensure!(status != StatusCode::INTERNAL_SERVER_ERROR, "{problem}");
    if !call.is_mutation() {
        return Ok(Outcome::Unknown);
    }
    match problem["outcome"].as_str() {
        Some("not_applied") => Ok(Outcome::NotApplied),
        // What was deleted was not counted in time: there is no count to be checked.
        Some("unknown" | "applied") => Ok(Outcome::Unknown),
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
