//! Who is taken for whom: two processes of one name, or one acceptor at two addresses, as
//! the acceptors' answers to an announcement show.

use std::collections::BTreeMap;
use std::fmt;

use tokio::sync::watch;

use crate::health::Check;
use crate::ids::{Instance, Name};
use crate::message::{Announced, NameConflict};

/// Two that are taken for one, or one that is taken for two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mixup {
    /// Two processes have one name.
    SameName(NameConflict),
    /// Two of the acceptors that are listed by URL are one.
    SameAcceptor {
        /// The acceptor.
        name: Name,
        /// Where it answers.
        urls: [String; 2],
    },
}

impl Mixup {
    /// Whether this process is the one that came later.
    fn is_against(&self, own: Instance) -> bool {
        match self {
            Self::SameName(NameConflict { rival, .. }) => rival.instance == own,
            Self::SameAcceptor { .. } => false,
        }
    }
}

impl fmt::Display for Mixup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameName(NameConflict { listed, rival }) => write!(
                formatter,
                "two processes run by the name {}: {} (instance {}), and {} (instance {}), which \
                 came later and is not listed: give it another --id, or end it",
                listed.name, listed.url, listed.instance, rival.url, rival.instance
            ),
            Self::SameAcceptor { name, urls: [one, other] } => write!(
                formatter,
                "{one} and {other} are the same acceptor, {name}: --acceptors is to list each once"
            ),
        }
    }
}

/// What is mixed up now, as the acceptors' answers show.
#[derive(Clone, Debug)]
pub struct Mixups {
    /// Whose it is to know.
    pub(super) own: Instance,
    pub(super) found: watch::Receiver<Found>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) mixups: Vec<Mixup>,
    pub(super) is_contested: bool,
}

impl Mixups {
    /// As long as nothing is known: none.
    #[must_use]
    pub fn none(own: Instance) -> Self {
        Self { own, found: watch::channel(Found::default()).1 }
    }

    /// Each in words.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        self.found.borrow().mixups.iter().map(ToString::to_string).collect()
    }

    /// Waits until what is mixed up has changed; false when it never will again.
    pub async fn changed(&mut self) -> bool {
        self.found.changed().await.is_ok()
    }

    /// Whether nobody else may have this process's name, as far as is known: not one who
    /// had it before, and not one who had it a moment ago.
    #[must_use]
    pub fn is_name_own(&self) -> bool {
        let found = self.found.borrow();
        !found.is_contested && !found.mixups.iter().any(|mixup| mixup.is_against(self.own))
    }

    /// For readiness: one whose name is another's is not ready, for the others it is a
    /// warning.
    #[must_use]
    pub fn check(&self) -> Check {
        let found = self.found.borrow();
        let told = found.mixups.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        if told.is_empty() {
            Check::new("names", None)
        } else if found.mixups.iter().any(|mixup| mixup.is_against(self.own)) {
            Check::new("names", Some(told))
        } else {
            Check::warning("names", told)
        }
    }
}

/// Says in the log what is new.
pub(super) fn tell(mixed_up: &watch::Sender<Found>, found: Found) {
    mixed_up.send_if_modified(|known| {
        let new = found.mixups.iter().filter(|mixup| !known.mixups.contains(mixup));
        new.for_each(|mixup| tracing::error!("{mixup}"));
        if found.mixups.is_empty() && !known.mixups.is_empty() {
            tracing::info!("every name is one process's again");
        }
        let is_news = *known != found;
        *known = found;
        is_news
    });
}

/// What the answers to one announcement show, by the URLs that were asked.
pub(super) fn mixups_of(answers: &[(String, Announced)]) -> Vec<Mixup> {
    let mut mixups = Vec::new();
    for (index, (url, one)) in answers.iter().enumerate() {
        for (other_url, other) in &answers[index + 1..] {
            let (listed, rival) = (one.acceptor.clone(), other.acceptor.clone());
            if listed.instance == rival.instance {
                let urls = [url.clone(), other_url.clone()];
                mixups.push(Mixup::SameAcceptor { name: listed.name, urls });
            } else if listed.name == rival.name {
                mixups.push(Mixup::SameName(NameConflict { listed, rival }));
            }
        }
    }
    // Who came later is what most say: an acceptor that has restarted does not know.
    let told: Vec<&NameConflict> =
        answers.iter().flat_map(|(_, answer)| &answer.conflicts).collect();
    let count = |conflict: &NameConflict| told.iter().filter(|other| **other == conflict).count();
    let mut by_name: BTreeMap<&Name, &NameConflict> = BTreeMap::new();
    for conflict in &told {
        let most = by_name.entry(&conflict.listed.name).or_insert(conflict);
        if count(conflict) > count(most) {
            *most = conflict;
        }
    }
    mixups.extend(by_name.into_values().cloned().map(Mixup::SameName));
    mixups
}

#[cfg(test)]
mod tests;
