//! How services find each other: each announces itself to every acceptor and reads there of the others.
//!
//! What acceptors keep of this is soft: nothing that must hold rests on it. A member is dropped when no acceptor has heard of it
//! for [`EXPIRY`]; while no acceptor answers, the members known last stay.
#![expect(clippy::disallowed_methods, reason = "freshness is counted on this process's clock")]

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::client::AcceptorClient;
use crate::ids::Name;
use crate::message::{Directory, Member};

/// How often a service announces itself.
pub const INTERVAL: Duration = Duration::from_millis(500);
/// How long a member is believed in after it was last heard of.
pub const EXPIRY: Duration = Duration::from_secs(10);

/// Announces the member to the acceptors until `shutdown`, and tells of all members, in order of their names, whenever they
/// change.
#[must_use]
pub fn spawn(member: Member, acceptors: Vec<AcceptorClient>, shutdown: CancellationToken) -> watch::Receiver<Vec<Member>> {
    let (sender, receiver) = watch::channel(Vec::new());
    tokio::spawn(async move { shutdown.run_until_cancelled(announce(member, acceptors, sender)).await });
    receiver
}

async fn announce(member: Member, acceptors: Vec<AcceptorClient>, sender: watch::Sender<Vec<Member>>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known = Known::default();
    loop {
        ticks.tick().await;
        let replies = join_all(acceptors.iter().map(|acceptor| acceptor.announce(&member, INTERVAL))).await;
        let directories: Vec<Directory> = replies.into_iter().filter_map(Result::ok).collect();
        known.merge(Instant::now(), &directories);
        let members = known.members();
        sender.send_if_modified(|last| {
            let changed = *last != members;
            *last = members;
            changed
        });
    }
}

/// The members heard of, with the moment each was last heard of by any acceptor.
#[derive(Debug, Default)]
struct Known(BTreeMap<Name, (Member, Instant)>);

impl Known {
    fn merge(&mut self, now: Instant, directories: &[Directory]) {
        for entry in directories.iter().flat_map(|directory| &directory.members) {
            let Some(heard) = now.checked_sub(Duration::from_millis(entry.age_ms)) else { continue };
            match self.0.get(&entry.member.name) {
                Some((_, fresher)) if *fresher >= heard => {}
                Some(_) | None => {
                    self.0.insert(entry.member.name.clone(), (entry.member.clone(), heard));
                }
            }
        }
        if !directories.is_empty() {
            self.0.retain(|_, (_, heard)| now.saturating_duration_since(*heard) <= EXPIRY);
        }
    }

    fn members(&self) -> Vec<Member> {
        self.0.values().map(|(member, _)| member.clone()).collect()
    }
}
