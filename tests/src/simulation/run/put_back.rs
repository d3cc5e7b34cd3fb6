//! Folders that are put back from an older copy, all but one replica's.
//!
//! The run of a seed is played twice, byte for byte the same up to some moment: that of
//! the copy. The first play goes on, and from it one replica's database is taken later.
//! In the second all processes are killed at the moment of the copy and start again, that
//! replica with the later database: other values are chosen from there on. What the first
//! play acknowledged after the copy is lost by whoever put it back. Whatever clients hear
//! in the second play must be of its own history, as in any run: so the odd replica must
//! find out before it executes, gives away or answers anything.
//!
//! Here a replica waits for another one to compare its log with for as long as it takes,
//! and clients make no local reads, which may be of any state.

use std::time::Duration;

use replica::replica::WrongHistory;

use super::failure::{Failure, watch};
use super::finish;
use crate::simulation::environment::trace::Trace;
use crate::simulation::nodes::process::NodeId;
use crate::simulation::plan::Plan;
use crate::simulation::plan::faults::{Fault, FaultKind};
use crate::simulation::world::World;

/// Longer than any run.
const FOREVER: Duration = Duration::from_secs(100_000);

/// What came of it.
#[derive(Debug)]
pub struct PutBack {
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// What replicas found, in order.
    pub noticed: Vec<(NodeId, WrongHistory)>,
    /// Whose folder was newer.
    pub odd: NodeId,
}

/// Plays a seed so. None where nobody would be left to compare logs with once the odd
/// replica is gone, or where there was no cluster yet.
#[must_use]
pub fn run(seed: u64) -> Option<PutBack> {
    let mut plan = Plan::new(seed);
    let replicas = plan.topology.replicas();
    let odd = replicas[usize::try_from(seed).expect("64 bits") % replicas.len()];
    if replicas.len() < 3 {
        return None;
    }
    plan.dead.retain(|node| !matches!(node, NodeId::Replica(_)));
    plan.dead.push(odd);
    // A removal would be undone with the folders, but for the one's that is newer; and one with an
    // empty disk is nobody to compare logs with.
    plan.faults.retain(|Fault { kind, .. }| {
        let empties = matches!(kind, FaultKind::Wipe { node: NodeId::Replica(_), .. });
        !empties && !matches!(kind, FaultKind::Remove { .. })
    });
    plan.tuning.history_patience = FOREVER;
    plan.workload.read_nothing_locally();
    let (copied_at, taken_at) = (plan.length / 3, plan.length * 2 / 3);
    let play = |until| {
        let mut world = World::new(plan.clone(), Trace::default());
        world.begin();
        while world.step(until) {}
        world
    };
    let mut world = play(copied_at);
    if !world.env.observer.is_formed() {
        return None;
    }
    let newer = play(taken_at).database(odd).clone();
    newer.cluster()?;
    let failure = watch(|| {
        world.put_back(odd, newer);
        finish(&mut world, &mut Duration::default(), &mut 0)
    });
    let failure = failure.and_then(|finished| finished).err();
    Some(PutBack { failure, noticed: world.env.observer.noticed().to_vec(), odd })
}
