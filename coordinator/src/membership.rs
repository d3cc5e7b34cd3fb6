//! Who the acceptors are, and what they said last.
//!
//! A URL is where a message goes; an [`AcceptorId`] is who answers. Only identities in
//! the roster are ever counted: an acceptor that lost its disk answers under a new
//! identity, and one that was swapped with another answers under the other's.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use shared::bounds::{ROUNDS_AHEAD, SLOTS_AHEAD, TooFar, within};
use shared::ids::{AcceptorId, Ballot, ClusterId, Slot};
use shared::message::{Marks, Roster, Watermarks};

use crate::ids::{AcceptorIndex, PollNumber};

mod footprint;
pub mod formation;

use formation::{AcceptorInfo, FormationError, Judgement, judge};

/// Polls whose answers are still taken.
const POLLS_REMEMBERED: usize = 32;

/// An acceptor that answers, but has no vote in this cluster: wiped, or of another
/// cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignAcceptor {
    /// Its identity.
    pub acceptor: AcceptorId,
    /// The cluster it belongs to, if any.
    pub roster: Option<Roster>,
}

impl fmt::Display for ForeignAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.roster {
            None => write!(
                f,
                "acceptor {} is new here: it lost its data or took another's place",
                self.acceptor
            ),
            Some(roster) => {
                write!(f, "acceptor {} belongs to the cluster {}", self.acceptor, roster.cluster())
            }
        }
    }
}

/// A coordinator cannot go on in the cluster that it knows, nor can any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongCluster {
    /// The acceptors have been given to another one.
    #[error(
        "this coordinator knew its acceptors as cluster {known}, and they are cluster {found} now: their data was replaced. Started again it joins that one"
    )]
    Replaced {
        /// The cluster as it was known.
        known: ClusterId,
        /// The cluster that a quorum names.
        found: ClusterId,
    },
    /// A quorum of them answers, and has lost what it had.
    #[error(
        "a quorum of the acceptors of cluster {known} has lost its data, and with it what was chosen: give it back to them, or start the coordinators again to form a new, empty cluster of acceptors without data"
    )]
    Lost {
        /// The cluster as it was known.
        known: ClusterId,
    },
}

/// The latest answer to a poll.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) poll: PollNumber,
    pub(crate) asked_at: Duration,
    pub(crate) reply: Watermarks,
}

/// What an answer to a poll brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// It is older than what is known.
    Stale,
    /// It comes from an acceptor without a vote.
    NoVote,
    /// It counts.
    Counted,
    /// Too few answered to know the roster.
    Waiting,
    /// All answered once; ask them once more.
    AskAgain,
    /// The roster is known now.
    Formed(Roster),
    /// The acceptors are not one cluster.
    NotACluster(FormationError),
}

#[derive(Clone, Debug, Default)]
struct Place {
    answer: Option<Answer>,
    member: Option<AcceptorId>,
    heard_at: Option<Duration>,
    foreign: Option<ForeignAcceptor>,
    /// What the member said last of its promise.
    promised: Option<Ballot>,
    /// What it said that was not believed.
    refused: Option<TooFar>,
}

/// The acceptors, as seen from here.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    places: Vec<Place>,
    roster: Option<Roster>,
    /// A roster that all acceptors could form at the poll named; younger answers must
    /// confirm it.
    candidate: Option<(Roster, PollNumber)>,
    next_poll: PollNumber,
    polls: VecDeque<(PollNumber, Duration)>,
}

impl Membership {
    pub(crate) fn new(configured: usize) -> Self {
        let places = std::iter::repeat_with(Place::default).take(configured).collect();
        Self {
            places,
            roster: None,
            candidate: None,
            next_poll: PollNumber(0),
            polls: VecDeque::new(),
        }
    }

    pub(crate) fn roster(&self) -> Option<&Roster> {
        self.roster.as_ref()
    }

    pub(crate) fn indices(&self) -> impl Iterator<Item = AcceptorIndex> + use<> {
        (0..self.places.len()).map(AcceptorIndex)
    }

    /// Starts a poll.
    pub(crate) fn poll(&mut self, now: Duration) -> PollNumber {
        let poll = self.next_poll;
        self.next_poll = PollNumber(poll.0.checked_add(1).expect("polls exhausted"));
        if self.polls.len() == POLLS_REMEMBERED {
            self.polls.pop_front();
        }
        self.polls.push_back((poll, now));
        poll
    }

