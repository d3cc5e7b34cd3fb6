//! Runs in which nothing goes wrong but what has to do with the acceptors: they are replaced
//! again and again, whoever leads is killed meanwhile, so are those that come, and those that
//! left lose their disks.

use std::time::Duration;

use super::{Keep, Report};
use crate::random::Random;
use crate::simulation::plan::{Plan, faults};

/// No draw of a plan has this stream.
const STREAM: u64 = 2;

/// Long enough for several changes, each of which waits for the replicas' checkpoints.
const LONGEST: Duration = Duration::from_secs(20);

/// Plays a seed so.
#[must_use]
pub fn run(seed: u64) -> Report {
    let mut plan = Plan::new(seed);
    plan.length = plan.length.min(LONGEST);
    let mut random = Random::new(seed, STREAM);
    plan.faults = faults::changes(&mut random, &plan.topology, plan.length);
    super::run(plan, Keep::Digest)
}
