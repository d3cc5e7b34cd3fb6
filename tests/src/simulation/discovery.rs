//! Rounds of announcements, as the real discovery makes them: what the acceptors answered in one is merged at its end.

use std::time::Duration;

use shared::discovery::Known;
use shared::message::{Directory, DirectoryEntry, Member};

/// What a service knows of the others.
#[derive(Debug, Default)]
pub struct Discovery {
    known: Known,
    /// The number of the present round.
    round: u64,
    /// How many acceptors have not answered in it; none once it is over.
    awaited: usize,
    answers: Vec<Directory>,
}

impl Discovery {
    /// Begins a round in which so many acceptors are asked: its number.
    pub fn begin(&mut self, acceptors: usize) -> u64 {
        self.round += 1;
        self.awaited = acceptors;
        self.round
    }

    /// An acceptor answered in a round, or failed to. Ends the round with the last one: then says who is there, if that is news.
    pub fn take(&mut self, now: Duration, round: u64, answer: Option<Directory>) -> Option<Directory> {
        if round != self.round || self.awaited == 0 {
            return None;
        }
        self.awaited -= 1;
        self.answers.extend(answer);
        if self.awaited > 0 { None } else { self.merge(now) }
    }

    /// The time of the round is over, if it is not yet.
    pub fn conclude(&mut self, now: Duration) -> Option<Directory> {
        if std::mem::take(&mut self.awaited) > 0 { self.merge(now) } else { None }
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
    fn a_round_ends_with_its_last_answer_or_when_the_next_begins_and_a_late_answer_is_lost() {
        let (mut discovery, now) = (Discovery::default(), Duration::from_secs(60));
        let first = discovery.begin(2);
        assert_eq!(discovery.take(now, first, Some(directory("a", 5))), None);
        assert_eq!(discovery.take(now, first, None), Some(directory("a", 0)));
        let second = discovery.begin(2);
        assert_eq!(discovery.take(now, first, Some(directory("late", 0))), None);
        assert_eq!(discovery.take(now, second, Some(directory("a", 5))), None);
        assert_eq!(discovery.conclude(now), None, "nothing new");
        assert_eq!(discovery.take(now, second, Some(directory("late", 0))), None);
    }
}
