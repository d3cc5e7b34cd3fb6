//! `GET /v1/events`: what happens in the cluster.

use std::future::{Ready, ready};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::request::Parts;
use serde_json::json;
use shared::events;
use shared::problem::Problem;

use super::App;
use super::openapi::Entry;
use super::openapi::content::{lines, text};
use crate::http::request::parameter::Parameter;

/// What the contract says of it; the parameters are read by [`events::answer`].
pub(super) fn entries() -> Vec<Entry> {
    const HELD: Parameter = Parameter::flag("held", "true");
    const AFTER: Parameter =
        Parameter::pattern("Last-Event-ID", "^[0-9a-f]{16}-[0-9]{1,9}$", "00000000000000aa-7");
    let happened = json!({
        "epoch": 7, "slot": 42, "primary": "replica-2", "backups": ["replica-1", "replica-3"],
        "time": "2026-01-01T12:00:00.000000Z",
    });
    let event = format!("event: view\ndata: {happened}\nid: {}\n\n", AFTER.example);
    let line = json!({"event": "view", "id": AFTER.example, "data": happened});
    vec![
        Entry::own("get", events::PATH, ("events", "Tells what happens in the cluster."))
            .query(&[HELD])
            .headers(&[AFTER])
            .answers(
                200,
                "A stream that does not end.",
                [lines(&line), text("text/event-stream", event)],
            )
            .refused(&[502]),
    ]
}

/// Answers it.
pub(super) fn events(
    State(app): State<Arc<App>>,
    parts: Parts,
) -> Ready<Result<Response, Problem>> {
    ready(events::answer(&app.events, &parts))
}
