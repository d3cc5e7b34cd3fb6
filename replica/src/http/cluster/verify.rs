//! `POST /v1/cluster/verify`: compares the replicas' states at one slot. And what replicas ask
//! each other for that: `GET /v1/replication/digest?cluster=&at=`, and `POST
//! /v1/replication/suspicions`.

use std::sync::Arc;

use axum::extract::{FromRequest as _, Request, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use shared::deadline::{Deadline, SNAPSHOT_WAIT};
use shared::ids::Slot;
use shared::message::{OfCluster, same_cluster};
use shared::problem::Problem;
use shared::query::Query;
use shared::wire::{self, BodyLimit, Reply, Wire};

use super::primary::refuse_headers_of_mutations;
use crate::http::App;
use crate::http::mutate::finish;
use crate::http::openapi::Entry;
use crate::http::openapi::content::json;
use crate::http::refused::Refused;
use crate::http::replication::{CLUSTER, cluster_of};
use crate::http::request::parameter::{Parameter, TIMEOUT};
use crate::verification::{Check, DigestReply, NotChecked, Suspicion, SuspicionReply};

/// At the state below which slot.
const AT: Parameter = Parameter::number("at", "42");

/// The longest suspicion.
const SUSPICION: BodyLimit = BodyLimit { what: "suspicion", bytes: 1 << 10 };

/// What the contract says of it.
pub(in crate::http) fn entries() -> Vec<Entry> {
    let named = ("verifyCluster", "Compares the replicas' states at one slot.");
    vec![
        Entry::own("post", "/v1/cluster/verify", named)
            .headers(&[TIMEOUT])
            .answers(200, "What came of it.", [json(&Check::example())])
            .refused(&[502]),
    ]
}

/// Answers it. To ask for it twice does no harm, so an `Idempotency-Key` adds nothing.
pub(in crate::http) async fn verify(State(app): State<Arc<App>>, parts: Parts) -> Response {
    finish(answer(&app, &parts).await)
}

async fn answer(app: &App, parts: &Parts) -> Result<Response, Refused> {
    // All states are read before the answer begins.
    let deadline = Deadline::of(&parts.headers)?.extended(SNAPSHOT_WAIT);
    Query::parse(parts.uri.query(), &[])?;
    refuse_headers_of_mutations(&parts.headers, ", not about states")?;
    let check = tokio::select! {
        biased;
        // Where this replica turns out to be the odd one, it ends, and still says so.
        checked = deadline.bound(app.verification.check(None)) => checked,
        () = app.shutdown.cancelled() => return Err(Refused::Closed),
    };
    let late =
        |elapsed| Problem::timeout(format!("{elapsed} before all replicas had read their states"));
    match check.map_err(late)? {
        Ok(check) => Ok(wire::json(&check)),
        Err(error @ NotChecked::UnderWay) => Err(Problem::overloaded(error).into()),
        Err(error @ NotChecked::NoView) => Err(Problem::unavailable(error.to_string()).into()),
    }
}

/// Answers another replica, once the state is read.
pub(in crate::http) async fn digest(
    State(app): State<Arc<App>>,
    reply: Reply,
    parts: Parts,
) -> Response {
    match digest_of(&app, &parts).await {
        Ok(digest) => reply.send(&digest),
        Err(refused) => refused.into_response(),
    }
}

async fn digest_of(app: &App, parts: &Parts) -> Result<OfCluster<DigestReply>, Refused> {
    let query = Query::parse(parts.uri.query(), &[CLUSTER, AT])?;
    let theirs = cluster_of(&query)?;
    let below = query.number("at")?.map(Slot).ok_or_else(|| {
        Problem::bad_request("query parameter \"at\" is missing: the slot to read the state below")
    })?;
    let status = app.driver.published().status;
    let cluster = same_cluster(status.cluster, theirs).map_err(Problem::of_cluster)?;
    if !status.is_history_confirmed {
        return Err(Refused::HistoryUnconfirmed);
    }
    let digest = app.shutdown.run_until_cancelled(app.verification.digest(below)).await;
    Ok(OfCluster::new(cluster, digest.ok_or(Refused::Closed)?))
}

/// Hears that this replica may be the odd one.
pub(in crate::http) async fn suspicions(
    State(app): State<Arc<App>>,
    reply: Reply,
    request: Request,
) -> Response {
    match suspected(&app, request).await {
        Ok(answer) => reply.send(&answer),
        Err(problem) => problem.into_response(),
    }
}

async fn suspected(app: &App, mut request: Request) -> Result<OfCluster<SuspicionReply>, Problem> {
    Query::parse(request.uri().query(), &[])?;
    request.extensions_mut().insert(SUSPICION);
    let Wire(suspicion) = Wire::<Suspicion>::from_request(request, &()).await?;
    app.verification.suspected(&suspicion)
}
