//! What clients heard, and when.

use super::{AccessAnswer, Call, Consistency, Key, Page, StepResult, Taken, TenureAnswer, Value};

/// A point on the one clock that recorded the whole history, in any unit.
pub type Time = u64;

/// One call by one client, unique in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(pub u64);

impl OperationId {
    /// Of what nobody called for.
    pub const NOBODYS: Self = Self(u64::MAX);
}

/// What a read saw of a key that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The value.
    pub value: Value,
    /// The revision of the write that it stems from (the ETag).
    pub modified: u64,
}

/// What a client heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The key, or that there is none.
    Read(Option<Seen>),
    /// The page.
    Listed(Page),
    /// The state is at the answer's revision, and has not come to the one that was asked
    /// for.
    NotYet,
    /// A put was executed at the answer's revision.
    Put,
    /// A delete was executed at the answer's revision, and so many keys went.
    Deleted(u64),
    /// The guard did not hold at the answer's revision, and nothing was written.
    GuardFailed,
    /// A transaction was executed, at the answer's revision where it wrote.
    Transaction(Taken),
    /// A value stands in the log since the answer's revision.
    Appended,
    /// A roll-back was executed at the answer's revision.
    RolledBack {
        /// So many keys were written again …
        restored: u64,
        /// … and so many went.
        deleted: u64,
    },
    /// What came of something that was asked of a lease or a lock.
    Tenure(TenureAnswer),
    /// History is dropped before a revision.
    Compacted {
        /// Which.
        below: u64,
    },
    /// What came of something that was asked of tokens or policies, or as a token.
    Access(AccessAnswer),
    /// What was asked for is dropped.
    Gone {
        /// The oldest revision that is not.
        oldest: u64,
    },
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With an answer.
    Answered {
        /// The revision of the state that it speaks of.
        revision: u64,
        /// What it says.
        answer: Answer,
    },
    /// With an error that promises that nothing happened nor will happen.
    NotApplied,
    /// With an error that leaves it open, or not at all; of a read: without an answer.
    Unknown,
}

/// A call and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Which.
    pub id: OperationId,
    /// When the client called.
    pub called: Time,
    /// For what.
    pub call: Call,
    /// When the client heard of it, or gave it up: where its outcome is not known it may
    /// take effect later.
    pub returned: Time,
    /// How it ended.
    pub outcome: Outcome,
}

impl Answer {
    /// Whether it says that something was executed.
    #[must_use]
    pub fn is_executed(&self) -> bool {
        self.says_executed().unwrap_or(false)
    }

    /// The same; none where it can't be told from it.
    #[must_use]
    pub fn says_executed(&self) -> Option<bool> {
        match self {
            Self::Put | Self::Deleted(_) | Self::Appended | Self::RolledBack { .. } => Some(true),
            Self::Transaction(taken) => Some(taken.wrote),
            Self::Tenure(answer) => answer.is_executed(),
            Self::Access(answer) => Some(answer.is_executed()),
            Self::Read(_)
            | Self::Listed(_)
            | Self::NotYet
            | Self::GuardFailed
            | Self::Compacted { .. }
            | Self::Gone { .. } => Some(false),
        }
    }
}

impl Outcome {
    /// Whether there was an answer, be it that a guard failed.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        matches!(self, Self::Answered { .. })
    }

    /// Whether a mutation was acknowledged as executed.
    #[must_use]
    pub fn is_acknowledged(&self) -> bool {
        matches!(self, Self::Answered { answer, .. } if answer.is_executed())
    }
}

impl Operation {
    /// When its answer came, of which revision it speaks, and what it says.
    #[must_use]
    pub fn answered(&self) -> Option<(Time, u64, &Answer)> {
        match &self.outcome {
            Outcome::Answered { revision, answer } => Some((self.returned, *revision, answer)),
            Outcome::NotApplied | Outcome::Unknown => None,
        }
    }

    /// Whether its answer stands at one instant between call and answer. That of a local
    /// read promises no order, nor does what was asked for as of a revision; but where
    /// that is said not to be there yet, it is of the present state that this is said.
    #[must_use]
    pub fn is_of_the_present(&self) -> bool {
        let Some((at, consistency)) = self.call.reads() else { return true };
        let is_refused = matches!(self.answered(), Some((_, _, Answer::NotYet)));
        consistency == Consistency::Linearizable && (at.is_none() || is_refused)
    }

    /// The keys that it or its answer names.
    #[must_use]
    pub fn named(&self) -> Vec<Key> {
        let mut named: Vec<Key> = self.call.key().cloned().into_iter().collect();
        if let Call::Transaction(transaction) = &self.call {
            named.extend(transaction.keys().cloned());
        }
        match self.answered() {
            Some((_, _, Answer::Listed(page))) => {
                named.extend(page.items.iter().map(|(key, _)| Key::clone(key)));
            }
            Some((_, _, Answer::Transaction(taken))) => {
                for result in &taken.results {
                    if let StepResult::Listed { items, .. } = result {
                        named.extend(items.iter().map(|(key, _)| Key::clone(key)));
                    }
                }
            }
            _ => {}
        }
        named
    }
}
