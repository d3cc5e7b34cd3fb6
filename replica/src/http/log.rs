//! `GET /v1/log/{slot}` and `GET /v1/log`: what Paxos decided, slot by slot.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;
use schemars::JsonSchema;
use serde::Serialize;
use shared::deadline::{Deadline, MAX, time_of};
use shared::ids::{Ballot, BatchNumber, CoordinatorId, Epoch, Revision, Slot};
use shared::page::PageLimits;
use shared::problem::Problem;
use shared::query::Query;
use shared::wire;
use tokio::time::timeout;

use super::App;
use super::authorize::{EVERYTHING, Reading, TokenHolder};
use super::openapi::content::{json, lines};
use super::openapi::{self, Entry};
use super::paging::{Paging, Piece, Sizes, Source};
use super::reading::released;
use super::refused::Refused;
use super::render::hex;
use super::shown::NotShown;
use crate::http::request::parameter::{CONSISTENCY, LIMIT, Parameter, SLOT};
use crate::http::request::path::slot_of_path;
use crate::machine::access::authorize::Denied;
use crate::machine::describe::{
    CommandDescription, Description, OpDescription, ValueDescription, ValueKind, describe,
};
use crate::store::{LogPage, LogQuery, LogRow, ReadError, Reader};

/// Of values.
const SIZES: Sizes =
    Sizes { page_bytes: 4 << 20, piece: PageLimits { items: 256, bytes: 512 << 10 } };

/// The parameter that says how long to wait for a slot.
const WAIT: &str = "wait";
const OF_ONE: [Parameter; 2] = [Parameter::time(WAIT, "5s"), CONSISTENCY];
const OF_MANY: [Parameter; 3] = [Parameter::number("from", "7"), LIMIT, CONSISTENCY];

/// What the contract says of them.
pub(super) fn entries() -> Vec<Entry> {
    let slots = vec![RenderedSlot::example()];
    vec![
        openapi::read("get", "/v1/log", ("log", "Lists slots of the log."))
            .query(&OF_MANY)
            .answers(200, "Slots.", [json(&slots), lines(&slots[0])])
            .refused(&[410]),
        openapi::read("get", "/v1/log/{slot}", ("slot", "Reads a slot of the log."))
            .of(SLOT)
            .query(&OF_ONE)
            .answers(200, "What it holds.", [json(&slots[0])])
            .refused(&[404, 410]),
    ]
}

/// `GET /v1/log/{slot}`.
pub(super) async fn slot(State(app): State<Arc<App>>, parts: Parts) -> Response {
    slot_answer(&app, &parts).await.into_response()
}

/// `GET /v1/log`.
pub(super) async fn list(State(app): State<Arc<App>>, parts: Parts) -> Response {
    list_answer(&app, &parts).await.into_response()
}

async fn slot_answer(app: &App, parts: &Parts) -> Result<Response, Refused> {
    let deadline = Deadline::of(&parts.headers)?;
    let query = Query::parse(parts.uri.query(), &OF_ONE)?;
    let slot = slot_of_path(parts.uri.path())?;
    let wait = wait_of(&query)?;
    let released = released(app, &parts.headers, &query).await?;
    // Who may not see it neither waits for it nor hears whether it is trimmed …
    released.permit(app, &parts.headers, needed).await?;
    if let Some(wait) = wait {
        // Whether or not it comes, the answer says.
        let mut published = app.driver.watch();
        let executed = published.wait_for(|it| it.status.executed_below > slot);
        drop(timeout(wait.min(deadline.remaining()), executed).await);
    }
    let page = app
        .reader
        .log(LogQuery { from: slot, page: PageLimits { items: 1, bytes: SIZES.page_bytes } })
        .await?;
    // … and who may, may in a state that is no older than what was read.
    released.permit(app, &parts.headers, needed).await?;
    let mut response = match page.rows.first() {
        Some(row) => wire::json(&RenderedSlot::of(row)),
        None => Problem::from(Refused::NoSuchSlot { slot, executed_below: page.executed_below })
            .into_response(),
    };
    released.describe(response.headers_mut(), page.revision);
    Ok(response)
}

/// The log has what was done with any key.
fn needed(holder: &TokenHolder) -> Result<(), Denied> {
    holder.granted.need_whole(EVERYTHING, "")
}

/// How long a slot that is not chosen yet is waited for.
fn wait_of(query: &Query) -> Result<Option<Duration>, Problem> {
    let Some(text) = query.text(WAIT) else { return Ok(None) };
    let wait = time_of(text).ok_or_else(|| {
        Problem::bad_request(format!(
            "query parameter {WAIT:?} is not a time of 1ms to {}s, such as 500ms or 2s",
            MAX.as_secs()
        ))
    })?;
    Ok(Some(wait))
}

