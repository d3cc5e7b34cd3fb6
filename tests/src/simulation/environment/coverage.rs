//! Did the rare things happen? A batch of runs in which nobody ever duelled proves
//! nothing about duels.

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
    /// Two coordinators were in Phase 1 at once.
    Duelled => "two coordinators stood for election at once",
    /// Two coordinators were in Phase 2 at once: the older one did not know yet.
    TwoLed => "two coordinators led at once, at two ballots",
    /// A leader learned of a higher ballot.
    Outbid => "a leader was deposed by a higher ballot",
    /// A request came again by its name after the answer was lost, and was answered.
    AnsweredByName => "a client that sent a request again by its name got an answer",
    /// A primary didn't know whether a request had been executed.
    RequestForgotten => "it was forgotten whether a request that came again was executed",
    /// Other acceptors began to decide.
    Succeeded => "other acceptors followed",
    /// They followed others that had followed some.
    SucceededAgain => "other acceptors followed more than once",
    /// A stop was proposed at a second ballot.
    StopRecovered => "a new leader proposed the end of a generation again",
    /// A change of the acceptors was refused.
    SuccessionRefused => "a change of the acceptors was refused",
    /// The disks of acceptors that had left were emptied.
    LeaverDestroyed => "acceptors that had left lost their disks",
    /// A coordinator stood because the leader's process was over.
    LeaderEnded => "a coordinator stood for election at once, since the leader had ended",
    /// One that runs was said to have ended.
    TakenForEnded => "a primary or a leader that ran was taken for ended",
    /// A leader lost its quorum.
    GaveUp => "a leader stood down because no quorum answered",
    /// An acceptor refused a ballot.
    Nacked => "an acceptor refused a ballot",
    /// Phase 1 found a vote that was not known to be chosen.
    Recovered => "a new leader proposed a voted value again",
    /// Phase 1 found a hole.
    HoleFilled => "a new leader filled a hole with a no-op",
    /// A promise took more than one page.
    Paged => "a promise took more than one page",
    /// One of its pages left votes for the next that nobody may be known to have had
    /// chosen.
    PagedOpen => "votes not known to be chosen were left for a promise's next page",
    /// What a coordinator asked for was trimmed since it had heard of it.
    PreparedTrimmed => "an acceptor promised from a slot that it had trimmed",
    /// A promise came after the candidate had gone on to another ballot.
    PromisedBefore => "a promise for an earlier ballot of its own came to a candidate",
    /// A vote came after the leader had fallen and come back at another ballot.
    VotedBefore => "a vote at an earlier ballot of its own came to a leader for a slot in flight",
    /// The network gave a message twice.
    Duplicated => "a message arrived twice",
    /// An acceptor got values again that it had voted for, and wrote nothing.
    AcceptIgnored => "an acceptor ignored an accept that came twice",
    /// A coordinator got an answer again, and did nothing.
    AnswerIgnored => "a coordinator ignored an answer that came twice",
    /// A leader got a proposal again, and gave it no second slot.
    ProposalIgnored => "a leader ignored a proposal that came twice",
    /// A replica got an answer again, and did nothing.
    ReplyIgnored => "a replica ignored an answer that came twice",
    /// The network lost a message.
    Lost => "a message was lost",
    /// A message arrived before an earlier one on its link.
    Overtaken => "a message overtook an earlier one",
    /// A message took longer than the time-outs.
    Late => "a message took over two seconds",
    /// A link was cut when something was to pass.
    CutFull => "a message met a partition in two",
    /// The same, with nodes that talk to both sides.
    CutBridged => "a message met a partition that others bridge",
    /// The same, and the other way all passes.
    CutOneWay => "a message met a one-way partition",
    /// An answer came to a caller that had given the call up.
    AnsweredTooLate => "an answer came after the time-out of its call",
    /// A coordinator had as many requests under way to an acceptor as it may.
    HeldBack => "a coordinator left out a poll or a prepare, since as many as allowed were under \
        way",
    /// A proposal was waited for as long as its primary waits, and longer.
    ProposalLeftOpen => "a coordinator told a primary that its proposal is not resolved yet",
    /// A node was cut off from all others.
    Isolated => "a node was cut off from all others",
    /// The leader reached a minority only.
    Strangled => "a leader was left with a minority of the acceptors",
    /// Acceptors heard the leader, and it did not hear them.
    Deafened => "a leader did not hear an acceptor that heard it",
    /// An answer met a later life than the one that asked.
    AnsweredTheDead => "an answer came to a later life than the one that asked",
    /// An acceptor crashed between decision and write.
    CrashedDecided => "an acceptor crashed with a decision not written",
    /// An acceptor crashed between write and sync.
    CrashedWritten => "an acceptor crashed with records not synced",
    /// No record of an unsynced group survived.
    UnsyncedLost => "a crash took all records that were not synced",
    /// Part of an unsynced group survived, and part did not.
    Torn => "a crash tore a group of records",
    /// An acceptor crashed between sync and answer.
    CrashedSynced => "an acceptor crashed between sync and answer",
    /// A coordinator crashed with its effects undone.
    CrashedStepped => "a coordinator crashed before its effects",
    /// A replica crashed with its effects undone.
    CrashedReplicaStepped => "a replica crashed before its effects",
    /// A replica crashed before it had kept what cluster it is of, or lost that with its
    /// machine.
    ClusterForgotten => "a crash took from a replica what cluster it is of",
    /// A replica crashed after a commit, before it answered.
    CrashedCommitted => "a replica crashed between commit and answer",
    /// A replica crashed that had executed more than it had stored.
    ExecutedInVain => "a crash took from a replica what it had executed and not stored",
    /// A transaction was committed while those before it were being synced.
    CommittedMeanwhile => "a replica committed while it synced what it had committed before",
    /// A replica lost committed transactions with its machine.
    RolledBack => "a replica's state went back to an older commit",
    /// Several machines lost power at one time.
    PowerCut => "several machines lost power at once",
    /// An acceptor lost its disk.
    Wiped => "an acceptor lost its disk",
    /// An acceptor never ran again, as one does that finds its disk damaged.
    Damaged => "an acceptor was gone for good, as with a damaged disk",
    /// A replica lost its disk.
    ReplicaWiped => "a replica lost its disk",
    /// An acceptor's disk had no room.
    FullDisk => "an acceptor's disk was full",
    /// An acceptor had as many votes as it takes.
    FullVotes => "an acceptor held as many votes as it may",
    /// A replica had no room.
    ReplicaFull => "a replica was full",
    /// A sync took longer than an election waits.
    SlowSync => "a sync took over half a second",
    /// A process was paused for longer than elections and views take.
    Paused => "a process was paused for over two seconds",
    /// A process was paused for longer than every time-out.
    PausedLong => "a process was paused for over ten seconds",
    /// A process timed by a clock that drifts.
    Drifted => "a timer ran out by a clock that was wrong by more than a tenth",
    /// A process saw that its clock had jumped over a time-out.
    Jumped => "a timer ran out after its clock had jumped by over half a second",
    /// A clock jumped to where an armed timer was to run out, or beyond.
    JumpedOver => "a clock jumped over the end of an armed timer",
    /// A clock changed its rate, or jumped a little, while a timer was armed.
    Retimed => "an armed timer was moved, since its clock was changed",
    /// The wall clock of a batch was years away from that of the one before it.
    WallJumped => "a batch's wall clock was over a year from that of the one before",
    /// Time in the log went on by less than by the clock.
    TimeCut => "a batch moved replicated time by the most that it may",
    /// A batch was proposed for the time alone.
    TimeCarried => "a batch carried nothing but the time",
    /// A fault met the moment that it waited for.
    Ambushed => "a fault fell at a moment that it had waited for",
    /// A third leader was made to need an acceptor with a vote that others have outvoted.
    Orphaned => "a third leader was left with the keeper of an orphaned vote",
    /// A new leader found votes at different ballots for one slot, and different values.
    Conflicted => "a new leader found two values for one slot, at different ballots",
    /// Acceptors dropped votes.
    Trimmed => "an acceptor trimmed votes",
    /// A new view was executed.
    ViewChanged => "another replica became primary",
    /// A replica was silent, or unable, for long.
    ReplicaLeft => "a replica left the view",
    /// Whom somebody asked for is primary, as they were told.
    SwitchedOver => "another replica became primary on request",
    /// A request for another primary was in vain.
    SwitchOverRefused => "a request for another primary was refused",
    /// A replica keeps only so much of the log.
    LogForgotten => "a replica forgot log that all had",
    /// A replica is out for good …
    TakenOut => "a replica was taken out for good",
    /// … which was the primary.
    PrimaryTakenOut => "a primary was taken out for good",
    /// It executed that once there was another view already.
    FoundOutLate => "a replica found out behind a later view that it had been taken out",
    /// It was started with its old disk.
    CameBackOut => "a replica that was taken out came back with its old disk, and ended",
    /// It was started with an empty one.
    CameBackEmpty => "a replica joined with an empty disk by the name of one that was taken out",
    /// A replica that was about to end was not primary any more when it did.
    HandedOver => "a primary that was told to end handed over first",
    /// It still was.
    EndedAsPrimary => "a primary that was told to end could not hand over in time",
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
    /// A transaction's guards held, and it wrote.
    Transacted => "a transaction wrote what its guards allowed",
    /// A value was appended to the log.
    Appended => "a value was appended to the log",
    /// A roll-back wrote keys again, or deleted some.
    MadeWhatItWas => "a roll-back changed keys",
    /// A client's compaction was executed.
    Compacted => "a client had history dropped",
    /// A primary asked for a compaction of its own.
    CompactedByItself => "a primary had history dropped that is not to be kept",
    /// What it was to make keys again is compacted.
    HistoryGone => "a roll-back was refused, for its revision was dropped",
    /// A transaction's guards failed.
    TransactedOtherwise => "a transaction did what it was to do otherwise",
    /// A lease ended.
    LeaseExpired => "a lease expired",
    /// And keys went with it.
    KeysExpired => "keys went with a lease that expired",
    /// A lock was held by another.
    LockAwaited => "a lease got in line for a lock",
    /// A lock was not held any more.
    FenceFailed => "a write was refused for its fence",
    /// Tokens were required.
    TokensRequired => "the first token was made",
    /// A token did something.
    TokenWrote => "a token wrote what it may",
    /// A token may not do something.
    TokenDenied => "a token was denied what it may not do",
    /// A token had ended.
    TokenGone => "a token was denied that is none, or none any more",
    /// A read was served by a backup.
    BackupRead => "a backup served a linearizable read",
    /// A read had to wait for execution.
    ReadWaited => "a quorum read waited for a slot",
    /// And then had several keys.
    ListWaited => "a quorum read of several keys waited for a slot",
    /// A read nudged the leader.
    Nudged => "a quorum read nudged a coordinator",
    /// A leader filled slots up to one that a read had seen a vote in.
    NudgeHeeded => "a leader filled slots that a quorum read waited for",
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
    /// A replica went on from another one's state.
    SnapshotInstalled => "a replica went on from the state of another one",
    /// It had come further meanwhile.
    SnapshotTooOld => "the state of another replica was no newer when it came",
    /// A replica learned from the leader.
    LearnedFromLeader => "a replica fetched the log from the leader",
    /// A replica learned from votes, through the leader.
    LearnedFromVotes => "the leader recovered old slots from votes",
    /// Acceptors trimmed what was to be recovered from votes, after the leader had
    /// looked.
    VotesTrimmed => "an acceptor had trimmed a slot that its vote was wanted for",
    /// A source had trimmed what a replica asked for.
    FetchTrimmed => "a fetch met trimmed slots",
    /// A request was sent again by its key, after it was executed.
    Replayed => "a request that was executed came again by its key, and got its first answer",
    /// The answer to one of the attempts was executed long before.
    AnsweredAgain => "a client that sent a request again got the first answer",
    /// There were too many keys.
    TooManyKeys => "a request by a new key was refused, since as many answers were kept as may be",
    /// An overloaded coordinator refused.
    Overloaded => "a coordinator refused a proposal over a limit",
}

