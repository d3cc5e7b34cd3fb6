//! What is pure and on the way of every write: how long one batch of 64 puts of 256 bytes
//! takes of a processor. `cargo bench --manifest-path bench/Cargo.toml -p micro`.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use micro::batch::{self, Executing};
use micro::leader::Leader;
use micro::voter::Voter;
use replica::machine::command::Commands;

/// The puts of a batch: those of 64 clients that wait for each other.
const PUTS: u64 = 64;

fn encoding(criterion: &mut Criterion) {
    let commands = batch::puts(0, PUTS);
    let encoded = commands.encode();
    let mut group = criterion.benchmark_group("batch");
    group.throughput(Throughput::Elements(PUTS));
    group.bench_function("encode", |bencher| bencher.iter(|| black_box(&commands).encode()));
    group.bench_function("decode", |bencher| {
        bencher.iter(|| Commands::decode(black_box(&encoded)).expect("it is readable"));
    });
    group.finish();
}

fn voting(criterion: &mut Criterion) {
    let value = batch::value(0, PUTS);
    let mut voter = Voter::promised();
    criterion.bench_function("acceptor/vote", |bencher| {
        bencher.iter(|| voter.vote(value.clone()));
    });
}

fn choosing(criterion: &mut Criterion) {
    let value = batch::value(0, PUTS);
    let mut leader = Leader::elected();
    criterion.bench_function("coordinator/choose", |bencher| {
        bencher.iter(|| leader.choose(value.clone()));
    });
}

fn executing(criterion: &mut Criterion) {
    let mut replica = Executing::begun();
    let mut number = replica.next_batch();
    let mut group = criterion.benchmark_group("replica");
    group.throughput(Throughput::Elements(PUTS));
    group.bench_function("execute", |bencher| {
        let next = || {
            number += 1;
            batch::value(number - 1, PUTS)
        };
        bencher.iter_batched(next, |value| replica.execute(value), BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, encoding, voting, choosing, executing);
criterion_main!(benches);
