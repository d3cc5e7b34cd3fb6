//! `GET /v1/events`: what happens in the cluster.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use http::request::Parts;
use serde_json::json;
use shared::deadline::Deadline;
use shared::events::{self, HELD, LAST_EVENT_ID};

use super::App;
use super::authorize::{Reading, Seen, TokenHolder, permit};
use super::openapi::Entry;
use super::openapi::content::{lines, text};
use super::refused::Refused;
use crate::machine::access::authorize::Denied;
use crate::machine::access::policy::ClusterRight;

/// What the contract says of it; the parameters are read by [`events::answer`].
pub(super) fn entries() -> Vec<Entry> {
    let happened = json!({
        "epoch": 7, "slot": 42, "primary": "replica-2", "backups": ["replica-1", "replica-3"],
        "time": "2026-01-01T12:00:00.000000Z",
    });
    let event = format!("event: view\ndata: {happened}\nid: {}\n\n", LAST_EVENT_ID.example);
    let line = json!({"event": "view", "id": LAST_EVENT_ID.example, "data": happened});
    vec![
        Entry::own("get", events::PATH, ("events", "Tells what happens in the cluster."))
            .query(&[HELD])
            .headers(&[LAST_EVENT_ID])
            .answers(
                200,
                "A stream that does not end.",
                [lines(&line), text("text/event-stream", event)],
            )
            .refused(&[502]),
    ]
}

/// Answers it.
pub(super) async fn events(State(app): State<Arc<App>>, parts: Parts) -> Response {
    answer(&app, &parts).await.into_response()
}

/// The stream ends when whoever follows it may not any more.
async fn answer(app: &App, parts: &Parts) -> Result<Response, Refused> {
    let deadline = Deadline::of(&parts.headers)?;
    let caller = permit(app, &parts.headers, Seen::AsItIs, deadline, needed).await?;
    let lost = Reading::new(caller, &app.driver).lost(needed);
    let response = events::answer(&app.events, parts)?;
    Ok(response.map(|body| Body::from_stream(body.into_data_stream().take_until(Box::pin(lost)))))
}

fn needed(holder: &TokenHolder) -> Result<(), Denied> {
    holder.granted.need_cluster(ClusterRight::Read)
}
