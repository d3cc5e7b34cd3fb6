//! A new cluster forms where another one was: all acceptors and one replica lose their
//! disks, and the other replicas keep theirs.
//!
//! What the old cluster chose is of no meaning in the new one. So no replica of the new
//! one may execute an entry of the old one, wherever it comes from: from a replica with old
//! data that has just started, or a coordinator that lives on. And whoever has data of the
//! old one executes nothing more, answers nothing, and ends once it has heard which
//! cluster the acceptors form now.
//!
//! From the loss on, the observer sees only the new history, and clients forget what they
//! heard. They make no local reads, which may be of any state, that of old data too.

use std::collections::BTreeSet;
use std::time::Duration;

use super::failure::{Failure, watch};
use super::finish;
use crate::simulation::environment::trace::Trace;
use crate::simulation::nodes::process::NodeId;
use crate::simulation::plan::Plan;
use crate::simulation::plan::faults::FaultKind;
use crate::simulation::world::World;
pub use crate::simulation::world::foreign::Coordinators;

/// What came of it.
#[derive(Debug)]
pub struct Foreign {
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// What became of the coordinators.
    pub coordinators: Coordinators,
    /// Who has ended because it was of the old cluster.
    pub ended: BTreeSet<NodeId>,
}

/// Plays a seed so. None where no other replica would have old data, or where there was
/// no cluster yet.
#[must_use]
pub fn run(seed: u64) -> Option<Foreign> {
    let mut plan = Plan::new(seed);
    let draw = usize::try_from(seed).expect("64 bits");
    let replicas = plan.topology.replicas();
    let fresh = replicas[draw % replicas.len()];
    if replicas.len() < 2 {
        return None;
    }
    let coordinators =
        [Coordinators::Restart, Coordinators::RestartLate, Coordinators::LiveOn][draw / 2 % 3];
    // A new cluster takes every acceptor to form, and who has old data ends for that alone.
    // Nor are the acceptors others by then than those that the new cluster forms of.
    let is_in_the_way = |kind: &FaultKind| {
        matches!(
            kind,
            FaultKind::Damage { .. } | FaultKind::Remove { .. } | FaultKind::ChangeAcceptors { .. }
        )
    };
    plan.faults.retain(|fault| !is_in_the_way(&fault.kind));
    plan.dead.retain(|node| matches!(node, NodeId::Coordinator(_)));
    plan.dead.extend(replicas.into_iter().filter(|node| *node != fresh));
    plan.full = None;
    plan.workload.read_nothing_locally();
    let lost_at = plan.length / 2;
    let mut world = World::new(plan, Trace::default());
    world.begin();
    while world.step(lost_at) {}
    if !world.env.observer.is_formed() {
        return None;
    }
    let failure = watch(|| {
        world.replace_acceptors(fresh, coordinators);
        finish(&mut world, &mut Duration::default(), &mut 0)
    });
    let failure = failure.and_then(|finished| finished).err();
    Some(Foreign { failure, coordinators, ended: world.env.observer.ended().clone() })
}
