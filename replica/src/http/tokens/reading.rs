//! Tokens as they are read: a page of them, one, and that of whoever asks.

use axum::response::Response;
use http::request::Parts;
use schemars::JsonSchema;
use serde::Serialize;
use shared::ids::{Accessor, Revision};
use shared::problem::Problem;
use shared::query::Query;
use shared::wire;

use super::{PAGED, operates};
use crate::http::App;
use crate::http::authorize::{Caller, TokenHolder, refuse};
use crate::http::paging::{KEYS, Paging};
use crate::http::reading::released;
use crate::http::refused::Refused;
use crate::http::request::access::{Cursor, accessor_of_path};
use crate::http::request::parameter::CONSISTENCY;
use crate::http::request::tenure::wrong_cursor;
use crate::jwt::Vouched;
use crate::machine::access::Token;
use crate::machine::access::authorize::Denied;
use crate::machine::access::policy::{Policy, PolicyName};
use crate::machine::access::subject::Subject;

pub(super) async fn list_answer(app: &App, parts: &Parts) -> Result<Response, Refused> {
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

pub(super) async fn get_answer(app: &App, parts: &Parts) -> Result<Response, Refused> {
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

pub(super) async fn own_answer(app: &App, parts: &Parts) -> Result<Response, Refused> {
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

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Token")]
pub(super) struct RenderedToken {
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
    pub(super) fn example() -> Self {
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
pub(super) struct RenderedWhole {
    #[serde(flatten)]
    pub(super) token: RenderedToken,
    pub(super) revision: Revision,
}

/// Who asks.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TokenHolder")]
#[serde(untagged)]
pub(super) enum RenderedHolder {
    /// Who has a token.
    Token(RenderedToken),
    /// Who has a JWT.
    Vouched(RenderedVouched),
}

/// Somebody whom an issuer vouches for, by a JWT.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "JwtHolder")]
pub(super) struct RenderedVouched {
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
pub(super) struct RenderedSelf {
    #[serde(flatten)]
    pub(super) holder: RenderedHolder,
    /// The rules of all its policies together.
    pub(super) rights: Policy,
    pub(super) revision: Revision,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Tokens")]
pub(super) struct RenderedPage {
    pub(super) items: Vec<RenderedToken>,
    pub(super) revision: Revision,
    pub(super) next: Option<String>,
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
