//! What a transaction comes to, as clients are told.

use std::sync::Arc;

use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;
use shared::deadline::Deadline;
use shared::ids::Revision;

use super::super::App;
use super::super::render::RenderedItem;
use super::{MutationKind, NotCounted, count_deleted, said};
use crate::machine::txn::result::{TxnOutcome, TxnResult, counted_prefixes};
use crate::machine::txn::{Guards, Txn, TxnOp};
use crate::store::CountQuery;

/// Counts what was deleted of prefixes: of the state before it, and then what the
/// transaction itself did.
pub(super) async fn counted(
    app: &App,
    txn: &Txn,
    outcome: Arc<TxnOutcome>,
    deadline: Deadline,
) -> Result<Arc<TxnOutcome>, NotCounted> {
    let is_counted = |result: &TxnResult| !matches!(result, TxnResult::DeletedPrefix { .. });
    if outcome.results.iter().all(is_counted) {
        return Ok(outcome);
    }
    let mut outcome = Arc::unwrap_or_clone(outcome);
    let (revision, branch) = (outcome.revision, txn.branch(outcome.guards));
    app.driver.at_least(revision, deadline).await.map_err(NotCounted::Behind)?;
    let count = |prefix: &str| count_deleted(app, CountQuery::of_prefix(prefix, revision));
    for (index, result) in outcome.results.iter_mut().enumerate() {
        let TxnResult::DeletedPrefix { besides } = *result else { continue };
        let prefixes = counted_prefixes(branch, index);
        let mut deleted = count(prefixes.all_of).await?;
        for gone in prefixes.but_for {
            deleted = deleted.saturating_sub(count(gone).await?);
        }
        *result = TxnResult::Deleted { deleted: deleted.saturating_add_signed(besides) };
    }
    Ok(Arc::new(outcome))
}

/// What came of a transaction.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TxnResult")]
pub(in crate::http) struct Rendered<'a> {
    /// Whether all guards held, so that `then` was done, and not `else`.
    succeeded: bool,
    revision: Revision,
    /// One for each operation of the branch that was taken.
    results: Vec<RenderedResult<'a>>,
}

impl Rendered<'static> {
    /// One for the contract.
    pub(in crate::http) fn example() -> Self {
        let revision = Revision(42);
        let put =
            RenderedResult::Put { key: "a", revision, created_revision: revision, version: 1 };
        let got = RenderedResult::Got(Some(RenderedItem::example()));
        Self { succeeded: true, revision, results: vec![put, got] }
    }
}

/// What came of an operation: as the request of its own that it could be is answered.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "TxnOperationResult")]
enum RenderedResult<'a> {
    Put { key: &'a str, revision: Revision, created_revision: Revision, version: u64 },
    Deleted { deleted: u64, revision: Revision },
    Got(Option<RenderedItem<'a>>),
    Listed { items: Vec<RenderedItem<'a>>, more: bool },
}

/// The answer to the client that asked for the transaction.
pub(super) fn response(asked: &MutationKind, outcome: &TxnOutcome) -> Response {
    let TxnOutcome { revision, guards, results } = outcome;
    let ops = match asked {
        MutationKind::Txn(txn) => txn.branch(*guards),
        MutationKind::Key(_)
        | MutationKind::Other
        | MutationKind::Grant { .. }
        | MutationKind::Lease(_)
        | MutationKind::Lock { .. } => &[],
    };
    let results = ops.iter().zip(results).map(|(op, result)| rendered(op, result, *revision));
    let succeeded = *guards == Guards::Hold;
    let body = Rendered { succeeded, revision: *revision, results: results.collect() };
    said(&body, *revision)
}

fn rendered<'a>(op: &'a TxnOp, result: &'a TxnResult, revision: Revision) -> RenderedResult<'a> {
    match result {
        TxnResult::Put { created_revision, version } => {
            let (key, created_revision) = (op.key().unwrap_or_default(), *created_revision);
            RenderedResult::Put { key, revision, created_revision, version: *version }
        }
        TxnResult::Deleted { deleted } => RenderedResult::Deleted { deleted: *deleted, revision },
        TxnResult::DeletedPrefix { .. } => unreachable!("what was deleted is counted"),
        TxnResult::Got(item) => {
            RenderedResult::Got(item.as_deref().map(RenderedItem::of_transaction))
        }
        TxnResult::Listed { items, has_more } => RenderedResult::Listed {
            items: items.iter().map(RenderedItem::of_transaction).collect(),
            more: *has_more,
        },
        TxnResult::GotLeased(item) => RenderedResult::Got(Some(RenderedItem::of_leased(item))),
        TxnResult::ListedLeased { items, has_more } => RenderedResult::Listed {
            items: items.iter().map(RenderedItem::of_leased).collect(),
            more: *has_more,
        },
    }
}
