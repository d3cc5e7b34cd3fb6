//! One run from its plan to its verdict.

pub mod batch;
pub mod failure;
pub mod foreign;
pub mod healing;
pub mod leases;
pub mod minimise;
pub mod put_back;
pub mod succession;

use std::time::Duration;

use super::plan::{Plan, RunName};
use super::world::World;
use crate::linearizability::{key, witness};
use crate::simulation::environment::coverage::Coverage;
use crate::simulation::environment::trace::Trace;
use failure::{Failure, FailureKind, watch};

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Of which seed.
    pub seed: u64,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// The digest of its trace: equal for equal runs.
    pub digest: u64,
    /// How many events it took.
    pub events: u64,
    /// How long it was, in its own time.
    pub simulated: Duration,
    /// How long it took to finish everything once all was healed.
    pub healing: Duration,
    /// Slots chosen.
    pub chosen: u64,
    /// Calls of clients.
    pub calls: usize,
    /// What was reached.
    pub coverage: Coverage,
    /// The trace, if it was asked for.
    pub trace: Option<String>,
}

/// Whether the text of the trace is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Only its digest.
    Digest,
    /// All of it.
    Text,
}

/// How long, after all is healed, until every client has written and read, all replicas
/// agree, and they have answered whatever they were asked before. In the worst case a
/// coordinator has just begun to stand back after failures in a row, for up to 6.4 s,
/// while the others stay dead; then its election takes up to 1.6 s of random wait and
/// Phase 1, its first view waits 1.5 s for a primary that stays dead, and the clients
/// give up on a dead replica, after 1 s each. Catching up overlaps with that. Anything
/// longer is a timer forgotten or a wait for nothing.
pub const HEALING_LIMIT: Duration = Duration::from_secs(15);

/// Runs a plan. Panics of the cores and of the invariants are caught and reported.
#[must_use]
pub fn run(plan: Plan, keep: Keep) -> Report {
    let seed = plan.seed;
    let trace = if keep == Keep::Text { Trace::with_text() } else { Trace::default() };
    let mut world = World::new(plan, trace);
    let mut healing = Duration::ZERO;
    let mut calls = 0;
    let failure =
        watch(|| play(&mut world, &mut healing, &mut calls)).and_then(|played| played).err();
    Report {
        seed,
        failure,
        digest: world.env.trace.digest(),
        events: world.env.trace.events(),
        simulated: world.env.queue.now(),
        healing,
        chosen: world.chosen_end().0,
        calls,
        coverage: world.env.coverage.clone(),
        trace: world.env.trace.into_text(),
    }
}

/// Events in each minute of a run that was begun: a hundred times what a busy one takes. More
/// are a storm of messages that feeds itself.
const EVENT_LIMIT: u64 = 5_000_000;

fn play(world: &mut World, healing: &mut Duration, calls: &mut usize) -> Result<(), Failure> {
    world.begin();
    finish(world, healing, calls)
}

/// Plays a world that has begun to its end, and checks what clients heard.
pub(super) fn finish(
    world: &mut World,
    healing: &mut Duration,
    calls: &mut usize,
) -> Result<(), Failure> {
    let length = world.env.plan.length;
    while step(world, length)? {}
    world.heal();
    let limit = length + HEALING_LIMIT;
    let is_finished =
        |world: &World| world.clients_are_done() && world.replicas_agree() && world.nobody_waits();
    while !is_finished(world) {
        if !step(world, limit)? {
            let text =
                format!("liveness: {HEALING_LIMIT:?} after all was healed: {}", world.account());
            return Err(Failure::new(FailureKind::Stuck, text));
        }
    }
    *healing = world.env.queue.now().saturating_sub(length);
    world.invariant_states_are_equal();
    world.invariant_acceptors_are_sound();
    world.invariant_every_call_ends_in_time();
    let history = world.take_history();
    *calls = history.len();
    let writes = world.env.observer.golden().writes();
    witness::check(&history, writes)
        .map_err(|violation| Failure::new(FailureKind::Witness, violation.to_string()))?;
    key::check(&history)
        .map_err(|violation| Failure::new(FailureKind::Order, violation.to_string()))
}

fn step(world: &mut World, until: Duration) -> Result<bool, Failure> {
    let events = world.env.trace.events();
    if events > EVENT_LIMIT * (1 + world.env.plan.length.as_secs() / 61) {
        let text =
            format!("storm: {events} events by {:?}: {}", world.env.queue.now(), world.account());
        return Err(Failure::new(FailureKind::Storm, text));
    }
    Ok(world.step(until))
}

/// What to type to see a run again.
#[must_use]
pub fn replay_line(name: &RunName) -> String {
    format!("cargo run --profile sim -p tests --bin synod-sim -- --replay {name}")
}
