//! Every decoder that reads bytes from the network or from a disk, fed with anything: the
//! committed corpus of the fuzz targets, and what proptest makes of valid encodings. None
//! may panic, take what was changed for what was written, or take memory out of
//! proportion to its input.
//!
//! `fuzz/run` searches on with coverage, for as long as one likes; what it finds goes
//! into the corpus, and is replayed here from then on. What proptest finds is printed as
//! bytes, for the same corpus.

mod corpus;
mod inputs;
mod memory;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tests::decoders::{ALL, Decoder, Input, each_byte_of_a_segment_changed, named};

use crate::memory::Alone;

#[test]
fn every_decoder_has_a_fuzz_target_and_a_corpus_and_no_other_has() {
    let mut named: Vec<&str> = ALL.iter().map(|decoder| decoder.name).collect();
    named.sort_unstable();
    assert_eq!(corpus::targets(), named, "in fuzz/targets");
    assert_eq!(corpus::declared(), named, "in fuzz/Cargo.toml");
    assert_eq!(corpus::folders(), named, "in fuzz/corpus");
    for decoder in &ALL {
        assert!(!corpus::of(decoder).is_empty(), "{} has no corpus", decoder.name);
    }
}

#[test]
fn the_corpus_stays_small() {
    let sizes: Vec<usize> = ALL.iter().flat_map(corpus::of).map(|bytes| bytes.len()).collect();
    assert!(
        sizes.iter().all(|size| *size <= 8 << 10),
        "the largest file has {:?} bytes",
        sizes.iter().max()
    );
    assert!(
        sizes.iter().sum::<usize>() < 1_000_000,
        "all files have {} bytes",
        sizes.iter().sum::<usize>()
    );
}

#[test]
fn every_decoder_stands_its_corpus_and_its_seeds() {
    let alone = Alone::wait();
    for decoder in &ALL {
        for bytes in corpus::of(decoder).into_iter().chain((decoder.seeds)()) {
            alone.examine(decoder, &bytes);
        }
    }
}

#[test]
fn every_decoder_stands_random_and_damaged_input() {
    let alone = Alone::wait();
    for decoder in &ALL {
        let cases = match decoder.input {
            Input::Bytes | Input::Recipe => 4_000,
            Input::Files => 100,
        };
        // What is found is kept in the corpus, by hand, and not beside it.
        let mut runner =
            TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
        run(&mut runner, &inputs::damaged(decoder), &alone, decoder);
    }
}

#[test]
fn no_changed_byte_of_a_segment_is_taken_for_what_was_written() {
    let (alone, segment) = (Alone::wait(), named("segment"));
    for bytes in each_byte_of_a_segment_changed() {
        alone.examine(&segment, &bytes);
    }
}

#[test]
fn a_long_input_of_the_smallest_parts_takes_memory_in_proportion() {
    let alone = Alone::wait();
    for decoder in ALL.iter().filter(|decoder| decoder.input == Input::Bytes) {
        for bytes in inputs::monotonous(decoder) {
            alone.examine(decoder, &bytes);
        }
    }
}

#[test]
#[ignore = "writes into fuzz/corpus, where a search then starts from these; what it needs of them \
    stays"]
fn every_decoder_gets_its_seeds_into_its_corpus() {
    for decoder in &ALL {
        let seeds = (decoder.seeds)();
        seeds
            .iter()
            .enumerate()
            .for_each(|(index, bytes)| corpus::add(decoder, &format!("seed-{index}"), bytes));
        let kept = corpus::of(decoder);
        assert!(seeds.iter().all(|seed| kept.contains(seed)), "{}", decoder.name);
    }
}

fn run(
    runner: &mut TestRunner,
    inputs: &impl Strategy<Value = Vec<u8>>,
    alone: &Alone,
    decoder: &Decoder,
) {
    let result = runner.run(inputs, |bytes| {
        alone.examine(decoder, &bytes);
        Ok::<(), TestCaseError>(())
    });
    result.unwrap_or_else(|error| panic!("{}: {error}", decoder.name));
}
