//! Looks who is at the addresses that are to be acceptors', and whether all services can
//! follow a change of the acceptors; and, after one, whether they have.
#![expect(clippy::disallowed_methods, reason = "the shell reads clocks")]

use std::time::Duration;

use futures::future::join_all;
use serde_json::Value;
use shared::client::{AcceptorClient, CallError, Peer};
use shared::config::BaseUrl;
use shared::ids::{CoordinatorId, Generation, Name};
use shared::message::{Member, Service, SuccessionRequest};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::effect::{FoundAcceptor, LeftBehind, Survey};

/// How long an acceptor or another service may take to say who it is: what an acceptor says
/// waits for the sync of what it was told before.
const PATIENCE: Duration = Duration::from_secs(2);

/// Services are asked whether they have heard this often.
const HEARING_INTERVAL: Duration = Duration::from_millis(200);

/// What is said of an address where no service of Synod answers: not what else did, for whoever
/// asks may not be the one who may know.
const NO_ACCEPTOR: &str = "not an acceptor of Synod that answers and can follow: start it, or \
     upgrade it";

/// Who looks.
#[derive(Clone, Debug)]
pub(crate) struct Surveyor {
    own: CoordinatorId,
    members: watch::Receiver<Vec<Member>>,
}

/// Whether a service goes by a generation of the acceptors.
enum Hearing {
    Done,
    NotYet,
    /// It does not answer.
    Silent,
}

impl Surveyor {
    /// The coordinator of this identity, and the services that were heard from lately.
    pub(crate) fn new(own: CoordinatorId, members: watch::Receiver<Vec<Member>>) -> Self {
        Self { own, members }
    }

    /// Looks at these addresses, and at all services.
    pub(crate) async fn look(&self, urls: Vec<String>) -> Survey {
        let others = self.others();
        let (found, left_behind) = tokio::join!(
            join_all(urls.into_iter().map(look_at)),
            join_all(others.iter().map(left_behind)),
        );
        Survey { found, left_behind: left_behind.into_iter().flatten().next() }
    }

    /// Waits until all services that answer go by this generation of the acceptors, or one
    /// after it, and not longer than that; then says which ones do not, or do not answer.
    pub(crate) async fn not_heard(&self, generation: Generation, wait: Duration) -> Vec<Name> {
        let until = Instant::now() + wait.saturating_sub(PATIENCE);
        loop {
            let others = self.others();
            let heard = join_all(others.iter().map(|member| hears(member, generation))).await;
            let is_over = Instant::now() >= until;
            if is_over || !heard.iter().any(|hearing| matches!(hearing, Hearing::NotYet)) {
                let not_heard = others
                    .into_iter()
                    .zip(heard)
                    .filter(|(_, hearing)| !matches!(hearing, Hearing::Done));
                return not_heard.map(|(member, _)| member.name).collect();
            }
            sleep(HEARING_INTERVAL).await;
        }
    }

    fn others(&self) -> Vec<Member> {
        let is_other = |member: &&Member| {
            member.service != Service::Acceptor && member.instance.0 != self.own.0
        };
        self.members.borrow().iter().filter(is_other).cloned().collect()
    }
}

/// Looks who is at an address. What is there may be anything: of what it says nothing is
/// repeated but to the log, and which service of Synod it is.
async fn look_at(url: String) -> FoundAcceptor {
    let Ok(address) = url.parse::<BaseUrl>() else {
        return FoundAcceptor { url, answer: Err("it is no address".to_owned()) };
    };
    let client = AcceptorClient::new(address.clone());
    let told = client.succession(&SuccessionRequest::Tell, PATIENCE).await;
    let answer = match told {
        Ok(reply) => Ok(reply),
        Err(error) => {
            tracing::info!(%url, %error, "no acceptor there");
            Err(why_none(address, &error).await)
        }
    };
    FoundAcceptor { url, answer }
}

