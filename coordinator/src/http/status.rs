//! `GET /v1/status`: what a coordinator says of itself.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use shared::ids::{AcceptorId, Ballot, ClusterId, CoordinatorId, Epoch, Generation, Slot};
use shared::message::Phase;
use shared::wire::json;

use super::{Front, no_answer};
use crate::coordinator::Trouble;
use crate::driver::handle::{Counts, DriverStatus};
use crate::driver::report::describe;
use crate::effect::AcceptorIndex;

/// What a coordinator says of itself beside what all services say.
#[derive(Debug, Serialize)]
struct RoleStatus {
    coordinator: CoordinatorId,
    phase: Phase,
    ballot: Option<Ballot>,
    cluster_id: Option<ClusterId>,
    /// Of the acceptors.
    generation: Option<Generation>,
    /// The one that is about to begin.
    begins: Option<Generation>,
    /// Until then.
    change_waits_for: Option<String>,
    waiting_for: Option<String>,
    chosen_below: Slot,
    trimmed_below: Slot,
    trim_below: Option<Slot>,
    next_slot: Option<Slot>,
    window_start: Option<Slot>,
    in_flight_slots: usize,
    in_flight_bytes: usize,
    waiting_proposals: usize,
    full_acceptors: usize,
    acceptors_full_per_mille: u64,
    warnings: Vec<String>,
    epoch: Epoch,
    #[serde(flatten)]
    counts: Counts,
    acceptors: Vec<AcceptorStatus>,
}

#[derive(Debug, Serialize)]
struct AcceptorStatus {
    url: String,
    acceptor: Option<AcceptorId>,
    heard_ms_ago: Option<u64>,
}

pub(super) async fn status(State(front): State<Front>) -> Response {
    match front.handle.status().await {
        Ok(status) => json(&front.identity.status(role_status(&front, status))),
        Err(reason) => no_answer(reason).into_response(),
    }
}

fn role_status(
    front: &Front,
    DriverStatus { core, counts, waiting_proposals }: DriverStatus,
) -> RoleStatus {
    let of = |at: AcceptorIndex| core.acceptors.iter().find(|seen| seen.at == at);
    let url_of = |at| of(at).map(|seen| seen.url.clone()).unwrap_or_default();
    let acceptors = core.acceptors.iter().map(|seen| AcceptorStatus {
        url: seen.url.clone(),
        acceptor: seen.acceptor,
        heard_ms_ago: seen.heard_ago.map(|ago| u64::try_from(ago.as_millis()).unwrap_or(u64::MAX)),
    });
    RoleStatus {
        coordinator: front.id,
        phase: core.phase,
        ballot: core.ballot,
        cluster_id: core.roster.as_ref().map(|roster| roster.cluster()),
        generation: core.roster.as_ref().map(|roster| roster.generation()),
        begins: core.begins,
        change_waits_for: core.change_waits_for,
        waiting_for: core.waiting_for.as_ref().map(|waiting| describe(waiting, url_of)),
        chosen_below: core.chosen_below,
        trimmed_below: core.trimmed_below,
        trim_below: core.trim_below,
        next_slot: core.next_slot,
        window_start: core.window_start,
        in_flight_slots: core.in_flight_slots,
        in_flight_bytes: core.in_flight_bytes,
        waiting_proposals,
        full_acceptors: core.full_acceptors,
        acceptors_full_per_mille: core.full_per_mille,
        warnings: core.troubles.into_iter().map(Trouble::into_words).collect(),
        epoch: core.epoch,
        counts,
        acceptors: acceptors.collect(),
    }
}
