//! `POST /v1/proposals`: a primary's batch, for as long as its primary waits.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use shared::deadline::Deadline;
use shared::message::{Batch, ClusterError, OfCluster, Proposal, ProposalReply, Service, Value};
use shared::problem::Problem;
use shared::telemetry::attribute;
use shared::tls::Caller;
use shared::wire::{Reply, Wire};
use tokio::sync::Semaphore;
use tracing::Span;

use super::{Front, no_answer};
use crate::config::shell::proposal_wait;
use crate::driver::handle::Handle;

/// Proposals that are read or waited for at once. A primary has few in flight; each may
/// hold a whole batch.
pub(super) const WAITING_PROPOSALS: usize = 64;

/// Room in a proposal's body beside its value.
pub(super) const PROPOSAL_OVERHEAD: usize = 1_024;

/// Refuses before the body is read.
pub(super) async fn admit_proposal(
    State((handle, places)): State<(Handle, Arc<Semaphore>)>,
    request: Request,
    next: Next,
) -> Response {
    let Ok(_place) = places.try_acquire() else {
        let limit = format!("{WAITING_PROPOSALS} proposals are waited for");
        return overloaded(&handle, request.headers(), limit)
            .unwrap_or_else(|problem| problem.into_response());
    };
    next.run(request).await
}

fn overloaded(handle: &Handle, headers: &HeaderMap, limit: String) -> Result<Response, Problem> {
    let reply = Reply::of(headers)?;
    let own = *handle.cluster().borrow();
    let cluster = own.ok_or(ClusterError::Unknown).map_err(Problem::of_cluster)?;
    Ok(reply.send(&OfCluster::new(cluster, ProposalReply::Overloaded { limit })))
}

/// Whether a batch may be proposed, where it is known who asks: that of an epoch is its
/// primary's alone. False where it is not known here who that is; the primary asks again, and
/// its heartbeats come meanwhile.
async fn is_of_primary(
    front: &Front,
    caller: &Caller,
    proposal: &Proposal,
) -> Result<bool, Problem> {
    if !caller.is_held() {
        return Ok(true);
    }
    match front.handle.primary_of(proposal.epoch).await.map_err(no_answer)? {
        Some(primary) => caller.must_be(Service::Replica, &primary).map(|()| true),
        None => Ok(false),
    }
}

/// Whether what replicas would execute is what the proposal says: they go by the value alone, and
/// a view, above all one of a format that nobody reads, is not for a replica to propose.
fn is_batch(proposal: &Proposal) -> bool {
    matches!(
        Value::decode(&proposal.value),
        Ok(Value::Batch(Batch { epoch, number, .. }))
            if (epoch, number) == (proposal.epoch, proposal.number)
    )
}

pub(super) async fn propose(
    State(front): State<Front>,
    caller: Caller,
    deadline: Deadline,
    reply: Reply,
    Wire(proposal): Wire<Proposal>,
) -> Result<Response, Problem> {
    let cluster = front.handle.same_cluster(proposal.cluster).map_err(Problem::of_cluster)?;
    if !is_batch(&proposal) {
        let what = "a proposal must be a batch of the epoch and number that it names";
        return Err(Problem::bad_request(what.to_owned()));
    }
    if !is_of_primary(&front, &caller, &proposal).await? {
        return Ok(reply.send(&OfCluster::new(cluster, ProposalReply::NotLeading)));
    }
    let span = Span::current();
    attribute(&span, "epoch", i64::try_from(proposal.epoch.0).unwrap_or(i64::MAX));
    attribute(&span, "batch", i64::try_from(proposal.number.0).unwrap_or(i64::MAX));
    let answer = front.handle.propose(proposal, proposal_wait(deadline.remaining())).await;
    match &answer {
        ProposalReply::Chosen { slot, ballot, .. } => {
            attribute(&span, "slot", i64::try_from(slot.0).unwrap_or(i64::MAX));
            attribute(&span, "ballot", ballot.to_string());
            // Of how many the votes are a majority: not each is asked in this trace.
            let acceptors = front.acceptors.borrow().clients.len();
            attribute(&span, "acceptors", i64::try_from(acceptors).unwrap_or(i64::MAX));
            attribute(&span, "outcome", "chosen");
        }
        ProposalReply::NotLeading => attribute(&span, "outcome", "not_leading"),
        ProposalReply::Overloaded { .. } => attribute(&span, "outcome", "overloaded"),
        ProposalReply::Unresolved => attribute(&span, "outcome", "unresolved"),
    }
    Ok(reply.send(&OfCluster::new(cluster, answer)))
}
