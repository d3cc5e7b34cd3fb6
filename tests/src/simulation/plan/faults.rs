//! What goes wrong in a run: a list drawn in advance, so that a failing run can be tried
//! again with parts of it.

mod draw;

use std::time::Duration;

pub use draw::{changes, draw, draw_changes};

use crate::simulation::environment::drag::Slow;
use crate::simulation::environment::network::{Cut, Weather};
use crate::simulation::nodes::process::{CrashPoint, NodeId};

/// Whom a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// This one.
    Node(NodeId),
    /// Whoever leads at the highest ballot when the fault begins.
    Leader,
    /// Whoever is primary by then.
    Primary,
}

/// A moment at which much is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// A coordinator came to lead.
    Led,
    /// A view was chosen.
    ViewChosen,
    /// A coordinator that finds the leader gone asks the acceptors once more.
    Doubted,
    /// A leader proposed the end of a generation of acceptors.
    Stopped,
}

/// What goes wrong at a moment, with whom it is about: the leader, the primary of the
/// view, or who doubts that there is a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// It is killed.
    Crash,
    /// It is stopped, and goes on.
    Pause,
    /// It is cut off from all others.
    Isolate,
    /// The leader reaches only a minority of the acceptors.
    Strangle,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// When it begins, in true time.
    pub at: Duration,
    /// What it is.
    pub kind: FaultKind,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// A process is killed at a step of its work, and started again.
    Crash {
        /// Which.
        target: Target,
        /// Where.
        point: CrashPoint,
        /// For how long.
        down: Duration,
        /// Whether its machine loses power: then what was not synced may be lost.
        power: Power,
    },
    /// Machines lose power together.
    PowerCut {
        /// Which.
        nodes: Vec<NodeId>,
        /// For how long.
        down: Duration,
    },
    /// The leader reaches, and hears, only a minority of the acceptors: it goes on
    /// proposing, and nothing is chosen.
    Strangle {
        /// How many acceptors it still reaches, fewer than a quorum.
        reached: u8,
        /// For how long.
        lasts: Duration,
    },
    /// A blow that waits for its moment: what must be brought to an end in a short time
    /// seldom meets a fault otherwise.
    Ambush {
        /// The moment waited for.
        moment: Moment,
        /// How long after it the blow falls.
        after: Duration,
        /// What then goes wrong.
        blow: Blow,
        /// For how long.
        lasts: Duration,
    },
    /// Three acts that leave a vote which only a minority has, older than what was chosen
    /// since, for a third leader to find: the leader reaches one acceptor only, which
    /// nobody else reaches; the next leader is cut off soon after it came to lead; and
    /// whoever leads then needs that one acceptor for its quorum.
    OrphanVote {
        /// How long the second leader has.
        after: Duration,
        /// How long each act takes.
        lasts: Duration,
    },
    /// Some of what a coordinator and the acceptors say to each other takes long.
    Drag {
        /// Which coordinator.
        target: Target,
        /// What takes long.
        slow: Slow,
        /// For how long that begins.
        lasts: Duration,
    },
    /// A coordinator meets its own past: no other reaches the acceptors, and part of its
    /// talk with them takes long, so that it stands and leads at one ballot after another
    /// while promises and votes for the former ones come in. It may count none of them.
    Relapse {
        /// Which coordinator.
        coordinator: NodeId,
        /// What takes long.
        slow: Slow,
        /// For how long.
        lasts: Duration,
    },
    /// The leader does not hear the acceptors, and some do not hear it: what it proposes
    /// is chosen without its knowing, slot after slot as far as its limits let it.
    /// Whoever leads next finds all of that with some acceptors, and none with the
    /// others.
    Deafen {
        /// How many acceptors do not hear it, fewer than a quorum.
        missed: u8,
        /// For how long.
        lasts: Duration,
    },
    /// The acceptors do not hear the leader until a coordinator doubts that there is one
    /// and asks them again. It sleeps over the answers, while the leader leads on and
    /// acceptors trim; then it takes the old answers for new, and prepares from a slot
    /// that is gone.
    Oversleep {
        /// For how long it sleeps.
        sleeps: Duration,
    },
    /// A replica is behind the others and does not reach them, so it asks the leader for
    /// what only votes still hold; those take long to come, and meanwhile acceptors trim
    /// them.
    Straggle {
        /// Which replica.
        replica: NodeId,
        /// For how long it sleeps, to be behind.
        sleeps: Duration,
        /// How slowly votes come.
        slow: Slow,
        /// For how long it reaches no other replica.
        lasts: Duration,
    },
    /// A node is cut off from all others.
    Isolate {
        /// Which.
        target: Target,
        /// For how long.
        lasts: Duration,
    },
    /// Links are cut.
    Cut {
        /// Which.
        cut: Cut,
        /// For how long.
        lasts: Duration,
    },
    /// A process is stopped, and goes on (SIGSTOP, SIGCONT).
    Pause {
        /// Which.
        target: Target,
        /// For how long.
        lasts: Duration,
    },
    /// A machine's clocks drift from now on.
    Drift {
        /// Whose.
        node: NodeId,
        /// How fast they go, in millionths of the true rate.
        rate: u32,
    },
    /// A machine's clock jumps forward.
    Jump {
        /// Whose.
        node: NodeId,
        /// How far.
        by: Duration,
    },
    /// A machine's wall clock is set.
    SetWall {
        /// Whose.
        node: NodeId,
        /// By how many milliseconds.
        by_ms: i64,
    },
    /// A disk fills up, and has room again.
    Full {
        /// Whose.
        node: NodeId,
        /// For how long.
        lasts: Duration,
    },
    /// A disk is slow.
    SlowDisk {
        /// Whose.
        node: NodeId,
        /// How long a sync takes, at most.
        sync: Duration,
        /// For how long.
        lasts: Duration,
    },
    /// A disk is lost, and replaced by an empty one.
    Wipe {
        /// Whose.
        node: NodeId,
        /// For how long the process is down.
        down: Duration,
    },
    /// A disk has a damaged record in its acknowledged part: the process refuses to run.
    Damage {
        /// Whose.
        node: NodeId,
    },
    /// An operator has other acceptors take the place of those that there are.
    ChangeAcceptors {
        /// What becomes of those that leave.
        destroy: Destroy,
    },
    /// An operator asks one replica to make another one primary.
    SwitchOver {
        /// Who is asked.
        asked: NodeId,
        /// Who is to be primary.
        wanted: NodeId,
    },
    /// An operator asks one replica to have one taken out for good.
    Remove {
        /// Who is asked.
        asked: NodeId,
        /// Who is to be out.
        target: Target,
    },
    /// A replica is told to end: it asks for another primary, and ends then, or when its
    /// time for that is over. It is started again.
    Ending {
        /// Which.
        target: Target,
        /// After how long it ends.
        after: Duration,
        /// For how long it is down.
        down: Duration,
    },
    /// The whole network changes.
    Weather {
        /// To this.
        weather: Weather,
        /// For how long.
        lasts: Duration,
    },
}

/// What becomes of acceptors that leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destroy {
    /// They run on.
    Nobody,
    /// They lose their disks once the change is over.
    Leavers,
}

/// What a crash takes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// Only the process: what was written stays.
    Stays,
    /// The machine: what was not synced may go.
    Fails,
}
