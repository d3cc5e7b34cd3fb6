//! Did the rare things happen? A batch of runs in which nobody ever duelled proves nothing about duels.

use std::fmt;

macro_rules! reached {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// A situation that the protocol must survive.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Reached {
            $($(#[$doc])* $name,)*
        }

        impl Reached {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// In words.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

reached! {
    /// A coordinator entered Phase 2.
    Led => "a coordinator came to lead",
    /// Another one than before.
    LeaderChanged => "leadership passed to another coordinator",
    /// Two coordinators were in Phase 1 or 2 at once.
    Duelled => "two coordinators tried to lead at once",
    /// An acceptor refused a ballot.
    Nacked => "an acceptor refused a ballot",
    /// Phase 1 found a vote that was not known to be chosen.
    Recovered => "a new leader proposed a voted value again",
    /// Phase 1 found a hole.
    HoleFilled => "a new leader filled a hole with a no-op",
    /// A promise took more than one page.
    Paged => "a promise took more than one page",
    /// The network gave a message twice.
    Duplicated => "a message arrived twice",
    /// The network lost a message.
    Lost => "a message was lost",
    /// A link was cut when something was to pass.
    CutOff => "a message met a cut link",
    /// An answer met a later life than the one that asked.
    AnsweredTheDead => "an answer came to a later life than the one that asked",
    /// An acceptor crashed between decision and write.
    CrashedDecided => "an acceptor crashed with a decision not written",
    /// An acceptor crashed between write and sync.
    CrashedWritten => "an acceptor crashed with records not synced",
    /// Part of an unsynced group survived, and part did not.
    Torn => "a crash tore a group of records",
    /// An acceptor crashed between sync and answer.
    CrashedSynced => "an acceptor crashed between sync and answer",
    /// A coordinator crashed with its effects undone.
    CrashedStepped => "a coordinator crashed before its effects",
    /// A replica crashed with its effects undone.
    CrashedReplicaStepped => "a replica crashed before its effects",
    /// A replica crashed after a commit, before it answered.
    CrashedCommitted => "a replica crashed between commit and answer",
    /// A replica lost committed transactions with its machine.
    RolledBack => "a replica's state went back to an older commit",
    /// An acceptor lost its disk.
    Wiped => "an acceptor lost its disk",
    /// A damaged acceptor refused to run.
    Damaged => "a damaged acceptor refused to run",
    /// A replica lost its disk.
    ReplicaWiped => "a replica lost its disk",
    /// An acceptor had no room.
    Full => "an acceptor was full",
    /// A replica had no room.
    ReplicaFull => "a replica was full",
    /// A process was paused for longer than the time-outs.
    Paused => "a process was paused for over two seconds",
    /// A fault met the moment that it waited for.
    Ambushed => "a fault fell right after a leader or a view came",
    /// A third leader was made to need an acceptor with a vote that others have outvoted.
    Orphaned => "a third leader was left with the keeper of an orphaned vote",
    /// A new leader found votes at different ballots for one slot, and different values.
    Conflicted => "a new leader found two values for one slot, at different ballots",
    /// Acceptors dropped votes.
    Trimmed => "an acceptor trimmed votes",
    /// A new view was executed.
    ViewChanged => "another replica became primary",
    /// A view came late.
    VoidView => "a view was void",
    /// A batch of a deposed primary was chosen.
    VoidOldEpoch => "a batch of an old epoch was void",
    /// A batch was chosen twice or out of order.
    VoidOutOfOrder => "a batch out of order was void",
    /// A batch held more than one command.
    Batched => "a batch held more than one command",
    /// A guard failed.
    GuardFailed => "a compare-and-swap failed",
    /// A read was served by a backup.
    BackupRead => "a backup served a linearizable read",
    /// A read had to wait for execution.
    ReadWaited => "a quorum read waited for a slot",
    /// A read nudged the leader.
    Nudged => "a quorum read nudged the leader",
    /// A backup passed a mutation on.
    Forwarded => "a backup forwarded a mutation",
    /// A mutation's outcome was left open.
    Unresolved => "a mutation was left unresolved",
    /// A mutation was refused for good.
    NotApplied => "a mutation was refused as not applied",
    /// An unresolved mutation was executed all the same.
    ExecutedUnresolved => "an unresolved mutation was executed all the same",
    /// A replica learned from another replica.
    LearnedFromReplica => "a replica fetched the log from a replica",
    /// A replica learned from the leader.
    LearnedFromLeader => "a replica fetched the log from the leader",
    /// A replica learned from votes, through the leader.
    LearnedFromVotes => "the leader recovered old slots from votes",
    /// A source had trimmed what a replica asked for.
    FetchTrimmed => "a fetch met trimmed slots",
    /// An overloaded coordinator refused.
    Overloaded => "a coordinator refused a proposal over a limit",
}

/// How often each was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach([u64; Reached::ALL.len()]);

impl Reach {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self([0; Reached::ALL.len()])
    }

    /// It happened once more.
    pub fn hit(&mut self, reached: Reached) {
        self.0[reached as usize] += 1;
    }

    /// How often it happened.
    #[must_use]
    pub fn count(&self, reached: Reached) -> u64 {
        self.0[reached as usize]
    }

    /// Adds what another run reached.
    pub fn add(&mut self, other: &Self) {
        for (own, others) in self.0.iter_mut().zip(other.0) {
            *own += others;
        }
    }

    /// What never happened.
    #[must_use]
    pub fn missing(&self) -> Vec<Reached> {
        Reached::ALL.iter().copied().filter(|reached| self.count(*reached) == 0).collect()
    }
}

impl Default for Reach {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for reached in Reached::ALL {
            writeln!(f, "{:>12}  {}", self.count(*reached), reached.as_str())?;
        }
        Ok(())
    }
}
