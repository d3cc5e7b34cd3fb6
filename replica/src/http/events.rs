//! `GET /v1/events`: what happens in the cluster.

use std::future::{Ready, ready};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::request::Parts;
use shared::events;
use shared::problem::Problem;

use super::App;

/// Answers it.
pub(super) fn events(
    State(app): State<Arc<App>>,
    parts: Parts,
) -> Ready<Result<Response, Problem>> {
    ready(events::answer(&app.events, &parts))
}
