//! Who the acceptors are, and what they said last.
//!
//! A URL is where a message goes; an [`AcceptorId`] is who answers. Only identities in
//! the roster are ever counted: an acceptor that lost its disk answers under a new
//! identity, and one that was swapped with another answers under the other's.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use shared::bounds::{ROUNDS_AHEAD, SLOTS_AHEAD, TooFar, within};
use shared::ids::{AcceptorId, Ballot, ClusterId, Generation, Slot};
use shared::message::{Marks, Roster, Seated, Succession, Watermarks, quorum};

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
    /// Every address that was ever one of an acceptor, in this life of the process: a place
    /// is its position here, for good.
    urls: Vec<String>,
    places: Vec<Place>,
    /// The places of the present acceptors.
    present: Vec<usize>,
    roster: Option<Roster>,
    /// What made them the acceptors, unless they formed the cluster.
    succession: Option<Succession>,
    /// A roster that all acceptors could form at the poll named; younger answers must
    /// confirm it.
    candidate: Option<(Roster, PollNumber)>,
    next_poll: PollNumber,
    polls: VecDeque<(PollNumber, Duration)>,
}

impl Membership {
    pub(crate) fn new(urls: Vec<String>) -> Self {
        let places = std::iter::repeat_with(Place::default).take(urls.len()).collect();
        Self {
            present: (0..urls.len()).collect(),
            urls,
            places,
            roster: None,
            succession: None,
            candidate: None,
            next_poll: PollNumber(0),
            polls: VecDeque::new(),
        }
    }

    pub(crate) fn roster(&self) -> Option<&Roster> {
        self.roster.as_ref()
    }

    pub(crate) fn indices(&self) -> impl Iterator<Item = AcceptorIndex> + use<> {
        self.present.clone().into_iter().map(AcceptorIndex)
    }

    fn present(&self) -> impl Iterator<Item = &Place> {
        self.present.iter().filter_map(|index| self.places.get(*index))
    }

    /// The roster, and where its acceptors are reached.
    pub(crate) fn seated(&self) -> Option<Seated> {
        let urls = self.present.iter().map(|index| self.urls[*index].clone()).collect();
        Some(Seated { roster: self.roster.clone()?, urls })
    }

    /// What made these the acceptors, unless they formed the cluster.
    pub(crate) fn succession(&self) -> Option<&Succession> {
        self.succession.as_ref()
    }

    /// Where the acceptor at a place is.
    pub(crate) fn url_of(&self, at: AcceptorIndex) -> &str {
        self.urls.get(at.0).map_or("unknown", String::as_str)
    }

    /// The place of the present acceptor with that address.
    pub(crate) fn present_at(&self, url: &str) -> Option<AcceptorIndex> {
        self.present.iter().find(|index| self.urls[**index] == url).copied().map(AcceptorIndex)
    }

    /// The place of an address, and whether it is a new one.
    pub(crate) fn place_of(&mut self, url: &str) -> (AcceptorIndex, Novelty) {
        match self.urls.iter().position(|known| known == url) {
            Some(index) => (AcceptorIndex(index), Novelty::Known),
            None => {
                self.urls.push(url.to_owned());
                self.places.push(Place::default());
                (AcceptorIndex(self.urls.len() - 1), Novelty::New)
            }
        }
    }

    /// These are the acceptors from now on. Nothing that was heard at their places before
    /// counts.
    pub(crate) fn succeed(&mut self, succession: Succession, places: &[AcceptorIndex]) {
        self.present = places.iter().map(|place| place.0).collect();
        self.places.fill_with(Place::default);
        self.candidate = None;
        self.roster = Some(succession.next().roster.clone());
        self.succession = Some(succession);
    }

    /// Whether so many of the acceptors that are asked name the cluster that it is the
    /// one, though they are not yet known to be its acceptors.
    pub(crate) fn is_named_by_most(&self, cluster: ClusterId) -> bool {
        let names = |answer: &&Answer| {
            answer.reply.roster.as_ref().is_some_and(|roster| roster.cluster() == cluster)
        };
        let named = self.present().flat_map(|place| &place.answer).filter(names).count();
        named >= quorum(self.present.len())
    }

    /// Whether an acceptor's roster is one of this cluster that comes after the one known
    /// here, or may be.
    pub(crate) fn is_beyond(&self, theirs: &Roster) -> bool {
        match &self.roster {
            Some(own) => {
                own.cluster() == theirs.cluster() && own.generation() < theirs.generation()
            }
            None => theirs.generation() > Generation(0),
        }
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
        match self.judgement() {
            Judgement::Existing(roster) => self.adopt(now, roster),
            Judgement::Waiting { .. } | Judgement::Succeeded => {
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
                        .present()
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

    /// Whether the acceptors that are asked are those that formed the cluster no more, so
    /// that one of them has to say who is.
    fn is_succeeded(&self) -> bool {
        self.present().flat_map(|place| &place.answer).any(|answer| {
            let roster = answer.reply.roster.as_ref();
            roster.is_some_and(|roster| roster.generation() > Generation(0))
        })
    }

    fn acceptor_infos(&self) -> Vec<Option<AcceptorInfo>> {
        let of = |answer: &Answer| AcceptorInfo {
            acceptor: answer.reply.acceptor,
            roster: answer.reply.roster.clone(),
            draw: answer.reply.draw,
        };
        self.present().map(|place| place.answer.as_ref().map(of)).collect()
    }

    /// What the acceptors make up so far, while the roster is unknown.
    pub(crate) fn judgement(&self) -> Judgement {
        match &self.roster {
            Some(roster) => Judgement::Existing(roster.clone()),
            None => {
                let judged = judge(&self.acceptor_infos());
                // A stray one of a later generation, or of another cluster, does not stand in
                // the way of a quorum of those that formed it, of which none is sealed then.
                let formed_it = |roster: &Roster| roster.generation() == Generation(0);
                let is_first = matches!(&judged, Judgement::Existing(first) if formed_it(first));
                if !is_first && self.is_succeeded() { Judgement::Succeeded } else { judged }
            }
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
            .present()
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
            .present()
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
        let at = |index: &usize| {
            let place = self.places.get(*index)?;
            Some((AcceptorIndex(*index), place.member, place.heard_at))
        };
        self.present.iter().filter_map(at)
    }

    /// The latest answers of members, one for each identity.
    pub(crate) fn answers(&self) -> Vec<&Answer> {
        let Some(roster) = &self.roster else { return Vec::new() };
        let mut answers: Vec<&Answer> = self
            .present()
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
        let answer = |index: &usize| {
            let reply = &self.places.get(*index)?.answer.as_ref()?.reply;
            let of = (AcceptorIndex(*index), reply.promised, reply.marks);
            is_member(roster, reply).then_some(of)
        };
        self.present.iter().filter_map(answer).collect()
    }
}

/// A member has the roster, or will adopt it with its first promise where it is the one that
/// forms the cluster.
fn is_member(roster: &Roster, reply: &Watermarks) -> bool {
    let is_of_it = match &reply.roster {
        Some(its) => its == roster,
        None => roster.generation() == Generation(0),
    };
    roster.contains(reply.acceptor) && is_of_it
}

/// Whether an address was one of an acceptor before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Novelty {
    New,
    Known,
}
