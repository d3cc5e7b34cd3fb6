//! One seed is one run, byte for byte: first of all, for nothing else here means much
//! without it.

use std::num::NonZeroUsize;
use std::process::Command;

use tests::simulation::plan::Plan;
use tests::simulation::run::batch::run_seeds;
use tests::simulation::run::{Keep, run};

#[test]
fn a_seed_replays_byte_for_byte() {
    for seed in [1, 2, 3] {
        let [first, second] = [(); 2].map(|()| run(Plan::new(seed), Keep::Text));
        let (one, other) = (
            first.trace.as_deref().unwrap_or_default(),
            second.trace.as_deref().unwrap_or_default(),
        );
        assert!(one.lines().count() > 1_000, "seed {seed} has a trace of {} bytes", one.len());
        let difference = one.lines().zip(other.lines()).find(|(one, other)| one != other);
        assert_eq!(difference, None, "seed {seed}: the first line that differs");
        assert!(first == second, "seed {seed}");
        let without_text = run(Plan::new(seed), Keep::Digest);
        assert_eq!(without_text.digest, first.digest, "seed {seed}: keeping text changes the run");
        assert_ne!(
            run(Plan::new(seed + 1), Keep::Digest).digest,
            first.digest,
            "seeds {seed} and {} are one run",
            seed + 1
        );
    }
}

#[test]
fn a_seed_replays_byte_for_byte_in_another_process() {
    let here = run(Plan::new(4), Keep::Text);
    let [one, other] = [(); 2].map(|()| synod_sim(&["--replay", "4"]));
    assert!(one == other, "two processes print two traces");
    let trace = here.trace.expect("it was kept");
    assert!(one.contains(&trace), "another process prints another trace");
    assert!(
        one.contains(&format!("digest {:016x}", here.digest)),
        "{}",
        one.lines().last().unwrap_or_default()
    );
}

#[test]
fn the_number_of_threads_changes_nothing() {
    const RUNS: u64 = 6;
    let [one, four] = [1, 4].map(|threads| {
        run_seeds(1, NonZeroUsize::new(threads).expect("some"), |begun, _| begun < RUNS)
    });
    assert_eq!((one.digest, &one.coverage, one.events), (four.digest, &four.coverage, four.events));
    let digest = format!("digest {:016x}", one.digest);
    let another_process =
        synod_sim(&["--from", "1", "--runs", &RUNS.to_string(), "--threads", "2"]);
    assert!(another_process.contains(&digest), "{digest} is not in:\n{another_process}");
}

fn synod_sim(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_synod-sim"))
        .args(arguments)
        .output()
        .expect("cargo built it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}
