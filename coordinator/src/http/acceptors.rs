//! `POST /v1/acceptors`: other acceptors are asked for. Looks who is at the addresses, and
//! whether all services can follow, before the core is asked; and says so only once they
//! have followed.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use shared::config::BaseUrl;
use shared::deadline::Deadline;
use shared::message::{
    AcceptorsRefused, AcceptorsReply, AcceptorsRequest, MAX_ACCEPTOR_URL_BYTES, OfCluster, Roster,
    WantedAcceptors,
};
use shared::problem::Problem;
use shared::wire::{Reply, Wire};

use super::{Front, no_answer};

/// The longest request: as many addresses as a roster has, in JSON. Bytes.
pub(super) const REQUEST_BYTES: usize = 16 << 10;

/// How long services may take to hear of new acceptors: each asks twice a second, one of its
/// acceptors after the other.
const HEARING: Duration = Duration::from_secs(5);

/// Answers it.
pub(super) async fn acceptors(
    State(front): State<Front>,
    deadline: Deadline,
    reply: Reply,
    Wire(request): Wire<AcceptorsRequest>,
) -> Result<Response, Problem> {
    let cluster = front.handle.same_cluster(request.cluster).map_err(Problem::of_cluster)?;
    let answer = match look_and_ask(&front, request, deadline).await {
        Ok(answer) => answer?,
        Err(refused) => AcceptorsReply::Refused(refused),
    };
    Ok(reply.send(&OfCluster::new(cluster, answer)))
}

async fn look_and_ask(
    front: &Front,
    request: AcceptorsRequest,
    deadline: Deadline,
) -> Result<Result<AcceptorsReply, Problem>, AcceptorsRefused> {
    if !front.handle.leads() {
        return Ok(Ok(AcceptorsReply::NotLeading));
    }
    let Ok(_one) = front.changes.try_acquire() else {
        return Err(AcceptorsRefused::ChangeUnderWay);
    };
    let present: Vec<String> = match front.handle.status().await {
        Ok(status) => status.core.acceptors.into_iter().map(|seen| seen.url).collect(),
        Err(why) => return Ok(Err(no_answer(why))),
    };
    let urls = addresses(&request.wanted, present)?;
    let survey = front.surveyor.look(urls).await;
    let answer = front.handle.acceptors(request, survey, deadline.remaining()).await;
    Ok(match answer {
        Ok(AcceptorsReply::Changed { seated, .. }) => {
            let wait = HEARING.min(deadline.remaining());
            let not_heard = front.surveyor.not_heard(seated.roster.generation(), wait).await;
            Ok(AcceptorsReply::Changed { seated, not_heard })
        }
        other => other.map_err(no_answer),
    })
}

/// The addresses to look at: those of the present acceptors, and those that are asked for,
/// checked.
fn addresses(
    wanted: &WantedAcceptors,
    mut present: Vec<String>,
) -> Result<Vec<String>, AcceptorsRefused> {
    let urls = match wanted {
        WantedAcceptors::All(urls) => urls.as_slice(),
        WantedAcceptors::Replace { comes, .. } => std::slice::from_ref(comes),
    };
    if urls.len() > Roster::MAX_LEN {
        let max = Roster::MAX_LEN;
        let why = format!("{} addresses: a cluster has at most {max} acceptors", urls.len());
        return Err(AcceptorsRefused::NoRoster(why));
    }
    for url in urls {
        match url.parse::<BaseUrl>() {
            Ok(parsed) if parsed.as_str() == url && url.len() <= MAX_ACCEPTOR_URL_BYTES => {}
            Ok(_) => {
                return Err(AcceptorsRefused::NoRoster(format!(
                    "an address is written as http://host:port, in at most \
                     {MAX_ACCEPTOR_URL_BYTES} bytes"
                )));
            }
            Err(error) => return Err(AcceptorsRefused::NoRoster(error.to_string())),
        }
        if !present.contains(url) {
            present.push(url.clone());
        }
    }
    Ok(present)
}
