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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Instance;
    use crate::message::{DirectoryEntry, Service};

    fn member(name: &str, instance: u64) -> Member {
        let name: Name = name.parse().unwrap();
        Member { name, service: Service::Replica, url: "http://127.0.0.1:1".into(), instance: Instance(instance) }
    }

    fn directory(entries: &[(&str, u64, u64)]) -> Directory {
        let entry = |&(name, instance, age_ms): &(&str, u64, u64)| DirectoryEntry { member: member(name, instance), age_ms };
        Directory { members: entries.iter().map(entry).collect() }
    }

    fn start() -> Instant {
        Instant::now() + Duration::from_secs(3_600)
    }

    #[tokio::test]
    async fn the_freshest_word_on_a_member_counts() {
        let mut known = Known::default();
        known.merge(
            start(),
            &[directory(&[("a", 1, 900)]), directory(&[("a", 2, 100), ("b", 1, 0)]), directory(&[("a", 1, 500)])],
        );
        assert_eq!(known.members(), [member("a", 2), member("b", 1)]);
        known.merge(start(), &[directory(&[("a", 1, 8_000)])]);
        assert_eq!(known.members(), [member("a", 2), member("b", 1)]);
    }

    #[tokio::test]
    async fn a_member_not_heard_of_is_dropped_but_not_while_no_acceptor_answers() {
        let (mut known, now) = (Known::default(), start());
        known.merge(now, &[directory(&[("a", 1, 0)])]);
        let later = now + EXPIRY + Duration::from_millis(1);
        known.merge(later, &[]);
        assert_eq!(known.members(), [member("a", 1)]);
        known.merge(later, &[directory(&[("b", 1, 0)])]);
        assert_eq!(known.members(), [member("b", 1)]);
    }
}
