//! One run from its plan to its verdict.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::plan::Plan;
use super::reach::Reach;
use super::trace::Trace;
use super::world::World;
use crate::linearizability::{key, witness};

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Of which seed.
    pub seed: u64,
    /// Why it failed, if it did.
    pub failure: Option<String>,
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
    pub reach: Reach,
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

/// How long, after all is healed, until every client has written and read and all replicas agree. Elections, views and catching up
/// each take a few seconds at most; the longest time-outs of services are 3 s, members are forgotten after 10 s.
pub const HEALING_LIMIT: Duration = Duration::from_secs(40);

/// Runs a plan. Panics of the cores and of the invariants are caught and reported.
#[must_use]
pub fn run(plan: Plan, keep: Keep) -> Report {
    let seed = plan.seed;
    let trace = if keep == Keep::Text { Trace::with_text() } else { Trace::default() };
    let mut world = World::new(plan, trace);
    let mut healing = Duration::ZERO;
    let mut calls = 0;
    let result = catch_unwind(AssertUnwindSafe(|| play(&mut world, &mut healing, &mut calls)));
    let failure = match result {
        Ok(Ok(())) => None,
        Ok(Err(failure)) => Some(failure),
        Err(panic) => Some(words(&*panic)),
    };
    Report {
        seed,
        failure,
        digest: world.env.trace.digest(),
        events: world.env.trace.events(),
        simulated: world.env.queue.now(),
        healing,
        chosen: world.chosen_end().0,
        calls,
        reach: world.env.reach.clone(),
        trace: world.env.trace.into_text(),
    }
}

/// Events in one run: a hundred times what a busy one takes. More are a storm of messages that feeds itself.
const EVENT_LIMIT: u64 = 5_000_000;

fn play(world: &mut World, healing: &mut Duration, calls: &mut usize) -> Result<(), String> {
    world.begin();
    let length = world.env.plan.length;
    while step(world, length)? {}
    world.heal();
    let limit = length + HEALING_LIMIT;
    let is_finished = |world: &World| world.clients_are_done() && world.replicas_agree();
    while !is_finished(world) {
        if !step(world, limit)? {
            return Err(format!("liveness: {HEALING_LIMIT:?} after all was healed: {}", world.account()));
        }
    }
    *healing = world.env.queue.now().saturating_sub(length);
    world.invariant_states_are_equal();
    let history = world.take_history();
    *calls = history.len();
    witness::check(&history, world.env.observer.golden().writes()).map_err(|violation| violation.to_string())?;
    key::check(&history).map_err(|violation| violation.to_string())
}

fn step(world: &mut World, until: Duration) -> Result<bool, String> {
    let events = world.env.trace.events();
    if events > EVENT_LIMIT {
        return Err(format!("storm: {events} events by {:?}: {}", world.env.queue.now(), world.account()));
    }
    Ok(world.step(until))
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "a panic".to_owned())
}

/// What to type to see a run again.
#[must_use]
pub fn replay_line(name: &super::plan::RunName) -> String {
    format!("SYNOD_SEED={name} cargo test -p tests --test simulation -- replay --nocapture")
}

/// Panics of a run are reported with it: keeps them from being printed as well.
pub fn silence_panics() {
    std::panic::set_hook(Box::new(|_| {}));
}
