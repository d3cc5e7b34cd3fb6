//! Who is there: the services that announced themselves lately. Pure; soft state that no
//! safety rests on.
//!
//! A name belongs to one process. Another instance under a name is most likely its next
//! life, and is listed at once. But when the one before it goes on announcing itself, both
//! live: then the one that was there first is listed again, and the other is its *rival*,
//! which is told to everybody, until either falls silent. A process that ends says so: then
//! nobody needs to wait for whether its next life is a rival.
//!
//! Members of another cluster than the acceptor's are not listed: whoever reads the
//! directory is to find its own.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::ids::{ClusterId, Instance, Name};
use shared::message::{
    Announcement, Directory, DirectoryEntry, Member, NameConflict, OtherCluster,
};

/// How long a member is listed after it announced itself last: twenty announcements
/// missed.
pub const EXPIRY: Duration = Duration::from_secs(10);

/// A member that is silent for so long gives its place to a rival: four announcements
/// missed.
pub const SILENCE: Duration = Duration::from_secs(2);

/// The most members: many times more than a cluster has.
pub const MAX_MEMBERS: usize = 256;

/// The longest URL of a member. Bytes.
pub const MAX_URL_BYTES: usize = 512;

/// The services heard from within [`EXPIRY`], by name.
#[derive(Clone, Debug, Default)]
pub struct Members {
    /// The acceptor's cluster, once it belongs to one.
    cluster: Option<ClusterId>,
    by_name: BTreeMap<Name, Holders>,
}

#[derive(Clone, Debug)]
struct Announced {
    cluster: Option<ClusterId>,
    member: Member,
    at: Duration,
}

/// Who announced itself by a name.
#[derive(Clone, Debug)]
struct Holders {
    listed: Announced,
    /// Who was listed before: it has ended, unless it is heard from again.
    former: Option<Announced>,
    /// Who lives beside the one that is listed.
    rival: Option<Announced>,
}

impl Holders {
    fn hear(&mut self, news: Announced) {
        let is_silent = news.at.saturating_sub(self.listed.at) >= SILENCE;
        if self.listed.is_instance_of(&news) {
            self.listed = news;
        } else if self.former.take_if(|former| former.is_instance_of(&news)).is_some() {
            // It has not ended, so the one that took its place is not its next life.
            self.rival = Some(std::mem::replace(&mut self.listed, news));
        } else if self.rival.is_some() && !is_silent {
            self.rival = Some(news);
        } else {
            self.rival.take_if(|rival| rival.is_instance_of(&news));
            self.former = Some(std::mem::replace(&mut self.listed, news));
        }
    }
}

impl Announced {
    fn is_instance_of(&self, other: &Self) -> bool {
        self.member.instance == other.member.instance
    }

    /// Which cluster it is of, where that is another one than this.
    fn other_cluster(&self, ours: Option<ClusterId>) -> Option<OtherCluster> {
        let (ours, theirs) = (ours?, self.cluster?);
        (theirs != ours).then_some(OtherCluster { ours, theirs })
    }

    fn is_fresh(&self, now: Duration) -> bool {
        now.saturating_sub(self.at) < EXPIRY
    }
}

/// An announcement that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnnounceError {
    /// Under the name in the path only the service of that name announces itself.
    #[error("the member in the body is {body}, the one in the path is {path}")]
    OtherName {
        /// The name in the body.
        body: Name,
        /// The name in the path.
        path: Name,
    },
    /// It belongs to another cluster than the acceptor.
    #[error(transparent)]
    OtherCluster(OtherCluster),
    /// See [`MAX_URL_BYTES`].
    #[error("a member's url is limited to {MAX_URL_BYTES} bytes")]
    UrlTooLong,
    /// See [`MAX_MEMBERS`].
    #[error("{MAX_MEMBERS} members are listed, the limit of the directory")]
    Full,
}

impl Members {
    /// The acceptor belongs to this cluster: members of another one are dropped.
    pub fn belong_to(&mut self, cluster: ClusterId) {
        if self.cluster.replace(cluster) == Some(cluster) {
            return;
        }
        let is_foreign = |announced: &Announced| announced.other_cluster(self.cluster).is_some();
        self.by_name.retain(|_, holders| {
            holders.former.take_if(|former| is_foreign(former));
            holders.rival.take_if(|rival| is_foreign(rival));
            !is_foreign(&holders.listed)
        });
    }

