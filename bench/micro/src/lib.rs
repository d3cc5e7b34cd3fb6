//! What the microbenchmarks are given: a batch as primaries make them, and each core on a
//! bench where it has nothing to wait for.

pub mod batch;
pub mod leader;
pub mod voter;

use shared::ids::{AcceptorId, Draw};
use shared::message::Roster;

/// The acceptors of all that is measured here.
#[must_use]
pub fn roster() -> Roster {
    let acceptors = (1..=3).map(|id| (AcceptorId(id), Draw(id))).collect();
    Roster::form(acceptors).expect("three acceptors are a roster")
}