    /// Takes up the answer to a poll.
    pub(crate) fn record(
        &mut self,
        now: Duration,
        from: AcceptorIndex,
        poll: PollNumber,
        reply: Watermarks,
    ) -> Recorded {
        let Some(&(_, asked_at)) = self.polls.iter().find(|(number, _)| *number == poll) else {
            return Recorded::Stale;
        };
        let Some(place) = self.places.get_mut(from.0) else { return Recorded::Stale };
        if place.answer.as_ref().is_some_and(|answer| answer.poll > poll) {
            return Recorded::Stale;
        }
        let counts = self.roster.as_ref().is_some_and(|roster| is_member(roster, &reply));
        let acceptor = reply.acceptor;
        place.answer = Some(Answer { poll, asked_at, reply });
        if self.roster.is_none() {
            return self.form(now);
        }
        if !counts {
            return Recorded::NoVote;
        }
        self.heard(now, from, acceptor);
        Recorded::Counted
    }

    fn form(&mut self, now: Duration) -> Recorded {
        match judge(&self.allegiances()) {
            Judgement::Existing(roster) => self.adopt(now, roster),
            Judgement::Waiting { .. } => {
                self.candidate = None;
                Recorded::Waiting
            }
            Judgement::Conflict(error) => {
                self.candidate = None;
                Recorded::NotACluster(error)
            }
            Judgement::Unformed(roster) => match &self.candidate {
                Some((candidate, after)) if *candidate == roster => {
                    let confirmed = self
                        .places
                        .iter()
                        .flat_map(|place| &place.answer)
                        .all(|answer| answer.poll > *after);
                    if confirmed { self.adopt(now, roster) } else { Recorded::Waiting }
                }
                Some(_) | None => {
                    let latest = self.polls.back().map_or(PollNumber(0), |(poll, _)| *poll);
                    self.candidate = Some((roster, latest));
                    Recorded::AskAgain
                }
            },
        }
    }

    fn adopt(&mut self, now: Duration, roster: Roster) -> Recorded {
        for place in &mut self.places {
            if let Some(answer) =
                place.answer.as_ref().filter(|answer| is_member(&roster, &answer.reply))
            {
                place.member = Some(answer.reply.acceptor);
                place.heard_at = Some(now);
            }
        }
        self.candidate = None;
        self.roster = Some(roster.clone());
        Recorded::Formed(roster)
    }

    fn allegiances(&self) -> Vec<Option<AcceptorInfo>> {
        let of = |answer: &Answer| AcceptorInfo {
            acceptor: answer.reply.acceptor,
            roster: answer.reply.roster.clone(),
            draw: answer.reply.draw,
        };
        self.places.iter().map(|place| place.answer.as_ref().map(of)).collect()
    }

    /// What the acceptors make up so far, while the roster is unknown.
    pub(crate) fn judgement(&self) -> Judgement {
        match &self.roster {
            Some(roster) => Judgement::Existing(roster.clone()),
            None => judge(&self.allegiances()),
        }
    }

    /// Takes note that a member answered at this place.
    pub(crate) fn heard(&mut self, now: Duration, at: AcceptorIndex, acceptor: AcceptorId) {
        if let Some(place) = self.places.get_mut(at.0) {
            place.member = Some(acceptor);
            place.heard_at = Some(now);
            place.foreign = None;
        }
    }

    /// Takes note that one without a vote answered at this place; true if that is news.
    pub(crate) fn foreign(&mut self, at: AcceptorIndex, foreign: &ForeignAcceptor) -> bool {
        let Some(place) = self.places.get_mut(at.0) else { return false };
        let news = place.foreign.as_ref() != Some(foreign);
        (place.member, place.promised) = (None, None);
        place.foreign = Some(foreign.clone());
        news
    }

    /// Whether a quorum has answered lately, and none of it can be of this cluster.
    pub(crate) fn wrong_cluster(&self, now: Duration, validity: Duration) -> Option<WrongCluster> {
        let ours = self.roster.as_ref()?;
        let is_other = |reply: &Watermarks| match &reply.roster {
            Some(roster) => roster.cluster() != ours.cluster(),
            None => !ours.contains(reply.acceptor),
        };
        let others: BTreeMap<AcceptorId, &Watermarks> = self
            .places
            .iter()
            .flat_map(|place| &place.answer)
            .filter(|answer| now.saturating_sub(answer.asked_at) <= validity)
            .map(|answer| (answer.reply.acceptor, &answer.reply))
            .filter(|(_, reply)| is_other(reply))
            .collect();
        let names = |roster: &Roster| {
            others.values().filter(|reply| reply.roster.as_ref() == Some(roster)).count()
        };
        let mut rosters = others.values().filter_map(|reply| reply.roster.as_ref());
        let (known, found) = (ours.cluster(), rosters.find(|found| names(found) >= found.quorum()));
        match found {
            Some(found) => Some(WrongCluster::Replaced { known, found: found.cluster() }),
            None if others.len() >= ours.quorum() => Some(WrongCluster::Lost { known }),
            None => None,
        }
    }

