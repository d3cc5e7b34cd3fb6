//! Who asks, and whether they may: what every route of clients goes through.
//!
//! ```text
//! request ─▶ require ─▶ handler ─▶ released ─▶ permit ─▶ what is read
//!               │          └─ a mutation ─▶ author ─▶ the log ─▶ executing looks again
//!               └─ 401 without a token that is known, or a JWT that is good
//! ```
//!
//! `require` is around all routes, and what does not stand in the table of [`routes`] is for
//! operators. What a token may do with which keys is known to the handlers alone, and they
//! look at it in a state that is no older than what they show: reads after they were released,
//! mutations when they are executed. A token, or a right, that is not known here is looked for
//! again once all that was acknowledged before is executed here: a refusal is never only lag.
//!
//! Who comes with a JWT is whom its issuer says (`jwt`), with the rights that its policies have
//! here. A key of the issuer that is not known is looked for before it is said to be none.
//!
//! Nothing is allowed or denied on the strength of a secret that is kept: what comes is hashed
//! (SHA-256), and only hashes are compared (`machine::access::token` says why that is enough).

pub mod bearer;
pub mod routes;

mod caller;
mod refusals;
mod told;

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, header};
use shared::cluster_header;
use shared::deadline::Deadline;
use shared::problem::{Outcome, Problem};
use shared::server::AllowedHosts;
use shared::tls::{CLIENT_CERTIFICATE, client_named, name_client};

use self::bearer::{BadBearer, Presented};
pub(super) use self::caller::{Caller, Reading, TokenHolder};
pub(crate) use self::refusals::{Refusals, tell_of_refusals};
use self::routes::{Need, need_of};
use super::App;
use super::refused::Refused;
use crate::driver::Handle;
use crate::jwt::{BadJwt, Issuer, Jwt, Vouched};
use crate::machine::access::SecretHash;
use crate::machine::access::authorize::{Denied, LeaseOwner, of_op};
use crate::machine::access::policy::{ClusterRight, Right};
use crate::machine::access::subject::{Author, Subject};
use crate::machine::command::Op;
use crate::machine::format;

/// What it takes at all keys to see whatever there is.
pub(super) const EVERYTHING: &[Right] = &[Right::Read, Right::List, Right::History];

/// By what it is known who asks.
pub(super) const WHO: [HeaderName; 2] = [header::AUTHORIZATION, CLIENT_CERTIFICATE];

/// What to do where services are not told apart.
pub(crate) const TELL_APART: &str = "have services prove who they are (--tls-client-ca), or give \
                                     them an address of their own (--listen-internal)";

/// What a replica is told of access control.
#[derive(Debug)]
pub(crate) struct Auth {
    /// Whether it answers anybody while no first token is made.
    pub(crate) before: BeforeBootstrap,
    /// The secret of the first token, where that is made by who has it alone.
    pub(crate) bootstrap: Option<SecretHash>,
    /// Who else says who asks.
    pub(crate) issuer: Option<Arc<Issuer>>,
    /// Whether tokens would guard anything.
    pub(crate) services: Services,
    /// By which names this replica is asked.
    pub(crate) hosts: AllowedHosts,
    /// What it refuses.
    pub(crate) refusals: Refusals,
}

/// What a replica answers while the cluster has no first token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BeforeBootstrap {
    /// Everything, to everybody.
    Open,
    /// Nothing that would take a token (`--auth`).
    Closed,
}

/// Who reaches what services ask each other, of which no token is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Services {
    /// Services, or whoever is on this machine.
    Apart,
    /// Whoever reaches the replica.
    Together,
}

/// Why somebody may not make the first token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoBootstrap {
    /// It takes the secret of the replica's `--bootstrap-file`.
    NeedsSecret,
    /// They are not at the replica's own machine.
    Elsewhere,
    /// They ask by a name that is not known to be the replica's.
    OtherName,
}

/// Why somebody is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotAllowed {
    /// This replica requires tokens, and none is made yet.
    NotBootstrapped,
    /// The first token is not theirs to make.
    Bootstrap(NoBootstrap),
    /// What should be a token is none.
    Bad(BadBearer),
    /// What should be a JWT is none that is good.
    BadJwt(BadJwt),
    /// There is no such token, or it lacks a right.
    Denied(Denied),
}

