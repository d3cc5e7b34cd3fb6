//! An acceptor with its disk.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use acceptor::acceptor::{Acceptor, Decision, Persisted, Record};
use acceptor::limits::Limits;
use bytes::Bytes;
use shared::ids::{AcceptorId, Ballot, Draw, Slot};
use shared::message::{
    AcceptReply, Marks, PrepareReply, Roster, SlotValue, SuccessionRequest, Vote, VotesPage,
    Watermarks,
};

use super::message::{Reply, Request};
use crate::check::panic_text;

/// A decision that waits for the disk. The real type: no reply comes out of it before the
/// proof that it is there.
#[derive(Clone, Debug)]
enum Decided {
    Prepare(Ballot, Decision<PrepareReply>),
    Accept(Ballot, Decision<AcceptReply>),
}

/// An acceptor's place in the cluster.
#[derive(Clone, Debug)]
pub(crate) struct Voter {
    pub(crate) core: Acceptor,
    limits: Limits,
    /// What a restart makes of the records on disk.
    pub(crate) on_disk: Acceptor,
    unsynced: Vec<Decided>,
    /// Every vote that was ever on disk: what is chosen is told from these.
    pub(crate) votes: BTreeMap<(Slot, Ballot), Bytes>,
    /// The highest ballot that it told anybody it had promised.
    pub(crate) vouched: Option<Ballot>,
    /// Of all that tells two states apart, but for the name.
    pub(crate) digest: u64,
}

/// Replies with their digests.
type Replies = Vec<(u64, Arc<Reply>)>;

/// A voter's next state, and the replies that it gives up.
pub(crate) type Voted = Result<(Arc<Voter>, Replies), String>;

impl Voter {
    pub(crate) fn new(id: AcceptorId, draw: Draw, limits: Limits) -> Self {
        let core = Acceptor::new(id, draw, limits);
        let on_disk = core.clone();
        let mut voter = Self {
            core,
            limits,
            on_disk,
            unsynced: Vec::new(),
            votes: BTreeMap::new(),
            vouched: None,
            digest: 0,
        };
        voter.refresh();
        voter
    }

    /// Decides about a request. Nothing is on disk yet.
    pub(crate) fn decide(&self, request: &Request) -> Voted {
        self.change(|voter| voter.take(request).map(|()| Vec::new()))
    }

    /// Brings all decisions to disk, and gives their replies up.
    pub(crate) fn sync(&self) -> Voted {
        self.change(Self::persist_all)
    }

    /// Decides about a request and brings the decision to disk.
    pub(crate) fn answer(&self, request: &Request) -> Voted {
        self.change(|voter| voter.take(request).and_then(|()| voter.persist_all()))
    }

    /// Loses what is not on disk.
    pub(crate) fn crash(&self) -> Voted {
        self.change(|voter| {
            voter.unsynced.clear();
            voter.core = voter.on_disk.clone();
            Ok(Vec::new())
        })
    }

    /// Is told of a succession, and brings to disk what follows from it.
    pub(crate) fn succeed(&self, request: &SuccessionRequest) -> Voted {
        self.change(|voter| {
            let decision = voter.core.succeed(request).expect("within bounds");
            voter.core.check_invariants();
            voter.write(&decision.records);
            voter.check_restart().map(|()| Vec::new())
        })
    }

    /// Whether it votes in the generation that the cluster forms with, or may yet.
    pub(crate) fn votes_in_the_first(&self) -> bool {
        self.core.succession().is_none()
    }

    /// How many decisions wait for the disk.
    pub(crate) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    fn change(&self, change: impl FnOnce(&mut Self) -> Result<Replies, String>) -> Voted {
        let mut voter = self.clone();
        let replies = catch_unwind(AssertUnwindSafe(|| change(&mut voter)))
            .unwrap_or_else(|panic| Err(panic_text(&*panic)))?;
        voter.refresh();
        Ok((Arc::new(voter), replies))
    }

    fn take(&mut self, request: &Request) -> Result<(), String> {
        let (promised, marks) = (self.core.promised(), self.core.marks());
        let decided = match request {
            Request::Prepare(prepare) => Decided::Prepare(
                prepare.ballot,
                self.core.prepare(prepare).expect("rounds are few"),
            ),
            Request::Accept(accept) => {
                let decision = self
                    .core
                    .accept(accept)
                    .map_err(|error| format!("an acceptor protests: {error}"))?;
                Decided::Accept(accept.ballot, decision)
            }
        };
        self.core.check_invariants();
        self.core.invariant_nothing_goes_back(promised, marks);
        self.unsynced.push(decided);
        Ok(())
    }

