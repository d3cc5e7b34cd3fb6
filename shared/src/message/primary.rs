//! A change of the view is asked for while all is well: another primary, or one replica
//! fewer.

use serde::{Deserialize, Serialize};

use crate::bounded;
use crate::ids::{ClusterId, Epoch, Instance, LogFormat, Name, Slot};
use crate::message::{Removal, View};

/// A replica asks the leading coordinator for another primary, or for a view without a
/// replica: an operator wants that, or the replica is about to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrimaryRequest {
    /// The cluster of whoever asks.
    pub cluster: ClusterId,
    /// Who is to be primary.
    pub wanted: WantedPrimary,
}

/// Who is to be primary. Variants are only ever added at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WantedPrimary {
    /// The replica of this name.
    Replica(Name),
    /// The best of all but one, which is about to end.
    Another {
        /// Its name …
        than: Name,
        /// … and this life of it.
        instance: Instance,
    },
    /// Whoever is, or the best of the others where it is this one: it is taken out of the
    /// view for good.
    Without {
        /// Its name.
        removed: Name,
        /// The epoch that began without one of that name, as the asker's state remembers:
        /// then another one is meant, that has executed the log up to there at least.
        out_since: Option<Epoch>,
    },
}

/// The answer to [`PrimaryRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrimaryReply {
    /// This view is what was asked for: its primary has executed it, or whoever is to be out of
    /// it is, which any replica has executed.
    Executed(View),
    /// This coordinator does not lead, so nothing was proposed.
    NotLeading,
    /// Nothing was proposed, and why.
    Refused(PrimaryRefused),
    /// Nothing was proposed: a limit was hit, named here.
    Overloaded {
        /// Which limit, in words.
        limit: String,
    },
    /// A view was proposed, but leadership ended or the wait ran out before a replica had
    /// executed it. It may be yet.
    Unresolved,
}

/// Why no such view is proposed. Variants are only ever added at the end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrimaryRefused {
    /// Nobody has heard of such a replica.
    #[error("no replica of the name {replica} is known: GET /v1/cluster names those that are")]
    Unknown {
        /// Who was asked for.
        replica: Name,
    },
    /// It would have to execute first what the others have.
    #[error("{replica} is not in the view: wait until GET /v1/cluster shows it as a backup")]
    NotInView {
        /// Who was asked for.
        replica: Name,
    },
    /// It could not take mutations.
    #[error("{replica} cannot take over: {why}")]
    Unable {
        /// Who was asked for.
        replica: Name,
        /// Why not.
        why: Unable,
    },
    /// None of the others in the view could take mutations.
    #[error("no other replica of the view can take over{}", each(.others))]
    NobodyAble {
        /// Why not, of each.
        #[serde(deserialize_with = "bounded::list")]
        others: Vec<UnableReplica>,
    },
    /// One view is proposed at a time.
    #[error("another change of the view is under way: ask again once it is over")]
    ChangeUnderWay,
    /// Another view than the proposed one was executed.
    #[error("another change of the view came first: look at GET /v1/cluster, and ask again")]
    Overtaken,
    /// Nobody would be left to have the state.
    #[error("{replica} is the last replica of the view: start another one first")]
    Last {
        /// Who was to be taken out.
        replica: Name,
    },
    /// Acceptors have trimmed what too few of the others hold durably.
    #[error(
        "without {replica} too few replicas would durably hold what the acceptors have trimmed \
         (all below slot {trimmed_below}): wait for {}, or take out first who does not come back",
        names(.behind)
    )]
    TooFewCopies {
        /// Who was to be taken out.
        replica: Name,
        /// What is trimmed.
        trimmed_below: Slot,
        /// Who of the others lacks some of it, or is not heard from.
        #[serde(deserialize_with = "bounded::list")]
        behind: Vec<Name>,
    },
    /// Not all replicas of the view could read it.
    #[error(
        "the log has format {found}, and removals came with format {}: upgrade every replica of \
         the view first",
        Removal::FORMAT
    )]
    LogTooOld {
        /// The format of the log.
        found: LogFormat,
    },
}

fn names(replicas: &[Name]) -> String {
    let names: Vec<&str> = replicas.iter().map(Name::as_str).collect();
    names.join(", ")
}

/// A replica that cannot take over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnableReplica {
    /// Its name.
    pub replica: Name,
    /// Why not.
    pub why: Unable,
}

fn each(others: &[UnableReplica]) -> String {
    let said = |(at, UnableReplica { replica, why }): (usize, &UnableReplica)| {
        format!("{}{replica}: {why}", if at == 0 { ": " } else { "; " })
    };
    others.iter().enumerate().map(said).collect()
}

/// Why a replica cannot take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unable {
    /// Its heartbeats do not come.
    #[error("it is not heard from: see whether it runs and reaches the coordinators")]
    Silent,
    /// It was told to end.
    #[error("it is about to end: start it again first")]
    Ending,
    /// It executes nothing, or its disk takes nothing.
    #[error("it cannot execute: see GET /readyz?verbose of it")]
    CannotExecute,
    /// It cannot read the log as it is.
    #[error("it cannot read the format of the log: upgrade it first")]
    OldFormat,
    /// It has not executed enough.
    #[error("it is {slots} slots behind, and the limit is {limit}: wait until it has caught up")]
    Behind {
        /// How many slots are chosen and not executed by it, as last heard.
        slots: u64,
        /// The most there may be.
        limit: u64,
    },
}
