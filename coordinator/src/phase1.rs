//! Phase 1: a quorum's promises, all their votes, and from them the values that are safe
//! to propose.
//!
//! "If the proposer receives a response to its prepare requests (numbered n) from a
//! majority of acceptors, then it can issue a proposal with number n with value v, where
//! v is the value of the highest-numbered proposal among the responses, or is any value
//! if the responses reported no proposals" (Lamport, *Paxos Made Simple*, section 2.2),
//! for all slots at once (section 3).
//!
//! An acceptor reports its votes in pages, each of which re-asserts the promise. Between
//! two pages it can accept nothing at a lower ballot, so the pages together are what it
//! had voted when it promised; if it promises a higher ballot meanwhile, the next page is
//! a nack. A quorum counts only when it has sent *all* its pages.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::bounds::OPEN_SLOTS;
use shared::ids::{AcceptorId, Ballot, Slot};
use shared::message::{EncodedValue, Marks, Promise, Succession, Value, Vote};

use crate::effect::AcceptorIndex;

mod footprint;

/// All that one acceptor reported with its promise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Its votes, ascending by slot.
    pub votes: Vec<Vote>,
    /// Its watermarks.
    pub marks: Marks,
}

/// The values that the leader of a ballot must propose before anything else: one for each
/// slot from `start` on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SafeValues {
    /// Every slot below is chosen.
    pub start: Slot,
    /// The values of `start`, the slot after it, and so on.
    pub values: Vec<EncodedValue>,
}

/// Chooses the safe value of every slot that is not known to be chosen and that an
/// acceptor of the quorum may have voted in: the value of the vote with the highest
/// ballot, or [`Value::Noop`] in a hole. The reports are those of a quorum, each complete
/// from slot `from` (or the acceptor's `trimmed_below`) on.
///
/// The stop of a generation is the last of them: whoever proposed it had nothing in flight,
/// and proposed nothing after it. So what was voted for in later slots at lower ballots was
/// never chosen. But where a later slot has a vote at a higher ballot, the leader of that
/// one has met no vote for the stop, which therefore was not chosen either, nor is anything
/// else in that slot: it is a hole (*Stoppable Paxos*, section 4).
///
/// # Panics
/// When two reports hold different values for one slot and ballot: no leader ever
/// proposes two.
#[must_use]
pub fn safe_values(from: Slot, reports: &[Report]) -> SafeValues {
    let facts =
        reports.iter().flat_map(|report| [report.marks.chosen_below, report.marks.trimmed_below]);
    let start = facts.fold(from, Slot::max);
    let voted_below = reports.iter().map(|report| report.marks.voted_below);
    let mut end = voted_below.fold(start, Slot::max);

    let mut highest: BTreeMap<Slot, &Vote> = BTreeMap::new();
    for vote in reports.iter().flat_map(|report| &report.votes).filter(|vote| vote.slot >= start) {
        let best = highest.entry(vote.slot).or_insert(vote);
        if vote.ballot == best.ballot {
            assert_eq!(
                vote.value, best.value,
                "two values were proposed for slot {} at ballot {}",
                vote.slot, vote.ballot
            );
        } else if vote.ballot > best.ballot {
            *best = vote;
        }
    }
    assert!(
        highest.last_key_value().is_none_or(|(slot, _)| *slot < end),
        "a vote at or above voted_below {end}"
    );

    let is_stop = |slot: Slot, vote: &Vote| {
        Succession::of_stop(&vote.value).is_some_and(|stop| stop.begin() == slot)
    };
    let is_overtaken = |slot: Slot, ballot: Ballot| {
        highest.range(slot.next()..).any(|(_, later)| later.ballot > ballot)
    };
    let stop = highest
        .iter()
        .find(|(slot, vote)| is_stop(**slot, vote) && !is_overtaken(**slot, vote.ballot))
        .map(|(slot, _)| *slot);
    highest.retain(|slot, vote| !is_stop(*slot, vote) || Some(*slot) == stop);
    if let Some(stop) = stop {
        end = stop.next();
    }

    let noop = Value::Noop.encode();
    let values = (start.0..end.0)
        .map(|slot| highest.get(&Slot(slot)).map_or(&noop, |vote| &vote.value).clone())
        .collect();
    SafeValues { start, values }
}

/// Proof that a quorum promised a ballot and sent every page: only [`Phase1::on_promise`]
/// makes one, and Phase 2 begins with it.
#[derive(Debug)]
pub(crate) struct Promised {
    ballot: Ballot,
    safe: SafeValues,
}

