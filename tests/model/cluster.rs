//! The acceptors of every model.

use shared::ids::{AcceptorId, Draw};
use shared::message::{OfCluster, Roster};

/// How many acceptors there are.
pub(crate) const ACCEPTORS: usize = 3;
/// How many of them are a quorum.
pub(crate) const QUORUM: usize = 2;

/// The acceptor in a place.
pub(crate) fn acceptor_id(place: usize) -> AcceptorId {
    AcceptorId(place as u64 + 1)
}

/// What it drew.
pub(crate) fn draw(place: usize) -> Draw {
    Draw(place as u64 + 1)
}

/// All acceptors.
pub(crate) fn roster() -> Roster {
    Roster::form((0..ACCEPTORS).map(|place| (acceptor_id(place), draw(place))).collect())
        .expect("an odd number of acceptors")
}

/// An answer within the cluster.
pub(crate) fn ours<T>(content: T) -> OfCluster<T> {
    OfCluster::new(roster().cluster(), content)
}
