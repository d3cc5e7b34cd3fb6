//! Policies: `PUT`, `GET` and `DELETE` of one, and `GET /v1/policies`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use schemars::JsonSchema;
use serde::Serialize;
use shared::deadline::Deadline;
use shared::fields::refuse_but_json;
use shared::ids::Revision;
use shared::problem::Problem;
use shared::query::Query;
use shared::wire::{self, BodyLimit, read_in_time};

use super::App;
use super::mutate::{finish, refuse_conditions, refuse_unsupported, submit};
use super::mutation::AccessChanged;
use super::openapi::content::{json, sent};
use super::openapi::{self, Entry};
use super::paging::{KEYS, Paging};
use super::reading::released;
use super::refused::Refused;
use super::tokens::{PAGED, operates};
use crate::http::request::access::{Cursor, FORCE, RawPolicy, force_of, policy_of, policy_of_path};
use crate::http::request::parameter::{CONSISTENCY, POLICY, Parameter};
use crate::http::request::tenure::wrong_cursor;
use crate::machine::access::AccessOp;
use crate::machine::access::policy::{Policy, PolicyName};
use crate::machine::command::Op;

/// The longest policy: as many rules as may be, each prefix as long as may be and escaped.
const BODY: BodyLimit = BodyLimit { what: "policy", bytes: 1 << 20 };
const FORCED: [Parameter; 1] = [Parameter::flag(FORCE, "false")];

/// What the contract says of them.
pub(super) fn entries() -> Vec<Entry> {
    let rule = serde_json::json!({"prefix": "app/", "rights": ["read", "list"]});
    let wanted = serde_json::json!({"rules": [rule], "cluster": ["read"]});
    let policy = || RenderedPolicy { name: PolicyName::root(), policy: Policy::root() };
    let revision = Revision(42);
    let page = RenderedPage { items: vec![policy()], revision, next: None };
    let path = "/v1/policies/{name}";
    let (put, delete) = (("putPolicy", "Puts a policy."), ("deletePolicy", "Deletes a policy."));
    let changed = || [json(&AccessChanged::example())];
    vec![
        openapi::mutation("put", path, put)
            .of(POLICY)
            .query(&FORCED)
            .takes([sent::<RawPolicy>(wanted)])
            .answers(200, "It was replaced.", changed())
            .answers(201, "It was created.", changed())
            .refused(&[409]),
        openapi::read("get", path, ("policy", "Reads a policy."))
            .of(POLICY)
            .query(&[CONSISTENCY])
            .answers(200, "This one.", [json(&RenderedWhole { policy: policy(), revision })])
            .refused(&[404]),
        openapi::mutation("delete", path, delete)
            .of(POLICY)
            .query(&FORCED)
            .answers(200, "It does not exist.", changed())
            .refused(&[404, 409]),
        openapi::read("get", "/v1/policies", ("policies", "Lists policies."))
            .query(&PAGED)
            .answers(200, "A page, by name.", [json(&page)]),
    ]
}

/// `PUT /v1/policies/{name}`.
pub(super) async fn put(State(app): State<Arc<App>>, request: Request) -> Response {
    finish(put_answer(&app, request).await)
}

/// `DELETE /v1/policies/{name}`.
pub(super) async fn delete(State(app): State<Arc<App>>, parts: Parts) -> Response {
    finish(delete_answer(&app, parts).await)
}

/// `GET /v1/policies/{name}`.
pub(super) async fn get(State(app): State<Arc<App>>, parts: Parts) -> Response {
    get_answer(&app, &parts).await.into_response()
}

/// `GET /v1/policies`.
pub(super) async fn list(State(app): State<Arc<App>>, parts: Parts) -> Response {
    list_answer(&app, &parts).await.into_response()
}

