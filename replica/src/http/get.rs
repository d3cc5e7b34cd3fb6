//! `GET /v1/kv/{key}`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use shared::ids::Revision;
use shared::problem::Problem;
use shared::query::Query;

use super::App;
use super::openapi::content::text;
use super::openapi::{self, Entry, field};
use super::reading::{Released, released};
use super::refused::Refused;
use crate::http::request::conditions::{ReadConditions, Verdict, etag};
use crate::http::request::parameter::{
    CONSISTENCY, IF_MATCH, IF_NONE_MATCH, KEY, Parameter, REVISION,
};
use crate::http::request::path::{key_of_path, text_of};
use crate::machine::access::authorize::Denied;
use crate::machine::access::granted::Granted;
use crate::machine::access::policy::Right;
use crate::store::Item;

/// Where it is asked for.
pub(super) const ROUTE: &str = "/v1/kv/{*key}";

const PARAMETERS: [Parameter; 2] = [CONSISTENCY, REVISION];

/// What the contract says of it.
pub(super) fn entries() -> Vec<Entry> {
    let read = |method, id, summary| {
        openapi::read(method, "/v1/kv/{key}", (id, summary))
            .of(KEY)
            .query(&PARAMETERS)
            .headers(&[IF_NONE_MATCH, IF_MATCH])
            .answers(304, "It is what the caller has.", [])
            .refused(&[404, 410, 412])
    };
    let of_key = [field::ETAG, field::CREATED_REVISION, field::VERSION, field::LEASE];
    let get = read("get", "get", "Reads a key.");
    let head = read("head", "head", "Reads what is known of a key.");
    vec![
        get.answers(200, "The bytes.", [text("*/*", "port=80")]).says(&of_key),
        head.answers(200, "The headers.", []).says(&of_key),
    ]
}

/// Answers it.
pub(super) async fn get(State(app): State<Arc<App>>, parts: Parts) -> Response {
    answer(&app, &parts).await.into_response()
}

pub(super) async fn answer(app: &App, parts: &Parts) -> Result<Response, Refused> {
    let query = Query::parse(parts.uri.query(), &PARAMETERS)?;
    let key = key_of_path(parts.uri.path(), app.limits.key_bytes)?;
    let at: Option<Revision> = query.number("revision")?.map(Revision);
    let conditions = ReadConditions::of(&parts.headers)?;
    let released = released(app, &parts.headers, &query).await?;
    let point = app.reader.point(key.clone(), at).await;
    // In a state that is no older than what was read; and before it is said that it was not.
    let text = text_of(&key);
    released.permit(app, &parts.headers, |holder| may_read(&holder.granted, &text, at)).await?;
    let point = point?;
    let revision = at.unwrap_or(point.revision);
    let current = point.item.as_ref().map(|item| item.revision);
    let mut response = match (conditions.judge(current), point.item) {
        (Verdict::Answer, Some(item)) => found(item),
        (Verdict::NotModified, Some(item)) => not_modified(&item),
        (Verdict::Failed, _) => {
            Problem::from(Refused::ReadConditionFailed { revision, current }).into_response()
        }
        (Verdict::Answer | Verdict::NotModified, None) => {
            Problem::from(Refused::NoSuchKey { key, revision }).into_response()
        }
    };
    describe(&mut response, &released, revision);
    Ok(response)
}

fn may_read(granted: &Granted, key: &str, at: Option<Revision>) -> Result<(), Denied> {
    granted.need_at(Right::Read, key)?;
    at.map_or(Ok(()), |_| granted.need_at(Right::History, key))
}

fn describe(response: &mut Response, released: &Released, revision: Revision) {
    released.describe(response.headers_mut(), revision);
    // What is read now may be another value the next time, whatever a cache on the way
    // would guess.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
}

fn found(item: Item) -> Response {
    let mut headers = HeaderMap::with_capacity(9);
    tag(&mut headers, &item);
    // A page that somebody stored runs no script beside the console.
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    let content_type = item
        .content_type
        .and_then(|text| HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).ok());
    if let Some(content_type) = content_type {
        headers.insert(header::CONTENT_TYPE, content_type);
    }
    let mut response = Response::new(Body::from(item.value));
    *response.headers_mut() = headers;
    response
}

fn not_modified(item: &Item) -> Response {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    tag(response.headers_mut(), item);
    response
}

fn tag(headers: &mut HeaderMap, item: &Item) {
    headers.insert(
        header::ETAG,
        HeaderValue::from_str(&etag(item.revision)).expect("digits in quotation marks"),
    );
    headers.insert("synod-created-revision", HeaderValue::from(item.created_revision.0));
    headers.insert("synod-version", HeaderValue::from(item.version));
    if let Some(lease) = item.lease {
        headers.insert("synod-lease", HeaderValue::from(lease.0));
    }
}
