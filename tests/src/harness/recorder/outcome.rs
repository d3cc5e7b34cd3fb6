//! What came back for a request, and what that says of it.

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::HeaderMap;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::Value;

use super::value_id;
use crate::linearizability::history::{Answer, Call, Ending, Key, Seen};
use crate::linearizability::listing::{Listing, Page};

/// What came back.
pub(super) enum HttpOutcome {
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

pub(super) async fn hear(request: RequestBuilder) -> HttpOutcome {
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) if error.is_connect() => return HttpOutcome::NeverSent,
        Err(_) => return HttpOutcome::Nothing,
    };
    let (status, headers) = (response.status(), response.headers().clone());
    match response.bytes().await {
        Ok(body) => HttpOutcome::Answer { status, headers, body },
        Err(_) => HttpOutcome::Nothing,
    }
}

impl HttpOutcome {
    /// How the call ended that this came back for.
    pub(super) fn ending(&self, call: &Call, at: u64) -> Result<Ending> {
        let (status, headers, body) = match self {
            Self::Answer { status, headers, body } => (*status, headers, body),
            Self::NeverSent => return Ok(Ending::NotApplied),
            Self::Nothing => return Ok(Ending::Unresolved),
        };
        // A busy machine may take longer to pass a long value on than a client is
        // patient: then it was not even read.
        if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT {
            return refused(call, status, body);
        }
        let revision = number(headers, "synod-revision")
            .with_context(|| format!("{status}: {}", text(body)))?;
        let answer = answer(call, status, headers, body, revision)?;
        Ok(Ending::Answered { at, revision, answer })
    }

    /// Where a listing goes on.
    pub(super) fn cursor(&self) -> Option<String> {
        let Self::Answer { body, .. } = self else { return None };
        let page: Value = serde_json::from_slice(body).ok()?;
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
            Answer::Read(Some(Seen { value: value_id(body), modified: etag(headers)? }))
        }
        (Call::Read { .. }, StatusCode::NOT_FOUND) => Answer::Read(None),
        (Call::List { listing, .. }, StatusCode::OK) => {
            Answer::Listed(page(listing, headers, body, revision)?)
        }
        (
            Call::Read { at: Some(_), .. } | Call::List { at: Some(_), .. },
            StatusCode::BAD_REQUEST,
        ) => Answer::NotYet,
        (Call::Put { .. }, StatusCode::OK | StatusCode::CREATED) => {
            ensure!(etag(headers)? == revision, "{headers:?}: the ETag of a put is its revision");
            Answer::Put
        }
        (Call::Delete { .. } | Call::DeletePrefix { .. }, StatusCode::OK) => {
            let said: Value = serde_json::from_slice(body).with_context(|| text(body))?;
            ensure!(said["revision"] == revision, "{said} at revision {revision}");
            Answer::Deleted(said["deleted"].as_u64().with_context(|| said.to_string())?)
        }
        (Call::Put { .. } | Call::Delete { .. }, StatusCode::PRECONDITION_FAILED) => {
            Answer::GuardFailed
        }
        (
            Call::Read { .. }
            | Call::List { .. }
            | Call::Put { .. }
            | Call::Delete { .. }
            | Call::DeletePrefix { .. },
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
    let said: Value = serde_json::from_slice(body).with_context(|| text(body))?;
    ensure!(said["revision"] == revision, "{said} at revision {revision}");
    let has_more = said["next"].is_string();
    ensure!(has_more == headers.contains_key("link"), "{headers:?} of {said}");
    let items =
        said["items"].as_array().with_context(|| format!("no items: {said}"))?.iter().map(item);
    Ok(Page { items: items.collect::<Result<_>>()?, has_more })
}

fn item(said: &Value) -> Result<(Key, Seen)> {
    let key = said["key"].as_str().with_context(|| format!("no key: {said}"))?;
    let value = said["value"].as_str().with_context(|| format!("no value: {said}"))?;
    ensure!(said["encoding"] == "utf8", "nobody wrote such bytes: {said}");
    let modified = said["revision"].as_u64().with_context(|| format!("no revision: {said}"))?;
    Ok((Key::from(key), Seen { value: value_id(value.as_bytes()), modified }))
}

/// Not now: is it a refusal that the API knows, and what does it say of a mutation?
fn refused(call: &Call, status: StatusCode, body: &[u8]) -> Result<Ending> {
    let problem: Value = serde_json::from_slice(body)
        .with_context(|| format!("{status} is not problem+json: {}", text(body)))?;
    ensure!(status != StatusCode::INTERNAL_SERVER_ERROR, "{problem}");
    if !call.is_mutation() {
        return Ok(Ending::Unresolved);
    }
    match problem["outcome"].as_str() {
        Some("not_applied") => Ok(Ending::NotApplied),
        // What was deleted was not counted in time: there is no count to be checked.
        Some("unknown" | "applied") => Ok(Ending::Unresolved),
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
