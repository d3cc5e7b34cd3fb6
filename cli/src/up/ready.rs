//! Whether the cluster serves.

use std::time::Duration;

use futures::future::join_all;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use reqwest::Url;
use shared::message::Service;
use tokio::time::{Instant, sleep};

use super::plan::Planned;
use super::{READY_PAUSE, STRAGGLERS_WAIT};
use crate::client::{Api, Failure};

/// The key of the probe; it is never written.
const PROBE_KEY: &str = "synod-up-probe";
/// One question may take this long, then it is asked again.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// Has every balancer take a mutation all the way: balancer, primary, coordinator, a
/// quorum of acceptors, execution and back.
///
/// It is a deletion on the condition that the key was last changed at revision 0, which
/// no key ever was: executed, it is refused (412), and neither data nor revision have
/// changed.
pub(crate) async fn writes_are_served(plan: &[Planned]) -> Result<(), String> {
    let balancers = plan.iter().filter(|planned| planned.service == Service::Balancer);
    for answered in join_all(balancers.map(probe)).await {
        answered?;
    }
    Ok(())
}

async fn probe(balancer: &Planned) -> Result<(), String> {
    let condition = HeaderMap::from_iter([(header::IF_MATCH, HeaderValue::from_static("\"0\""))]);
    match api(balancer).delete(PROBE_KEY, condition).await {
        Err(Failure::Answered { status: StatusCode::PRECONDITION_FAILED, .. }) => Ok(()),
        Err(failure) => Err(format!("{}: {failure}", balancer.name)),
        Ok(answer) => Err(format!(
            "{} answered {} to a mutation that cannot succeed",
            balancer.name, answer.status
        )),
    }
}

/// The services that are not ready after some patience.
pub(crate) async fn stragglers(plan: &[Planned]) -> Vec<String> {
    let deadline = Instant::now() + STRAGGLERS_WAIT;
    let late = plan.iter().map(async |planned| {
        let api = api(planned);
        while api.page("/readyz").await.is_err() {
            if Instant::now() >= deadline {
                return Some(planned.name.clone());
            }
            sleep(READY_PAUSE).await;
        }
        None
    });
    join_all(late).await.into_iter().flatten().collect()
}

fn api(planned: &Planned) -> Api {
    let url: Url = planned.url().parse().expect("an address makes a URL");
    Api::new(&url, PROBE_TIMEOUT)
}
