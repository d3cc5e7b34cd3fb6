//! What can happen.

use serde::Serialize;

use crate::ids::{Ballot, ClusterId, Epoch, Generation, Name, Revision, Slot};
use crate::message::{Service, Succession};

/// The longest text in an event, in characters.
const SHOWN_CHARS: usize = 300;

/// Something that happened. Its fields are those of spans, logs and `GET /v1/cluster`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Happening {
    /// A coordinator leads; or none is known to.
    Leader {
        /// Its name.
        coordinator: Option<String>,
        /// Where it is.
        url: Option<String>,
        /// The ballot that it leads at; or that the last one led at.
        ballot: Ballot,
    },
    /// A view is executed.
    View {
        /// Its number.
        epoch: Epoch,
        /// Where it stands in the log, where whoever tells of it has executed it.
        #[serde(skip_serializing_if = "Option::is_none")]
        slot: Option<Slot>,
        /// Who takes mutations.
        primary: String,
        /// The others.
        backups: Vec<String>,
    },
    /// A service came, went, or is another life of its process.
    Member {
        /// Its name.
        id: Name,
        /// What it is.
        service: Service,
        /// Where it is.
        url: String,
        /// What became of it.
        state: Presence,
    },
    /// It is known which cluster the acceptors are; or which ones have followed them.
    Roster {
        /// Its identity.
        cluster_id: ClusterId,
        /// Which of its rosters, where one has followed another.
        #[serde(skip_serializing_if = "Option::is_none")]
        generation: Option<Generation>,
        /// The first slot that it decides.
        #[serde(skip_serializing_if = "Option::is_none")]
        slot: Option<Slot>,
        /// Where its acceptors are.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        acceptors: Vec<String>,
    },
    /// A quorum of acceptors has dropped old votes.
    Trim {
        /// All below.
        trimmed_below: Slot,
    },
    /// Old history was dropped.
    Compact {
        /// The oldest revision whose state can be read.
        compacted_below: Revision,
    },
    /// Requests were refused for want of a token or a right.
    Access {
        /// By which replica.
        id: String,
        /// Why, in a word.
        reason: String,
        /// How many, since that was told last.
        count: u64,
    },
    /// Something that people should know began, or ended.
    Warning {
        /// What it is about, in a word.
        what: String,
        /// Whether it began or ended.
        state: Standing,
        /// In a sentence.
        detail: String,
    },
}

/// What became of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// It is new.
    Joined,
    /// It was not heard of for ten seconds, or said that it ends.
    Left,
    /// Its process is another one.
    Restarted,
}

/// Whether something is so still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// From here on.
    Began,
    /// No more.
    Ended,
}

impl Happening {
    /// The name of the event.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Leader { .. } => "leader",
            Self::View { .. } => "view",
            Self::Member { .. } => "member",
            Self::Roster { .. } => "roster",
            Self::Trim { .. } => "trim",
            Self::Compact { .. } => "compact",
            Self::Access { .. } => "access",
            Self::Warning { .. } => "warning",
        }
    }

    /// It is known which cluster the acceptors are.
    #[must_use]
    pub fn cluster(cluster_id: ClusterId) -> Self {
        Self::Roster { cluster_id, generation: None, slot: None, acceptors: Vec::new() }
    }

    /// Other acceptors have followed.
    #[must_use]
    pub fn succession(succession: &Succession) -> Self {
        Self::Roster {
            cluster_id: succession.cluster(),
            generation: Some(succession.generation()),
            slot: Some(succession.begin()),
            acceptors: succession.next().urls.iter().map(|url| cut(url)).collect(),
        }
    }

    /// Something that people should know, cut to a bounded length.
    #[must_use]
    pub fn warning(what: &str, state: Standing, detail: &str) -> Self {
        Self::Warning { what: cut(what), state, detail: cut(detail) }
    }
}

/// As much of a text as an event may have.
#[must_use]
pub fn cut(text: &str) -> String {
    text.chars().take(SHOWN_CHARS).collect()
}
