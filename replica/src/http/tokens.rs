//! Tokens: `POST /v1/tokens` and `/v1/tokens/bootstrap`, `GET /v1/tokens`, and `GET` and
//! `DELETE` of one.
//!
//! The secret of a token is drawn by the replica that is asked for it, is told once in the
//! answer, and is nowhere else: what goes into the log is its hash.

mod bootstrap;

use std::fmt;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;
use shared::deadline::Deadline;
use shared::fields::refuse_but_json;
use shared::ids::{Accessor, Revision};
use shared::problem::Problem;
use shared::query::Query;
use shared::random;
use shared::wire::{self, BodyLimit, read_in_time};

use self::bootstrap::bootstrap_answer;
use super::App;
use super::authorize::bearer::PREFIX;
use super::authorize::{Caller, TokenHolder, refuse};
use super::mutate::{finish, refuse_conditions, refuse_unsupported, submit, submitted};
use super::mutation::{AccessChanged, Mutated, Performed};
use super::openapi::content::{json, sent};
use super::openapi::{self, Entry, field};
use super::paging::{KEYS, Paging};
use super::reading::{REVISION, released};
use super::refused::Refused;
use crate::http::request::access::{
    Cursor, FORCE, TokenRequest, accessor_of_path, force_of, token_of,
};
use crate::http::request::headers::idempotency_key;
use crate::http::request::parameter::{ACCESSOR, CONSISTENCY, CURSOR, LIMIT, Parameter, TIMEOUT};
use crate::http::request::tenure::wrong_cursor;
use crate::jwt::{Vouched, now_s};
use crate::machine::access::authorize::Denied;
use crate::machine::access::outcome::AccessDone;
use crate::machine::access::policy::{ClusterRight, Policy, PolicyName};
use crate::machine::access::subject::Subject;
use crate::machine::access::{AccessOp, SecretHash, Token};
use crate::machine::command::Op;

/// The longest description of a token, with its policies.
const BODY: BodyLimit = BodyLimit { what: "body", bytes: 16 << 10 };
const FORCED: [Parameter; 1] = [Parameter::flag(FORCE, "false")];
pub(super) const PAGED: [Parameter; 3] = [CONSISTENCY, LIMIT, CURSOR];

/// A secret, until it is told.
struct Secret(String);

