//! `GET /v1/snapshot`: the whole state as one file, which a client that was cut off goes on
//! with where it was; and `GET /v1/replication/snapshot?cluster=`, the same for another
//! replica of the cluster.
//!
//! A snapshot is a file of the replica that made it, and its entity tag names that replica.
//! Whoever asks another one for the rest, as behind a balancer, gets it from there through
//! that one.

use std::io::SeekFrom;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt as _, TryStreamExt as _};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use shared::client::Peer;
use shared::config::BaseUrl;
use shared::deadline::SNAPSHOT_WAIT;
use shared::message::{Member, Service, same_cluster};
use shared::problem::{Problem, REVISION};
use shared::query::Query;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;

use super::App;
use super::authorize::{EVERYTHING, Reading, TokenHolder};
use super::openapi::content::binary;
use super::openapi::{self, Entry, field};
use super::reading::released;
use super::refused::Refused;
use super::replication::{CLUSTER, cluster_of};
use crate::http::request::parameter::{CONSISTENCY, IF_RANGE, RANGE};
use crate::http::request::range::{Part, Range, if_range};
use crate::machine::access::authorize::Denied;
use crate::machine::access::policy::ClusterRight;
use crate::snapshot::{Kept, MakeError, NoSnapshot, Tag};

/// The media type of an SQLite file, as registered.
const SQLITE: &str = "application/vnd.sqlite3";
/// The digest of the whole file, whatever part of it is sent (RFC 9530).
const DIGEST: HeaderName = HeaderName::from_static("repr-digest");
/// So much is read of the file at once. Bytes.
const PIECE: usize = 64 << 10;
/// What an answer of another replica says that is passed on.
const PASSED_ON: [HeaderName; 7] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::ACCEPT_RANGES,
    header::ETAG,
    DIGEST,
    REVISION,
];

/// What the contract says of it.
pub(super) fn entries() -> Vec<Entry> {
    let file = || [binary(SQLITE, "SQLite format 3\u{0}")];
    vec![
        openapi::read("get", "/v1/snapshot", ("snapshot", "The whole state as one SQLite file."))
            .query(&[CONSISTENCY])
            .headers(&[RANGE, IF_RANGE])
            .answers(200, "All of it.", file())
            .answers(206, "A part of the one that If-Range names.", file())
            .says(&[field::ETAG, field::DIGEST, field::ACCEPT_RANGES, field::CONTENT_RANGE])
            .refused(&[416, 507]),
    ]
}

/// Answers it.
pub(super) async fn snapshot(State(app): State<Arc<App>>, parts: Parts) -> Response {
    answer(&app, &parts).await.into_response()
}

async fn answer(app: &App, parts: &Parts) -> Result<Response, Refused> {
    let query = Query::parse(parts.uri.query(), &[CONSISTENCY])?;
    let released = released(app, &parts.headers, &query).await?;
    let caller = released.permit(app, &parts.headers, needed).await?;
    // What is sent breaks off when whoever asked may not have it any more.
    let lost = Reading::new(caller, &app.driver).lost(needed);
    let response = may_be_resumed(app, parts).await?;
    Ok(response.map(|body| Body::from_stream(body.into_data_stream().take_until(Box::pin(lost)))))
}

async fn may_be_resumed(app: &App, parts: &Parts) -> Result<Response, Refused> {
    if let Some((range, tag)) = resumed(&parts.headers)? {
        if let Some(kept) = app.snapshots.tagged(&tag) {
            let wanted = range.within(kept.made.bytes)?;
            return part(kept, wanted).await;
        }
        if let Some(answer) = relayed(app, parts, &tag).await {
            return Ok(answer);
        }
    }
    // What is published may be older than what the request was released for.
    let present = app.reader.extent().await?.present;
    let executed_below = app.driver.published().status.executed_below;
    let kept = app.snapshots.of(executed_below, present).await?;
    let whole = Part { from: 0, bytes: kept.made.bytes };
    part(kept, whole).await
}

/// The part that is asked for, and of which snapshot.
fn resumed(headers: &HeaderMap) -> Result<Option<(Range, Tag)>, Problem> {
    let (range, tag) = (Range::of(headers)?, if_range(headers)?);
    Ok(range.zip(tag.and_then(Tag::read)))
}

