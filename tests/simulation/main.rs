//! Simulated clusters of the real cores: see `tests::simulation`.
//!
//! `SYNOD_SEEDS` sets how many fresh seeds are tried, `SYNOD_SEED` replays one run. `synod-sim` runs on for as long as one likes.
#![expect(clippy::disallowed_methods, reason = "fresh seeds come from outside")]
#![expect(clippy::print_stdout, reason = "what a run says is read by people")]

use tests::simulation::batch::{Batch, run_seeds};
use tests::simulation::plan::{Plan, RunName};
use tests::simulation::run::{Keep, replay_line, run};

/// Seeds that every build tries.
const FIXED_SEEDS: u64 = 40;
/// Fresh seeds that every build tries, unless `SYNOD_SEEDS` says otherwise.
const FRESH_SEEDS: u64 = 40;

#[test]
fn a_seed_replays_byte_for_byte() {
    for seed in [1, 2, 3] {
        let [first, second] = [(); 2].map(|()| run(Plan::new(seed), Keep::Text));
        let (one, other) = (first.trace.as_deref().unwrap_or_default(), second.trace.as_deref().unwrap_or_default());
        let difference = one.lines().zip(other.lines()).find(|(one, other)| one != other);
        assert_eq!(difference, None, "seed {seed}: the first line that differs");
        assert_eq!(first, second, "seed {seed}");
        let without_text = run(Plan::new(seed), Keep::Digest);
        assert_eq!(without_text.digest, first.digest, "seed {seed}: keeping text changes the run");
        assert_ne!(run(Plan::new(seed + 1), Keep::Digest).digest, first.digest, "seeds {seed} and {} are one run", seed + 1);
    }
}

#[test]
fn fixed_seeds_hold() {
    let batch = run_seeds(1, |begun| begun < FIXED_SEEDS);
    assert_holds(&batch);
}

#[test]
fn fresh_seeds_hold() {
    let seeds = std::env::var("SYNOD_SEEDS").map_or(FRESH_SEEDS, |seeds| seeds.parse().expect("SYNOD_SEEDS is a number"));
    let batch = run_seeds(rand::random(), |begun| begun < seeds);
    println!("{}", batch.reach);
    assert_holds(&batch);
}

/// Replays the run that `SYNOD_SEED` names, with its trace.
#[test]
fn replay() {
    let Ok(name) = std::env::var("SYNOD_SEED") else { return };
    let name: RunName = name.parse().unwrap_or_else(|error| panic!("{error}"));
    let report = run(Plan::of(&name), Keep::Text);
    println!("{}\n{:#?}", report.trace.unwrap_or_default(), Plan::of(&name));
    assert_eq!(report.failure, None, "run {name}");
}

#[test]
fn a_run_is_replayed_by_its_name() {
    for name in ["18446744073709551615", "7/0,3,12/4500", "7//4500"] {
        let parsed: RunName = name.parse().unwrap();
        assert_eq!(parsed.to_string(), name);
    }
    for bad in ["", "x", "7/1", "7/a/5"] {
        assert!(bad.parse::<RunName>().is_err(), "{bad:?}");
    }
}

fn assert_holds(batch: &Batch) {
    let lines: Vec<String> = batch
        .failures
        .iter()
        .map(|report| {
            let name = RunName { seed: report.seed, kept: None };
            format!("seed {}: {}\n    {}", report.seed, report.failure.as_deref().unwrap_or_default(), replay_line(&name))
        })
        .collect();
    assert!(lines.is_empty(), "{} of {} runs failed:\n{}", lines.len(), batch.runs, lines.join("\n"));
}
