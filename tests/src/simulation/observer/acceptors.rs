//! What acceptors have on disk, and whether what they say is what they have.

use std::collections::BTreeMap;

use acceptor::acceptor::{Acceptor, Record};
use shared::ids::{AcceptorId, Ballot, Slot};
use shared::message::{Accepted, Marks, Promise, Roster, Succession, Watermarks};

use super::Votes;

/// The acceptors' disks.
#[derive(Debug, Default)]
pub(super) struct Acceptors {
    roster: Option<Roster>,
    /// How many have joined the cluster.
    joined: usize,
    shadows: BTreeMap<AcceptorId, Shadow>,
    /// Up to which generation each has ever been sealed, and opened; also before it lost its
    /// disk.
    sealed: BTreeMap<AcceptorId, u64>,
    opened: BTreeMap<AcceptorId, u64>,
}

/// What an acceptor has on disk, and must never go back from.
#[derive(Clone, Debug, Default)]
struct Shadow {
    roster: Option<Roster>,
    promised: Option<Ballot>,
    marks: Marks,
}

impl Acceptors {
    /// Whether the cluster is there whatever a minority of the acceptors loses: a quorum
    /// knows itself to be of it.
    pub(super) fn is_formed(&self) -> bool {
        self.roster.as_ref().is_some_and(|roster| self.joined * 2 > roster.acceptors().len())
    }

    /// A record is on disk.
    pub(super) fn persisted(&mut self, acceptor: AcceptorId, record: &Record, votes: &mut Votes) {
        match record {
            Record::Joined(roster) => self.joined(acceptor, roster),
            Record::Promised(ballot) => {
                let shadow = self.shadows.entry(acceptor).or_default();
                shadow.invariant_promises_rise(*ballot);
                shadow.promised = Some(*ballot);
                let generation = shadow.generation();
                votes.promised(generation, acceptor, *ballot);
            }
            Record::Voted { ballot, votes: voted, chosen_below } => {
                self.invariant_only_members_vote(acceptor);
                let shadow = self.shadows.entry(acceptor).or_default();
                shadow.invariant_no_vote_below_the_promise(*ballot);
                shadow.promised = Some(*ballot);
                shadow.marks.chosen_below = shadow.marks.chosen_below.max(*chosen_below);
                for vote in voted {
                    shadow.marks.voted_below = shadow.marks.voted_below.max(vote.slot.next());
                    let generation = shadow.generation();
                    votes.voted(generation, acceptor, (vote.slot, *ballot), &vote.value);
                }
            }
            Record::Trimmed { below, voted_below, chosen_below } => {
                let marks = &mut self.shadows.entry(acceptor).or_default().marks;
                marks.trimmed_below = marks.trimmed_below.max(*below);
                marks.voted_below = marks.voted_below.max(*voted_below);
                marks.chosen_below = marks.chosen_below.max(*chosen_below);
            }
            Record::Sealed(succession) => {
                let generation = succession.generation().0;
                self.sealed.insert(acceptor, generation);
                self.shadows.entry(acceptor).or_default().ends_at(succession.begin());
            }
            Record::Opened(succession) => self.is_opened(acceptor, succession),
        }
    }

    fn is_opened(&mut self, acceptor: AcceptorId, succession: &Succession) {
        let generation = succession.generation().0;
        self.invariant_a_quorum_is_sealed_before_the_next_begins(succession);
        self.opened.insert(acceptor, generation);
        self.sealed.insert(acceptor, generation);
        let begin = succession.begin();
        let shadow = self.shadows.entry(acceptor).or_default();
        shadow.roster = Some(succession.next().roster.clone());
        shadow.ends_at(begin);
        shadow.marks.trimmed_below = shadow.marks.trimmed_below.max(begin);
    }

    fn invariant_a_quorum_is_sealed_before_the_next_begins(&self, succession: &Succession) {
        let roster = &succession.previous().roster;
        let generation = succession.generation().0;
        let is_sealed = |acceptor: &&AcceptorId| {
            self.sealed.get(acceptor).is_some_and(|sealed| *sealed >= generation)
        };
        let sealed = roster.acceptors().iter().filter(is_sealed).count();
        assert!(
            sealed * 2 > roster.acceptors().len(),
            "invariant: a quorum is sealed before generation {generation} begins, not {sealed}"
        );
    }

    /// A coordinator says that a generation has begun.
    pub(super) fn invariant_a_quorum_is_opened(&self, succession: &Succession) {
        let roster = &succession.next().roster;
        let generation = succession.generation().0;
        let is_opened = |acceptor: &&AcceptorId| {
            self.opened.get(acceptor).is_some_and(|opened| *opened >= generation)
        };
        let opened = roster.acceptors().iter().filter(is_opened).count();
        assert!(
            opened * 2 > roster.acceptors().len(),
            "invariant: generation {generation} has begun where a quorum is opened, not {opened}"
        );
    }

