//! Drags: for a while some of what coordinators and acceptors say to each other takes
//! long, and everything else is as quick as ever.
//!
//! A network that is slow as a whole delays polls and elections as well, so that what is
//! late comes to somebody who waits for it still. Here what is late comes to a
//! coordinator that has gone on: to another ballot, or to other slots.
//!
//! How slowly a request reaches an acceptor, or its answer the coordinator, is drawn once
//! for a ballot. So at one ballot some acceptors vote long after the others, or after
//! that ballot is over, and at the next one others do.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::ids::Ballot;
use shared::message::{Accept, Prepare};

use super::message::Message;
use crate::random::Random;
use crate::simulation::nodes::process::NodeId;

/// A request to an acceptor, and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Talk {
    /// Phase 1.
    Prepares,
    /// Phase 2.
    Accepts,
    /// Old votes, on behalf of a replica. It has no ballot, so each message is drawn by
    /// itself.
    Votes,
}

/// Which requests and answers take long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Each way to each acceptor by itself.
    Mixed,
    /// Requests reach one acceptor in time, at another ballot another one; answers each
    /// by themselves. So what a leader has votes for is chosen at none of its ballots,
    /// and might seem so over all of them.
    OneAhead,
    /// One acceptor gets values late and tells its votes at once; with the others it is
    /// the other way about. So whoever asks for votes hears first from the one that has
    /// not voted yet, and then from those that have trimmed.
    OneBehind,
}

/// What takes long, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slow {
    /// Which talk.
    pub talks: Vec<Talk>,
    /// Which of it.
    pub pace: Pace,
    /// How much of it, in a million, where chance decides.
    pub share: u32,
    /// The least and the longest time that is added.
    pub delay: (Duration, Duration),
}

/// All drags in force.
#[derive(Debug, Default)]
pub struct Drags(Vec<Drag>);

#[derive(Debug)]
struct Drag {
    fault: usize,
    coordinators: Vec<NodeId>,
    acceptors: Vec<NodeId>,
    slow: Slow,
    random: Random,
    /// Who is not like the others, at a ballot or at all.
    odd: BTreeMap<Option<Ballot>, NodeId>,
    drawn: BTreeMap<(NodeId, NodeId, Talk, Ballot), Duration>,
}

impl Drags {
    /// What these coordinators say to the acceptors and are told is slow until
    /// [`Drags::end`].
    pub fn begin(
        &mut self,
        fault: usize,
        coordinators: Vec<NodeId>,
        acceptors: Vec<NodeId>,
        slow: Slow,
        random: Random,
    ) {
        let (odd, drawn) = (BTreeMap::new(), BTreeMap::new());
        self.0.push(Drag { fault, coordinators, acceptors, slow, random, odd, drawn });
    }

    /// A fault is over.
    pub fn end(&mut self, fault: usize) {
        self.0.retain(|drag| drag.fault != fault);
    }

    /// All is healed.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// How much longer a message takes.
    pub fn delay(&mut self, from: NodeId, to: NodeId, message: &Message) -> Duration {
        let Some((talk, ballot)) = self.0.first().and_then(|_| talk(message)) else {
            return Duration::ZERO;
        };
        self.0.iter_mut().map(|drag| drag.delay((from, to), talk, ballot)).sum()
    }
}

impl Drag {
    fn delay(
        &mut self,
        (from, to): (NodeId, NodeId),
        talk: Talk,
        ballot: Option<Ballot>,
    ) -> Duration {
        if !self.slow.talks.contains(&talk)
            || !self.coordinators.iter().any(|node| *node == from || *node == to)
        {
            return Duration::ZERO;
        }
        match ballot.and_then(|ballot| self.drawn.get(&(from, to, talk, ballot))) {
            Some(drawn) => *drawn,
            None => {
                let (low, high) = self.slow.delay;
                let drawn = if self.is_slow(to, talk, ballot) {
                    self.random.duration(low, high)
                } else {
                    Duration::ZERO
                };
                self.drawn.extend(ballot.map(|ballot| ((from, to, talk, ballot), drawn)));
                drawn
            }
        }
    }

    fn is_slow(&mut self, to: NodeId, talk: Talk, ballot: Option<Ballot>) -> bool {
        let is_request = self.acceptors.contains(&to);
        match (self.slow.pace, is_request) {
            (Pace::Mixed, _) | (Pace::OneAhead, false) => self.random.chance(self.slow.share),
            (Pace::OneAhead, true) => self.odd(ballot) != to,
            (Pace::OneBehind, true) => (self.odd(None) == to) == (talk != Talk::Votes),
            (Pace::OneBehind, false) => false,
        }
    }

