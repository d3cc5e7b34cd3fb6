//! What can happen next.

/// One step of the world. Coordinators and acceptors are named by their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A coordinator gives up what it is at, and stands for election.
    Stand {
        /// Which.
        coordinator: usize,
        /// What the acceptors answer to its polls.
        polls: Polls,
    },
    /// A primary asks a leader for the next batch.
    Propose {
        /// Which leader.
        coordinator: usize,
    },
    /// A leader's timer fires.
    Tick {
        /// Which leader's.
        coordinator: usize,
    },
    /// A replica tells a leader that all it knows to be chosen is durable, and its timer
    /// fires.
    Trim {
        /// Which leader.
        coordinator: usize,
    },
    /// All that a leader knows to be chosen is durable, and it is asked for other acceptors.
    Stop {
        /// Which leader.
        coordinator: usize,
    },
    /// A replica tells a leader of votes that stay unchosen.
    Nudge {
        /// Which leader.
        coordinator: usize,
    },
    /// A coordinator is killed, and started again.
    Restart {
        /// Which.
        coordinator: usize,
    },
    /// A request arrives.
    Process {
        /// Where.
        acceptor: usize,
        /// Its digest.
        request: u64,
        /// What becomes of the reply.
        reply: Fate,
    },
    /// What an acceptor decided is on disk now.
    Sync {
        /// Which.
        acceptor: usize,
        /// What becomes of the replies.
        replies: Fate,
    },
    /// An acceptor is killed with decisions that are not synced, and started again.
    Crash {
        /// Which.
        acceptor: usize,
    },
    /// A generation has ended, and an acceptor of it is told so.
    Seal {
        /// Which.
        acceptor: usize,
    },
    /// A quorum is sealed, and an acceptor is told that the next generation begins.
    Open {
        /// Which.
        acceptor: usize,
    },
    /// A reply arrives.
    Receive {
        /// From whom.
        acceptor: usize,
        /// Its digest.
        reply: u64,
    },
}

/// What the acceptors answer to polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Polls {
    /// What they said before anything had happened: answers may be as old as that.
    Initial,
    /// All but one say what they know.
    Without(usize),
}

/// What becomes of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It arrives now.
    Arrives,
    /// It never does.
    Lost,
    /// It is on its way.
    Sent,
}
