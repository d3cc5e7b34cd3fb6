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
    let telling = join_all(others.iter().map(|other| other.ending(&ending, PATIENCE)));
    let handed_over = async {
        tokio::select! {
            // One of them may take over while another hangs.
            () = handle.leads_no_more() => true,
            told = telling => {
                let is_heard = told.iter().any(Result::is_ok);
                if is_heard {
                    handle.leads_no_more().await;
                }
                is_heard
            }
        }
    };
    match timeout(PATIENCE, handed_over).await {
        Ok(true) => tracing::info!("another coordinator leads: this one ends"),
        Ok(false) => {}
        Err(_elapsed) => tracing::info!("no other coordinator has come to lead: this one ends"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use shared::ids::{ClusterId, Instance, Slot};
    use shared::message::Phase;
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    use super::*;
    use crate::driver::handle::{Known, Position};

    fn member(name: &str, instance: u64, url: &str) -> Member {
        Member {
            name: name.parse().unwrap(),
            service: Service::Coordinator,
            url: url.to_owned(),
            instance: Instance(instance),
        }
    }

    #[tokio::test]
    async fn a_coordinator_that_hangs_is_not_waited_for_once_another_leads() {
        let position = |phase| Position { phase, chosen_below: Slot(0) };
        let (phases, progress) = watch::channel(position(Phase::Phase2));
        let known = Known {
            progress,
            cluster: watch::channel(Some(ClusterId(7))).1,
            acceptors: watch::channel(Arc::from([])).1,
            waiting_for: watch::channel(None).1,
            troubles: watch::channel(Vec::new()).1,
        };
        let handle = Handle::new(mpsc::channel(1).0, known);
        // It takes connections, and says nothing.
        let hangs = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", hangs.local_addr().unwrap());
        let own = member("coordinator-1", 1, "http://127.0.0.1:1");
        let (_listed, members) =
            watch::channel(vec![own.clone(), member("coordinator-2", 2, &url)]);
        let ended = hand_over(&handle, &own, &members);
        tokio::pin!(ended);
        let asked = tokio::select! {
            () = &mut ended => panic!("nobody leads yet"),
            asked = hangs.accept() => asked.unwrap(),
        };
        phases.send_replace(position(Phase::Inactive));
        timeout(PATIENCE / 4, ended).await.expect("another one leads");
        drop(asked);
    }
}