async fn list_answer(app: &App, parts: &Parts) -> Result<Response, Refused> {
    let query = Query::parse(parts.uri.query(), &OF_MANY)?;
    let from: Option<Slot> = query.number("from")?.map(Slot);
    let paging = Paging::of(app, &parts.headers, &query, SIZES)?;
    let released = released(app, &parts.headers, &query).await?;
    let caller = released.permit(app, &parts.headers, needed).await?;
    let query = LogQuery { from: from.unwrap_or_default(), page: paging.first() };
    let page = match app.reader.log(query).await {
        // Whoever names no slot asks for the log as far as it goes back.
        Err(ReadError::Trimmed { oldest, .. }) if from.is_none() => {
            app.reader.log(LogQuery { from: oldest, ..query }).await?
        }
        page => page?,
    };
    let revision = page.revision;
    released.permit(app, &parts.headers, needed).await?;
    let mut response = if paging.streaming {
        let (reader, end) = (app.reader.clone(), page.executed_below);
        let reading = Reading::new(caller, &app.driver);
        let mut rest = Rest { reader, reading, end, next: None };
        paging.stream(rest.take(&page), rest)
    } else {
        rendered(&page, paging)
    };
    released.describe(response.headers_mut(), revision);
    Ok(response)
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LogSlot")]
struct RenderedSlot {
    slot: Slot,
    ballot: Ballot,
    #[serde(flatten)]
    value: Description,
    /// Of the state once it is executed.
    revision: Revision,
    /// Chains it to all before it.
    hash: String,
    previous_hash: String,
}

impl RenderedSlot {
    /// One for the contract.
    fn example() -> Self {
        Self {
            slot: Slot(7),
            ballot: Ballot { round: 1, coordinator: CoordinatorId(0xaa) },
            value: Description {
                kind: ValueKind::Batch,
                epoch: Some(Epoch(1)),
                number: Some(BatchNumber(3)),
                view: None,
                removed: None,
                wall_ms: Some(1_760_000_000_000),
                time_ms: Some(5_000),
                commands: vec![CommandDescription {
                    op: OpDescription::Append {
                        value: ValueDescription::of(Bytes::from_static(b"deployed 1.2")),
                        content_type: Some("text/plain".to_owned()),
                    },
                    fence: None,
                    trace_id: None,
                    request: hex(&[0xaa; 16]),
                    by: None,
                    subject: None,
                }],
                trace_id: None,
                error: None,
            },
            revision: Revision(42),
            hash: hex(&[0xaa; 32]),
            previous_hash: hex(&[0xbb; 32]),
        }
    }

    fn of(row: &LogRow) -> Self {
        Self {
            slot: row.slot,
            ballot: row.ballot,
            value: describe(&row.value),
            revision: row.revision,
            hash: hex(&row.hash),
            previous_hash: hex(&row.previous_hash),
        }
    }
}

/// A list of slots; where more are executed, `Link` says where they are.
fn rendered(page: &LogPage, paging: Paging) -> Response {
    let slots: Vec<RenderedSlot> = page.rows.iter().map(RenderedSlot::of).collect();
    let mut response = wire::json(&slots);
    if let Some(next) = next_of(page, page.executed_below) {
        paging.link_next(response.headers_mut(), &format!("/v1/log?from={next}"));
    }
    response
}

fn next_of(page: &LogPage, end: Slot) -> Option<Slot> {
    page.rows.last().map(|row| row.slot.next()).filter(|next| *next < end)
}

/// What of a stream is still to come: everything below what was executed when it began.
struct Rest {
    reader: Reader,
    reading: Reading,
    next: Option<Slot>,
    end: Slot,
}

impl Rest {
    /// Takes a page, which what comes next comes after.
    fn take(&mut self, page: &LogPage) -> Piece {
        self.next = next_of(page, self.end);
        let rows = page.rows.iter().take_while(|row| row.slot < self.end);
        Piece::of(rows.map(RenderedSlot::of))
    }
}

impl Source for Rest {
    async fn next(&mut self, limits: PageLimits) -> io::Result<Option<Piece>> {
        let Some(from) = self.next else { return Ok(None) };
        let page = self.reader.log(LogQuery { from, page: limits }).await;
        let page = page.map_err(NotShown::from)?;
        self.reading.still(&needed).map_err(NotShown::from)?;
        Ok(Some(self.take(&page)))
    }
}
