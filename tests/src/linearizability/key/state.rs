//! The sequential store of one key: which answers it can give, and what it is afterwards.

use crate::operations::{Guard, Seen, Value};

/// A call on one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyCall {
    /// Reads it.
    Read,
    /// Writes it.
    Put {
        /// What.
        value: Value,
        /// On which condition.
        guard: Guard,
    },
    /// Deletes it.
    Delete {
        /// On which condition.
        guard: Guard,
    },
    /// Deletes it together with others, so that the count of the answer says nothing of
    /// this key.
    DeleteAmongOthers,
}

impl KeyCall {
    /// What it does to this key, whatever it does to others.
    #[must_use]
    pub fn as_alone(self) -> Self {
        match self {
            Self::DeleteAmongOthers => Self::Delete { guard: Guard::Always },
            Self::Read | Self::Put { .. } | Self::Delete { .. } => self,
        }
    }
}

/// An answer about one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAnswer {
    /// What was read.
    Read(Option<Seen>),
    /// It was written.
    Put {
        /// At this revision.
        revision: u64,
    },
    /// It was deleted, if it was there.
    Deleted {
        /// At this revision.
        revision: u64,
        /// How many keys went.
        count: u64,
    },
    /// The guard did not hold.
    GuardFailed,
}

/// One key at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyState {
    /// Its value, if it exists.
    pub value: Option<Value>,
    /// The revision of its last write or delete, or where `is_exact` is false a lower
    /// bound on it.
    pub modified: u64,
    /// Whether an answer has named `modified`: the revision of an unresolved write is
    /// known only once it is read.
    pub is_exact: bool,
}

impl KeyState {
    /// The state after a call, if the call can have this answer (any answer where it is
    /// none).
    #[must_use]
    pub fn after(self, call: KeyCall, answer: Option<KeyAnswer>) -> Option<Self> {
        match call {
            KeyCall::Read => match answer {
                None => Some(self),
                Some(KeyAnswer::Read(seen)) => self.read(seen),
                Some(
                    KeyAnswer::Put { .. } | KeyAnswer::Deleted { .. } | KeyAnswer::GuardFailed,
                ) => None,
            },
            KeyCall::Put { value, guard } => match answer {
                None => self.guarded(guard)?.written(Some(value), None),
                Some(KeyAnswer::Put { revision }) => {
                    self.guarded(guard)?.written(Some(value), Some(revision))
                }
                Some(KeyAnswer::GuardFailed) => self.refused(guard),
                Some(KeyAnswer::Read(_) | KeyAnswer::Deleted { .. }) => None,
            },
            KeyCall::Delete { guard } => match answer {
                None => self.guarded(guard)?.written(None, None),
                Some(KeyAnswer::Deleted { revision, count }) => {
                    let is_counted = count == u64::from(self.value.is_some());
                    if is_counted {
                        self.guarded(guard)?.written(None, Some(revision))
                    } else {
                        None
                    }
                }
                Some(KeyAnswer::GuardFailed) => self.refused(guard),
                Some(KeyAnswer::Read(_) | KeyAnswer::Put { .. }) => None,
            },
            KeyCall::DeleteAmongOthers => match answer {
                None => self.written(None, None),
                Some(KeyAnswer::Deleted { revision, count }) => {
                    let is_counted = count >= u64::from(self.value.is_some());
                    if is_counted { self.written(None, Some(revision)) } else { None }
                }
                Some(KeyAnswer::Read(_) | KeyAnswer::Put { .. } | KeyAnswer::GuardFailed) => None,
            },
        }
    }

    fn read(self, seen: Option<Seen>) -> Option<Self> {
        match (self.value, seen) {
            (None, None) => Some(self),
            (Some(value), Some(seen)) => {
                let is_right = value == seen.value && self.may_be_modified_at(seen.modified);
                is_right.then_some(Self { modified: seen.modified, is_exact: true, ..self })
            }
            (None, Some(_)) | (Some(_), None) => None,
        }
    }

    fn written(self, value: Option<Value>, revision: Option<u64>) -> Option<Self> {
        match revision {
            Some(revision) => (revision > self.modified).then_some(Self {
                value,
                modified: revision,
                is_exact: true,
            }),
            None => Some(Self { value, modified: self.modified + 1, is_exact: false }),
        }
    }

    fn may_be_modified_at(self, revision: u64) -> bool {
        if self.is_exact { self.modified == revision } else { self.modified <= revision }
    }

    fn guarded(self, guard: Guard) -> Option<Self> {
        self.may_hold(guard).then_some(self)
    }

    fn refused(self, guard: Guard) -> Option<Self> {
        self.may_fail(guard).then_some(self)
    }

    fn may_hold(self, guard: Guard) -> bool {
        match guard {
            Guard::Always => true,
            Guard::Revision(revision) => self.value.is_some() && self.may_be_modified_at(revision),
            Guard::Exists => self.value.is_some(),
            Guard::Absent => self.value.is_none(),
        }
    }

    fn may_fail(self, guard: Guard) -> bool {
        match guard {
            Guard::Always => false,
            Guard::Revision(revision) => {
                self.value.is_none() || !self.is_exact || self.modified != revision
            }
            Guard::Exists => self.value.is_none(),
            Guard::Absent => self.value.is_some(),
        }
    }
}