/// It has everything, also the hashes of all secrets.
fn needed(holder: &TokenHolder) -> Result<(), Denied> {
    holder.granted.need_cluster(ClusterRight::Operate)?;
    holder.granted.need_whole(EVERYTHING, "")
}

/// Answers another replica.
pub(super) async fn for_replica(State(app): State<Arc<App>>, parts: Parts) -> Response {
    answer_replica(&app, &parts).await.into_response()
}

async fn answer_replica(app: &App, parts: &Parts) -> Result<Response, Refused> {
    let query = Query::parse(parts.uri.query(), &[CLUSTER])?;
    let theirs = cluster_of(&query)?;
    let resumed = resumed(&parts.headers)?;
    let status = app.driver.published().status.clone();
    same_cluster(status.cluster, theirs).map_err(Problem::of_cluster)?;
    if !status.is_history_confirmed {
        return Err(Refused::HistoryUnconfirmed);
    }
    if let Some((range, tag)) = resumed
        && let Some(kept) = app.snapshots.tagged(&tag)
    {
        let wanted = range.within(kept.made.bytes)?;
        return part(kept, wanted).await;
    }
    let kept = app.snapshots.of(status.executed_below, status.revision).await?;
    let whole = Part { from: 0, bytes: kept.made.bytes };
    part(kept, whole).await
}

/// The part of a snapshot that is wanted; its file stays until all is sent.
async fn part(kept: Arc<Kept>, part: Part) -> Result<Response, Refused> {
    let failed = |error| NoSnapshot::from(MakeError::from(error));
    let mut file = tokio::fs::File::open(&kept.path).await.map_err(failed)?;
    file.seek(SeekFrom::Start(part.from)).await.map_err(failed)?;
    let pieces = ReaderStream::with_capacity(file.take(part.bytes), PIECE);
    let (total, held) = (kept.made.bytes, Arc::clone(&kept));
    let body = Body::from_stream(pieces.inspect_ok(move |_| {
        held.touch();
    }));
    let mut response = Response::new(body);
    let text = |text: String| HeaderValue::try_from(text).expect("visible ASCII");
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(SQLITE));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(part.bytes));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::ETAG, text(kept.tag.etag()));
    headers.insert(DIGEST, text(format!("sha-256=:{}:", STANDARD.encode(kept.made.digest))));
    headers.insert(REVISION, HeaderValue::from(kept.made.revision.0));
    if part.bytes < total {
        let last = part.from + part.bytes - 1;
        headers.insert(header::CONTENT_RANGE, text(format!("bytes {}-{last}/{total}", part.from)));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// The answer of the replica that the tag names, where it is another one and answers.
async fn relayed(app: &App, parts: &Parts, tag: &Tag) -> Option<Response> {
    if tag.replica == app.name {
        return None;
    }
    let is_named =
        |member: &&Member| member.service == Service::Replica && member.name == tag.replica;
    let url = app.members.borrow().iter().find(is_named)?.url.clone();
    let url: BaseUrl = url.parse().ok()?;
    let mut fields = HeaderMap::new();
    for name in [header::RANGE, header::IF_RANGE] {
        fields.insert(name.clone(), parts.headers.get(name)?.clone());
    }
    if let Some(token) = parts.headers.get(header::AUTHORIZATION) {
        fields.insert(header::AUTHORIZATION, token.clone());
    }
    // As new as was asked for here.
    let path = parts.uri.path_and_query()?.as_str();
    let theirs = match Peer::of(Service::Replica, url).open(path, fields, SNAPSHOT_WAIT).await {
        Ok(theirs) => theirs,
        Err(error) => {
            tracing::debug!(replica = %tag.replica, %error, "its snapshot cannot be had");
            return None;
        }
    };
    // One that it has not any more is as good made here.
    if theirs.status() == StatusCode::OK {
        return None;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = theirs.status();
    for name in PASSED_ON {
        if let Some(value) = theirs.headers().get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    *response.body_mut() = Body::new(theirs.into_body());
    Some(response)
}
