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

mod refusals;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use shared::deadline::Deadline;
use shared::ids::Accessor;
use shared::problem::{Outcome, Problem, Retryable};
use shared::server::AllowedHosts;
use tokio::sync::watch;

use self::bearer::{BadBearer, Presented};
pub(crate) use self::refusals::Refusals;
use self::routes::{Need, need_of};
use super::App;
use super::refused::Refused;
use crate::driver::Handle;
use crate::jwt::{BadJwt, Issuer, Jwt, Vouched};
use crate::machine::access::authorize::{Denied, LeaseOwner, of_op};
use crate::machine::access::granted::Granted;
use crate::machine::access::policy::Right;
use crate::machine::access::subject::Author;
use crate::machine::access::{Access, SecretHash};
use crate::machine::command::Op;

/// What it takes at all keys to see whatever there is.
pub(super) const EVERYTHING: &[Right] = &[Right::Read, Right::List, Right::History];

/// What to do where services are not told apart.
pub(crate) const TELL_APART: &str = "have services prove who they are (--tls-client-ca), or give \
                                     them an address of their own (--listen-internal)";

/// On what is answered to a token: its accessor.
const SYNOD_ACCESSOR: HeaderName = HeaderName::from_static("synod-accessor");

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

/// Who asks.
#[derive(Clone, Debug)]
pub(super) enum Caller {
    /// Anybody: no token is required.
    Anyone,
    /// Who has a token.
    Token(TokenHolder),
}

/// Who has a token or a JWT, and what that allows.
#[derive(Clone, Debug)]
pub(super) struct TokenHolder {
    pub(super) by: Accessor,
    pub(super) granted: Arc<Granted>,
    /// Whom an issuer says that it is; none: it has a token.
    pub(super) vouched: Option<Arc<Vouched>>,
}

impl TokenHolder {
    /// Who has a token.
    fn of_token(by: Accessor, access: &Access) -> Result<Self, Denied> {
        let granted = access.granted(&by).ok_or(Denied::UnknownToken)?;
        Ok(Self { by, granted: Arc::clone(granted), vouched: None })
    }

    /// Whom an issuer vouches for, until that is over.
    fn of_jwt(vouched: Arc<Vouched>, access: &Access) -> Result<Self, Denied> {
        if vouched.is_over() {
            return Err(Denied::UnknownToken);
        }
        let granted = Arc::new(access.granted_to(&vouched.policies));
        Ok(Self { by: vouched.subject.accessor(), granted, vouched: Some(vouched) })
    }

    fn author(self) -> Author {
        match self.vouched {
            Some(vouched) => vouched.author(),
            None => Author::Token(self.by),
        }
    }
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

impl Caller {
    /// What a list or a stream is filtered by; none: it is not.
    pub(super) fn granted(&self) -> Option<&Granted> {
        match self {
            Self::Anyone => None,
            Self::Token(holder) => Some(&holder.granted),
        }
    }

    /// The same one, by another state.
    ///
    /// # Errors
    /// Where it may nothing any more.
    pub(super) fn again(&self, access: &Access) -> Result<Self, Denied> {
        match self {
            Self::Anyone if access.is_required() => Err(Denied::NoToken),
            Self::Anyone => Ok(Self::Anyone),
            Self::Token(TokenHolder { vouched: Some(vouched), .. }) => {
                TokenHolder::of_jwt(Arc::clone(vouched), access).map(Self::Token)
            }
            Self::Token(TokenHolder { by, vouched: None, .. }) => {
                TokenHolder::of_token(*by, access).map(Self::Token)
            }
        }
    }

    /// Names the token on what it is answered: balancers hold its holder to limits of its own.
    fn name_on(&self, response: &mut Response) {
        match self {
            Self::Token(TokenHolder { by, .. })
                if response.status() != StatusCode::UNAUTHORIZED =>
            {
                let name = HeaderValue::try_from(by.to_string()).expect("it is hexadecimal");
                response.headers_mut().insert(SYNOD_ACCESSOR, name);
            }
            Self::Token(_) | Self::Anyone => {}
        }
    }

    fn check(&self, need: &impl Fn(&TokenHolder) -> Result<(), Denied>) -> Result<(), Denied> {
        match self {
            Self::Anyone => Ok(()),
            Self::Token(holder) => need(holder),
        }
    }
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
    parts: Parts,
    answer: impl AsyncFnOnce(Parts) -> Response,
) -> Response {
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
    let right = match need_of(method, route, uri.query()) {
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
    if let (Err(NotAllowed::BadJwt(BadJwt::UnknownKid)), Some(issuer)) = (&looked, &app.auth.issuer)
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

/// Says who a mutation is attributed to, where a token is required. Executing it looks
/// again: this spares the log what would come to nothing.
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
        Caller::Anyone => Ok(None),
        Caller::Token(holder) => Ok(Some(holder.author())),
    }
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

/// Whoever reads on, as long as they may.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    caller: Caller,
    driver: Handle,
}

impl Reading {
    pub(super) fn new(caller: Caller, driver: &Handle) -> Self {
        Self { caller, driver: driver.clone() }
    }

