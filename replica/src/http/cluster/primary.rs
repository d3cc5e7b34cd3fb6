//! `POST /v1/cluster/primary`: makes another replica primary.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::HeaderMap;
use schemars::JsonSchema;
use serde::Deserialize;
use shared::client::CallError;
use shared::deadline::Deadline;
use shared::fields::refuse_but_json;
use shared::ids::Name;
use shared::message::{PrimaryRefused, View};
use shared::problem::{Outcome, Problem, RETRY_AFTER};
use shared::query::Query;
use shared::wire::{self, BodyLimit, Encoding, read_in_time};

use crate::http::App;
use crate::http::mutate::{finish, refuse_conditions, refuse_unsupported};
use crate::http::openapi::Entry;
use crate::http::openapi::content::{json, sent};
use crate::http::refused::Refused;
use crate::http::request::json::Object;
use crate::http::request::parameter::TIMEOUT;
use crate::http::request::tenure::fence_of;
use crate::http::status::RenderedView;
use crate::switch_over::{NotChanged, make_primary};

/// The longest one: a name.
const SWITCH_OVER: BodyLimit = BodyLimit { what: "switch-over", bytes: 4 << 10 };

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SwitchOver {
    /// Which one is to be primary.
    replica: Name,
}

/// What the contract says of it.
pub(in crate::http) fn entries() -> Vec<Entry> {
    let named = ("switchOver", "Makes another replica primary.");
    vec![
        Entry::own("post", "/v1/cluster/primary", named)
            .headers(&[TIMEOUT])
            .takes([sent::<SwitchOver>(serde_json::json!({"replica": "replica-2"}))])
            .answers(200, "It is.", [json(&RenderedView::example())])
            .refused(&[404, 409, 415, 502]),
    ]
}

/// Answers it. To ask for it twice comes to the same as once, so an `Idempotency-Key` adds
/// nothing.
pub(in crate::http) async fn primary(State(app): State<Arc<App>>, request: Request) -> Response {
    finish(answer(&app, request).await)
}

async fn answer(app: &App, request: Request) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    let deadline = Deadline::of(&parts.headers)?;
    Query::parse(parts.uri.query(), &[])?;
    refuse_but_json(&parts.headers, "a switch-over")?;
    refuse_headers_of_mutations(&parts.headers, ", not about the primary")?;
    let body = read_in_time(body, SWITCH_OVER, deadline).await?;
    let Object(SwitchOver { replica }) = Encoding::Json
        .decode::<Object<SwitchOver>>(&body)
        .map_err(|error| Problem::bad_request(format!("this is no switch-over: {error}")))?;
    rendered(make_primary(&app.driver, replica, deadline).await)
}

/// Refuses what is said of the state to change it: here the view is changed alone.
pub(super) fn refuse_headers_of_mutations(
    headers: &HeaderMap,
    not_about: &str,
) -> Result<(), Problem> {
    refuse_conditions(headers, not_about)?;
    if fence_of(headers)?.is_some() {
        let why = "Synod-Fence is for mutations of the state, and this is none";
        return Err(Problem::bad_request(why));
    }
    refuse_unsupported(headers)
}

/// What a change of the view is answered by.
pub(super) fn rendered(changed: Result<View, NotChanged>) -> Result<Response, Refused> {
    match changed {
        Ok(view) => Ok(wire::json(&RenderedView::from(view))),
        Err(why) => Err(Refused::Malformed(problem(&why))),
    }
}

/// What it is refused by.
fn problem(why: &NotChanged) -> Problem {
    let detail = why.to_string();
    match why {
        NotChanged::NoLeader | NotChanged::NotHeard(_) | NotChanged::NotCurrent(_) => {
            Problem::unavailable(detail)
        }
        NotChanged::Refused(PrimaryRefused::Unknown { .. }) => Problem::not_found(detail),
        NotChanged::Refused(
            PrimaryRefused::NotInView { .. }
            | PrimaryRefused::Unable { .. }
            | PrimaryRefused::NobodyAble { .. }
            | PrimaryRefused::Last { .. }
            | PrimaryRefused::TooFewCopies { .. }
            | PrimaryRefused::LogTooOld { .. },
        ) => Problem::conflict(detail),
        // Nothing is to be done but to ask again.
        NotChanged::Refused(PrimaryRefused::ChangeUnderWay | PrimaryRefused::Overtaken) => {
            Problem::conflict(detail).with_retry_after(RETRY_AFTER)
        }
        NotChanged::Overloaded(limit) => Problem::overloaded(limit),
        NotChanged::Late(_) => Problem::timeout(detail).with_outcome(Outcome::Unknown),
        NotChanged::Unresolved => Problem::unavailable(detail).with_outcome(Outcome::Unknown),
        NotChanged::NoAnswer { error, .. } => of_no_answer(error, detail),
    }
}

/// What the leading coordinator's silence is told by.
pub(super) fn of_no_answer(error: &CallError, detail: String) -> Problem {
    if matches!(error, CallError::Timeout { .. }) {
        Problem::timeout(detail).with_outcome(Outcome::Unknown)
    } else if error.is_unknown() {
        Problem::unavailable(detail).with_outcome(Outcome::Unknown)
    } else {
        Problem::unavailable(detail)
    }
}

#[cfg(test)]
mod tests {
    use http::{StatusCode, header};

    use super::*;

    #[test]
    fn a_change_that_another_came_before_says_when_to_ask_again_and_no_other_conflict_does() {
        let replica: Name = "replica-2".parse().unwrap();
        for (why, asks_again) in [
            (PrimaryRefused::ChangeUnderWay, true),
            (PrimaryRefused::Overtaken, true),
            (PrimaryRefused::NotInView { replica: replica.clone() }, false),
            (PrimaryRefused::NobodyAble { others: Vec::new() }, false),
            (PrimaryRefused::Last { replica }, false),
        ] {
            let response = problem(&NotChanged::Refused(why.clone())).to_http();
            assert_eq!(response.status(), StatusCode::CONFLICT, "{why}");
            let says_when = response.headers().contains_key(header::RETRY_AFTER);
            assert_eq!(says_when, asks_again, "{why}");
        }
    }
}
