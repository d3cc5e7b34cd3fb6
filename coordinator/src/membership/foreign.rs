//! Acceptors that answer and are not of this cluster: one alone is told of, a quorum of
//! them means that this coordinator cannot go on.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use shared::ids::{AcceptorId, ClusterId};
use shared::message::{Roster, Watermarks};

use super::Membership;
use crate::ids::AcceptorIndex;

/// An acceptor that answers, but has no vote in this cluster: wiped, or of another
/// cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignAcceptor {
    /// Its identity.
    pub acceptor: AcceptorId,
    /// The cluster it belongs to, if any.
    pub roster: Option<Roster>,
}

impl fmt::Display for ForeignAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.roster {
            None => write!(
                f,
                "acceptor {} is new here: it lost its data or took another's place",
                self.acceptor
            ),
            Some(roster) => {
                write!(f, "acceptor {} belongs to the cluster {}", self.acceptor, roster.cluster())
            }
        }
    }
}

/// A coordinator cannot go on in the cluster that it knows, nor can any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongCluster {
    /// The acceptors have been given to another one.
    #[error(
        "this coordinator knew its acceptors as cluster {known}, and they are cluster {found} now: their data was replaced. Started again it joins that one"
    )]
    Replaced {
        /// The cluster as it was known.
        known: ClusterId,
        /// The cluster that a quorum names.
        found: ClusterId,
    },
    /// A quorum of them answers, and has lost what it had.
    #[error(
        "a quorum of the acceptors of cluster {known} has lost its data, and with it what was chosen: give it back to them, or start the coordinators again to form a new, empty cluster of acceptors without data"
    )]
    Lost {
        /// The cluster as it was known.
        known: ClusterId,
    },
}

impl Membership {
    /// Takes note that one without a vote answered at this place; true if that is news.
    pub(crate) fn foreign(&mut self, at: AcceptorIndex, foreign: &ForeignAcceptor) -> bool {
        let Some(place) = self.places.get_mut(at.0) else { return false };
        let news = place.foreign.as_ref() != Some(foreign);
        (place.member, place.promised) = (None, None);
        place.foreign = Some(foreign.clone());
        news
    }

    /// Whether a quorum has answered lately, and none of it can be of this cluster.
    pub(crate) fn wrong_cluster(&self, now: Duration, validity: Duration) -> Option<WrongCluster> {
        let ours = self.roster.as_ref()?;
        let is_other = |reply: &Watermarks| match &reply.roster {
            Some(roster) => roster.cluster() != ours.cluster(),
            None => !ours.contains(reply.acceptor),
        };
        let others: BTreeMap<AcceptorId, &Watermarks> = self
            .present()
            .flat_map(|place| &place.answer)
            .filter(|answer| now.saturating_sub(answer.asked_at) <= validity)
            .map(|answer| (answer.reply.acceptor, &answer.reply))
            .filter(|(_, reply)| is_other(reply))
            .collect();
        let names = |roster: &Roster| {
            others.values().filter(|reply| reply.roster.as_ref() == Some(roster)).count()
        };
        let mut rosters = others.values().filter_map(|reply| reply.roster.as_ref());
        let (known, found) = (ours.cluster(), rosters.find(|found| names(found) >= found.quorum()));
        match found {
            Some(found) => Some(WrongCluster::Replaced { known, found: found.cluster() }),
            None if others.len() >= ours.quorum() => Some(WrongCluster::Lost { known }),
            None => None,
        }
    }
}
