//! How services find each other: each announces itself to every acceptor and reads there
//! of the others.
//!
//! What acceptors keep of this is soft: nothing that must hold rests on it. A member is
//! dropped when no acceptor has heard of it for [`EXPIRY`]; while no acceptor answers,
//! the members known last stay.
#![expect(clippy::disallowed_methods, reason = "the shell reads clocks and starts tasks")]

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

/// Announces the member to the acceptors until `shutdown`, and tells of all members, in
/// order of their names, whenever they change.
#[must_use]
pub fn spawn(
    member: Member,
    acceptors: Vec<AcceptorClient>,
    shutdown: CancellationToken,
) -> watch::Receiver<Vec<Member>> {
    let (sender, receiver) = watch::channel(Vec::new());
    tokio::spawn(
        async move { shutdown.run_until_cancelled(announce(member, acceptors, sender)).await },
    );
    receiver
}

async fn announce(
    member: Member,
    acceptors: Vec<AcceptorClient>,
    sender: watch::Sender<Vec<Member>>,
) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut known, started) = (Known::default(), Instant::now());
    loop {
        ticks.tick().await;
        let replies =
            join_all(acceptors.iter().map(|acceptor| acceptor.announce(&member, INTERVAL))).await;
        let directories: Vec<Directory> = replies.into_iter().filter_map(Result::ok).collect();
        if let Some(members) = known.merge(started.elapsed(), &directories) {
            sender.send_replace(members);
        }
    }
}

/// The members heard of, and until when each is believed in. Pure: the simulation runs
/// it, too.
#[derive(Clone, Debug, Default)]
pub struct Known {
    by_name: BTreeMap<Name, Believed>,
    /// What was told last.
    told: Vec<Member>,
}

#[derive(Clone, Debug)]
struct Believed {
    member: Member,
    until: Duration,
}

impl Known {
    /// Takes what the acceptors answered in one round, and says who is there when that
    /// has changed. `now` is counted from any fixed moment: the freshest word on each
    /// member counts.
    pub fn merge(&mut self, now: Duration, directories: &[Directory]) -> Option<Vec<Member>> {
        for entry in directories.iter().flat_map(|directory| &directory.members) {
            let Some(until) = (now + EXPIRY).checked_sub(Duration::from_millis(entry.age_ms))
            else {
                continue;
            };
            match self.by_name.get(&entry.member.name) {
                Some(believed) if believed.until >= until => {}
                Some(_) | None => {
                    self.by_name.insert(
                        entry.member.name.clone(),
                        Believed { member: entry.member.clone(), until },
                    );
                }
            }
        }
        if !directories.is_empty() {
            self.by_name.retain(|_, believed| believed.until >= now);
        }
        let is_news = !self.by_name.values().map(|believed| &believed.member).eq(&self.told);
        if is_news {
            self.told = self.by_name.values().map(|believed| believed.member.clone()).collect();
        }
        is_news.then(|| self.told.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Instance;
    use crate::message::{DirectoryEntry, Service};

    fn member(name: &str, instance: u64) -> Member {
        let name: Name = name.parse().unwrap();
        Member {
            name,
            service: Service::Replica,
            url: "http://127.0.0.1:1".into(),
            instance: Instance(instance),
        }
    }

    fn directory(entries: &[(&str, u64, u64)]) -> Directory {
        let entry = |&(name, instance, age_ms): &(&str, u64, u64)| DirectoryEntry {
            member: member(name, instance),
            age_ms,
        };
        Directory { members: entries.iter().map(entry).collect() }
    }

    const NOW: Duration = Duration::from_secs(3_600);

    #[test]
    fn the_freshest_word_on_a_member_counts() {
        let mut known = Known::default();
        let round = [
            directory(&[("a", 1, 900)]),
            directory(&[("a", 2, 100), ("b", 1, 0)]),
            directory(&[("a", 1, 500)]),
        ];
        assert_eq!(known.merge(NOW, &round), Some(vec![member("a", 2), member("b", 1)]));
        assert_eq!(known.merge(NOW, &[directory(&[("a", 1, 8_000)])]), None);
    }

    #[test]
    fn who_has_just_started_believes_the_freshest_word_too_though_all_are_older_than_itself() {
        let mut known = Known::default();
        let round = [
            directory(&[("a", 1, 9_000)]),
            directory(&[("a", 2, 300)]),
            directory(&[("gone", 1, 60_000)]),
        ];
        assert_eq!(known.merge(Duration::ZERO, &round), Some(vec![member("a", 2)]));
    }

    #[test]
    fn a_member_not_heard_of_is_dropped_but_not_while_no_acceptor_answers() {
        let mut known = Known::default();
        assert_eq!(known.merge(NOW, &[directory(&[("a", 1, 0)])]), Some(vec![member("a", 1)]));
        let later = NOW + EXPIRY + Duration::from_millis(1);
        assert_eq!(known.merge(later, &[]), None);
        assert_eq!(known.merge(later, &[directory(&[("b", 1, 0)])]), Some(vec![member("b", 1)]));
    }
}