    /// Lists a member, or lists it anew. `now` is counted from any fixed moment.
    ///
    /// # Errors
    /// When the announcement contradicts itself or goes beyond a limit.
    pub fn announce(
        &mut self,
        now: Duration,
        name: &Name,
        announcement: Announcement,
    ) -> Result<(), AnnounceError> {
        let Announcement { cluster, member } = announcement;
        if member.name != *name {
            return Err(AnnounceError::OtherName { body: member.name, path: name.clone() });
        }
        if member.url.len() > MAX_URL_BYTES {
            return Err(AnnounceError::UrlTooLong);
        }
        let news = Announced { cluster, member, at: now };
        if let Some(other) = news.other_cluster(self.cluster) {
            return Err(AnnounceError::OtherCluster(other));
        }
        self.expire(now);
        if self.by_name.len() >= MAX_MEMBERS && !self.by_name.contains_key(name) {
            return Err(AnnounceError::Full);
        }
        match self.by_name.get_mut(name) {
            Some(holders) => holders.hear(news),
            None => {
                let holders = Holders { listed: news, former: None, rival: None };
                self.by_name.insert(name.clone(), holders);
            }
        }
        Ok(())
    }

    /// A process that announced itself by the name ends: it is listed no more.
    pub fn withdraw(&mut self, name: &Name, instance: Instance) {
        let Some(holders) = self.by_name.get_mut(name) else { return };
        let is_its = |announced: &mut Announced| announced.member.instance == instance;
        holders.former.take_if(is_its);
        holders.rival.take_if(is_its);
        if !is_its(&mut holders.listed) {
            return;
        }
        match holders.rival.take() {
            Some(rival) => holders.listed = rival,
            None => drop(self.by_name.remove(name)),
        }
    }

    /// All members heard from within [`EXPIRY`], in order of their names.
    pub fn list(&mut self, now: Duration) -> Directory {
        self.expire(now);
        let entry = |Announced { member, at, .. }: &Announced| {
            let age_ms = u64::try_from(now.saturating_sub(*at).as_millis()).unwrap_or(u64::MAX);
            DirectoryEntry { member: member.clone(), age_ms }
        };
        Directory { members: self.by_name.values().map(|holders| entry(&holders.listed)).collect() }
    }

    /// The names that two processes have now, in order.
    pub fn conflicts(&mut self, now: Duration) -> Vec<NameConflict> {
        self.expire(now);
        let conflict = |Holders { listed, rival, .. }: &Holders| {
            let rival = rival.as_ref()?.member.clone();
            Some(NameConflict { listed: listed.member.clone(), rival })
        };
        self.by_name.values().filter_map(conflict).collect()
    }

    /// Whether the one listed by the name took the place of another a moment ago, which
    /// may yet turn out to live.
    #[must_use]
    pub fn is_contested(&self, now: Duration, name: &Name) -> bool {
        let former = self.by_name.get(name).and_then(|holders| holders.former.as_ref());
        former.is_some_and(|former| now.saturating_sub(former.at) < SILENCE)
    }

    fn expire(&mut self, now: Duration) {
        self.by_name.retain(|_, holders| {
            holders.former.take_if(|former| !former.is_fresh(now));
            holders.rival.take_if(|rival| !rival.is_fresh(now));
            holders.listed.is_fresh(now)
        });
    }
}

#[cfg(test)]
mod tests {
    use shared::message::Service;

    use super::*;

    fn member(name: &str, instance: u64) -> Member {
        let url = format!("http://{name}:8301");
        Member {
            name: name.parse().unwrap(),
            service: Service::Replica,
            url,
            instance: Instance(instance),
        }
    }

    fn announce(members: &mut Members, now_ms: u64, member: Member) -> Result<(), AnnounceError> {
        announce_of(members, now_ms, None, member)
    }