/// How new the state is that rights are looked at in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It has all that was acknowledged when the request came.
    Newest,
    /// It may be behind.
    AsItIs,
}

/// Around all routes of clients: nobody comes further without a token that is known, where
/// tokens are required, nor to what is for operators without that right.
pub(super) async fn require(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let route = parts.extensions.get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("", MatchedPath::as_str);
    let answer = async |parts| next.run(Request::from_parts(parts, body)).await;
    guarded(&app, route, parts, answer).await
}

/// Has a request of a route answered, by whoever may be.
pub(super) async fn guarded(
    app: &App,
    route: &str,
    mut parts: Parts,
    answer: impl AsyncFnOnce(Parts) -> Response,
) -> Response {
    name_client(&mut parts);
    match required(app, route, &parts).await {
        Ok(caller) => {
            let mut response = answer(parts).await;
            caller.name_on(&mut response);
            response
        }
        Err(refused) => {
            let problem = Problem::from(refused);
            let is_safe = parts.method.is_safe();
            let problem = if is_safe { problem } else { problem.with_outcome(Outcome::NotApplied) };
            problem.into_response()
        }
    }
}

async fn required(app: &App, route: &str, parts: &Parts) -> Result<Caller, Refused> {
    let Parts { method, uri, headers, .. } = parts;
    let need = need_of(method, route, uri.query());
    let ours = app.driver.cluster();
    // What is said of the cluster is said by whom it is asked, also before that is known.
    let says_who = ours.is_none() && need == Need::Cluster(ClusterRight::Read);
    if need != Need::Nothing && !says_who {
        cluster_header::check(headers, ours)?;
    }
    let right = match need {
        Need::Nothing | Need::Bootstrap => return Ok(Caller::Anyone),
        Need::Token | Need::Keys(_) | Need::Body | Need::Everything(_) => None,
        Need::Cluster(right) => Some(right),
    };
    let deadline = Deadline::of(headers)?;
    let mut seen = Seen::AsItIs;
    if right.is_some() && must_wait(app, method) {
        app.driver.read(deadline).await?;
        seen = Seen::Newest;
    }
    let need =
        |holder: &TokenHolder| right.map_or(Ok(()), |right| holder.granted.need_cluster(right));
    permit(app, headers, seen, deadline, need).await
}

/// Whether this replica must be as new as the cluster before it says who operates that. What
/// changes something may be done at once, and not by executing; and a replica that never was
/// current in this life may not have heard of the first token.
fn must_wait(app: &App, method: &Method) -> bool {
    let may_be_open = || !app.driver.access().is_required();
    !method.is_safe() || (may_be_open() && app.driver.published().lag().is_none())
}

/// Says once, and loudly, that tokens are required where they guard little.
pub(crate) async fn warn_of_open_door(driver: Handle, services: Services) -> Infallible {
    let mut changes = driver.watch_access();
    let is_required = changes.wait_for(|access| access.is_required()).await.is_ok();
    if is_required && services == Services::Together {
        tracing::error!(
            "tokens are required, and what services ask each other is open to whoever reaches \
             this replica, without one: {TELL_APART}"
        );
    }
    std::future::pending().await
}

/// Says who asks, where they have the rights that this needs.
pub(super) async fn permit(
    app: &App,
    headers: &HeaderMap,
    seen: Seen,
    deadline: Deadline,
    need: impl Fn(&TokenHolder) -> Result<(), Denied>,
) -> Result<Caller, Refused> {
    let mut looked = look(app, headers, &need);
    if let (Err(NotAllowed::BadJwt(why)), Some(issuer)) = (&looked, &app.auth.issuer)
        && why.may_be_of_new_key()
    {
        // It may have made another key since.
        let _is_late = tokio::time::timeout_at(deadline.at(), issuer.look_again()).await;
        looked = look(app, headers, &need);
    }
    let may_be_lag = looked.as_ref().is_err_and(|why| why.may_be_lag(headers));
    if seen == Seen::AsItIs && may_be_lag {
        app.driver.read(deadline).await?;
        looked = look(app, headers, &need);
    }
    looked.map_err(|why| refuse(app, why))
}

