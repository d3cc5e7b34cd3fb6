//! How large a model is, and which troubles it has.

use std::time::Duration;

use acceptor::limits::Limits;
use coordinator::config::Config;

/// The bounds of a model: without them there would be no end of states.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    /// What it shows.
    pub(crate) name: &'static str,
    /// Per coordinator, the batches that a primary asks it for, in this order, in each of
    /// its leaderships.
    pub(crate) batches: [&'static [&'static str]; 2],
    /// Ballots begun, of all coordinators together.
    pub(crate) ballots: u32,
    /// Who begins them, if not just anyone. Then all is over when the last of them leads:
    /// what it proposes at once is what matters.
    pub(crate) order: Option<&'static [usize]>,
    /// In how many of them, from the first on, a primary asks for batches: later leaders
    /// only bring to an end what they find.
    pub(crate) proposing_ballots: u32,
    /// Coordinators that are killed and come back with another identity.
    pub(crate) restarts: u32,
    /// Looks of a leader at what is overdue: it sends again what was not accepted, and
    /// says how far all is chosen.
    pub(crate) ticks: u32,
    /// Whether replies are delayed.
    pub(crate) replies: Replies,
    /// Whether an acceptor may crash with decisions that are not synced.
    pub(crate) disk: Disk,
    /// Decisions of an acceptor that wait for one sync.
    pub(crate) unsynced: usize,
    /// Whether replicas ask for something.
    pub(crate) replicas: Replicas,
    /// Whether acceptors are told that their generation has ended.
    pub(crate) successions: Successions,
    /// What a leader does that wants to try anew.
    pub(crate) impatience: Impatience,
    /// What a coordinator that stands has heard of.
    pub(crate) polls: Polled,
    /// Votes in one page of a promise.
    pub(crate) page_votes: usize,
}

/// What becomes of an acceptor's reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replies {
    /// It is a message like any other: it arrives at any time, any number of times, or
    /// never.
    AnyTime,
    /// It arrives at once or never. That is nearly as much: requests come late and more
    /// than once, so an acceptor's answer does, too, and what a coordinator does in
    /// answer is to send more requests, which may be late in turn. What is lost are only
    /// news from an acceptor that overtake older ones.
    AtOnceOrNever,
}

/// When an acceptor's records are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disk {
    /// Some time after it decided; until then it goes on deciding, and a crash loses
    /// them.
    Delayed,
    /// At once. A crash then loses nothing, which is checked after every decision: the
    /// records replayed are the acceptor.
    Immediate,
}

/// What replicas say to a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replicas {
    /// Nothing.
    Silent,
    /// That all that the leader knows to be chosen is durable, so that it is trimmed; and
    /// that there are votes that nobody seems to bring to an end.
    TrimAndNudge,
    /// That all that the leader knows to be chosen is durable; and an operator asks for other
    /// acceptors, so that the generation of these is to end.
    Stop,
}

/// Whether acceptors hear of the end of their generation, once that is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Successions {
    /// They do not: what coordinators do then is all that is looked at.
    Unheard,
    /// Each is sealed, and opened in the next generation, at any time or never.
    AnyTime,
}

/// When a coordinator may stand for election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Impatience {
    /// When it doesn't lead.
    StandsUnlessLeading,
    /// Also when it leads: no quorum answered it, it stepped down, and tries again at
    /// another ballot.
    StandsAlways,
}

/// What the answers to polls say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Polled {
    /// What they said before anything had happened.
    Nothing,
    /// The watermarks. Of promises a coordinator hears only by nacks; so its first ballot
    /// is of round 1, its second of round 2. With two ballots this leaves out nothing but
    /// other numbers for the same order of ballots.
    Marks,
    /// The watermarks and the promises.
    MarksAndPromises,
}

impl Scope {
    /// Two coordinators with a batch each, two ballots, and no trouble but the network's.
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            batches: [&["a"], &["b"]],
            ballots: 2,
            order: None,
            proposing_ballots: u32::MAX,
            restarts: 0,
            ticks: 0,
            replies: Replies::AtOnceOrNever,
            disk: Disk::Immediate,
            unsynced: 2,
            replicas: Replicas::Silent,
            successions: Successions::Unheard,
            impatience: Impatience::StandsUnlessLeading,
            polls: Polled::Marks,
            page_votes: 256,
        }
    }

    /// A coordinator's configuration: no time-out takes any time.
    pub(crate) fn config(&self) -> Config {
        let max_heartbeats_unanswered = match self.impatience {
            Impatience::StandsUnlessLeading => u64::MAX,
            Impatience::StandsAlways => 0,
        };
        Config {
            election_timeout: Duration::ZERO,
            phase1_timeout: Duration::ZERO,
            retransmit_interval: Duration::ZERO,
            max_heartbeats_unanswered,
            ..Config::new(crate::cluster::ACCEPTORS)
        }
    }

    /// An acceptor's limits: far away, but for pages.
    pub(crate) fn limits(&self) -> Limits {
        Limits { page_votes: self.page_votes, ..Limits::default() }
    }
}
