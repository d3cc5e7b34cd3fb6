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
mod tests;