impl Secret {
    /// 256 random bits.
    fn draw() -> Self {
        Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random::secret())))
    }

    fn hash(&self) -> SecretHash {
        SecretHash::of(self.0.as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

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

async fn list_answer(app: &App, parts: &Parts) -> Result<Response, Refused> {
    let query = Query::parse(parts.uri.query(), &PAGED)?;
    let after = match Cursor::of(&query)? {
        None => Accessor(0),
        Some(Cursor::Tokens(after)) => after,
        Some(Cursor::Policies(_)) => return Err(wrong_cursor().into()),
    };
    let paging = Paging::page_of(app, &query, KEYS)?;
    let released = released(app, &parts.headers, &query).await?;
    released.permit(app, &parts.headers, operates).await?;
    // What is looked at is no older than when it is said to be.
    let (most, time) = (paging.first().items, Time::now(app));
    let access = app.driver.access();
    let mut tokens = access.tokens().skip_while(|(accessor, _)| *accessor <= after);
    let items: Vec<RenderedToken> = tokens
        .by_ref()
        .take(most)
        .map(|(accessor, token)| time.rendered(accessor, token))
        .collect();
    let last = items.last().map(|last| last.accessor);
    let next = tokens.next().and(last).map(|last| Cursor::Tokens(last).encode());
    let mut response =
        wire::json(&RenderedPage { items, revision: time.revision, next: next.clone() });
    if let Some(cursor) = next {
        paging.link_next(response.headers_mut(), &format!("/v1/tokens?cursor={cursor}"));
    }
    released.describe(response.headers_mut(), time.revision);
    Ok(response)
}

async fn get_answer(app: &App, parts: &Parts) -> Result<Response, Refused> {
    let query = Query::parse(parts.uri.query(), &[CONSISTENCY])?;
    let accessor = accessor_of_path(parts.uri.path())?;
    let released = released(app, &parts.headers, &query).await?;
    released.permit(app, &parts.headers, operates).await?;
    let time = Time::now(app);
    let access = app.driver.access();
    let Some(token) = access.get(accessor) else {
        let gone = Problem::not_found(format!("there is no token {accessor}"));
        return Err(gone.with_revision(time.revision).into());
    };
    let (token, revision) = (time.rendered(accessor, token), time.revision);
    let mut response = wire::json(&RenderedWhole { token, revision });
    released.describe(response.headers_mut(), revision);
    Ok(response)
}

async fn own_answer(app: &App, parts: &Parts) -> Result<Response, Refused> {
    let query = Query::parse(parts.uri.query(), &[CONSISTENCY])?;
    let released = released(app, &parts.headers, &query).await?;
    let caller = released.permit(app, &parts.headers, |_| Ok(())).await?;
    let time = Time::now(app);
    let access = app.driver.access();
    let Caller::Token(TokenHolder { by, granted, vouched }) = caller else {
        let open = Problem::not_found("nobody needs a token here: the first one is not made");
        return Err(open.with_revision(time.revision).into());
    };
    let holder = match vouched {
        Some(vouched) => RenderedHolder::Vouched(RenderedVouched::of(by, &vouched)),
        None => {
            let token = access.get(by).ok_or_else(|| refuse(app, Denied::UnknownToken))?;
            RenderedHolder::Token(time.rendered(by, token))
        }
    };
    let (rights, revision) = (granted.as_policy(), time.revision);
    let mut response = wire::json(&RenderedSelf { holder, rights, revision });
    released.describe(response.headers_mut(), revision);
    Ok(response)
}

/// A token that was made.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TokenMade")]
struct Made<'a> {
    accessor: Accessor,
    /// Told this once. None: it is the one that the request came with.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
    policies: &'a [PolicyName],
    /// When it ends at the earliest, in seconds since 1970; none: it has no end.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
    revision: Revision,
}

impl Made<'static> {
    /// One for the contract.
    fn example() -> Self {
        let (accessor, revision) = (Accessor(0xaa), Revision(42));
        let secret = Some("synod_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        Self { accessor, secret, policies: &[], expires: Some(1_800_000_000), revision }
    }
}

fn made(
    performed: Performed,
    secret: Option<&Secret>,
    policies: &[PolicyName],
    expires: Option<u64>,
) -> Result<Response, Refused> {
    let Mutated::Access {
        revision,
        done: AccessDone::Bootstrapped { accessor } | AccessDone::TokenCreated { accessor, .. },
    } = performed.mutated
    else {
        unreachable!("{:?} is no token that was made", performed.mutated)
    };
    let secret = secret.map(|secret| secret.0.as_str());
    let mut response = wire::json(&Made { accessor, secret, policies, expires, revision });
    *response.status_mut() = StatusCode::CREATED;
    let location = HeaderValue::try_from(format!("/v1/tokens/{accessor}"));
    let location = location.expect("a path and digits are safe in a header");
    response.headers_mut().insert(header::LOCATION, location);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(REVISION, HeaderValue::from(revision.0));
    Ok(response)
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Token")]
struct RenderedToken {
    accessor: Accessor,
    policies: Vec<PolicyName>,
    description: String,
    created_revision: Revision,
    /// The token that made it; none made the first.
    created_by: Option<Accessor>,
    /// How long it lasts from now on; none: it has no end.
    remaining_ms: Option<u64>,
}

impl RenderedToken {
    /// One for the contract.
    fn example() -> Self {
        Self {
            accessor: Accessor(0xaa),
            policies: vec![PolicyName::root()],
            description: "the first".to_owned(),
            created_revision: Revision(41),
            created_by: None,
            remaining_ms: None,
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TokenAtRevision")]
struct RenderedWhole {
    #[serde(flatten)]
    token: RenderedToken,
    revision: Revision,
}

/// Who asks.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TokenHolder")]
#[serde(untagged)]
enum RenderedHolder {
    /// Who has a token.
    Token(RenderedToken),
    /// Who has a JWT.
    Vouched(RenderedVouched),
}

/// Somebody whom an issuer vouches for, by a JWT.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "JwtHolder")]
struct RenderedVouched {
    /// What it is called by in the log, and as the owner of leases.
    accessor: Accessor,
    issuer: String,
    subject: String,
    policies: Vec<PolicyName>,
    /// Until when, in seconds since 1970.
    expires: u64,
}

impl RenderedVouched {
    fn of(accessor: Accessor, vouched: &Vouched) -> Self {
        let Vouched { subject: Subject { issuer, subject }, policies, expires_s, .. } =
            vouched.clone();
        Self { accessor, issuer, subject, policies, expires: expires_s }
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TokenSelf")]
struct RenderedSelf {
    #[serde(flatten)]
    holder: RenderedHolder,
    /// The rules of all its policies together.
    rights: Policy,
    revision: Revision,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Tokens")]
struct RenderedPage {
    items: Vec<RenderedToken>,
    revision: Revision,
    next: Option<String>,
}

/// When tokens are looked at.
struct Time {
    time_ms: u64,
    revision: Revision,
}

impl Time {
    fn now(app: &App) -> Self {
        let published = app.driver.published();
        Self { time_ms: published.time_ms(), revision: published.status.revision }
    }

    fn rendered(&self, accessor: Accessor, token: &Token) -> RenderedToken {
        RenderedToken {
            accessor,
            policies: token.policies.clone(),
            description: token.description.clone(),
            created_revision: token.created_revision,
            created_by: token.created_by,
            remaining_ms: token.remaining_ms(self.time_ms),
        }
    }
}