    fn announce_of(
        members: &mut Members,
        now_ms: u64,
        cluster: Option<ClusterId>,
        member: Member,
    ) -> Result<(), AnnounceError> {
        let name = member.name.clone();
        members.announce(Duration::from_millis(now_ms), &name, Announcement { cluster, member })
    }

    fn list(members: &mut Members, now_ms: u64) -> Vec<(Member, u64)> {
        let directory = members.list(Duration::from_millis(now_ms));
        directory.members.into_iter().map(|entry| (entry.member, entry.age_ms)).collect()
    }

    #[test]
    fn members_are_listed_by_name_with_their_age() {
        let mut members = Members::default();
        announce(&mut members, 0, member("b", 1)).unwrap();
        announce(&mut members, 300, member("a", 1)).unwrap();
        assert_eq!(list(&mut members, 500), [(member("a", 1), 200), (member("b", 1), 500)]);
    }

    #[test]
    fn the_latest_life_of_a_member_is_listed() {
        let mut members = Members::default();
        announce(&mut members, 0, member("a", 1)).unwrap();
        announce(&mut members, 100, member("a", 2)).unwrap();
        assert_eq!(list(&mut members, 100), [(member("a", 2), 0)]);
    }

    fn conflicts(members: &mut Members, now_ms: u64) -> Vec<(u64, u64)> {
        let conflicts = members.conflicts(Duration::from_millis(now_ms));
        let of = |conflict: &NameConflict| (conflict.listed.instance.0, conflict.rival.instance.0);
        conflicts.iter().map(of).collect()
    }

    #[test]
    fn of_two_processes_of_one_name_the_first_is_listed_and_both_are_told() {
        let mut members = Members::default();
        announce(&mut members, 0, member("a", 1)).unwrap();
        announce(&mut members, 100, member("a", 2)).unwrap();
        assert_eq!(conflicts(&mut members, 100), [], "it may be its next life");
        let contested = |members: &Members, now_ms| {
            members.is_contested(Duration::from_millis(now_ms), &"a".parse().unwrap())
        };
        assert!(contested(&members, 1_999) && !contested(&members, 2_000));
        for round in 1..10 {
            let now = 500 * round;
            announce(&mut members, now, member("a", 1)).unwrap();
            announce(&mut members, now + 100, member("a", 2)).unwrap();
            assert_eq!(list(&mut members, now + 100), [(member("a", 1), 100)]);
            assert_eq!(conflicts(&mut members, now + 100), [(1, 2)]);
        }
        assert_eq!(list(&mut members, 12_000), [(member("a", 1), 7_500)]);
    }

    #[test]
    fn a_restarted_process_is_no_rival_of_its_former_life() {
        let mut members = Members::default();
        for life in 1..5 {
            for announcement in 0..3 {
                let now = 1_500 * life + 500 * announcement;
                announce(&mut members, now, member("a", life)).unwrap();
                assert_eq!(list(&mut members, now), [(member("a", life), 0)]);
                assert_eq!(conflicts(&mut members, now), []);
            }
        }
    }

    #[test]
    fn the_next_life_of_a_process_that_said_that_it_ends_is_contested_by_nobody() {
        let mut members = Members::default();
        let name = "a".parse().unwrap();
        let is_contested =
            |members: &Members| members.is_contested(Duration::from_millis(100), &name);
        announce(&mut members, 0, member("a", 1)).unwrap();
        members.withdraw(&name, Instance(9));
        assert_eq!(list(&mut members, 0), [(member("a", 1), 0)], "it is of another process");
        announce(&mut members, 100, member("a", 2)).unwrap();
        assert!(is_contested(&members));
        members.withdraw(&name, Instance(1));
        assert!(!is_contested(&members), "its former life said so late");
        members.withdraw(&name, Instance(2));
        assert_eq!(list(&mut members, 100), []);
        announce(&mut members, 100, member("a", 3)).unwrap();
        assert!(!is_contested(&members));
    }

