//! Leases: `POST /v1/leases`, `GET /v1/leases`, and `GET`, `DELETE` and `POST …/renew` of
//! one.

use std::io;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;
use schemars::JsonSchema;
use serde::Serialize;
use shared::deadline::Deadline;
use shared::fields::refuse_but_json;
use shared::ids::{LeaseId, Revision};
use shared::page::PageLimits;
use shared::query::Query;
use shared::wire::{self, BodyLimit, read_in_time};

use super::App;
use super::authorize::{Caller, Reading, TokenHolder};
use super::mutate::{finish, refuse_unsupported, submit};
use super::mutation::{Gone, Granted, Renewed, no_such_lease};
use super::openapi::content::{json, lines, sent};
use super::openapi::{self, Entry, field};
use super::paging::{KEYS, PIECE_TIME, Paging, Piece, Source};
use super::reading::released;
use super::refused::Refused;
use super::shown::{NotShown, Rest, Rows};
use crate::http::request::parameter::{CONSISTENCY, CURSOR, LEASE_ID, LIMIT, Parameter};
use crate::http::request::path::text_of;
use crate::http::request::tenure::{Cursor, Grant, body_of, lease_of_path, wrong_cursor};
use crate::machine::access::policy::{ClusterRight, Right};
use crate::machine::command::Op;
use crate::machine::leases::{Lease, LeaseOp};
use crate::store::{TenurePage, TenureQuery};

/// The longest body of a request about leases or locks.
pub(super) const BODY: BodyLimit = BodyLimit { what: "body", bytes: 4 << 10 };

/// The parameters of a list.
const PAGED: [Parameter; 3] = [CONSISTENCY, LIMIT, CURSOR];

/// What the contract says of them.
pub(super) fn entries() -> Vec<Entry> {
    let lease = || RenderedLease { id: LeaseId(41), ttl_ms: 5_000, remaining_ms: 4_200 };
    let (revision, keys) = (Revision(42), vec!["workers/a".to_owned()]);
    let whole = RenderedWhole { lease: lease(), keys, revision, next: None };
    let page = RenderedPage { items: vec![lease()], revision, next: None };
    let of_lease = |entry: Entry| entry.of(LEASE_ID).refused(&[404]);
    let revoke = ("revokeLease", "Ends a lease, and deletes its keys.");
    let renew = ("renewLease", "Has a lease's time begin again.");
    vec![
        openapi::mutation("post", "/v1/leases", ("grantLease", "Grants a lease."))
            .takes([sent::<Grant>(serde_json::json!({"ttl_ms": 5_000}))])
            .answers(201, "It began.", [json(&Granted::example())])
            .says(&[field::LOCATION]),
        openapi::read("get", "/v1/leases", ("leases", "Lists leases.")).query(&PAGED).answers(
            200,
            "A page, or all as a stream.",
            [json(&page), lines(&page.items[0])],
        ),
        of_lease(openapi::read("get", "/v1/leases/{id}", ("lease", "Reads a lease.")))
            .query(&PAGED)
            .answers(200, "It, and its keys.", [json(&whole)]),
        of_lease(openapi::mutation("delete", "/v1/leases/{id}", revoke))
            .answers(200, "They do not exist.", [json(&Gone::example(2))])
            .refused(&[410]),
        of_lease(openapi::mutation("post", "/v1/leases/{id}/renew", renew)).answers(
            200,
            "It did.",
            [json(&Renewed::example())],
        ),
    ]
}

/// `POST /v1/leases`.
pub(super) async fn grant(State(app): State<Arc<App>>, request: Request) -> Response {
    finish(grant_answer(&app, request).await)
}

/// `POST /v1/leases/{id}/renew`.
pub(super) async fn renew(State(app): State<Arc<App>>, parts: Parts) -> Response {
    finish(change_answer(&app, parts, "/renew", |lease| LeaseOp::Renew { lease }).await)
}

/// `DELETE /v1/leases/{id}`.
pub(super) async fn revoke(State(app): State<Arc<App>>, parts: Parts) -> Response {
    finish(change_answer(&app, parts, "", |lease| LeaseOp::Revoke { lease }).await)
}

/// `GET /v1/leases/{id}`.
pub(super) async fn get(State(app): State<Arc<App>>, parts: Parts) -> Response {
    get_answer(&app, &parts).await.into_response()
}

/// `GET /v1/leases`.
pub(super) async fn list(State(app): State<Arc<App>>, parts: Parts) -> Response {
    list_answer(&app, &parts).await.into_response()
}

async fn grant_answer(app: &App, request: Request) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    let deadline = Deadline::of(&parts.headers)?;
    Query::parse(parts.uri.query(), &[])?;
    refuse_but_json(&parts.headers, "the body")?;
    refuse_unsupported(&parts.headers)?;
    let body = read_in_time(body, BODY, deadline).await?;
    let Grant { ttl_ms } = body_of::<Grant>(&body)?.checked()?;
    submit(app, &parts, Op::Lease(LeaseOp::Grant { ttl_ms }), deadline).await
}

