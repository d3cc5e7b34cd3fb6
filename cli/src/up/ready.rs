//! Whether the cluster serves.

use std::time::Duration;

use client::{Client, Error};
use futures::future::join_all;
use shared::message::Service;

use super::STRAGGLERS_WAIT;
use super::plan::Planned;

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
    let client = client(balancer, PROBE_TIMEOUT).without_retries();
    match client.delete(PROBE_KEY).if_revision(0).without_idempotency_key().await {
        Err(Error::ConditionFailed(_)) => Ok(()),
        // Who has no token learns no more than that the replica is there and current.
        Err(Error::Denied(_)) => {
            let ready = client.fetch("/readyz").await;
            ready.map(drop).map_err(|error| format!("{}: {error}", balancer.name))
        }
        Err(error) => Err(format!("{}: {error}", balancer.name)),
        Ok(answer) => {
            Err(format!("{} answered {answer:?} to a mutation that cannot succeed", balancer.name))
        }
    }
}

/// The services that are not ready after some patience.
pub(crate) async fn stragglers(plan: impl Iterator<Item = &Planned>) -> Vec<String> {
    let late = plan.map(async |planned| {
        let ready = client(planned, STRAGGLERS_WAIT).fetch("/readyz").await;
        ready.is_err().then(|| planned.name.clone())
    });
    join_all(late).await.into_iter().flatten().collect()
}

fn client(planned: &Planned, timeout: Duration) -> Client {
    let client = Client::new(&planned.url()).expect("an address makes a URL");
    client.with_timeout(timeout)
}
