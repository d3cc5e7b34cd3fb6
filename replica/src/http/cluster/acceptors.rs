//! `POST /v1/cluster/acceptors`: puts an acceptor into the place of another, or has more of
//! them, or fewer.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::config::BaseUrl;
use shared::deadline::Deadline;
use shared::discovery::Acceptors;
use shared::fields::refuse_but_json;
use shared::ids::{ClusterId, Generation, Name};
use shared::message::{AcceptorsRefused, Seated, WantedAcceptors};
use shared::problem::{Outcome, Problem, Retryable};
use shared::query::Query;
use shared::wire::{self, BodyLimit, Encoding, read_in_time};

use super::primary::{of_no_answer, refuse_headers_of_mutations};
use super::seen::is_among;
use crate::change_acceptors::{ChangedAcceptors, NotChanged, ask_for_acceptors};
use crate::http::App;
use crate::http::mutate::finish;
use crate::http::openapi::Entry;
use crate::http::openapi::content::{json, sent};
use crate::http::refused::Refused;
use crate::http::request::json::Object;
use crate::http::request::parameter::TIMEOUT;

/// The longest one: as many addresses as there may be acceptors.
const CHANGE: BodyLimit = BodyLimit { what: "change of the acceptors", bytes: 8 << 10 };

/// Either `replace` and `with`, or `acceptors`.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ChangeOfAcceptors")]
#[serde(deny_unknown_fields)]
struct Change {
    /// The name of the acceptor that leaves, or its address.
    replace: Option<String>,
    /// The address of a new one, without data.
    with: Option<String>,
    /// The addresses of all that there are to be.
    acceptors: Option<Vec<String>>,
    /// The generation that this is about: refused where it is another one by now.
    base: Option<Generation>,
}

/// The acceptors of a cluster.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Roster")]
struct Changed {
    cluster_id: ClusterId,
    /// Which of the cluster's rosters: the one that it formed with is 0.
    generation: Generation,
    /// Where they are: what `--acceptors` is to say from now on.
    acceptors: Vec<String>,
    /// The services that have not shown in time that they know: those that are away, or slow.
    not_heard: Vec<Name>,
}

/// What the contract says of it.
pub(in crate::http) fn entries() -> Vec<Entry> {
    let named = ("changeAcceptors", "Replaces an acceptor, or changes their number.");
    let example = Changed {
        cluster_id: ClusterId(0xaa),
        generation: Generation(1),
        acceptors: [8201, 8202, 8204].map(|port| format!("http://127.0.0.1:{port}")).into(),
        not_heard: Vec::new(),
    };
    let one = serde_json::json!({"replace": "acceptor-3", "with": "http://127.0.0.1:8204"});
    vec![
        Entry::own("post", "/v1/cluster/acceptors", named)
            .headers(&[TIMEOUT])
            .takes([sent::<Change>(one)])
            .answers(200, "These are the acceptors.", [json(&example)])
            .refused(&[404, 409, 415, 502]),
    ]
}

/// Answers it. To ask for it twice comes to the same as once, so an `Idempotency-Key` adds
/// nothing.
pub(in crate::http) async fn acceptors(State(app): State<Arc<App>>, request: Request) -> Response {
    finish(answer(&app, request).await)
}

async fn answer(app: &App, request: Request) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    let deadline = Deadline::of(&parts.headers)?;
    Query::parse(parts.uri.query(), &[])?;
    refuse_but_json(&parts.headers, "a change of the acceptors")?;
    refuse_headers_of_mutations(&parts.headers, ", not about the acceptors")?;
    let body = read_in_time(body, CHANGE, deadline).await?;
    let Object(change) = Encoding::Json.decode::<Object<Change>>(&body).map_err(|error| {
        Problem::bad_request(format!("this is no change of the acceptors: {error}"))
    })?;
    let base = change.base;
    let wanted = wanted(app, change)?;
    match ask_for_acceptors(&app.driver, base, wanted, deadline).await {
        Ok(ChangedAcceptors { seated: Seated { roster, urls }, mut not_heard }) => {
            // Whoever is out will not hear of it.
            let status = app.driver.published().status;
            let is_member = |name: &Name| status.view.as_ref().is_some_and(|it| it.contains(name));
            not_heard.retain(|name| is_member(name) || !is_among(name, &status.removed));
            Ok(wire::json(&Changed {
                cluster_id: roster.cluster(),
                generation: roster.generation(),
                acceptors: urls,
                not_heard,
            }))
        }
        Err(why) => Err(Refused::Malformed(problem(&why))),
    }
}

fn wanted(app: &App, change: Change) -> Result<WantedAcceptors, Problem> {
    match change {
        Change { replace: Some(leaves), with: Some(comes), acceptors: None, .. } => {
            let leaves = address_of(&app.acceptors.borrow(), &leaves)?;
            Ok(WantedAcceptors::Replace { leaves, comes: address(&comes)? })
        }
        Change { replace: None, with: None, acceptors: Some(urls), .. } => {
            let urls = urls.iter().map(|url| address(url)).collect::<Result<_, _>>()?;
            Ok(WantedAcceptors::All(urls))
        }
        Change { .. } => Err(Problem::bad_request(
            "either \"replace\" and \"with\", or \"acceptors\" alone, says what is wanted",
        )),
    }
}

fn address(url: &str) -> Result<String, Problem> {
    let parsed = url.parse::<BaseUrl>();
    parsed.map(|url| url.to_string()).map_err(|error| Problem::bad_request(error.to_string()))
}

/// The address of the acceptor that is named: by its address, or by its name as `GET
/// /v1/cluster` shows it, also where it is long gone.
fn address_of(present: &Acceptors, named: &str) -> Result<String, Problem> {
    if named.contains('/') {
        return address(named);
    }
    let found = present.names.iter().find(|(_, name)| name.as_str() == named);
    found.map(|(url, _)| url.clone()).ok_or_else(|| {
        let urls: Vec<&str> = present.clients.iter().map(|client| client.url().as_str()).collect();
        Problem::not_found(format!(
            "no acceptor of the name {named} is known here: say its address, one of {}",
            urls.join(", ")
        ))
    })
}

/// Whether the same request may be taken later, with nothing done but to wait or to start what
/// is down.
fn may_pass(why: &AcceptorsRefused) -> bool {
    match why {
        AcceptorsRefused::NoRoster(_)
        | AcceptorsRefused::OtherGeneration { .. }
        | AcceptorsRefused::Unfit { .. } => false,
        AcceptorsRefused::ChangeUnderWay
        | AcceptorsRefused::Overtaken
        | AcceptorsRefused::CannotSeal { .. }
        | AcceptorsRefused::NoQuorum { .. }
        | AcceptorsRefused::NotDurable(_)
        | AcceptorsRefused::OldService(_)
        | AcceptorsRefused::SilentService(_) => true,
    }
}

fn problem(why: &NotChanged) -> Problem {
    let detail = why.to_string();
    match why {
        NotChanged::NoLeader => Problem::unavailable(detail),
        NotChanged::Refused(why) if !may_pass(why) => {
            Problem::conflict(detail).with_retryable(Retryable::No)
        }
        NotChanged::Refused(_) => Problem::conflict(detail),
        NotChanged::Unresolved => Problem::unavailable(detail).with_outcome(Outcome::Unknown),
        NotChanged::NoAnswer { error, .. } => of_no_answer(error, detail),
    }
}
