//! Finds the replicas and checks each of them.
//!
//! Who there is comes from the acceptors' directory ([`shared::discovery`]). Each
//! endpoint then has a task of its own that asks `GET /v1/status` at a steady pace until
//! the pool has dropped the endpoint, so that one that hangs delays no news of another.
//! While requests wait for a replica that can answer them, the pace is [`QUICK`].

#![expect(clippy::disallowed_methods, reason = "a shell: the pace is one of the clock")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use shared::client::{CallError, ReplicaClient};
use shared::config::BaseUrl;
use shared::ids::{ClusterId, Name};
use shared::message::Member;
use shared::telemetry::Seldom;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::endpoints::Endpoints;
use crate::news::News;
use crate::pool::{EndpointId, Report, Target};
use crate::status::{StatusError, report_of};

/// From one check of an endpoint to the next while requests wait.
const QUICK: Duration = Duration::from_millis(20);

/// The pace of active checks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// From one check of an endpoint to the next.
    pub(crate) interval: Duration,
    /// How long a check may take; past it, it has failed.
    pub(crate) timeout: Duration,
}

/// Keeps the pool's members and health up to date. Never ends by itself; dropped, it ends
/// all checks.
pub(crate) async fn keep(
    endpoints: Arc<Endpoints>,
    mut members: watch::Receiver<Vec<Member>>,
    pace: Pace,
    news: Arc<News>,
) {
    let mut checks = JoinSet::new();
    let mut checked: BTreeSet<EndpointId> = BTreeSet::new();
    loop {
        let found: Vec<Member> = members.borrow_and_update().iter().filter_map(reachable).collect();
        let targets = endpoints.set_replicas(&found);
        let new: Vec<Target> =
            targets.iter().filter(|target| !checked.contains(&target.id)).cloned().collect();
        checked = targets.into_iter().map(|target| target.id).collect();
        for target in new {
            if let Ok(url) = target.member.url.parse() {
                let (endpoints, news) = (Arc::clone(&endpoints), Arc::clone(&news));
                checks.spawn(check(endpoints, target, ReplicaClient::new(url), pace, news));
            }
        }
        while checks.try_join_next().is_some() {}
        match tokio::time::timeout(pace.interval, members.changed()).await {
            // Nothing new, but an endpoint that discovery had lost before may have failed
            // since.
            Ok(Ok(())) | Err(_) => {}
            // Discovery has ended: the service is ending, and what is in flight still
            // needs the checks.
            Ok(Err(_)) => std::future::pending::<()>().await,
        }
    }
}

/// The member with its URL as it is written everywhere: host and port, and nothing after.
fn reachable(member: &Member) -> Option<Member> {
    let url: BaseUrl = member
        .url
        .parse()
        .inspect_err(|error| {
            static SAID: Seldom = Seldom::new();
            if let Some(left_out) = SAID.may() {
                tracing::warn!(
                    endpoint = %member.name, %error, left_out,
                    "a member announces a URL that is none"
                );
            }
        })
        .ok()?;
    Some(Member { url: url.to_string(), ..member.clone() })
}

/// Checks an endpoint until the pool has dropped it.
async fn check(
    endpoints: Arc<Endpoints>,
    target: Target,
    client: ReplicaClient,
    pace: Pace,
    news: Arc<News>,
) {
    while endpoints.read(|pool| pool.endpoint(target.id).is_some()) {
        let began = Instant::now();
        let result = ask(&client, &target.member.name, endpoints.cluster(), pace.timeout).await;
        if let Err(error) = &result {
            log_failure(&target.member, error);
        }
        let (report, status) = result.ok().unzip();
        endpoints.checked(&target, report);
        let health = endpoints.read(|pool| Some(pool.endpoint(target.id)?.health));
        news.checked(&target.member.name, status.as_ref(), health);
        let hurry = async {
            tokio::time::sleep_until(began + QUICK).await;
            endpoints.somebody_waits().await;
        };
        tokio::select! {
            () = tokio::time::sleep_until(began + pace.interval) => {}
            () = hurry => {}
        }
    }
    news.forget(&target.member.name);
}

/// Why a check failed.
#[derive(Debug, thiserror::Error)]
enum CheckError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Status(#[from] StatusError),
}

/// That a check fails is part of life; that somebody else has the address is not.
fn log_failure(member: &Member, error: &CheckError) {
    static SAID: Seldom = Seldom::new();
    let endpoint = &member.name;
    match error {
        CheckError::Status(StatusError::OtherCluster(_) | StatusError::SomebodyElse { .. }) => {
            if let Some(left_out) = SAID.may() {
                tracing::warn!(%endpoint, url = member.url, left_out, "it is not asked: {error}");
            }
        }
        CheckError::Status(StatusError::Nonsense(_)) | CheckError::Call(_) => {
            tracing::debug!(%endpoint, %error, "a check failed");
        }
    }
}

/// What selection rests on, and all that it was read of.
async fn ask(
    client: &ReplicaClient,
    name: &Name,
    cluster: Option<ClusterId>,
    timeout: Duration,
) -> Result<(Report, Value), CheckError> {
    let status = client.status(timeout).await?;
    Ok((report_of(&status, name, cluster)?, status))
}