impl Promised {
    pub(crate) fn into_parts(self) -> (Ballot, SafeValues) {
        (self.ballot, self.safe)
    }
}

/// What a page brought.
#[derive(Debug)]
pub(crate) enum PageOutcome {
    /// Nothing: not for us, seen before, or malformed.
    None,
    /// The acceptor has more; ask from this slot.
    NextPage(Slot),
    /// The acceptor has sent all, but there is no quorum yet.
    Complete,
    /// A quorum has sent all.
    Quorum(Promised),
}

#[derive(Clone, Debug)]
struct Collected {
    acceptor: AcceptorId,
    report: Report,
    next: Option<Slot>,
}

/// The state of a coordinator that has asked for promises.
#[derive(Clone, Debug)]
pub(crate) struct Phase1 {
    ballot: Ballot,
    from: Slot,
    quorum: usize,
    collected: BTreeMap<AcceptorIndex, Collected>,
    progress_at: Duration,
    timeout: Duration,
}

impl Phase1 {
    pub(crate) fn new(
        now: Duration,
        ballot: Ballot,
        from: Slot,
        quorum: usize,
        timeout: Duration,
    ) -> Self {
        Self { ballot, from, quorum, collected: BTreeMap::new(), progress_at: now, timeout }
    }

    pub(crate) fn ballot(&self) -> Ballot {
        self.ballot
    }

    /// When it is given up unless something comes.
    pub(crate) fn deadline(&self) -> Duration {
        self.progress_at + self.timeout
    }

    /// The slot to ask this acceptor from; none when it has sent all.
    pub(crate) fn ask_from(&self, at: AcceptorIndex) -> Option<Slot> {
        self.collected.get(&at).map_or(Some(self.from), |collected| collected.next)
    }

    /// Takes up a page from a member of the roster.
    pub(crate) fn on_promise(
        &mut self,
        now: Duration,
        at: AcceptorIndex,
        promise: Promise,
    ) -> PageOutcome {
        if promise.ballot != self.ballot || !is_well_formed(&promise) {
            return PageOutcome::None;
        }
        // Another acceptor answers there now: what its predecessor sent is not its own.
        if self.collected.get(&at).is_some_and(|collected| collected.acceptor != promise.acceptor) {
            self.collected.remove(&at);
        }
        if self.ask_from(at) != Some(promise.from) {
            return PageOutcome::None;
        }
        let Promise { acceptor, votes, next, marks, .. } = promise;
        let collected = self.collected.entry(at).or_insert_with(|| Collected {
            acceptor,
            report: Report::default(),
            next: Some(self.from),
        });
        collected.report.votes.extend(votes);
        collected.report.marks = highest(collected.report.marks, marks);
        collected.next = next;
        self.progress_at = now;
        match next {
            Some(next) => PageOutcome::NextPage(next),
            None => self.complete(),
        }
    }

    fn complete(&mut self) -> PageOutcome {
        let complete: BTreeMap<AcceptorId, &Report> = self
            .collected
            .values()
            .filter(|collected| collected.next.is_none())
            .map(|collected| (collected.acceptor, &collected.report))
            .collect();
        if complete.len() < self.quorum {
            return PageOutcome::Complete;
        }
        let reports: Vec<Report> = complete.into_values().cloned().collect();
        PageOutcome::Quorum(Promised {
            ballot: self.ballot,
            safe: safe_values(self.from, &reports),
        })
    }
}

fn highest(one: Marks, other: Marks) -> Marks {
    Marks {
        voted_below: one.voted_below.max(other.voted_below),
        chosen_below: one.chosen_below.max(other.chosen_below),
        trimmed_below: one.trimmed_below.max(other.trimmed_below),
    }
}

/// Whether the page is one that an acceptor can send: ascending, within its range, under
/// its own marks, and ending later than it began.
fn is_well_formed(promise: &Promise) -> bool {
    let Promise { from, votes, next, marks, .. } = promise;
    let ascending = votes.windows(2).all(|pair| pair[0].slot < pair[1].slot);
    let in_range = votes.iter().all(|vote| {
        vote.slot >= *from
            && next.is_none_or(|next| vote.slot < next)
            && vote.slot < marks.voted_below
            && vote.ballot <= promise.ballot
    });
    let advances = next.is_none_or(|next| next > *from);
    let settled = marks.chosen_below.max(marks.trimmed_below).max(*from);
    ascending && in_range && advances && marks.voted_below.0 <= settled.0.saturating_add(OPEN_SLOTS)
}
