//! Rounds of announcements, as the real discovery makes them: what the acceptors answered
//! in one is merged at its end.

use std::collections::BTreeSet;
use std::time::Duration;

use shared::discovery::{Known, Listing};
use shared::ids::ClusterId;
use shared::message::{Directory, DirectoryEntry, Member};

use super::process::NodeId;

/// What a service knows of the others.
#[derive(Debug)]
pub struct Discovery {
    known: Known,
    /// The number of the present round.
    round: u64,
    /// Which acceptors have not answered in it; none once it is over.
    awaited: BTreeSet<NodeId>,
    answers: Vec<Listing>,
}

impl Discovery {
    /// Nothing yet, where so many acceptors are asked.
    #[must_use]
    pub fn of(acceptors: usize) -> Self {
        Self {
            known: Known::of(acceptors),
            round: 0,
            awaited: BTreeSet::new(),
            answers: Vec::new(),
        }
    }

    /// So many acceptors are asked from now on.
    pub fn ask(&mut self, acceptors: usize) {
        self.known.ask(acceptors);
    }

    /// The cluster that a majority of them named last.
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterId> {
        self.known.cluster()
    }

    /// Begins a round in which these acceptors are asked: its number.
    pub fn begin(&mut self, acceptors: BTreeSet<NodeId>) -> u64 {
        self.round += 1;
        self.awaited = acceptors;
        self.round
    }

    /// An acceptor answered in a round, or failed to; it counts once, however often the
    /// network says so. Ends the round with the last one: then says who is there, if that
    /// is news.
    pub fn take(
        &mut self,
        now: Duration,
        round: u64,
        (from, answer): (NodeId, Option<Listing>),
    ) -> Option<Directory> {
        if round != self.round || !self.awaited.remove(&from) {
            return None;
        }
        self.answers.extend(answer);
        if self.awaited.is_empty() { self.merge(now) } else { None }
    }

    /// The time of the round is over, if it is not yet.
    pub fn conclude(&mut self, now: Duration) -> Option<Directory> {
        if std::mem::take(&mut self.awaited).is_empty() { None } else { self.merge(now) }
    }

    fn merge(&mut self, now: Duration) -> Option<Directory> {
        let members = self.known.merge(now, &std::mem::take(&mut self.answers))?;
        let entry = |member: Member| DirectoryEntry { member, age_ms: 0 };
        Some(Directory { members: members.into_iter().map(entry).collect() })
    }
}

#[cfg(test)]
mod tests {
    use shared::ids::Instance;
    use shared::message::Service;

    use super::*;

    fn listing(name: &str, age_ms: u64) -> Listing {
        Listing { cluster: None, directory: directory(name, age_ms) }
    }

    fn directory(name: &str, age_ms: u64) -> Directory {
        let (name, url) = (name.parse().unwrap(), String::new());
        Directory {
            members: vec![DirectoryEntry {
                member: Member { name, service: Service::Replica, url, instance: Instance(1) },
                age_ms,
            }],
        }
    }

    #[test]
    fn a_round_ends_with_its_last_answer_or_when_the_next_begins_and_a_late_or_repeated_answer_is_lost()
     {
        let (mut discovery, now) = (Discovery::of(2), Duration::from_secs(60));
        let [one, other] = [0, 1].map(NodeId::Acceptor);
        let first = discovery.begin(BTreeSet::from([one, other]));
        assert_eq!(discovery.take(now, first, (one, Some(listing("a", 5)))), None);
        assert_eq!(
            discovery.take(now, first, (one, Some(listing("a", 5)))),
            None,
            "the network gave it twice"
        );
        assert_eq!(discovery.take(now, first, (other, None)), Some(directory("a", 0)));
        let second = discovery.begin(BTreeSet::from([one, other]));
        assert_eq!(discovery.take(now, first, (one, Some(listing("late", 0)))), None);
        assert_eq!(discovery.take(now, second, (one, Some(listing("a", 5)))), None);
        assert_eq!(discovery.conclude(now), None, "nothing new");
        assert_eq!(discovery.take(now, second, (other, Some(listing("late", 0)))), None);
    }
}
