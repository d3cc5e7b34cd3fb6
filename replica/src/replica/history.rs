//! Whether the log here is the history that the cluster goes on with.
//!
//! Folders can be put back from older copies. Acceptors that were forget votes, and new
//! values are chosen for slots that were chosen before; a replica whose folder is newer
//! then has another history, and would answer from it. Two facts give that away:
//!
//! - A quorum of acceptors has voted for less than was executed here before it was asked.
//!   What is executed was chosen, so one of every quorum has voted for it: votes are
//!   lost.
//! - The hash of the log below a slot is another one at a replica of the view.
//!
//! Either ends this process: it is the one that asked, and so the one whose log is behind
//! that of the primary it follows, or that came later. A replica that was asked does
//! nothing: what a request claims proves nothing. A replica outside the view proves
//! nothing either, and nothing is learned from one whose log differs.
//!
//! A replica that starts with a log compares it with another replica's before it takes
//! anything from a coordinator (which knows no hashes) or answers a linearizable read.
//! Until then it gives peers nothing of it but a hash, and calls nothing durable.
//! Where no other is left that could say, it goes on after
//! [`Config::history_patience`](crate::replica::config::Config::history_patience). But each
//! batch says what its primary had executed. One that says of the log before it what is not so
//! here disputes it: then it has to be compared, however long that takes, with a replica that
//! says which of the two is right. A batch alone proves nothing either: it may be of anybody.

use std::time::Duration;

use shared::chain::ChainHash;
use shared::ids::{Name, Slot};
use shared::message::View;

use crate::replica::Identity;

/// This replica's log is not the history of the cluster, or the acceptors have lost part
/// of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongHistory {
    /// The acceptors have forgotten votes.
    #[error(
        "acceptors have lost votes: all below slot {executed_below} is executed here, and a quorum \
         of them has voted only below {voted_below}: they were put back from an older copy. Give \
         them their newest data, or this replica an empty data directory: then what was written \
         since that copy is lost"
    )]
    VotesLost {
        /// Every slot below was executed here before they were asked.
        executed_below: Slot,
        /// No slot from there on was voted in.
        voted_below: Slot,
    },
    /// Another replica executed something else.
    #[error(
        "two histories: the log below slot {below} has hash {own} here and {theirs} at {replica}: \
         one of them was put back from an older copy, and other values were chosen since. Give \
         this replica an empty data directory, if {replica} has what is to be kept"
    )]
    Fork {
        /// The first slot after what was compared.
        below: Slot,
        /// The hash of the log here.
        own: ChainHash,
        /// The hash of the log there.
        theirs: ChainHash,
        /// Where.
        replica: Name,
    },
}

/// Whether the log that this life started with was compared with another replica's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum History {
    /// Not yet.
    Unconfirmed,
    /// Not since a batch said that it is another one.
    Disputed,
    /// It was, or there is nothing or nobody to compare with.
    Confirmed,
}

impl History {
    /// At the start, with a log up to there.
    pub(super) fn of(executed_below: Slot) -> Self {
        if executed_below == Slot(0) { Self::Confirmed } else { Self::Unconfirmed }
    }

    /// Whether a replica that has known its cluster for so long need not wait for others.
    pub(super) fn is_settled_by(
        self,
        known_for: Duration,
        patience: Duration,
        others: OthersInView,
    ) -> bool {
        match self {
            Self::Confirmed => true,
            Self::Unconfirmed => known_for >= patience || others == OthersInView::None,
            Self::Disputed => others == OthersInView::None,
        }
    }
}

/// Whether the view names other replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OthersInView {
    /// It does.
    Some,
    /// It doesn't, or there is no view.
    None,
}

impl OthersInView {
    pub(super) fn of(view: Option<&View>, own: &Identity) -> Self {
        let is_other = |name: &Name| *name != own.name;
        match view {
            Some(view) if is_other(&view.primary) || view.backups.iter().any(is_other) => {
                Self::Some
            }
            Some(_) | None => Self::None,
        }
    }
}
