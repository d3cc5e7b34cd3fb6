//! Three replicas on a log that an oracle decides, under schedules at random: proposals
//! are chosen late, twice or not at all, answers are lost, views race with batches,
//! replicas restart. What clients were told must agree with what the log says.
//!
//! Consensus itself is not in it: the simulation of whole clusters is elsewhere.

mod reached;
mod world;

use proptest::collection::vec;
use proptest::prelude::*;
use reached::Reached;
use world::World;

/// What happens next: three numbers pick it, so that a failing schedule can be made
/// shorter.
type Step = (u8, u8, u8);

fn play(schedule: &[Step], pipeline: usize) -> World {
    let mut world = World::new(pipeline);
    for (what, first, second) in schedule {
        world.happen(*what, usize::from(*first), usize::from(*second));
    }
    world.heal();
    world
}

proptest! {
    #[test]
    fn what_clients_are_told_is_what_the_log_says(schedule in vec(any::<Step>(), 0..300), pipeline in 1..4_usize) {
        let world = play(&schedule, pipeline);
        world.check_answers();
        world.check_replicas_are_the_same();
    }
}

#[test]
fn schedules_reach_what_they_are_meant_to_reach() {
    let mut numbers = 1_u32;
    let mut next = || {
        numbers = numbers.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (numbers >> 24) as u8
    };
    let mut reached = Reached::default();
    for _ in 0..100 {
        let schedule: Vec<Step> = (0..300).map(|_| (next(), next(), next())).collect();
        reached.add(&play(&schedule, 2).reached());
    }
    reached.check_all();
}