    /// Takes note of what the member at this place has promised.
    pub(crate) fn promised(&mut self, at: AcceptorIndex, ballot: Ballot) {
        if let Some(place) = self.places.get_mut(at.0) {
            place.promised = Some(ballot);
        }
    }

    /// The highest round that is not the word of so few that a quorum is without them.
    pub(crate) fn vouched_round(&self) -> u64 {
        let Some(roster) = &self.roster else { return 0 };
        let mut rounds: Vec<u64> = self
            .places
            .iter()
            .filter(|place| place.member.is_some())
            .map(|place| place.promised.map_or(0, |promised| promised.round))
            .collect();
        rounds.sort_unstable_by(|one, other| other.cmp(one));
        let others = roster.acceptors().len() - roster.quorum();
        rounds.get(others).copied().unwrap_or(0)
    }

    /// Whether a ballot that an acceptor says to have promised is to be gone beyond: one
    /// alone does not raise it by more than a bound.
    pub(crate) fn check_ballot(&self, ballot: Ballot) -> Result<(), TooFar> {
        within("round", ballot.round, self.vouched_round(), ROUNDS_AHEAD)
    }

    /// Whether what an acceptor says to be chosen can be, where all below `known` is.
    pub(crate) fn check_marks(known: Slot, marks: Marks) -> Result<(), TooFar> {
        within("chosen_below", marks.chosen_below.0, known.0, SLOTS_AHEAD)?;
        within("trimmed_below", marks.trimmed_below.0, known.0, SLOTS_AHEAD)
    }

    /// Takes note that what a member said is not believed; true if that is news.
    pub(crate) fn refused(&mut self, at: AcceptorIndex, why: TooFar) -> bool {
        let Some(place) = self.places.get_mut(at.0) else { return false };
        place.refused.replace(why).is_none_or(|before| before.what != why.what)
    }

    /// The member that answered last at this place.
    pub(crate) fn member_at(&self, at: AcceptorIndex) -> Option<AcceptorId> {
        self.places.get(at.0).and_then(|place| place.member)
    }

    /// When a member last answered at each place.
    pub(crate) fn heard_at(
        &self,
    ) -> impl Iterator<Item = (AcceptorIndex, Option<AcceptorId>, Option<Duration>)> {
        self.places
            .iter()
            .enumerate()
            .map(|(index, place)| (AcceptorIndex(index), place.member, place.heard_at))
    }

    /// The latest answers of members, one for each identity.
    pub(crate) fn answers(&self) -> Vec<&Answer> {
        let Some(roster) = &self.roster else { return Vec::new() };
        let mut answers: Vec<&Answer> = self
            .places
            .iter()
            .flat_map(|place| &place.answer)
            .filter(|answer| is_member(roster, &answer.reply))
            .collect();
        answers.sort_by_key(|answer| (answer.reply.acceptor, std::cmp::Reverse(answer.poll)));
        answers.dedup_by_key(|answer| answer.reply.acceptor);
        answers
    }
}

impl Membership {
    /// What each member said last, by its place.
    pub(crate) fn answers_by_place(&self) -> Vec<(AcceptorIndex, Option<Ballot>, Marks)> {
        let Some(roster) = &self.roster else { return Vec::new() };
        let answer = |(index, place): (usize, &Place)| {
            let reply = &place.answer.as_ref()?.reply;
            let of = (AcceptorIndex(index), reply.promised, reply.marks);
            is_member(roster, reply).then_some(of)
        };
        self.places.iter().enumerate().filter_map(answer).collect()
    }
}

/// A member has the roster, or will adopt it with its first promise.
fn is_member(roster: &Roster, reply: &Watermarks) -> bool {
    roster.contains(reply.acceptor) && reply.roster.as_ref().is_none_or(|its| its == roster)
}
