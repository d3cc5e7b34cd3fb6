//! `POST /v1/tokens/bootstrap`: the first token.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderName, HeaderValue, header};
use serde::Serialize;
use shared::deadline::Deadline;
use shared::places::ClientNetwork;
use shared::problem::{self, Outcome, Problem, Retryable};
use shared::query::Query;
use shared::wire;

use super::made::{Secret, made};
use super::refuse_headers;
use crate::http::App;
use crate::http::authorize::bearer::Presented;
use crate::http::authorize::{NoBootstrap, Services, TELL_APART, refuse};
use crate::http::mutate::submitted_by;
use crate::http::mutation::Performed;
use crate::http::refused::Refused;
use crate::machine::access::AccessOp;
use crate::machine::access::outcome::AccessRefused;
use crate::machine::access::policy::PolicyName;
use crate::machine::command::Op;

/// How long it is looked for what became of a first token, once its time is up.
const FOUND_WITHIN: Duration = Duration::from_secs(2);

/// Makes the first token: for whoever asks from this very machine, and for whoever has the
/// secret that this replica was started with, which then is the token's.
pub(super) async fn bootstrap_answer(app: &App, parts: Parts) -> Result<Response, Refused> {
    let headers = &parts.headers;
    let deadline = Deadline::of(headers)?;
    Query::parse(parts.uri.query(), &[])?;
    refuse_headers(headers)?;
    let presented = Presented::of(headers).map_err(|why| refuse(app, why))?.secret();
    let known = presented.filter(|_| presented == app.auth.bootstrap);
    if known.is_none() {
        may_bootstrap_from(app, &parts).map_err(|why| refuse(app, why))?;
    }
    if app.driver.access().is_required() {
        return Err(Problem::from(AccessRefused::AlreadyBootstrapped).into());
    }
    if app.auth.services == Services::Together {
        let why = "no token is asked of what services ask each other, and others reach that \
                   here, so that tokens would guard nothing";
        return Err(Problem::conflict(format!("{why}: {TELL_APART}"))
            .with_retryable(Retryable::No)
            .into());
    }
    let secret = if known.is_none() { Some(Secret::draw()) } else { None };
    let hash = secret.as_ref().map(Secret::hash).or(known).expect("one of them is there");
    let op = Op::Access(AccessOp::Bootstrap { secret: hash });
    let performed = match submitted_by(app, headers, (None, op), deadline).await {
        Ok(performed) => performed,
        Err(refused) => {
            let problem = Problem::from(refused);
            if problem.body().outcome != Some(Outcome::Unknown) {
                return Err(problem.into());
            }
            // Nobody else would ever hear of the secret.
            if app.driver.read(Deadline::after(FOUND_WITHIN)).await.is_err() {
                return Ok(perhaps_made(&problem, secret.as_ref()));
            }
            match app.driver.access().by_secret(&hash) {
                Some((accessor, token)) => Performed::bootstrapped(accessor, token),
                None => return Ok(perhaps_made(&problem, secret.as_ref())),
            }
        }
    };
    made(performed, secret.as_ref(), &[PolicyName::root()], None)
}

/// What is said of a first token that may have been made, or may yet be: also its secret,
/// which is told in the body alone.
fn perhaps_made(problem: &Problem, secret: Option<&Secret>) -> Response {
    #[derive(Serialize)]
    struct PerhapsMade<'a> {
        #[serde(flatten)]
        problem: &'a problem::Body,
        #[serde(skip_serializing_if = "Option::is_none")]
        secret: Option<&'a str>,
    }
    let mut body = problem.body().clone();
    if secret.is_some() {
        body.detail.push_str(
            "; the token whose secret is told here is the first one, if that was made by this",
        );
    }
    let told = PerhapsMade { problem: &body, secret: secret.map(|secret| secret.0.as_str()) };
    let mut response = problem.to_http().map(Body::from);
    let said = wire::json(&told).into_body();
    *response.body_mut() = said;
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Errs where whoever asks without the secret of a bootstrap file may not make the first
/// token.
fn may_bootstrap_from(app: &App, parts: &Parts) -> Result<(), NoBootstrap> {
    if app.auth.bootstrap.is_some() {
        return Err(NoBootstrap::NeedsSecret);
    }
    if !is_from_here(parts) {
        return Err(NoBootstrap::Elsewhere);
    }
    if !app.auth.hosts.names_us(parts.version, &parts.uri, &parts.headers) {
        return Err(NoBootstrap::OtherName);
    }
    Ok(())
}

/// Whether whoever asks is at this machine. What a proxy passes on is not: it says so.
fn is_from_here(parts: &Parts) -> bool {
    let proxied = [
        header::FORWARDED,
        header::VIA,
        HeaderName::from_static("x-forwarded-for"),
        HeaderName::from_static("x-real-ip"),
    ];
    let is_loopback = ClientNetwork::asking(&parts.extensions).is_some_and(|it| it.is_loopback());
    is_loopback && !proxied.iter().any(|name| parts.headers.contains_key(name))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[tokio::test]
    async fn who_may_have_made_the_first_token_is_told_its_secret_all_the_same() {
        let late = || Problem::timeout("late").with_outcome(Outcome::Unknown);
        let secret = Secret::draw();
        let response = perhaps_made(&late(), Some(&secret));
        assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        let bytes = axum::body::to_bytes(response.into_body(), 4_096).await.unwrap();
        let told: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!((&told["outcome"], &told["secret"]), (&"unknown".into(), &secret.0.into()));
        // Whoever came with the secret has it.
        let response = perhaps_made(&late(), None);
        let bytes = axum::body::to_bytes(response.into_body(), 4_096).await.unwrap();
        let told: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!((&told["outcome"], told.get("secret")), (&"unknown".into(), None));
    }
}
