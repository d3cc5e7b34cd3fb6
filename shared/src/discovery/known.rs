//! The members that acceptors tell of, in what order ever their answers come. Pure: the
//! simulation runs it, too.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::EXPIRY;
use crate::ids::{ClusterId, Name};
use crate::message::{Directory, Member, quorum};

/// What an acceptor answered to an announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The cluster of the acceptor, if it belongs to one.
    pub cluster: Option<ClusterId>,
    /// Who is there.
    pub directory: Directory,
}

/// The members heard of, and until when each is believed in.
#[derive(Clone, Debug)]
pub struct Known {
    /// How many acceptors are asked.
    acceptors: usize,
    /// The cluster that a majority of them named last.
    cluster: Option<ClusterId>,
    /// The one whose acceptors counted last.
    counted: Option<ClusterId>,
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
    /// Nobody yet, where so many acceptors are asked.
    #[must_use]
    pub fn of(acceptors: usize) -> Self {
        Self { acceptors, cluster: None, counted: None, by_name: BTreeMap::new(), told: Vec::new() }
    }

    /// So many acceptors are asked from now on.
    pub fn ask(&mut self, acceptors: usize) {
        self.acceptors = acceptors;
    }

    /// The cluster that a majority of them named last.
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterId> {
        self.cluster
    }

    /// The cluster of the members: that which a majority of the acceptors named last, or, until
    /// one has, the only one that any of them names.
    #[must_use]
    pub fn of_members(&self) -> Option<ClusterId> {
        self.counted
    }

    /// Takes what the acceptors answered in one round, and says who is there when that
    /// has changed. `now` is counted from any fixed moment: the freshest word on each
    /// member counts.
    pub fn merge(&mut self, now: Duration, listings: &[Listing]) -> Option<Vec<Member>> {
        let directories = self.counted(listings);
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

    /// The directories of acceptors of the cluster that a majority named last.
    fn counted<'a>(&mut self, listings: &'a [Listing]) -> Vec<&'a Directory> {
        let names = |cluster: ClusterId| {
            listings.iter().filter(|listing| listing.cluster == Some(cluster)).count()
        };
        let named: BTreeSet<ClusterId> =
            listings.iter().filter_map(|listing| listing.cluster).collect();
        let majority = quorum(self.acceptors);
        if let Some(cluster) = named.iter().copied().find(|cluster| names(*cluster) >= majority)
            && self.cluster.replace(cluster).is_some_and(|before| before != cluster)
        {
            self.by_name.clear();
        }
        let only = if named.len() == 1 { named.first().copied() } else { None };
        self.counted = self.cluster.or(only).or(self.counted);
        let counts = |listing: &&Listing| match self.cluster {
            Some(cluster) => listing.cluster == Some(cluster),
            None => named.len() < 2,
        };
        listings.iter().filter(counts).map(|listing| &listing.directory).collect()
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

    fn directory(entries: &[(&str, u64, u64)]) -> Listing {
        listing(None, entries)
    }

    fn listing(cluster: Option<u64>, entries: &[(&str, u64, u64)]) -> Listing {
        let entry = |&(name, instance, age_ms): &(&str, u64, u64)| DirectoryEntry {
            member: member(name, instance),
            age_ms,
        };
        let directory = Directory { members: entries.iter().map(entry).collect() };
        Listing { cluster: cluster.map(ClusterId), directory }
    }

    const NOW: Duration = Duration::from_secs(3_600);

    #[test]
    fn the_freshest_word_on_a_member_counts() {
        let mut known = Known::of(3);
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
        let mut known = Known::of(3);
        let round = [
            directory(&[("a", 1, 9_000)]),
            directory(&[("a", 2, 300)]),
            directory(&[("gone", 1, 60_000)]),
        ];
        assert_eq!(known.merge(Duration::ZERO, &round), Some(vec![member("a", 2)]));
    }

    #[test]
    fn a_member_not_heard_of_is_dropped_but_not_while_no_acceptor_answers() {
        let mut known = Known::of(3);
        assert_eq!(known.merge(NOW, &[directory(&[("a", 1, 0)])]), Some(vec![member("a", 1)]));
        let later = NOW + EXPIRY + Duration::from_millis(1);
        assert_eq!(known.merge(later, &[]), None);
        assert_eq!(known.merge(later, &[directory(&[("b", 1, 0)])]), Some(vec![member("b", 1)]));
    }

    #[test]
    fn only_acceptors_of_the_cluster_that_a_majority_names_count() {
        let mut known = Known::of(3);
        let round = [listing(Some(7), &[("a", 1, 900)]), listing(None, &[("b", 1, 0)])];
        let both = vec![member("a", 1), member("b", 1)];
        assert_eq!(known.merge(NOW, &round), Some(both), "until a majority has named one");
        let round = [
            listing(Some(7), &[("a", 2, 0)]),
            listing(Some(7), &[]),
            listing(Some(8), &[("a", 3, 0), ("c", 1, 0)]),
        ];
        assert_eq!(known.merge(NOW, &round), Some(vec![member("a", 2), member("b", 1)]));
        let round = [listing(Some(8), &[("c", 1, 0)]), listing(None, &[("d", 1, 0)])];
        assert_eq!(known.merge(NOW, &round), None, "a minority names no other one");
        let alone = [listing(Some(7), &[("e", 1, 0)])];
        let expected = vec![member("a", 2), member("b", 1), member("e", 1)];
        assert_eq!(known.merge(NOW, &alone), Some(expected), "one of the cluster is heard alone");
    }

    #[test]
    fn acceptors_that_name_two_clusters_do_not_count_before_a_majority_names_one() {
        let mut known = Known::of(3);
        let round = [listing(Some(7), &[("a", 1, 0)]), listing(Some(8), &[("b", 1, 0)])];
        assert_eq!(known.merge(NOW, &round), None);
    }

    #[test]
    fn the_members_of_a_cluster_are_forgotten_once_a_majority_names_another() {
        let mut known = Known::of(3);
        let round = [listing(Some(7), &[("a", 1, 0)]), listing(Some(7), &[])];
        assert_eq!(known.merge(NOW, &round), Some(vec![member("a", 1)]));
        let round = [listing(Some(8), &[("b", 1, 0)]), listing(Some(8), &[])];
        assert_eq!(known.merge(NOW, &round), Some(vec![member("b", 1)]));
    }
}
