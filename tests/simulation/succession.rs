//! Other acceptors follow, again and again.
#![expect(clippy::print_stdout, reason = "what a run says is read by people")]

use tests::simulation::environment::coverage::{Coverage, Reached};
use tests::simulation::run::succession;

const SEEDS: u64 = 60;

#[test]
fn acceptors_are_replaced_again_and_again_and_nothing_is_lost_or_decided_twice() {
    let mut coverage = Coverage::new();
    for seed in 1..=SEEDS {
        let report = succession::run(seed);
        assert!(report.failure.is_none(), "seed {seed}: {:?}", report.failure);
        coverage.add(&report.coverage);
    }
    let wanted = [
        Reached::Succeeded,
        Reached::SucceededAgain,
        Reached::SuccessionRefused,
        Reached::LeaverDestroyed,
    ];
    let all = [&wanted[..], &[Reached::StopRecovered]].concat();
    for reached in all {
        println!("{} times {}", coverage.count(reached), reached.as_str());
    }
    let missing: Vec<Reached> =
        wanted.into_iter().filter(|reached| coverage.count(*reached) == 0).collect();
    assert!(missing.is_empty(), "it never happened that {missing:?}");
}