async fn change_answer(
    app: &App,
    parts: Parts,
    tail: &str,
    op: fn(LeaseId) -> LeaseOp,
) -> Result<Response, Refused> {
    let deadline = Deadline::of(&parts.headers)?;
    Query::parse(parts.uri.query(), &[])?;
    let lease = lease_of_path(parts.uri.path(), tail)?;
    refuse_unsupported(&parts.headers)?;
    submit(app, &parts, Op::Lease(op(lease)), deadline).await
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Lease")]
struct RenderedLease {
    id: LeaseId,
    ttl_ms: u64,
    remaining_ms: u64,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LeaseWithKeys")]
struct RenderedWhole {
    #[serde(flatten)]
    lease: RenderedLease,
    keys: Vec<String>,
    revision: Revision,
    next: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Leases")]
struct RenderedPage {
    items: Vec<RenderedLease>,
    revision: Revision,
    next: Option<String>,
}

fn rendered(app: &App, page: &TenurePage, (id, lease): &(LeaseId, Lease)) -> RenderedLease {
    let time_ms = app.driver.published().time_ms().max(page.time_ms);
    let (ttl_ms, remaining_ms) = (lease.ttl_ms, lease.remaining_ms(time_ms));
    RenderedLease { id: *id, ttl_ms, remaining_ms }
}

async fn get_answer(app: &App, parts: &Parts) -> Result<Response, Refused> {
    let query = Query::parse(parts.uri.query(), &PAGED)?;
    let id = lease_of_path(parts.uri.path(), "")?;
    let after = match Cursor::of(&query)? {
        None => Bytes::new(),
        Some(Cursor::Keys(of, after)) if of == id => after,
        Some(_) => return Err(wrong_cursor().into()),
    };
    let paging = Paging::page_of(app, &query, KEYS)?;
    let released = released(app, &parts.headers, &query).await?;
    let asked = TenureQuery::Lease { id, after, page: paging.first() };
    let page = app.reader.tenure(asked).await?;
    let caller = released.permit(app, &parts.headers, |_| Ok(())).await?;
    // Another's is none.
    let found = page.leases.first().filter(|(_, lease)| may_see(&caller, lease));
    let Some(found) = found else {
        return Err(no_such_lease(id).with_revision(page.revision).into());
    };
    let last = page.keys.last().filter(|_| page.has_more);
    let next = last.map(|last| Cursor::Keys(id, last.clone()).encode());
    let mut response = wire::json(&RenderedWhole {
        lease: rendered(app, &page, found),
        keys: page
            .keys
            .iter()
            .filter(|key| may_list(&caller, key))
            .map(|key| text_of(key))
            .collect(),
        revision: page.revision,
        next: next.clone(),
    });
    if let Some(cursor) = next {
        paging.link_next(response.headers_mut(), &format!("/v1/leases/{id}?cursor={cursor}"));
    }
    released.describe(response.headers_mut(), page.revision);
    Ok(response)
}

async fn list_answer(app: &Arc<App>, parts: &Parts) -> Result<Response, Refused> {
    let query = Query::parse(parts.uri.query(), &PAGED)?;
    let after = match Cursor::of(&query)? {
        None => LeaseId(0),
        Some(Cursor::Leases(after)) => after,
        Some(_) => return Err(wrong_cursor().into()),
    };
    let paging = Paging::of(app, &parts.headers, &query, KEYS)?;
    let deadline = Deadline::of(&parts.headers)?;
    let released = released(app, &parts.headers, &query).await?;
    let caller = released.permit(app, &parts.headers, |_| Ok(())).await?;
    let reading = Reading::new(caller, &app.driver);
    let (rows, reader) = (Leases(Arc::clone(app)), app.reader.clone());
    let mut rest = Rest { rows, reader, reading, after: Some(after) };
    let page = rest.page(paging.first(), deadline).await.map_err(|why| why.refused(app))?;
    let revision = page.revision;
    let mut response = if paging.streaming {
        paging.stream(piece(app, &page), rest)
    } else {
        let last = page.leases.last().filter(|_| page.has_more).map(|(last, _)| *last);
        if last.is_none() && page.has_more {
            return Err(NotShown::Late.refused(app));
        }
        let next = last.map(|last| Cursor::Leases(last).encode());
        let items = page.leases.iter().map(|lease| rendered(app, &page, lease)).collect();
        let mut response = wire::json(&RenderedPage { items, revision, next: next.clone() });
        if let Some(cursor) = next {
            paging.link_next(response.headers_mut(), &format!("/v1/leases?cursor={cursor}"));
        }
        response
    };
    released.describe(response.headers_mut(), revision);
    Ok(response)
}

/// All leases.
struct Leases(Arc<App>);

impl Rows for Leases {
    type Row = (LeaseId, Lease);
    type Place = LeaseId;

    fn after(&self, place: Option<LeaseId>, page: PageLimits) -> TenureQuery {
        TenureQuery::Leases { after: place.unwrap_or_default(), page }
    }

    fn of(page: &mut TenurePage) -> &mut Vec<(LeaseId, Lease)> {
        &mut page.leases
    }

    fn place((id, _): &(LeaseId, Lease)) -> LeaseId {
        *id
    }

    fn may_see(caller: &Caller, (_, lease): &(LeaseId, Lease)) -> bool {
        may_see(caller, lease)
    }
}

fn piece(app: &App, page: &TenurePage) -> Piece {
    Piece::of(page.leases.iter().map(|lease| rendered(app, page, lease)))
}

/// Its own, or all where it operates the cluster.
fn may_see(caller: &Caller, lease: &Lease) -> bool {
    match caller {
        Caller::Anyone => true,
        Caller::Token(TokenHolder { by, granted, .. }) => {
            lease.owner == Some(*by) || granted.cluster().has(ClusterRight::Operate)
        }
    }
}

/// The names of keys are for those who may list them.
fn may_list(caller: &Caller, key: &[u8]) -> bool {
    caller.granted().is_none_or(|granted| granted.at(key).has(Right::List))
}

impl Source for Rest<Leases> {
    async fn next(&mut self, limits: PageLimits) -> io::Result<Option<Piece>> {
        if self.after.is_none() {
            return Ok(None);
        }
        let page = self.page(limits, Deadline::after(PIECE_TIME)).await?;
        Ok(Some(piece(&self.rows.0, &page)))
    }
}
