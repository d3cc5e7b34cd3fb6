//! The route.

use std::future::{Ready, ready};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::BodyExt as _;
use tokio::sync::Semaphore;

use super::Metrics;
use super::plain::plain;
use crate::accept::preferred;
use crate::problem::Problem;
use crate::wire::essence_of;

/// What is answered where `Accept` prefers it, as Prometheus' does: OpenMetrics 1.0.
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is answered otherwise: Prometheus' own text, which more programs read.
pub const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers that may be on their way at once: each takes its text until it is read. They have
/// places of their own, so that an overloaded service can still be looked at.
const AT_ONCE: usize = 16;

/// What the handler works on.
#[derive(Clone, Debug)]
struct Exposed {
    metrics: Arc<Metrics>,
    places: Arc<Semaphore>,
}

/// The route `/metrics`. What it answers is also exported for as long as it is there, where a
/// collector is named.
pub(crate) fn routes(metrics: Metrics) -> Router {
    let (metrics, places) = (Arc::new(metrics), Arc::new(Semaphore::new(AT_ONCE)));
    super::export::start(&metrics);
    Router::new().route("/metrics", get(expose)).with_state(Exposed { metrics, places })
}

fn expose(State(exposed): State<Exposed>, headers: HeaderMap) -> Ready<Response> {
    let Ok(place) = Arc::clone(&exposed.places).try_acquire_owned() else {
        let full = format!("{AT_ONCE} answers with metrics are on their way");
        return ready(Problem::overloaded(full).into_response());
    };
    let offered = [PLAIN, OPEN_METRICS].map(essence_of);
    let (content_type, text) = if preferred(&headers, &offered) == offered[0] {
        (PLAIN, plain(&exposed.metrics.text()))
    } else {
        (OPEN_METRICS, exposed.metrics.text())
    };
    let held = Body::new(Body::from(text).map_frame(move |frame| {
        let _held = &place;
        frame
    }));
    let mut response = Response::new(held);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    ready(response)
}
