//! What was survived: pure.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use super::story::Role;
use crate::console::{Align, Table, counted, grouped};

/// What clients wrote and heard, and what was killed.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Every write that was acknowledged: its key, and its value.
    pub(super) acknowledged: BTreeMap<String, String>,
    /// How often clients heard each error.
    errors: BTreeMap<String, u64>,
    kills: Vec<Kill>,
    last: Option<Instant>,
    longest: Duration,
    /// What is not there that was acknowledged, by replica.
    missing: Vec<String>,
    replicas: usize,
}

#[derive(Debug)]
struct Kill {
    role: Role,
    at: Instant,
    /// The longest pause between two acknowledged writes that reaches beyond it, and before
    /// the next one.
    pause: Duration,
    /// How many were acknowledged after it.
    after: u64,
}

impl Tally {
    /// A write was acknowledged.
    pub(super) fn acknowledged(&mut self, key: String, value: String, now: Instant) {
        let pause = self.last.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        self.longest = self.longest.max(pause);
        if let Some(kill) = self.kills.last_mut() {
            kill.pause = kill.pause.max(pause);
            kill.after += 1;
        }
        self.last = Some(now);
        self.acknowledged.insert(key, value);
    }

    /// A client heard of an error.
    pub(super) fn failed(&mut self, error: String) {
        *self.errors.entry(error).or_insert(0) += 1;
    }

    /// A service was killed.
    pub(super) fn killed(&mut self, role: Role, now: Instant) {
        self.kills.push(Kill { role, at: now, pause: Duration::ZERO, after: 0 });
    }

    /// The longest pause since the last kill, as far as there were writes after it.
    pub(super) fn pause(&self) -> Option<Duration> {
        self.kills.last().filter(|kill| kill.after > 0).map(|kill| kill.pause)
    }

    /// The load has ended: a pause that is still open counts.
    pub(super) fn ended(&mut self, now: Instant) {
        let open = self.last.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        self.longest = self.longest.max(open);
        if let Some(kill) = self.kills.last_mut() {
            let since = open.min(now.saturating_duration_since(kill.at));
            kill.pause = kill.pause.max(since);
        }
    }

    /// What a replica has.
    pub(super) fn found(&mut self, replica: &str, found: &BTreeMap<String, String>) {
        self.replicas += 1;
        for (key, value) in &self.acknowledged {
            match found.get(key) {
                Some(found) if found == value => {}
                Some(found) => self.missing.push(format!("{key} is {found:?} at {replica}")),
                None => self.missing.push(format!("{key} is not at {replica}")),
            }
        }
    }

    /// What went wrong, if anything did.
    pub(super) fn failure(&self) -> Option<String> {
        if let Some(first) = self.missing.first() {
            let lost = counted(self.missing.len() as u64, "acknowledged write");
            return Some(format!("{lost} lost: {first}"));
        }
        let silent = self.kills.iter().find(|kill| kill.after == 0);
        if let Some(kill) = silent {
            return Some(format!("nothing was written after the {} was killed", kill.role.name()));
        }
        (self.kills.is_empty() || self.replicas == 0).then(|| "nothing was shown".to_owned())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new([
            ("killed", Align::Left),
            ("times", Align::Right),
            ("longest pause of writes", Align::Right),
        ]);
        let mut by_role: BTreeMap<Role, (u64, Duration)> = BTreeMap::new();
        for kill in &self.kills {
            let (times, pause) = by_role.entry(kill.role).or_default();
            (*times, *pause) = (*times + 1, (*pause).max(kill.pause));
        }
        for (role, (times, pause)) in by_role {
            table.row([role.name().to_owned(), times.to_string(), millis(pause)]);
        }
        let (written, replicas) = (self.acknowledged.len() as u64, self.replicas as u64);
        let found = if self.missing.is_empty() {
            format!("each found again at each of {replicas} replicas")
        } else {
            format!("{} NOT found again", grouped(self.missing.len() as u64))
        };
        let errors: u64 = self.errors.values().sum();
        write!(
            f,
            "{table}\n{} acknowledged, {found}\nlongest pause between two of them: {}\nerrors \
             that clients heard: {}",
            counted(written, "write"),
            millis(self.longest),
            grouped(errors)
        )?;
        self.errors.iter().try_for_each(|(error, times)| write!(f, "\n    {times} times {error}"))
    }
}

/// For people.
pub(super) fn millis(time: Duration) -> String {
    format!("{} ms", grouped(time.as_millis().try_into().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally() -> Tally {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut tally = Tally::default();
        tally.acknowledged("a".into(), "1".into(), at(0));
        tally.acknowledged("b".into(), "2".into(), at(10));
        tally.killed(Role::Leader, at(20));
        tally.acknowledged("c".into(), "3".into(), at(90));
        tally.acknowledged("d".into(), "4".into(), at(95));
        tally.killed(Role::Acceptor, at(100));
        tally.acknowledged("e".into(), "5".into(), at(101));
        tally.ended(at(131));
        tally
    }

    fn all() -> BTreeMap<String, String> {
        let pairs = ["a", "b", "c", "d", "e"].into_iter().zip(1..);
        pairs.map(|(key, value)| (key.to_owned(), value.to_string())).collect()
    }

    #[test]
    fn what_was_survived_is_told_in_a_table() {
        let mut tally = tally();
        tally.failed("503".into());
        tally.found("replica-1", &all());
        tally.found("replica-2", &all());
        assert_eq!(tally.failure(), None);
        let expected = "  killed    times  longest pause of writes\n  \
            leader        1                    80 ms\n  \
            acceptor      1                    30 ms\n\n\
            5 writes acknowledged, each found again at each of 2 replicas\n\
            longest pause between two of them: 80 ms\n\
            errors that clients heard: 1\n    1 times 503";
        assert_eq!(tally.to_string(), expected);
    }

    #[test]
    fn what_is_lost_or_another_value_is_a_failure_and_named() {
        let mut tally = tally();
        let mut found = all();
        found.remove("c");
        found.insert("d".into(), "9".into());
        tally.found("replica-1", &found);
        let failure = tally.failure().unwrap();
        assert_eq!(failure, "2 acknowledged writes lost: c is not at replica-1");
        assert!(tally.to_string().contains("2 NOT found again"), "{tally}");
    }

    #[test]
    fn writes_that_never_come_back_are_a_failure() {
        let mut tally = tally();
        tally.found("replica-1", &all());
        tally.killed(Role::Backup, Instant::now());
        assert_eq!(tally.pause(), None);
        assert!(tally.failure().unwrap().contains("after the backup was killed"));
        assert_eq!(Tally::default().failure().unwrap(), "nothing was shown");
    }
}
