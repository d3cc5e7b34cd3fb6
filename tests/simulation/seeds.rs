//! Seeds that every build tries, and more: seeds that nobody has tried, or those from
//! `SYNOD_SEEDS_FROM` on, where chance is not to decide what passes.
#![expect(clippy::disallowed_methods, reason = "fresh seeds come from outside")]
#![expect(clippy::print_stdout, reason = "what a run says is read by people")]

use tests::simulation::environment::coverage::Reached;
use tests::simulation::run::batch::{Batch, every_core, run_seeds};

/// Seeds that every build tries.
const FIXED_SEEDS: u64 = 40;
/// How many more every build tries, unless `SYNOD_SEEDS` says otherwise.
const MORE_SEEDS: u64 = 40;
/// So many seeds must reach everything that is counted: the rarest is met by about one
/// seed in a hundred and eighty.
const ENOUGH_FOR_ALL: u64 = 2_000;

/// What a few dozen seeds reach, whichever they are: each of these is met by more than
/// one seed in three.
const USUAL: &[Reached] = &[
    Reached::Led,
    Reached::LeaderChanged,
    Reached::Recovered,
    Reached::Duplicated,
    Reached::AcceptIgnored,
    Reached::AnswerIgnored,
    Reached::ProposalIgnored,
    Reached::ReplyIgnored,
    Reached::Lost,
    Reached::Overtaken,
    Reached::CutFull,
    Reached::CutBridged,
    Reached::AnsweredTooLate,
    Reached::Isolated,
    Reached::Trimmed,
    Reached::VoidView,
    Reached::VoidOutOfOrder,
    Reached::Batched,
    Reached::GuardFailed,
    Reached::Transacted,
    Reached::TransactedOtherwise,
    Reached::Appended,
    Reached::MadeWhatItWas,
    Reached::BackupRead,
    Reached::ReadWaited,
    Reached::Nudged,
    Reached::Forwarded,
    Reached::Unresolved,
    Reached::NotApplied,
    Reached::ExecutedUnresolved,
    Reached::LearnedFromReplica,
    Reached::SnapshotInstalled,
    Reached::LearnedFromLeader,
    Reached::LearnedFromVotes,
];

#[test]
fn fixed_seeds_hold() {
    let batch = run_seeds(1, every_core(), |begun, _| begun < FIXED_SEEDS);
    assert_holds(&batch);
    assert_reached(&batch, USUAL);
}

#[test]
fn more_seeds_hold() {
    let seeds = number("SYNOD_SEEDS").unwrap_or(MORE_SEEDS);
    let from = number("SYNOD_SEEDS_FROM").unwrap_or_else(rand::random);
    let batch = run_seeds(from, every_core(), |begun, _| begun < seeds);
    println!("{batch}");
    assert_holds(&batch);
    assert_reached(&batch, if seeds >= ENOUGH_FOR_ALL { Reached::ALL } else { USUAL });
}

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {value:?}")))
}

fn assert_holds(batch: &Batch) {
    let (failed, runs) = (batch.failures.len(), batch.runs);
    assert_eq!(failed, 0, "{failed} of {runs} runs failed:\n{}", batch.failures_in_words());
}

fn assert_reached(batch: &Batch, wanted: &[Reached]) {
    let missing: Vec<&str> = batch
        .coverage
        .missing()
        .into_iter()
        .filter(|missing| wanted.contains(missing))
        .map(Reached::as_str)
        .collect();
    assert!(
        missing.is_empty(),
        "in {} runs it never happened that {}",
        batch.runs,
        missing.join(", that ")
    );
}
