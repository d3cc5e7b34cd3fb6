//! Who is there: the services that announced themselves lately. Pure; soft state that no
//! safety rests on.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::ids::Name;
use shared::message::{Directory, DirectoryEntry, Member};

/// How long a member is listed after it announced itself last: twenty announcements
/// missed.
pub const EXPIRY: Duration = Duration::from_secs(10);

/// The most members: many times more than a cluster has.
pub const MAX_MEMBERS: usize = 256;

/// The longest URL of a member. Bytes.
pub const MAX_URL_BYTES: usize = 512;

/// The services heard from within [`EXPIRY`], by name.
#[derive(Clone, Debug, Default)]
pub struct Members {
    by_name: BTreeMap<Name, Heard>,
}

#[derive(Clone, Debug)]
struct Heard {
    member: Member,
    at: Duration,
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
    /// See [`MAX_URL_BYTES`].
    #[error("a member's url is limited to {MAX_URL_BYTES} bytes")]
    UrlTooLong,
    /// See [`MAX_MEMBERS`].
    #[error("{MAX_MEMBERS} members are listed, the limit of the directory")]
    Full,
}

impl Members {
    /// Lists a member, or lists it anew. `now` is counted from any fixed moment.
    ///
    /// # Errors
    /// When the announcement contradicts itself or goes beyond a limit.
    pub fn announce(
        &mut self,
        now: Duration,
        name: &Name,
        member: Member,
    ) -> Result<(), AnnounceError> {
        if member.name != *name {
            return Err(AnnounceError::OtherName { body: member.name, path: name.clone() });
        }
        if member.url.len() > MAX_URL_BYTES {
            return Err(AnnounceError::UrlTooLong);
        }
        self.expire(now);
        if self.by_name.len() >= MAX_MEMBERS && !self.by_name.contains_key(name) {
            return Err(AnnounceError::Full);
        }
        self.by_name.insert(member.name.clone(), Heard { member, at: now });
        Ok(())
    }

    /// All members heard from within [`EXPIRY`], in order of their names.
    pub fn list(&mut self, now: Duration) -> Directory {
        self.expire(now);
        let entry = |Heard { member, at }: &Heard| {
            let age_ms = u64::try_from(now.saturating_sub(*at).as_millis()).unwrap_or(u64::MAX);
            DirectoryEntry { member: member.clone(), age_ms }
        };
        Directory { members: self.by_name.values().map(entry).collect() }
    }

    fn expire(&mut self, now: Duration) {
        self.by_name.retain(|_, heard| now.saturating_sub(heard.at) < EXPIRY);
    }
}

#[cfg(test)]
mod tests {
    use shared::ids::Instance;
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
        let name = member.name.clone();
        members.announce(Duration::from_millis(now_ms), &name, member)
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
        let refused = members.announce(Duration::ZERO, &b, member("a", 1));
        assert_eq!(refused, Err(AnnounceError::OtherName { body: a, path: b }));
        let endless = Member { url: "x".repeat(MAX_URL_BYTES + 1), ..member("a", 1) };
        assert_eq!(announce(&mut members, 0, endless), Err(AnnounceError::UrlTooLong));
        assert_eq!(list(&mut members, 0), []);
    }
}