    /// Who reads, by a state that is no older than what was read so far.
    ///
    /// # Errors
    /// Where they may nothing any more.
    pub(super) fn caller(&mut self) -> Result<&Caller, Denied> {
        self.caller = self.caller.again(&self.driver.access())?;
        Ok(&self.caller)
    }

    /// Errs where whoever reads has not all that is needed any more.
    ///
    /// # Errors
    /// What is lacking.
    pub(super) fn still(
        &mut self,
        need: &impl Fn(&TokenHolder) -> Result<(), Denied>,
    ) -> Result<(), Denied> {
        self.caller()?.check(need)
    }

    /// Waits until whoever reads has not all that is needed any more.
    pub(super) async fn lost(mut self, need: impl Fn(&TokenHolder) -> Result<(), Denied>) {
        let mut changes = self.driver.watch_access();
        loop {
            changes.mark_unchanged();
            if self.still(&need).is_err() {
                return;
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = self.over() => return,
            }
        }
    }

    /// Waits until an issuer vouches for whoever reads no more, by their JWT; forever where
    /// they have none.
    pub(super) async fn over(&self) {
        match self.vouched() {
            Some(vouched) => vouched.over().await,
            None => std::future::pending().await,
        }
    }

    /// Whether an issuer vouches for them no more.
    pub(super) fn is_over(&self) -> bool {
        self.vouched().is_some_and(|vouched| vouched.is_over())
    }

    fn vouched(&self) -> Option<&Arc<Vouched>> {
        match &self.caller {
            Caller::Anyone => None,
            Caller::Token(holder) => holder.vouched.as_ref(),
        }
    }

    /// Whenever somebody may do something else.
    pub(super) fn changes(&self) -> watch::Receiver<Arc<Access>> {
        self.driver.watch_access()
    }
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

impl From<NotAllowed> for Problem {
    fn from(why: NotAllowed) -> Self {
        match why {
            NotAllowed::NotBootstrapped => unauthorized(
                "this replica requires tokens, and the cluster has none yet: make the first one \
                 with `synod token bootstrap`, from the replica's own machine or with the secret \
                 of its --bootstrap-file",
            ),
            NotAllowed::Bootstrap(why) => why.into(),
            NotAllowed::Bad(why) => unauthorized(why),
            NotAllowed::BadJwt(why) => {
                let invalid = HeaderValue::from_static("Bearer error=\"invalid_token\"");
                unauthorized(format_args!("the JWT is refused: {why}"))
                    .with_header(header::WWW_AUTHENTICATE, invalid)
            }
            NotAllowed::Denied(why) => why.into(),
        }
    }
}

impl fmt::Display for NoBootstrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NeedsSecret => {
                "the first token is made with the secret of this replica's --bootstrap-file"
            }
            Self::Elsewhere => {
                "the first token is made from the replica's own machine (not through a \
                 balancer), or with the secret of its --bootstrap-file"
            }
            Self::OtherName => {
                "the first token is asked for by the replica's address, or by a name that it \
                 advertises or that --allowed-hosts lists: any other one may be a web page's"
            }
        })
    }
}

impl From<NoBootstrap> for Problem {
    fn from(why: NoBootstrap) -> Self {
        match why {
            NoBootstrap::NeedsSecret | NoBootstrap::Elsewhere => Self::forbidden(why.to_string()),
            NoBootstrap::OtherName => Self::misdirected(why.to_string()),
        }
    }
}

impl From<Denied> for Problem {
    fn from(why: Denied) -> Self {
        let rule = |prefix: &str, rights: &dyn fmt::Display| {
            let prefix = serde_json::Value::from(prefix);
            format!(
                "{why}: it needs a policy with a rule such as \
                 {{\"prefix\":{prefix},\"rights\":[\"{rights}\"]}}, and none below it that takes \
                 that away"
            )
        };
        let detail = match &why {
            Denied::NoToken => {
                return unauthorized(format_args!("{why}: send Authorization: Bearer SECRET"));
            }
            Denied::UnknownToken => {
                return unauthorized(format_args!("{why}: have another one made"));
            }
            Denied::Key { right, key } => rule(key, right),
            Denied::WholePrefix { right, prefix } => rule(prefix, right),
            Denied::NowhereUnder { rights, prefix } => {
                rule(prefix, &rights.to_string().replace(", ", "\",\""))
            }
            Denied::Cluster { right } => {
                format!("{why}: it needs a policy with \"cluster\":[\"{right}\"]")
            }
            Denied::Lease { .. } => why.to_string(),
        };
        Self::forbidden(detail).with_retryable(Retryable::No)
    }
}

/// 401: nobody knows who asks.
fn unauthorized(detail: impl fmt::Display) -> Problem {
    let (kind, title) = ("urn:synod:problem:unauthorized", "Unauthorized");
    Problem::new(StatusCode::UNAUTHORIZED, kind, title, detail.to_string())
        .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
        .with_retryable(Retryable::No)
}
