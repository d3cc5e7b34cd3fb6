//! Leases over hours: one that is renewed in time never ends while there is a quorum, and its
//! holder keeps its fence; one that is not renewed any more ends, soon.
//!
//! Nothing more goes wrong at a time than a cluster can do without, and never for longer than
//! a part of a lease's life. How soon a lease ends, in true time:
//!
//! - It was renewed when the renewal was executed: between its call and its answer.
//! - Where nothing goes wrong, replicated time is the primary's, and the primary has the time
//!   chosen when the lease is due: it ends within [`PROMPTLY`] after its time, also in a
//!   cluster in which nobody asks for anything.
//! - What passes without a leader, or between two primaries, does not count: for each thing
//!   that goes wrong meanwhile it is [`FAIL_OVER`] more, beside how long that lasts.

use std::collections::BTreeMap;
use std::time::Duration;

use super::failure::{Failure, FailureKind, watch};
use super::finish;
use crate::random::{MILLION, Random};
use crate::simulation::environment::network::Weather;
use crate::simulation::environment::trace::Trace;
use crate::simulation::nodes::client::holder::Renewal;
use crate::simulation::nodes::process::CrashPoint;
use crate::simulation::plan::faults::{Fault, FaultKind, Power, Target};
use crate::simulation::plan::{Holding, Plan, Topology};
use crate::simulation::world::World;
use shared::ids::{LeaseId, Slot};

/// How long leases last.
pub const TTL: Duration = Duration::from_secs(5);
/// How soon after its time a lease ends, where nothing goes wrong.
pub const PROMPTLY: Duration = Duration::from_millis(500);
/// How much longer it may take for each thing that goes wrong.
pub const FAIL_OVER: Duration = Duration::from_secs(10);

/// What goes wrong does so this far apart …
const PEACE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(120));
/// … and for so long.
const LONGEST_FAULT: Duration = Duration::from_secs(4);
/// So many clients stop renewing their leases in between.
const QUITTERS: usize = 3;
/// A stream of randomness that nobody else has.
const STREAM: u64 = 3;

/// What came of it.
#[derive(Debug)]
pub struct Leases {
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// How many renewals were answered.
    pub renewals: u64,
    /// How many views there were.
    pub views: u64,
    /// Of each lease that was not renewed any more: when that was done last, and when it ended.
    pub ended: BTreeMap<u64, (Renewal, Duration)>,
    /// What was chosen when the last of them ended.
    pub chosen_by_then: Slot,
    /// What was chosen in the end, before all wrote and read once more.
    pub chosen: Slot,
    /// What went wrong, and when.
    pub faults: Vec<Fault>,
}

/// One client renews its lease all the time, and others until something goes wrong, while
/// processes are killed, paused and cut off, one at a time.
#[must_use]
pub fn under_faults(seed: u64, length: Duration) -> Leases {
    let mut random = Random::new(seed, STREAM);
    let faults = faults(&mut random, length);
    let holding = |until| Holding { ttl: TTL, until };
    let mut holders = vec![holding(length)];
    for _ in 0..QUITTERS {
        let meets = random.pick(&faults).at;
        holders.push(holding(meets - random.duration(Duration::ZERO, TTL)));
    }
    play(Plan { faults, ..plan(seed, length, holders) })
}

/// One client renews its lease for a minute. From then on nobody asks for anything.
#[must_use]
pub fn idle(seed: u64, length: Duration) -> Leases {
    play(plan(seed, length, vec![Holding { ttl: TTL, until: Duration::from_secs(60) }]))
}

/// Of which there are more than clients.
const TOPOLOGY: Topology =
    Topology { acceptors: 3, spares: 0, coordinators: 2, replicas: 3, clients: 0 };

fn plan(seed: u64, length: Duration, holders: Vec<Holding>) -> Plan {
    let mut plan = Plan::new(seed);
    let clients = u8::try_from(holders.len()).expect("few");
    plan.topology = Topology { clients, ..TOPOLOGY };
    (plan.length, plan.weather) = (length, Weather::CALM);
    (plan.faults, plan.dead, plan.full) = (Vec::new(), Vec::new(), None);
    plan.tuning.patience = 1;
    plan.tuning.ends_mistaken = 0;
    // What ends a lease is a revision more: compacting by their number or bytes would write once
    // more.
    (plan.tuning.retained, plan.tuning.retained_bytes) = (None, None);
    plan.workload.holders = holders;
    (plan.workload.keyed, plan.workload.named) = (0, 0);
    plan.workload.calls = u32::MAX;
    let patience = Duration::from_secs(1);
    plan.workload.patience = (patience, patience);
    plan
}

