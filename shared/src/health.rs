//! `GET /livez` (the process turns) and `GET /readyz` (it can do its work now). Alive
//! never depends on another service; ready does.

use std::fmt::Write as _;
use std::future::ready;

use axum::Router;
use axum::extract::RawQuery;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::problem::Problem;
use crate::versions;

/// One thing that readiness rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// A short name, such as `leader`.
    pub name: &'static str,
    /// Whether it holds, and if not, why.
    pub result: Result<(), String>,
    /// What somebody should look at although it holds.
    pub warning: Option<String>,
}

impl Check {
    /// A check that holds when the reason against it is none.
    #[must_use]
    pub fn new(name: &'static str, against: Option<String>) -> Self {
        Self { name, result: against.map_or(Ok(()), Err), warning: None }
    }

    /// A check that holds, with what somebody should look at all the same.
    #[must_use]
    pub fn warning(name: &'static str, warning: String) -> Self {
        Self { name, result: Ok(()), warning: Some(warning) }
    }
}

/// The routes `/livez` and `/readyz`; `checks` is asked anew for each request and must
/// not wait. To its checks those are added that hold for every service.
pub fn routes<S, F>(checks: F) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    F: Fn() -> Vec<Check> + Clone + Send + Sync + 'static,
{
    Router::new().route("/livez", get(|| ready("ok\n"))).route(
        "/readyz",
        get(move |RawQuery(query): RawQuery| {
            let mut checks = checks();
            checks.extend(versions::check());
            ready(readyz(&checks, query.as_deref()))
        }),
    )
}

fn readyz(checks: &[Check], query: Option<&str>) -> Response {
    let failed: Vec<String> = checks
        .iter()
        .filter_map(|check| Some(format!("{}: {}", check.name, check.result.as_ref().err()?)))
        .collect();
    if !failed.is_empty() {
        return Problem::unavailable(format!("not ready: {}", failed.join("; "))).into_response();
    }
    let verbose = query.is_some_and(|query| {
        query.split('&').any(|pair| pair == "verbose" || pair.starts_with("verbose="))
    });
    let mut text = String::new();
    for check in checks.iter().filter(|_| verbose) {
        let _infallible = writeln!(text, "{} ok", check.name);
    }
    for check in checks {
        if let Some(warning) = &check.warning {
            let _infallible = writeln!(text, "warning: {}: {warning}", check.name);
        }
    }
    text.push_str("ok\n");
    text.into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::{Request, StatusCode};
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    async fn get(uri: &str, against: Option<&str>) -> (StatusCode, String) {
        let against = against.map(str::to_owned);
        let router: Router =
            routes(move || vec![Check::new("log", None), Check::new("leader", against.clone())]);
        let response =
            router.oneshot(Request::get(uri).body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn alive_does_not_depend_on_ready() {
        assert_eq!(get("/livez", Some("none")).await, (StatusCode::OK, "ok\n".to_owned()));
        let (status, body) = get("/readyz", Some("none")).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains("not ready: leader: none"), "{body}");
    }

    #[tokio::test]
    async fn a_warning_is_told_and_keeps_nobody_from_being_ready() {
        let checks = [Check::warning("names", "two of one".to_owned())];
        let response = readyz(&checks, None);
        assert_eq!(response.status(), StatusCode::OK);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "warning: names: two of one\nok\n");
    }

    #[tokio::test]
    async fn ready_names_its_checks_when_asked_to() {
        assert_eq!(get("/readyz", None).await, (StatusCode::OK, "ok\n".to_owned()));
        assert_eq!(
            get("/readyz?verbose", None).await,
            (StatusCode::OK, "log ok\nleader ok\nok\n".to_owned())
        );
    }
}