async fn put_answer(app: &App, request: Request) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    let deadline = Deadline::of(&parts.headers)?;
    let query = Query::parse(parts.uri.query(), &FORCED)?;
    let (name, force) = (changeable(parts.uri.path())?, force_of(&query)?);
    refuse_but_json(&parts.headers, "a policy")?;
    refuse_conditions(&parts.headers, ", not about policies")?;
    refuse_unsupported(&parts.headers)?;
    let _room = app.bodies.reserve_body(&parts.headers, BODY.bytes).map_err(Refused::BodiesFull)?;
    let body = read_in_time(body, BODY, deadline).await?;
    let policy = policy_of(&body)?;
    submit(app, &parts, Op::Access(AccessOp::PutPolicy { name, policy, force }), deadline).await
}

async fn delete_answer(app: &App, parts: Parts) -> Result<Response, Refused> {
    let deadline = Deadline::of(&parts.headers)?;
    let query = Query::parse(parts.uri.query(), &FORCED)?;
    let (name, force) = (changeable(parts.uri.path())?, force_of(&query)?);
    refuse_conditions(&parts.headers, ", not about policies")?;
    refuse_unsupported(&parts.headers)?;
    submit(app, &parts, Op::Access(AccessOp::DeletePolicy { name, force }), deadline).await
}

fn changeable(path: &str) -> Result<PolicyName, Problem> {
    let name = policy_of_path(path)?;
    if name.is_root() {
        let why = "the policy \"root\" is always there, and is neither put nor deleted";
        return Err(Problem::bad_request(why));
    }
    Ok(name)
}

async fn get_answer(app: &App, parts: &Parts) -> Result<Response, Refused> {
    let query = Query::parse(parts.uri.query(), &[CONSISTENCY])?;
    let name = policy_of_path(parts.uri.path())?;
    let released = released(app, &parts.headers, &query).await?;
    released.permit(app, &parts.headers, operates).await?;
    let (revision, access) = (app.driver.published().status.revision, app.driver.access());
    let policy = if name.is_root() { Some(Policy::root()) } else { access.policy(&name).cloned() };
    let Some(policy) = policy else {
        let gone = Problem::not_found(format!("there is no policy {name}"));
        return Err(gone.with_revision(revision).into());
    };
    let whole = RenderedWhole { policy: RenderedPolicy { name, policy }, revision };
    let mut response = wire::json(&whole);
    released.describe(response.headers_mut(), revision);
    Ok(response)
}

async fn list_answer(app: &App, parts: &Parts) -> Result<Response, Refused> {
    let query = Query::parse(parts.uri.query(), &PAGED)?;
    let after = match Cursor::of(&query)? {
        None => None,
        Some(Cursor::Policies(after)) => Some(after),
        Some(Cursor::Tokens(_)) => return Err(wrong_cursor().into()),
    };
    let paging = Paging::page_of(app, &query, KEYS)?;
    let released = released(app, &parts.headers, &query).await?;
    released.permit(app, &parts.headers, operates).await?;
    let (revision, access) = (app.driver.published().status.revision, app.driver.access());
    let mut room = paging.first().begin();
    let mut policies = access
        .policies()
        .skip_while(|(name, _)| after.as_ref().is_some_and(|after| *name <= after))
        .peekable();
    let mut items = Vec::new();
    while let Some((name, policy)) = policies.next_if(|(_, policy)| room.takes(policy.size())) {
        items.push(RenderedPolicy { name: name.clone(), policy: policy.clone() });
    }
    let last = items.last().map(|last| last.name.clone());
    let next = policies.next().and(last).map(|last| Cursor::Policies(last).encode());
    let mut response = wire::json(&RenderedPage { items, revision, next: next.clone() });
    if let Some(cursor) = next {
        paging.link_next(response.headers_mut(), &format!("/v1/policies?cursor={cursor}"));
    }
    released.describe(response.headers_mut(), revision);
    Ok(response)
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "NamedPolicy")]
struct RenderedPolicy {
    name: PolicyName,
    #[serde(flatten)]
    policy: Policy,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PolicyAtRevision")]
struct RenderedWhole {
    #[serde(flatten)]
    policy: RenderedPolicy,
    revision: Revision,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Policies")]
struct RenderedPage {
    items: Vec<RenderedPolicy>,
    revision: Revision,
    next: Option<String>,
}
