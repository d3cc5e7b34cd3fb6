//! Who was heard of last, and where, kept over a restart: so that `GET /v1/cluster` shows by
//! name and address whoever is silent for long. Nothing else follows from it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use shared::ids::{ClusterId, Name};
use shared::message::{Member, Service};

use super::{MAX_SERVICES, MAX_URL_BYTES, read};

/// Its name in the data directory.
pub(super) const FILE: &str = "services.json";

/// Where replicas were heard of last, by name.
pub(crate) type Addresses = BTreeMap<Name, String>;

/// What the file says. Fields that newer programs may add mean nothing here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Known {
    /// Of which cluster.
    pub(super) cluster: ClusterId,
    /// The names of the acceptors, by their addresses.
    pub(super) acceptors: BTreeMap<String, Name>,
    /// Where the replicas were.
    pub(super) replicas: Addresses,
}

impl Default for Known {
    fn default() -> Self {
        let (acceptors, replicas) = (BTreeMap::new(), Addresses::new());
        Self { cluster: ClusterId(0), acceptors, replicas }
    }
}

impl Known {
    /// What the file says of this cluster; nothing where it cannot be read.
    pub(super) fn read(dir: &Path, own: Option<ClusterId>) -> Self {
        let path = dir.join(FILE);
        match read::<Self>(&path) {
            Ok(known) => known.filter(|known| own == Some(known.cluster)).unwrap_or_default(),
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "is not read: who is silent is shown without an address");
                Self::default()
            }
        }
    }
}

/// Where those replicas are that are listed now, and others were before, as far as there is
/// room for.
pub(super) fn addresses_of(members: &[Member], before: &Addresses) -> Addresses {
    let is_shown =
        |member: &&Member| member.service == Service::Replica && member.url.len() <= MAX_URL_BYTES;
    let listed = members.iter().filter(is_shown).map(|it| (it.name.clone(), it.url.clone()));
    let mut known: Addresses = listed.take(MAX_SERVICES).collect();
    for (name, url) in before {
        if known.len() < MAX_SERVICES && !known.contains_key(name) {
            known.insert(name.clone(), url.clone());
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use shared::ids::Instance;

    use super::*;

    fn replica(number: usize, url: &str) -> Member {
        let name = format!("replica-{number}").parse().unwrap();
        let (service, instance) = (Service::Replica, Instance(1));
        Member { name, service, url: url.to_owned(), instance }
    }

    #[test]
    fn who_is_listed_no_more_stays_where_it_was_and_never_are_there_too_many() {
        let both =
            addresses_of(&[replica(1, "http://a:1"), replica(2, "http://b:1")], &Addresses::new());
        let moved = addresses_of(&[replica(1, "http://c:1")], &both);
        let urls: Vec<&str> = moved.values().map(String::as_str).collect();
        assert_eq!(urls, ["http://c:1", "http://b:1"]);
        let many: Vec<Member> = (10..10 + MAX_SERVICES).map(|n| replica(n, "http://d:1")).collect();
        let full = addresses_of(&many, &moved);
        assert_eq!(full.len(), MAX_SERVICES);
        assert!(full.values().all(|url| url == "http://d:1"), "those that are listed come first");
        let long = "x".repeat(MAX_URL_BYTES + 1);
        assert!(addresses_of(&[replica(1, &long)], &Addresses::new()).is_empty());
    }
}
