//! A mutation that came to a replica which is not the primary goes on to the one that is:
//! `POST /v1/replication/commands`.
//!
//! ```text
//! client ─PUT─▶ backup ──ForwardedCommand──▶ primary ── as a mutation of its own
//! client ◀───── backup ◀──ForwardReply────── primary
//! ```
//!
//! What travels is the command and what came of it, so that a backup reads the request
//! and writes the answer with the same code as the primary. It is sent once, and one hop
//! only. Where the primary could not be connected to, or has refused, it is certain that
//! nothing happened; otherwise the client hears that the outcome is unknown.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequest as _, Request, State};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use shared::client::{CallError, ReplicaClient};
use shared::config::BaseUrl;
use shared::deadline::Deadline;
use shared::ids::{ClusterId, Revision, Slot};
use shared::message::Member;
use shared::problem::Problem;
use shared::query::Query;
use shared::wire::{BodyLimit, Reply, Wire};

use super::App;
use super::mutation::{MutationKind, MutationRefused, Performed, perform};
use super::refused::Refused;
use crate::http::request::parameter::Parameter;
use crate::machine::command::{Command, limits};
use crate::replica::event::{NotApplied, Role};

/// A client's mutation, from the replica that was asked to the primary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForwardedCommand {
    /// The cluster of the sender.
    pub(crate) cluster: ClusterId,
    /// The state must be at least so new (`Synod-Min-Revision`).
    pub(crate) min_revision: Option<Revision>,
    /// The mutation. The limits of the format hold for it; those that an operator sets are
    /// checked where the client asked.
    pub(crate) command: Command,
}

/// The answer to [`ForwardedCommand`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ForwardReply {
    /// It was executed.
    Done(Performed),
    /// It was not, or nobody knows.
    Refused(MutationRefused),
}

/// The longest one: a value, a key and a type as long as the format allows, and a guard.
const LONGEST: BodyLimit = BodyLimit {
    what: "forwarded command",
    bytes: limits::VALUE_BYTES + limits::KEY_BYTES + limits::CONTENT_TYPE_BYTES + (4 << 10),
};

/// The time that is kept back, so that the primary's answer arrives before this replica's
/// own deadline: what an answer may take on a busy machine.
const KEPT_BACK: Duration = Duration::from_millis(200);

/// But no more of the remaining time than one part in this many.
const MOST_KEPT_BACK: u32 = 4;

/// Where a request was sent first, which may be sent again.
const SINCE: Parameter = Parameter::number("since", "7");

/// Takes a command of another replica. The header `Synod-Timeout` says how much of the
/// client's time is left for it.
pub(super) async fn commands(
    State(app): State<Arc<App>>,
    reply: Reply,
    request: Request,
) -> Response {
    match answer(&app, request).await {
        Ok(answer) => reply.send(&answer),
        Err(problem) => problem.into_response(),
    }
}

async fn answer(app: &App, mut request: Request) -> Result<ForwardReply, Problem> {
    let deadline = Deadline::of(request.headers())?;
    let since = Query::parse(request.uri().query(), &[SINCE])?.number("since")?.map(Slot);
    let _room = match app.bodies.reserve_body(request.headers(), LONGEST.bytes) {
        Ok(room) => room,
        Err(spent) => return Ok(ForwardReply::Refused(MutationRefused::BodiesFull(spent))),
    };
    request.extensions_mut().insert(LONGEST);
    let Wire(message) = Wire::<ForwardedCommand>::from_request(request, &()).await?;
    Ok(match taken(app, message, since, deadline).await {
        Ok(done) => ForwardReply::Done(done),
        Err(refused) => ForwardReply::Refused(refused),
    })
}

async fn taken(
    app: &App,
    message: ForwardedCommand,
    since: Option<Slot>,
    deadline: Deadline,
) -> Result<Performed, MutationRefused> {
    let ForwardedCommand { cluster, min_revision, command } = message;
    let status = app.driver.published().status;
    if status.cluster != Some(cluster) {
        return Err(MutationRefused::OtherCluster { own: status.cluster });
    }
    match status.role {
        Role::Primary => {
            let asked = MutationKind::of(&command.op);
            perform(app, (command, since, &asked), min_revision, deadline).await
        }
        Role::Backup | Role::Waiting => {
            let primary = status.view.map(|view| view.primary);
            Err(MutationRefused::NotApplied(NotApplied::NotPrimary { primary }))
        }
    }
}

/// Has the primary execute a command.
pub(super) async fn forward(
    primary: &Member,
    message: &ForwardedCommand,
    since: Option<Slot>,
    deadline: Deadline,
) -> Result<Performed, Refused> {
    let name = || primary.name.to_string();
    let url: BaseUrl =
        primary.url.parse().map_err(|error: <BaseUrl as std::str::FromStr>::Err| {
            Refused::PrimaryUnreachable { primary: name(), reason: error.to_string() }
        })?;
    let remaining = deadline.remaining();
    let granted = granted_of(remaining);
    let answer: Result<ForwardReply, CallError> =
        ReplicaClient::new(url).command(message, since, granted, remaining).await;
    match answer {
        Ok(ForwardReply::Done(done)) => Ok(done),
        Ok(ForwardReply::Refused(MutationRefused::NotApplied(NotApplied::NotPrimary {
            ..
        }))) => Err(Refused::Astray { asked: name() }),
        Ok(ForwardReply::Refused(refused)) => Err(Refused::Mutation(refused)),
        Err(error) => Err(no_answer(name(), &error, deadline)),
    }
}

/// The time that the primary has, of what remains.
fn granted_of(remaining: Duration) -> Duration {
    remaining - KEPT_BACK.min(remaining / MOST_KEPT_BACK)
}

/// What is known of the command where the primary says nothing of it.
fn no_answer(primary: String, error: &CallError, deadline: Deadline) -> Refused {
    let is_unknown = error.is_unknown();
    match error {
        CallError::Connect { reason, .. } => {
            Refused::PrimaryUnreachable { primary, reason: reason.clone() }
        }
        CallError::Timeout { .. } => Refused::PrimarySilent { primary, waited: deadline.timeout() },
        CallError::Refused { problem, detail, .. } if !is_unknown => {
            let overload = Problem::overloaded("");
            let is_overload =
                problem.as_ref().is_some_and(|problem| problem.kind == overload.body().kind);
            let reason = detail.clone();
            if is_overload {
                Refused::PrimaryOverloaded { primary, reason }
            } else {
                Refused::PrimaryTurnedAway { primary, reason }
            }
        }
        CallError::OtherVersion { .. } => {
            Refused::PrimaryTurnedAway { primary, reason: error.to_string() }
        }
        CallError::Broken { reason, .. } | CallError::Nonsense { reason, .. } => {
            Refused::PrimaryBroke { primary, reason: reason.clone() }
        }
        CallError::Refused { status, detail, .. } => {
            Refused::PrimaryBroke { primary, reason: format!("{status}: {detail}") }
        }
    }
}

#[cfg(test)]
mod tests;
