//! `POST /v1/endings`: another coordinator, which leads, is about to end.

use axum::extract::State;
use axum::response::Response;
use shared::message::{Ending, OfCluster, Service};
use shared::problem::Problem;
use shared::tls::Caller;
use shared::wire::{Reply, Wire};

use super::{Front, no_answer};

/// The longest [`Ending`]. Bytes.
pub(super) const ENDING_BYTES: usize = 4 << 10;

/// The leader ends: an election may begin though acceptors have just heard of it. That it is
/// the one who says so is all that is asked, for an election too many does no harm.
pub(super) async fn ending(
    State(front): State<Front>,
    caller: Caller,
    reply: Reply,
    Wire(ending): Wire<Ending>,
) -> Result<Response, Problem> {
    caller.must_be(Service::Coordinator, &ending.coordinator)?;
    let cluster = front.handle.same_cluster(ending.cluster).map_err(Problem::of_cluster)?;
    let answer = front.handle.ending(ending.instance).await.map_err(no_answer)?;
    Ok(reply.send(&OfCluster::new(cluster, answer)))
}
