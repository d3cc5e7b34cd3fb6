//! A leader that is told to end has another coordinator lead first.
//!
//! It tells the others that it ends, and leads on until it is outbid. So there is no more than
//! Phase 1 between the two, wherever the processes are and whatever is between them; that the
//! connections of a process end with it (`shared::discovery::presence`) is for those that say
//! nothing. Like that it is a hint: nothing but an election follows from it.

use std::time::Duration;

use futures::future::join_all;
use shared::client::CoordinatorClient;
use shared::message::{Ending, Member, Service};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::driver::handle::Handle;

/// It is waited so long for an answer, and for another one to lead: several times what an
/// election takes.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where this coordinator leads and another one answers, waits until it leads no more, or for
/// long enough.
pub(crate) async fn hand_over(
    handle: &Handle,
    own: &Member,
    members: &watch::Receiver<Vec<Member>>,
) {
    let known = *handle.cluster().borrow();
    let Some(cluster) = known.filter(|_| handle.leads()) else { return };
    let (coordinator, instance) = (own.name.clone(), own.instance);
    let ending = Ending { cluster, coordinator, instance };
    let is_other = |member: &&Member| {
        member.service == Service::Coordinator && member.instance != own.instance
    };
    let urls: Vec<_> =
        members.borrow().iter().filter(is_other).map(|one| one.url.parse()).collect();
    let others: Vec<CoordinatorClient> =
        urls.into_iter().filter_map(Result::ok).map(CoordinatorClient::new).collect();
    let told = join_all(others.iter().map(|other| other.ending(&ending, PATIENCE))).await;
    if !told.iter().any(Result::is_ok) {
        return;
    }
    match timeout(PATIENCE, handle.leads_no_more()).await {
        Ok(()) => tracing::info!("another coordinator leads: this one ends"),
        Err(_elapsed) => tracing::info!("no other coordinator has come to lead: this one ends"),
    }
}
