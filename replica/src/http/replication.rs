//! `GET /v1/replication/log?cluster=&from=`: the learned log, for replicas of the same
//! cluster that copy it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use shared::chain::ChainHash;
use shared::ids::{ClusterId, NonceError, Slot};
use shared::message::{ChosenEntry, ChosenReply, LogPrefix, OfCluster, same_cluster};
use shared::page::PageLimits;
use shared::problem::Problem;
use shared::query::Query;
use shared::wire::Reply;

use super::App;
use super::refused::Refused;
use crate::driver::{LOG_PAGE_BYTES, LOG_PAGE_ENTRIES};
use crate::http::request::parameter::{LIMIT, Parameter};
use crate::replica::status::LogPage;
use crate::store::{LogQuery, LogRow, ReadError};

/// The longest wait for something new, in milliseconds.
const MAX_WAIT_MS: u64 = 10_000;

/// Whose log, or whose state, it is to be.
pub(super) const CLUSTER: Parameter = Parameter::text("cluster", "00000000000000aa");
const PARAMETERS: [Parameter; 4] =
    [CLUSTER, Parameter::number("from", "7"), LIMIT, Parameter::number("wait_ms", "1000")];

/// Answers it.
pub(super) async fn log(State(app): State<Arc<App>>, reply: Reply, parts: Parts) -> Response {
    match answer(&app, &parts).await {
        Ok(page) => reply.send(&page),
        Err(refused) => refused.into_response(),
    }
}

async fn answer(app: &App, parts: &Parts) -> Result<OfCluster<ChosenReply>, Refused> {
    let query = Query::parse(parts.uri.query(), &PARAMETERS)?;
    let theirs = cluster_of(&query)?;
    let from = query.number("from")?.map(Slot);
    let from = from.ok_or_else(|| {
        Problem::bad_request("query parameter \"from\" is missing: the first slot to send")
    })?;
    let limit = query.number("limit")?.unwrap_or(LOG_PAGE_ENTRIES).clamp(1, LOG_PAGE_ENTRIES);
    let wait_ms: u64 = query.number("wait_ms")?.unwrap_or(0).min(MAX_WAIT_MS);
    let own = app.driver.cluster();
    same_cluster(own, theirs).map_err(Problem::of_cluster)?;
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
    let mut page = page(app, theirs, from).await?;
    if let ChosenReply::Entries { entries, .. } = &mut page {
        entries.truncate(limit);
    }
    Ok(OfCluster::new(theirs, page))
}

/// The cluster of whoever asks.
pub(super) fn cluster_of(query: &Query) -> Result<ClusterId, Problem> {
    let text = query.text("cluster").ok_or_else(|| {
        Problem::bad_request("query parameter \"cluster\" is missing: that of whoever asks")
    })?;
    text.parse().map_err(|error: NonceError| {
        Problem::bad_request(format!("query parameter \"cluster\": {error}"))
    })
}

async fn page(app: &App, theirs: ClusterId, from: Slot) -> Result<ChosenReply, Refused> {
    let page = app.driver.log_from(theirs, from).await.ok_or(Refused::Closed)?;
    match page.map_err(Problem::of_cluster)? {
        LogPage::Ready(reply) | LogPage::Nothing(reply) => Ok(reply),
        LogPage::OnlyHash => {
            let query = LogQuery { from, page: PageLimits { items: 1, bytes: 0 } };
            Ok(ChosenReply::only_hash(match app.reader.log(query).await {
                Err(ReadError::Trimmed { .. }) => None,
                page => prefix_of(&page?.rows),
            }))
        }
        LogPage::Stored { below: _, chosen_below } => {
            let query = LogQuery {
                from,
                page: PageLimits { items: LOG_PAGE_ENTRIES, bytes: LOG_PAGE_BYTES },
            };
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