/// Says who a mutation is attributed to: where a token is required that token, and executing
/// it looks again, so that this spares the log what would come to nothing. Else whoever has a
/// certificate.
pub(super) async fn author(
    app: &App,
    headers: &HeaderMap,
    op: &Op,
    deadline: Deadline,
) -> Result<Option<Author>, Refused> {
    if !app.driver.access().is_required() && headers.contains_key(header::AUTHORIZATION) {
        // Whoever has a token knows of a first one, which this replica may not have executed.
        app.driver.read(deadline).await?;
    }
    // Whose a lease is, executing knows.
    let need = |TokenHolder { by, granted, .. }: &TokenHolder| {
        of_op(granted, by, op, &|_| LeaseOwner::Token(*by))
    };
    match permit(app, headers, Seen::AsItIs, deadline, need).await? {
        Caller::Anyone => Ok(certified(app, headers)),
        Caller::Token(holder) => Ok(Some(holder.author())),
    }
}

/// Whoever has a certificate of the cluster, once its log can say who does what.
fn certified(app: &App, headers: &HeaderMap) -> Option<Author> {
    let client = client_named(headers)?;
    let can_be_said = app.driver.published().status.format() >= format::CERTIFIED;
    can_be_said.then(|| Author::Certified(Subject::of_certificate(&client)))
}

fn look(
    app: &App,
    headers: &HeaderMap,
    need: &impl Fn(&TokenHolder) -> Result<(), Denied>,
) -> Result<Caller, NotAllowed> {
    let access = app.driver.access();
    let caller = if access.is_required() {
        Caller::Token(match Presented::of(headers)? {
            Presented::Nothing => return Err(Denied::NoToken.into()),
            Presented::Secret(secret) => {
                let (by, _token) = access.by_secret(&secret).ok_or(Denied::UnknownToken)?;
                TokenHolder::of_token(by, &access)?
            }
            Presented::Jwt(jwt) => TokenHolder::of_jwt(vouched(app, &jwt)?, &access)?,
        })
    } else if app.auth.before == BeforeBootstrap::Closed {
        return Err(NotAllowed::NotBootstrapped);
    } else {
        Caller::Anyone
    };
    caller.check(need)?;
    Ok(caller)
}

fn vouched(app: &App, jwt: &Jwt) -> Result<Arc<Vouched>, BadJwt> {
    let issuer = app.auth.issuer.as_ref().ok_or(BadJwt::NotTaken)?;
    issuer.check(jwt)
}

/// Counts a refusal.
pub(super) fn refuse(app: &App, why: impl Into<NotAllowed>) -> Refused {
    let why = why.into();
    app.auth.refusals.refused(&why);
    Refused::NotAllowed(why)
}

impl NotAllowed {
    /// Whether it may be that this replica is behind.
    fn may_be_lag(&self, headers: &HeaderMap) -> bool {
        match self {
            Self::NotBootstrapped => headers.contains_key(header::AUTHORIZATION),
            Self::Bootstrap(_) | Self::Bad(_) | Self::BadJwt(_) | Self::Denied(Denied::NoToken) => {
                false
            }
            Self::Denied(
                Denied::UnknownToken
                | Denied::Key { .. }
                | Denied::WholePrefix { .. }
                | Denied::NowhereUnder { .. }
                | Denied::Cluster { .. }
                | Denied::Lease { .. },
            ) => true,
        }
    }
}

impl From<Denied> for NotAllowed {
    fn from(why: Denied) -> Self {
        Self::Denied(why)
    }
}

impl From<NoBootstrap> for NotAllowed {
    fn from(why: NoBootstrap) -> Self {
        Self::Bootstrap(why)
    }
}

impl From<BadBearer> for NotAllowed {
    fn from(why: BadBearer) -> Self {
        Self::Bad(why)
    }
}

impl From<BadJwt> for NotAllowed {
    fn from(why: BadJwt) -> Self {
        Self::BadJwt(why)
    }
}
