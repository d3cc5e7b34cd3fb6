//! The kinds of calls there are, and how often each is made up.

/// What kind of call a client makes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A linearizable read of a key.
    Read,
    /// A local read of a key.
    LocalRead,
    /// A read of a key at a revision.
    PastRead,
    /// A linearizable listing.
    List,
    /// A local listing.
    LocalList,
    /// A listing at a revision.
    PastList,
    /// A put without a condition.
    Put,
    /// A put on a condition.
    ComparedPut,
    /// A deletion of a key without a condition.
    Delete,
    /// A deletion of a key on a condition.
    ComparedDelete,
    /// A deletion of all keys with a prefix.
    DeletePrefix,
    /// A transaction.
    Transaction,
    /// A value that is appended to the log.
    Append,
    /// A roll-back of all keys with a prefix.
    Rollback,
    /// Something of leases and locks.
    Tenure,
    /// A compaction.
    Compact,
    /// Something of tokens and policies.
    Access,
}

impl Kind {
    /// All of them, in their order.
    pub const ALL: [Self; 17] = [
        Self::Read,
        Self::LocalRead,
        Self::PastRead,
        Self::List,
        Self::LocalList,
        Self::PastList,
        Self::Put,
        Self::ComparedPut,
        Self::Delete,
        Self::ComparedDelete,
        Self::DeletePrefix,
        Self::Transaction,
        Self::Append,
        Self::Rollback,
        Self::Tenure,
        Self::Compact,
        Self::Access,
    ];
}

/// How often which kind is made up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Weights(pub(super) [u32; Kind::ALL.len()]);

impl Weights {
    /// These kinds, each as often as it weighs, and no others.
    #[must_use]
    pub fn new(weights: &[(Kind, u32)]) -> Self {
        let mut all = Self::default();
        weights.iter().for_each(|(kind, weight)| all.set(*kind, *weight));
        all
    }

    /// How often one is made up.
    #[must_use]
    pub fn of(&self, kind: Kind) -> u32 {
        self.0[kind as usize]
    }

    /// Changes one.
    pub fn set(&mut self, kind: Kind, weight: u32) {
        self.0[kind as usize] = weight;
    }
}