    #[test]
    fn where_one_of_two_of_a_name_ends_the_other_is_listed_alone() {
        for (ends, stays) in [(1, 2), (2, 1)] {
            let mut members = Members::default();
            for instance in [1, 2, 1] {
                announce(&mut members, 0, member("a", instance)).unwrap();
            }
            assert_eq!(conflicts(&mut members, 0), [(1, 2)]);
            members.withdraw(&"a".parse().unwrap(), Instance(ends));
            assert_eq!(list(&mut members, 0), [(member("a", stays), 0)]);
            assert_eq!(conflicts(&mut members, 0), []);
        }
    }

    #[test]
    fn a_rival_takes_the_place_of_one_that_falls_silent_and_then_there_is_none() {
        let mut members = Members::default();
        for (now, instance) in [(0, 1), (100, 2), (500, 1), (600, 2), (2_499, 2)] {
            announce(&mut members, now, member("a", instance)).unwrap();
        }
        assert_eq!(conflicts(&mut members, 2_499), [(1, 2)]);
        announce(&mut members, 2_600, member("a", 2)).unwrap();
        assert_eq!(list(&mut members, 2_600), [(member("a", 2), 0)]);
        assert_eq!(conflicts(&mut members, 2_600), []);
    }

    #[test]
    fn a_rival_that_falls_silent_is_forgotten() {
        let mut members = Members::default();
        for (now, instance) in [(0, 1), (100, 2), (500, 1), (10_000, 1)] {
            announce(&mut members, now, member("a", instance)).unwrap();
        }
        assert_eq!(conflicts(&mut members, 10_000), [(1, 2)]);
        assert_eq!(conflicts(&mut members, 10_100), []);
        assert_eq!(list(&mut members, 10_100), [(member("a", 1), 100)]);
    }

    #[test]
    fn a_member_that_falls_silent_is_dropped() {
        let mut members = Members::default();
        announce(&mut members, 0, member("a", 1)).unwrap();
        announce(&mut members, 5_000, member("b", 1)).unwrap();
        assert_eq!(list(&mut members, 9_999).len(), 2);
        assert_eq!(list(&mut members, 10_000), [(member("b", 1), 5_000)]);
    }

    #[test]
    fn a_full_directory_takes_only_members_it_knows_until_one_falls_silent() {
        let mut members = Members::default();
        for index in 0..MAX_MEMBERS {
            announce(&mut members, index as u64, member(&format!("replica-{index}"), 1)).unwrap();
        }
        assert_eq!(announce(&mut members, 300, member("one-more", 1)), Err(AnnounceError::Full));
        assert_eq!(announce(&mut members, 300, member("replica-7", 2)), Ok(()));
        assert_eq!(announce(&mut members, 10_000, member("one-more", 1)), Ok(()));
    }

    #[test]
    fn an_announcement_under_another_name_or_with_an_endless_url_is_refused() {
        let mut members = Members::default();
        let (a, b): (Name, Name) = ("a".parse().unwrap(), "b".parse().unwrap());
        let announcement = Announcement { cluster: None, member: member("a", 1) };
        let refused = members.announce(Duration::ZERO, &b, announcement);
        assert_eq!(refused, Err(AnnounceError::OtherName { body: a, path: b }));
        let endless = Member { url: "x".repeat(MAX_URL_BYTES + 1), ..member("a", 1) };
        assert_eq!(announce(&mut members, 0, endless), Err(AnnounceError::UrlTooLong));
        assert_eq!(list(&mut members, 0), []);
    }
    #[test]
    fn members_of_another_cluster_are_refused_and_dropped_once_there_is_one() {
        let mut members = Members::default();
        let (ours, theirs) = (ClusterId(1), ClusterId(2));
        for (cluster, name) in [(None, "a"), (Some(ours), "b"), (Some(theirs), "c")] {
            announce_of(&mut members, 0, cluster, member(name, 1)).unwrap();
        }
        members.belong_to(ours);
        let left = [(member("a", 1), 0), (member("b", 1), 0)];
        assert_eq!(list(&mut members, 0), left);
        let refused = announce_of(&mut members, 0, Some(theirs), member("c", 1));
        assert_eq!(refused, Err(AnnounceError::OtherCluster(OtherCluster { ours, theirs })));
        assert_eq!(list(&mut members, 0), left);
    }
}
