//! `GET /v1/replication/log?from=`: the learned log, for replicas that copy it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use shared::chain::ChainHash;
use shared::ids::Slot;
use shared::message::{ChosenEntry, ChosenReply, LogPrefix};
use shared::problem::Problem;
use shared::wire::Reply;

use super::App;
use super::refused::Refused;
use crate::driver::{LOG_PAGE_BYTES, LOG_PAGE_ENTRIES};
use crate::http::request::query::Query;
use crate::replica::status::LogPage;
use crate::store::{LogQuery, LogRow, ReadError};

/// The longest wait for something new, in milliseconds.
const MAX_WAIT_MS: u64 = 10_000;

/// Answers it.
pub(super) async fn log(State(app): State<Arc<App>>, reply: Reply, parts: Parts) -> Response {
    match answer(&app, &parts).await {
        Ok(page) => reply.send(&page),
        Err(refused) => Problem::from(refused).into_response(),
    }
}

async fn answer(app: &App, parts: &Parts) -> Result<ChosenReply, Refused> {
    let query = Query::parse(parts.uri.query(), &["from", "limit", "wait_ms"])?;
    let from = query.number("from")?.map(Slot);
    let from = from.ok_or_else(|| {
        Problem::bad_request("query parameter \"from\" is missing: the first slot to send")
    })?;
    let limit = query.number("limit")?.unwrap_or(LOG_PAGE_ENTRIES).clamp(1, LOG_PAGE_ENTRIES);
    let wait_ms: u64 = query.number("wait_ms")?.unwrap_or(0).min(MAX_WAIT_MS);
    let learned = async {
        let mut published = app.driver.watch();
        let _ = published.wait_for(|published| published.status.learned_below > from).await;
    };
    // However the wait ends, what there is then is sent.
    let _ = tokio::time::timeout(
        Duration::from_millis(wait_ms),
        app.shutdown.run_until_cancelled(learned),
    )
    .await;
    let mut page = page(app, from).await?;
    if let ChosenReply::Entries { entries, .. } = &mut page {
        entries.truncate(limit);
    }
    Ok(page)
}

async fn page(app: &App, from: Slot) -> Result<ChosenReply, Refused> {
    match app.driver.log_from(from).await.ok_or(Refused::Closed)? {
        LogPage::Ready(reply) | LogPage::Nothing(reply) => Ok(reply),
        LogPage::OnlyHash { chosen_below } => {
            let query = LogQuery { from, limit: 1, max_bytes: 0 };
            let previous = match app.reader.log(query).await {
                Err(ReadError::Trimmed { .. }) => None,
                page => prefix_of(&page?.rows),
            };
            Ok(ChosenReply::Entries { entries: Vec::new(), chosen_below, previous })
        }
        LogPage::Stored { below: _, chosen_below } => {
            let query = LogQuery { from, limit: LOG_PAGE_ENTRIES, max_bytes: LOG_PAGE_BYTES };
            let rows = match app.reader.log(query).await {
                Err(ReadError::Trimmed { oldest, .. }) => {
                    return Ok(ChosenReply::Trimmed { oldest });
                }
                page => page?.rows,
            };
            let previous = prefix_of(&rows);
            let entries = rows
                .into_iter()
                .map(|row| ChosenEntry { slot: row.slot, ballot: row.ballot, value: row.value })
                .collect();
            Ok(ChosenReply::Entries { entries, chosen_below, previous })
        }
    }
}

/// The log below the first of these.
fn prefix_of(rows: &[LogRow]) -> Option<LogPrefix> {
    let first = rows.first()?;
    Some(LogPrefix { below: first.slot, hash: ChainHash(first.previous_hash) })
}