    fn persist_all(&mut self) -> Result<Replies, String> {
        let decided = std::mem::take(&mut self.unsynced);
        let replies: Vec<Reply> =
            decided.into_iter().map(|decided| self.persist(decided)).collect();
        let told = replies.iter().filter_map(|reply| reply.promised()).max();
        self.vouched = self.vouched.max(told);
        self.check_restart()?;
        Ok(replies.into_iter().map(|reply| (reply.digest(), Arc::new(reply))).collect())
    }

    fn check_restart(&self) -> Result<(), String> {
        for restarted in [&self.on_disk, &self.compacted()] {
            if !are_equal(&self.core, restarted) {
                return Err(format!("after a restart {:?} would be {restarted:?}", self.core));
            }
        }
        Ok(())
    }

    /// What a restart makes of a log that was cut off behind what is trimmed: it begins
    /// with a summary.
    fn compacted(&self) -> Acceptor {
        let mut restarted = Acceptor::new(self.core.id(), self.core.draw(), self.limits);
        self.on_disk.summary().into_iter().for_each(|record| restarted.replay(record));
        let Marks { chosen_below, .. } = self.on_disk.marks();
        for Vote { slot, ballot, value } in all_votes(&self.on_disk, Slot(0)) {
            restarted.replay(Record::Voted {
                ballot,
                votes: vec![SlotValue { slot, value }],
                chosen_below,
            });
        }
        restarted
    }

    fn persist(&mut self, decided: Decided) -> Reply {
        match decided {
            Decided::Prepare(ballot, decision) => {
                self.write(&decision.records);
                Reply::Prepare(ballot, decision.persisted(Persisted::assert_synced()))
            }
            Decided::Accept(ballot, decision) => {
                self.write(&decision.records);
                Reply::Accept(ballot, decision.persisted(Persisted::assert_synced()))
            }
        }
    }

    fn write(&mut self, records: &[Record]) {
        for record in records {
            self.on_disk.replay(record.clone());
            match record {
                Record::Voted { ballot, votes, .. } => {
                    self.votes.extend(
                        votes.iter().map(|vote| ((vote.slot, *ballot), vote.value.clone())),
                    );
                }
                Record::Joined(_)
                | Record::Promised(_)
                | Record::Trimmed { .. }
                | Record::Sealed(_)
                | Record::Opened(_) => {}
            }
        }
        self.on_disk.check_invariants();
    }

    /// What it answers to a poll: only what is on disk.
    pub(crate) fn watermarks(&self) -> Watermarks {
        Watermarks {
            acceptor: self.on_disk.id(),
            roster: self.on_disk.roster().cloned(),
            draw: self.on_disk.draw(),
            promised: self.on_disk.promised(),
            marks: self.on_disk.marks(),
            leader_silent_ms: 0,
        }
    }

    /// All its votes in one page.
    pub(crate) fn votes_page(&self, from: Slot) -> VotesPage {
        let page = self.on_disk.votes_page(from);
        VotesPage { votes: all_votes(&self.on_disk, from), next: None, ..page }
    }

    fn refresh(&mut self) {
        let mut hasher = DefaultHasher::new();
        digest_core(&self.on_disk, &mut hasher);
        if self.unsynced() > 0 {
            digest_core(&self.core, &mut hasher);
            let given_up = self.clone().persist_all();
            given_up.iter().flatten().for_each(|(digest, _)| digest.hash(&mut hasher));
        }
        (&self.votes, self.vouched).hash(&mut hasher);
        self.digest = hasher.finish();
    }
}

fn all_votes(core: &Acceptor, from: Slot) -> Vec<Vote> {
    let (mut all, mut next) = (Vec::new(), Some(from));
    while let Some(from) = next {
        let (page, after) = core.votes(from);
        all.extend(page);
        next = after;
    }
    all
}

fn are_equal(one: &Acceptor, other: &Acceptor) -> bool {
    let state = |core: &Acceptor| {
        let succession = core.succession().cloned();
        let votes = (core.votes_page(Slot(0)).roster, all_votes(core, Slot(0)));
        (core.promised(), core.roster().cloned(), core.marks(), succession, votes)
    };
    state(one) == state(other)
}

fn digest_core(core: &Acceptor, hasher: &mut DefaultHasher) {
    let marks = core.marks();
    let generation = |roster: Option<&Roster>| roster.map(Roster::generation);
    let cast_in = core.votes_page(Slot(0)).roster;
    (core.promised(), generation(core.roster()), generation(cast_in.as_ref())).hash(hasher);
    (marks.voted_below, marks.chosen_below, marks.trimmed_below).hash(hasher);
    for vote in all_votes(core, Slot(0)) {
        (vote.slot, vote.ballot, vote.value).hash(hasher);
    }
}