fn faults(random: &mut Random, length: Duration) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut at = random.duration(PEACE.0, PEACE.1);
    while at + PEACE.0 < length {
        let lasts = random.magnitude(Duration::from_millis(50), LONGEST_FAULT);
        let any = Target::Node(*random.pick(&TOPOLOGY.servers()));
        let target = *random.pick(&[Target::Leader, Target::Primary, any]);
        let power = if random.chance(MILLION / 2) { Power::Fails } else { Power::Stays };
        let kind = match random.below(3) {
            0 => FaultKind::Crash { target, point: CrashPoint::Now, down: lasts, power },
            1 => FaultKind::Pause { target, lasts },
            _ => FaultKind::Isolate { target, lasts },
        };
        faults.push(Fault { at, kind });
        at += random.duration(PEACE.0, PEACE.1);
    }
    faults
}

fn play(plan: Plan) -> Leases {
    let (length, faults) = (plan.length, plan.faults.clone());
    let mut world = World::new(plan, Trace::default());
    world.begin();
    let (mut ended, mut chosen_by_then) = (BTreeMap::new(), Slot(0));
    let quitters = world.holders().filter(|holder| !holder.lasts(length)).count();
    let watched = watch(|| {
        while world.step(length) {
            invariant_whoever_renews_its_lease_keeps_it(&world);
            if ended.len() < quitters {
                note_ends(&world, &mut ended);
                chosen_by_then = world.chosen_end();
            }
        }
        let chosen = world.chosen_end();
        let views = world.env.observer.golden().state().meta().epoch().0;
        let renewals = world.holders().map(|holder| holder.renewals()).sum();
        let all_end = finish(&mut world, &mut Duration::default(), &mut 0);
        all_end.map(|()| (chosen, views, renewals))
    });
    let (failure, (chosen, views, renewals)) = match watched.and_then(|played| played) {
        Ok(played) => (None, played),
        Err(failure) => (Some(failure), (Slot(0), 0, 0)),
    };
    let failure = failure.or_else(|| {
        let text = format!("of {quitters} leases only {ended:?} ended");
        (ended.len() < quitters).then(|| Failure::new(FailureKind::Stuck, text))
    });
    Leases { failure, renewals, views, ended, chosen_by_then, chosen, faults }
}

/// Panics unless the leases that are renewed, and the locks held by them, are what they were.
fn invariant_whoever_renews_its_lease_keeps_it(world: &World) {
    let now = world.env.queue.now();
    let state = world.env.observer.golden().state();
    for holder in world.holders().filter(|holder| !holder.is_over(now)) {
        let Some(lease) = holder.lease() else { continue };
        let is_there = state.leases().get(LeaseId(lease)).is_some();
        let is_held = holder.held().is_none_or(|(lock, fence)| {
            let by = state.locks().holder(lock);
            by.is_some_and(|by| (by.lease.0, by.fence.0) == (lease, fence))
        });
        assert!(
            is_there && is_held,
            "invariant: who renews its lease in time keeps it, and its locks: at {now:?} {holder:?} \
             has lost it"
        );
    }
}

/// Notes which leases have ended that are not renewed any more.
fn note_ends(world: &World, ended: &mut BTreeMap<u64, (Renewal, Duration)>) {
    let now = world.env.queue.now();
    let state = world.env.observer.golden().state();
    for holder in world.holders().filter(|holder| holder.is_over(now)) {
        let Some((lease, last)) = holder.lease().zip(holder.last()) else { continue };
        if state.leases().get(LeaseId(lease)).is_none() {
            ended.entry(lease).or_insert((last, now));
        }
    }
}

impl Leases {
    /// By when, in true time, a lease had to have ended that was renewed last then.
    #[must_use]
    pub fn bound(&self, last: Renewal) -> Duration {
        let mut bound = last.answered + TTL + PROMPTLY;
        for Fault { at, kind } in &self.faults {
            let (FaultKind::Crash { down: lasts, .. }
            | FaultKind::Pause { lasts, .. }
            | FaultKind::Isolate { lasts, .. }) = kind
            else {
                continue;
            };
            let lasts = *lasts;
            if *at < bound && *at + lasts + FAIL_OVER > last.asked {
                bound += lasts + FAIL_OVER;
            }
        }
        bound
    }
}
