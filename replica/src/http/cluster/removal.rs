//! `DELETE /v1/cluster/replicas/{id}`: takes a replica out for good.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::request::Parts;
use shared::deadline::Deadline;
use shared::ids::{Name, NameError};
use shared::problem::Problem;
use shared::query::{Query, decode_strict};

use super::primary::{refuse_headers_of_mutations, rendered};
use crate::http::App;
use crate::http::mutate::finish;
use crate::http::openapi::Entry;
use crate::http::openapi::content::json;
use crate::http::refused::Refused;
use crate::http::request::parameter::{REPLICA, TIMEOUT};
use crate::http::status::RenderedView;
use crate::switch_over::take_out;

/// Where it is asked for.
const PATH: &str = "/v1/cluster/replicas/";

/// What the contract says of it.
pub(in crate::http) fn entries() -> Vec<Entry> {
    let named = ("removeReplica", "Takes a replica out of the cluster for good.");
    vec![
        Entry::own("delete", "/v1/cluster/replicas/{id}", named)
            .of(REPLICA)
            .headers(&[TIMEOUT])
            .answers(200, "It is out.", [json(&RenderedView::example())])
            .refused(&[404, 409, 502]),
    ]
}

/// Answers it. Where it was out before it is answered alike: an `Idempotency-Key` adds nothing.
pub(in crate::http) async fn remove(State(app): State<Arc<App>>, parts: Parts) -> Response {
    finish(answer(&app, &parts).await)
}

async fn answer(app: &App, parts: &Parts) -> Result<Response, Refused> {
    let deadline = Deadline::of(&parts.headers)?;
    Query::parse(parts.uri.query(), &[])?;
    let replica = replica_of_path(parts.uri.path())?;
    refuse_headers_of_mutations(&parts.headers, ", not about replicas")?;
    rendered(take_out(&app.driver, &replica, deadline).await)
}

fn replica_of_path(path: &str) -> Result<Name, Problem> {
    let encoded = path.strip_prefix(PATH).unwrap_or_default();
    let name = decode_strict(encoded)
        .map_err(|reason| Problem::bad_request(format!("the name of the replica {reason}")))?;
    name.parse().map_err(|error: NameError| Problem::bad_request(error.to_string()))
}
