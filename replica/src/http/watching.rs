//! `GET /v1/watch`: every change of some keys, as it is executed.
//!
//! In reading order: `batches` (where a revision ends, pure), `stream` (what comes next).

mod batches;
mod stream;

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use serde_json::json;
use shared::framing::Framing;

use self::stream::{RIGHTS, Watcher};
use super::App;
use super::authorize::{Reading, TokenHolder};
use super::openapi::content::{lines, text};
use super::openapi::{self, Entry};
use super::reading::released_from;
use super::refused::Refused;
use super::render::RenderedItem;
use super::shown::Shown;
use crate::http::request::parameter::{CONSISTENCY, LAST_EVENT_ID};
use crate::http::request::watching::{PARAMETERS, Start, WatchRequest, parameters};
use crate::machine::access::authorize::Denied;
use crate::machine::access::granted::Granted;
use crate::machine::access::policy::Rights;
use crate::watch::Selection;

/// What the contract says of it.
pub(super) fn entries() -> Vec<Entry> {
    let item = serde_json::to_value(RenderedItem::example()).expect("an item is plain JSON");
    let event = format!("event: put\ndata: {item}\nid: 42\n\n");
    let line = json!({"event": "put", "id": 42, "data": item});
    vec![
        openapi::read("get", "/v1/watch", ("watch", "Tells of changes as they are executed."))
            .query(&PARAMETERS)
            .headers(&[LAST_EVENT_ID])
            .answers(
                200,
                "A stream that does not end.",
                [lines(&line), text(Framing::EventStream.content_type(), event)],
            )
            .refused(&[410]),
    ]
}

/// Answers it.
pub(super) async fn watch(State(app): State<Arc<App>>, parts: Parts) -> Response {
    answer(&app, &parts).await.into_response()
}

async fn answer(app: &App, parts: &Parts) -> Result<Response, Refused> {
    let query = parameters(parts.uri.query())?;
    let request = WatchRequest::of(&query, &parts.headers, app.limits.key_bytes)?;
    let framing = Framing::of(&parts.headers);
    let watch = app.watches.enter()?;
    // What a client has seen is there: a replica that has not come so far, and is asked
    // locally, is only behind. A linearizable look shows everything that anybody has seen.
    let is_local = query.text(CONSISTENCY.name) == Some("local");
    let seen = match request.start {
        Start::After(seen) if is_local => Some(seen),
        Start::Present | Start::Snapshot | Start::After(_) => None,
    };
    let released = released_from(app, &parts.headers, &query, seen).await?;
    let asked = || query.texts("key").chain(query.texts("prefix"));
    let needed = |holder: &TokenHolder| may_watch(&holder.granted, &request.selection, asked());
    let caller = released.permit(app, &parts.headers, needed).await?;
    let extent = app.reader.extent().await?;
    let start = match request.start {
        Start::Present | Start::Snapshot => extent.present,
        Start::After(seen) => extent.check(seen)?,
    };
    let readers = (&caller, Reading::new(caller.clone(), &app.driver));
    let watcher = Watcher::new(watch, readers, request, start, framing, app.shutdown.clone());
    let mut response = framing.response(watcher.into_body());
    released.describe(response.headers_mut(), start);
    Ok(response)
}

/// Whether there is something that a token may be told of.
fn may_watch<'a>(
    granted: &Granted,
    selection: &Selection,
    mut asked: impl Iterator<Item = &'a str>,
) -> Result<(), Denied> {
    let shown = Shown::Within(granted.ranges(Rights::of(RIGHTS)));
    let mut ranges = selection.ranges().iter();
    if ranges.any(|range| !shown.within(&range.from, &range.below).is_empty()) {
        return Ok(());
    }
    let prefix = asked.next().unwrap_or_default().to_owned();
    Err(Denied::NowhereUnder { rights: Rights::of(RIGHTS), prefix })
}