/// Why no acceptor that can follow is at an address, and what to do.
async fn why_none(address: BaseUrl, error: &CallError) -> String {
    let found = match error {
        // Whoever hangs is not waited for twice: writes may wait for this.
        CallError::Timeout { .. } => None,
        CallError::Connect { .. }
        | CallError::Broken { .. }
        | CallError::Refused { .. }
        | CallError::OtherVersion { .. }
        | CallError::Nonsense { .. } => service_at(address).await,
    };
    match found {
        None => NO_ACCEPTOR.to_owned(),
        Some(Service::Acceptor) => {
            "the acceptor there cannot follow a change: upgrade it first".to_owned()
        }
        Some(other @ (Service::Coordinator | Service::Replica | Service::Balancer)) => format!(
            "a {} answers there, and no acceptor: name where a new acceptor was started, without \
             data",
            other.as_str()
        ),
    }
}

/// Which service of Synod says that it is at an address.
async fn service_at(address: BaseUrl) -> Option<Service> {
    let status = Peer::new(address).status(PATIENCE).await.ok()?;
    let all = [Service::Acceptor, Service::Coordinator, Service::Replica, Service::Balancer];
    all.into_iter().find(|service| status["service"] == service.as_str())
}

/// What the service says of itself, if it is there.
async fn status_of(member: &Member) -> Option<Value> {
    let url: BaseUrl = member.url.parse().ok()?;
    let status = Peer::of(member.service, url).status(PATIENCE).await.ok()?;
    (status["id"] == member.name.as_str()).then_some(status)
}

/// Another coordinator has to say that it can follow: as a leader, one that cannot would take
/// the end of a generation for a value. Of others it is enough that they do not say the
/// opposite.
async fn left_behind(member: &Member) -> Option<LeftBehind> {
    let name = member.name.to_string();
    match (status_of(member).await, member.service) {
        (Some(status), _) if status["follows_acceptors"] == true => None,
        (Some(_), _) => Some(LeftBehind::Old(name)),
        (None, Service::Coordinator) => Some(LeftBehind::Silent(name)),
        (None, Service::Acceptor | Service::Replica | Service::Balancer) => None,
    }
}

async fn hears(member: &Member, generation: Generation) -> Hearing {
    let Some(status) = status_of(member).await else { return Hearing::Silent };
    let known = match member.service {
        // What its core goes by, which may be behind what it has heard.
        Service::Coordinator => &status["generation"],
        Service::Acceptor | Service::Replica | Service::Balancer => &status["acceptors_generation"],
    };
    if known.as_u64() >= Some(generation.0) { Hearing::Done } else { Hearing::NotYet }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use axum::{Json, Router};
    use serde_json::json;
    use tokio::net::TcpListener;

    use super::*;

    /// Serves what says this of itself.
    async fn serving(status: Value) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/v1/status", get(async || Json(status)));
        tokio::spawn(async { axum::serve(listener, router).await });
        url
    }

    #[tokio::test]
    async fn what_is_no_acceptor_is_named_where_it_is_a_service_of_synod_and_nowhere_else() {
        let other = "and no acceptor: name where a new acceptor was started, without data";
        for (status, words) in [
            (json!({"service": "replica"}), format!("a replica answers there, {other}")),
            (json!({"service": "coordinator"}), format!("a coordinator answers there, {other}")),
            (json!({"service": "balancer"}), format!("a balancer answers there, {other}")),
            (
                json!({"service": "acceptor"}),
                "the acceptor there cannot follow a change: upgrade it first".to_owned(),
            ),
            (json!({"service": "<b>something</b>"}), NO_ACCEPTOR.to_owned()),
            (json!(["hello"]), NO_ACCEPTOR.to_owned()),
        ] {
            let found = look_at(serving(status.clone()).await).await;
            assert_eq!(found.answer, Err(words), "{status}");
        }
    }

    #[tokio::test]
    async fn where_nobody_is_the_words_are_those_of_where_something_else_is() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        assert_eq!(look_at(url).await.answer, Err(NO_ACCEPTOR.to_owned()));
    }
}