    fn odd(&mut self, ballot: Option<Ballot>) -> NodeId {
        *self.odd.entry(ballot).or_insert_with(|| *self.random.pick(&self.acceptors))
    }
}

/// What a message belongs to, and at which ballot.
fn talk(message: &Message) -> Option<(Talk, Option<Ballot>)> {
    match message {
        Message::Prepare(Prepare { ballot, .. }) | Message::Prepared(ballot, _) => {
            Some((Talk::Prepares, Some(*ballot)))
        }
        Message::Accept(Accept { ballot, .. }) | Message::Accepted(ballot, _) => {
            Some((Talk::Accepts, Some(*ballot)))
        }
        Message::ReadVotes(..) | Message::Votes(..) => Some((Talk::Votes, None)),
        Message::Poll(_)
        | Message::Polled(..)
        | Message::Probe(_)
        | Message::Probed(..)
        | Message::Succession(_)
        | Message::Succeeded(_)
        | Message::Announce(_)
        | Message::Listed(_)
        | Message::Propose(..)
        | Message::Proposed(..)
        | Message::Heartbeat(_)
        | Message::HeartbeatReply(_)
        | Message::Fetch(..)
        | Message::Fetched(..)
        | Message::FetchSnapshot(_)
        | Message::Snapshot(..)
        | Message::Call(..)
        | Message::Answer(..)
        | Message::AskPrimary(_)
        | Message::PrimaryAnswered(_)
        | Message::Refused(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use coordinator::effect::PollNumber;
    use shared::ids::{AcceptorId, ClusterId, CoordinatorId, Generation, Slot};
    use shared::message::Roster;

    use super::*;

    const ACCEPTOR: NodeId = NodeId::Acceptor(0);
    const COORDINATOR: NodeId = NodeId::Coordinator(0);

    #[test]
    fn at_each_ballot_one_acceptor_is_ahead_of_the_others() {
        let (second, acceptors) = (Duration::from_secs(1), [0, 1, 2].map(NodeId::Acceptor));
        let slow = Slow {
            talks: vec![Talk::Prepares],
            pace: Pace::OneAhead,
            share: 0,
            delay: (second, second),
        };
        let mut drags = Drags::default();
        drags.begin(7, vec![COORDINATOR], acceptors.to_vec(), slow, Random::new(1, 1));
        let mut ahead = BTreeSet::new();
        for round in 0..20 {
            let roster =
                Roster::new(ClusterId(1), Generation(0), vec![AcceptorId(1)]).expect("a roster");
            let ballot = Ballot { round, coordinator: CoordinatorId(1) };
            let prepare = Message::Prepare(Prepare { roster, ballot, from: Slot(0) });
            let quick: Vec<NodeId> = acceptors
                .into_iter()
                .filter(|to| drags.delay(COORDINATOR, *to, &prepare) == Duration::ZERO)
                .collect();
            assert_eq!(quick.len(), 1, "at {ballot}");
            ahead.extend(quick);
        }
        assert_eq!(ahead.len(), 3, "at one ballot one, at another another");
    }

    #[test]
    fn what_drags_is_late_both_ways_until_it_ends_and_all_else_is_not() {
        let (second, mut drags) = (Duration::from_secs(1), Drags::default());
        let slow = Slow {
            talks: vec![Talk::Votes],
            pace: Pace::Mixed,
            share: 1_000_000,
            delay: (second, second * 2),
        };
        drags.begin(7, vec![COORDINATOR], vec![ACCEPTOR], slow, Random::new(1, 1));
        let read = Message::ReadVotes(Slot(0));
        assert!(drags.delay(COORDINATOR, ACCEPTOR, &read) >= second);
        assert!(drags.delay(ACCEPTOR, COORDINATOR, &read) >= second);
        assert_eq!(drags.delay(NodeId::Coordinator(1), ACCEPTOR, &read), Duration::ZERO);
        assert_eq!(
            drags.delay(COORDINATOR, ACCEPTOR, &Message::Poll(PollNumber(1))),
            Duration::ZERO
        );
        drags.end(7);
        assert_eq!(drags.delay(COORDINATOR, ACCEPTOR, &read), Duration::ZERO);
    }
}