/// How often each was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    times: [u64; Reached::ALL.len()],
    /// In how many of the runs that were added.
    runs: [u64; Reached::ALL.len()],
}

impl Coverage {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self { times: [0; Reached::ALL.len()], runs: [0; Reached::ALL.len()] }
    }

    /// It happened once more.
    pub fn hit(&mut self, reached: Reached) {
        self.times[reached as usize] += 1;
    }

    /// How often it happened.
    #[must_use]
    pub fn count(&self, reached: Reached) -> u64 {
        self.times[reached as usize]
    }

    /// Adds what a run reached.
    pub fn add(&mut self, other: &Self) {
        for (index, times) in other.times.into_iter().enumerate() {
            self.times[index] += times;
            self.runs[index] += u64::from(times > 0);
        }
    }

    /// What never happened.
    #[must_use]
    pub fn missing(&self) -> Vec<Reached> {
        Reached::ALL.iter().copied().filter(|reached| self.count(*reached) == 0).collect()
    }
}

impl Default for Coverage {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for reached in Reached::ALL {
            let (times, runs) = (self.count(*reached), self.runs[*reached as usize]);
            writeln!(f, "{times:>12} times in {runs:>6} runs: {}", reached.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_reached_is_missing_and_what_was_is_counted_by_times_and_runs() {
        let (mut all, mut run) = (Coverage::new(), Coverage::new());
        run.hit(Reached::Led);
        run.hit(Reached::Led);
        all.add(&run);
        all.add(&Coverage::new());
        assert!(
            all.to_string().contains("2 times in      1 runs: a coordinator came to lead"),
            "{all}"
        );
        assert_eq!(all.missing().len(), Reached::ALL.len() - 1);
        assert!(!all.missing().contains(&Reached::Led));
    }
}
