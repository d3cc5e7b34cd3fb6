//! Who the acceptors are, and what they said last.
//!
//! A URL is where a message goes; an [`AcceptorId`] is who answers. Only identities in
//! the roster are ever counted: an acceptor that lost its disk answers under a new
//! identity, and one that was swapped with another answers under the other's.

use std::collections::VecDeque;
use std::time::Duration;

use shared::bounds::TooFar;
use shared::ids::{AcceptorId, Ballot, ClusterId, Generation};
use shared::message::{Marks, Roster, Seated, Succession, Watermarks, quorum};

use crate::ids::{AcceptorIndex, PollNumber};

mod adoption;
mod claims;
mod footprint;
pub mod foreign;
pub mod formation;

use foreign::ForeignAcceptor;
use formation::FormationError;

/// Polls whose answers are still taken.
const POLLS_REMEMBERED: usize = 32;

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

    /// Takes note that a member answered at this place.
    pub(crate) fn heard(&mut self, now: Duration, at: AcceptorIndex, acceptor: AcceptorId) {
        if let Some(place) = self.places.get_mut(at.0) {
            place.member = Some(acceptor);
            place.heard_at = Some(now);
            place.foreign = None;
        }
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
