//! Tokens: `POST /v1/tokens` and `/v1/tokens/bootstrap`, `GET /v1/tokens`, and `GET` and
//! `DELETE` of one.
//!
//! The secret of a token is drawn by the replica that is asked for it, is told once in the
//! answer, and is nowhere else: what goes into the log is its hash.

mod bootstrap;
mod made;
mod reading;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::request::Parts;
use shared::deadline::Deadline;
use shared::fields::refuse_but_json;
use shared::ids::Revision;
use shared::problem::Problem;
use shared::query::Query;
use shared::wire::{BodyLimit, read_in_time};

use self::bootstrap::bootstrap_answer;
use self::made::{Made, Secret, made};
use self::reading::{
    RenderedHolder, RenderedPage, RenderedSelf, RenderedToken, RenderedWhole, get_answer,
    list_answer, own_answer,
};
use super::App;
use super::authorize::TokenHolder;
use super::mutate::{finish, refuse_conditions, refuse_unsupported, submit, submitted};
use super::mutation::AccessChanged;
use super::openapi::content::{json, sent};
use super::openapi::{self, Entry, field};
use super::refused::Refused;
use crate::http::request::access::{FORCE, TokenRequest, accessor_of_path, force_of, token_of};
use crate::http::request::headers::idempotency_key;
use crate::http::request::parameter::{ACCESSOR, CONSISTENCY, CURSOR, LIMIT, Parameter, TIMEOUT};
use crate::jwt::now_s;
use crate::machine::access::AccessOp;
use crate::machine::access::authorize::Denied;
use crate::machine::access::policy::{ClusterRight, Policy};
use crate::machine::command::Op;

/// The longest description of a token, with its policies.
const BODY: BodyLimit = BodyLimit { what: "body", bytes: 16 << 10 };
const FORCED: [Parameter; 1] = [Parameter::flag(FORCE, "false")];
pub(super) const PAGED: [Parameter; 3] = [CONSISTENCY, LIMIT, CURSOR];

/// What the contract says of them.
pub(super) fn entries() -> Vec<Entry> {
    let (revision, rights) = (Revision(42), Policy::default());
    let page = RenderedPage { items: vec![RenderedToken::example()], revision, next: None };
    let whole = RenderedWhole { token: RenderedToken::example(), revision };
    let holder = RenderedHolder::Token(RenderedToken::example());
    let own = RenderedSelf { holder, rights, revision };
    let wanted = serde_json::json!({"policies": ["app"], "ttl_ms": 3_600_000});
    let of_token = |entry: Entry| entry.of(ACCESSOR).refused(&[404]);
    let bootstrap = ("bootstrap", "Makes the first token, and has tokens required.");
    vec![
        openapi::read("post", "/v1/tokens", ("createToken", "Makes a token."))
            .takes([sent::<TokenRequest>(wanted)])
            .answers(201, "It, with its secret.", [json(&Made::example())])
            .says(&[field::LOCATION])
            .refused(&[409, 412, 415, 507]),
        openapi::read("get", "/v1/tokens", ("tokens", "Lists tokens.")).query(&PAGED).answers(
            200,
            "A page, by accessor.",
            [json(&page)],
        ),
        openapi::read("get", "/v1/tokens/self", ("self", "Says whose token it is that asks."))
            .query(&[CONSISTENCY])
            .answers(200, "It, and what it may do.", [json(&own)])
            .refused(&[404]),
        Entry::own("post", "/v1/tokens/bootstrap", bootstrap)
            .headers(&[TIMEOUT])
            .answers(201, "It, with its secret.", [json(&Made::example())])
            .says(&[field::LOCATION])
            .refused(&[409, 412, 415, 502, 507]),
        of_token(openapi::read("get", "/v1/tokens/{accessor}", ("token", "Reads a token.")))
            .query(&[CONSISTENCY])
            .answers(200, "This one.", [json(&whole)]),
        of_token(openapi::mutation(
            "delete",
            "/v1/tokens/{accessor}",
            ("deleteToken", "Ends a token."),
        ))
        .query(&FORCED)
        .answers(200, "It may nothing any more.", [json(&AccessChanged::example())])
        .refused(&[409]),
    ]
}

/// `POST /v1/tokens`.
pub(super) async fn create(State(app): State<Arc<App>>, request: Request) -> Response {
    finish(create_answer(&app, request).await)
}

/// `POST /v1/tokens/bootstrap`.
pub(super) async fn bootstrap(State(app): State<Arc<App>>, parts: Parts) -> Response {
    finish(bootstrap_answer(&app, parts).await)
}

/// `DELETE /v1/tokens/{accessor}`.
pub(super) async fn delete(State(app): State<Arc<App>>, parts: Parts) -> Response {
    finish(delete_answer(&app, parts).await)
}

/// `GET /v1/tokens`.
pub(super) async fn list(State(app): State<Arc<App>>, parts: Parts) -> Response {
    list_answer(&app, &parts).await.into_response()
}

/// `GET /v1/tokens/{accessor}`.
pub(super) async fn get(State(app): State<Arc<App>>, parts: Parts) -> Response {
    get_answer(&app, &parts).await.into_response()
}

/// `GET /v1/tokens/self`.
pub(super) async fn own(State(app): State<Arc<App>>, parts: Parts) -> Response {
    own_answer(&app, &parts).await.into_response()
}

/// Whoever operates the cluster may see and change who may do what in it.
pub(super) fn operates(holder: &TokenHolder) -> Result<(), Denied> {
    holder.granted.need_cluster(ClusterRight::Operate)
}

async fn create_answer(app: &App, request: Request) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    let deadline = Deadline::of(&parts.headers)?;
    Query::parse(parts.uri.query(), &[])?;
    refuse_but_json(&parts.headers, "the body")?;
    refuse_headers(&parts.headers)?;
    let body = read_in_time(body, BODY, deadline).await?;
    let TokenRequest { policies, ttl_ms, description } = token_of(&body)?;
    let secret = Secret::draw();
    let op = AccessOp::CreateToken {
        secret: secret.hash(),
        policies: policies.clone(),
        ttl_ms,
        description: description.clone(),
    };
    // It may be executed at once, and answered late.
    let expires = ttl_ms.map(|ttl_ms| now_s().saturating_add(ttl_ms / 1_000));
    let performed = submitted(app, &parts.headers, Op::Access(op), deadline).await?;
    made(performed, Some(&secret), &policies, expires)
}

/// Refuses what has no meaning where a secret is made.
fn refuse_headers(headers: &HeaderMap) -> Result<(), Problem> {
    if idempotency_key(headers)?.is_some() {
        let why = "a token is made without Idempotency-Key: its secret is told once, and could \
                   not be told again";
        return Err(Problem::bad_request(why));
    }
    refuse_conditions(headers, ", not about tokens")?;
    refuse_unsupported(headers)
}

async fn delete_answer(app: &App, parts: Parts) -> Result<Response, Refused> {
    let deadline = Deadline::of(&parts.headers)?;
    let query = Query::parse(parts.uri.query(), &FORCED)?;
    let accessor = accessor_of_path(parts.uri.path())?;
    let force = force_of(&query)?;
    refuse_conditions(&parts.headers, ", not about tokens")?;
    refuse_unsupported(&parts.headers)?;
    let op = Op::Access(AccessOp::DeleteToken { accessor, force });
    submit(app, &parts, op, deadline).await
}