    fn joined(&mut self, acceptor: AcceptorId, roster: &Roster) {
        let own = self.roster.get_or_insert_with(|| roster.clone());
        assert_eq!(own, roster, "invariant: there is one cluster");
        assert!(roster.contains(acceptor), "invariant: an acceptor joins a cluster that names it");
        self.shadows.entry(acceptor).or_default().roster = Some(roster.clone());
        self.joined += 1;
    }

    /// An acceptor that lost its disk is another one, with no vote here.
    fn invariant_only_members_vote(&self, acceptor: AcceptorId) {
        let roster = self.shadows.get(&acceptor).and_then(|shadow| shadow.roster.as_ref());
        let is_member = roster.is_some_and(|roster| roster.contains(acceptor));
        assert!(is_member, "invariant: only members vote: {acceptor} is none of {roster:?}");
    }

    /// An acceptor read its disk and runs.
    pub(super) fn invariant_nothing_goes_back_over_a_restart(&self, core: &Acceptor) {
        let Shadow { promised, marks, roster: _ } = self.shadow(core.id());
        // It panics when a promise or a watermark went back.
        core.invariant_nothing_goes_back(promised, marks);
    }

    /// The disk of this acceptor is lost.
    pub(super) fn wiped(&mut self, acceptor: AcceptorId) {
        self.shadows.remove(&acceptor);
    }

    /// A quorum read rests on it that no vote is left out, and the answer to a write on
    /// it that no mark is ahead of the disk.
    pub(super) fn invariant_watermarks_are_what_is_on_disk(&self, watermarks: &Watermarks) {
        let Watermarks { acceptor, promised, marks, .. } = watermarks;
        let shadow = self.shadow(*acceptor);
        assert_eq!(
            (*promised, *marks),
            (shadow.promised, shadow.marks),
            "invariant: {acceptor} says what it has on disk"
        );
    }

    /// What is said beside a vote or a promise is on disk too; what came there since may
    /// be missing. Above all, nothing is called trimmed that is not: of such slots a
    /// promise tells no vote.
    pub(super) fn invariant_marks_are_on_disk(&self, acceptor: AcceptorId, marks: Marks) {
        let known = self.shadow(acceptor).marks;
        let is_known = marks.trimmed_below <= known.trimmed_below
            && marks.chosen_below <= known.chosen_below
            && marks.voted_below <= known.voted_below;
        assert!(
            is_known,
            "invariant: marks are on disk before they are told: {acceptor} tells {marks:?}, and \
             has {known:?}"
        );
    }

    /// A promise is on disk before it is given, and holds all votes from the asked slot
    /// on.
    pub(super) fn invariant_a_promise_is_kept_and_complete(
        &self,
        promise: &Promise,
        votes: &Votes,
    ) {
        let Promise { acceptor, ballot, .. } = promise;
        let promised = self.shadow(*acceptor).promised;
        assert!(
            promised >= Some(*ballot),
            "invariant: a promise is on disk before it is given: {acceptor} gives {ballot} and has \
             {promised:?}"
        );
        votes.invariant_a_promise_reports_every_vote(
            promise,
            self.shadow(*acceptor).marks.voted_below,
        );
    }

    /// A vote is on disk before it is told.
    pub(super) fn invariant_votes_are_on_disk(&self, accepted: &Accepted, votes: &Votes) {
        let Accepted { acceptor, ballot, slots, .. } = accepted;
        for slot in slots {
            votes.invariant_a_vote_is_on_disk(*acceptor, *slot, *ballot);
        }
    }

    fn shadow(&self, acceptor: AcceptorId) -> Shadow {
        self.shadows.get(&acceptor).cloned().unwrap_or_default()
    }
}

impl Shadow {
    fn ends_at(&mut self, begin: Slot) {
        self.marks.voted_below = self.marks.voted_below.max(begin.next());
        self.marks.chosen_below = self.marks.chosen_below.max(begin);
    }

    fn generation(&self) -> u64 {
        self.roster.as_ref().map_or(0, |roster| roster.generation().0)
    }

    fn invariant_promises_rise(&self, ballot: Ballot) {
        assert!(
            self.promised < Some(ballot),
            "invariant: promises rise, not from {:?} to {ballot}",
            self.promised
        );
    }

    fn invariant_no_vote_below_the_promise(&self, ballot: Ballot) {
        assert!(
            self.promised <= Some(ballot),
            "invariant: no vote below the promise {:?}: {ballot}",
            self.promised
        );
    }
}
