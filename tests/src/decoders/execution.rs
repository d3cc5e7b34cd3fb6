//! Executing a log of any values: nothing may fail, and however the log is cut into runs,
//! the state is the same.

use bytes::Bytes;
use replica::machine::execute::{Executed, Run, RunStep, apply};
use replica::machine::format;
use replica::machine::state::{Loaded, Meta, ReplicatedState, Whole};
use shared::ids::{Ballot, BatchNumber, CoordinatorId, Epoch, Slot};
use shared::message::{Batch, ChosenEntry, Value, View};

use super::messages::view;
use super::values::commands_seeds;

/// The input is the postcard of a list of values.
pub(super) fn decode(bytes: &[u8]) {
    let Ok((values, _)) = postcard::take_from_bytes::<Vec<Bytes>>(bytes) else { return };
    let ballot = Ballot { round: 1, coordinator: CoordinatorId(1) };
    let entries = || {
        (0..).zip(&values).map(|(slot, value)| ChosenEntry {
            slot: Slot(slot),
            ballot,
            value: value.clone(),
        })
    };

    let mut one_by_one = ReplicatedState::complete();
    let slots: Vec<Executed> = entries().map(|entry| apply(&mut one_by_one, &entry)).collect();
    let mut at_once = ReplicatedState::complete();
    let report = Run::new(entries().collect()).apply(&mut at_once);
    assert_eq!(report.slots, slots, "what came of the slots, at once and one by one");
    assert_eq!(at_once.digest(), one_by_one.digest(), "the state, at once and one by one");
    assert_eq!(report.meta, *one_by_one.meta());
    assert_eq!(report.meta.executed_below, Slot(values.len() as u64));

    // As the store does it: a part of the state, chosen by what the run says it needs,
    // and no panic over what was not loaded.
    let mut run = Run::new(entries().collect());
    let mut partial = ReplicatedState::partial(Meta::default(), Whole::default());
    let in_rounds = loop {
        match run.advance(&mut partial) {
            RunStep::Done(report) => break report,
            RunStep::Lacks(needs) => partial.load(needs, Loaded::default()),
        }
    };
    assert_eq!(in_rounds, report, "on the records it asked for");
    assert_eq!(partial.take_rows(), at_once.take_rows(), "the rows to be written");
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let batch = |number, commands: Vec<u8>| {
        Value::Batch(Batch {
            epoch: Epoch(1),
            number: BatchNumber(number),
            commands: Bytes::from(commands),
        })
        .encode_in(format::LEASES)
    };
    let view = View { format: format::LEASES, ..view() };
    let mut log = vec![Value::View(view).encode(), Value::Noop.encode()];
    log.extend((0..).zip(commands_seeds()).map(|(number, commands)| batch(number, commands)));
    log.push(batch(1, b"again".to_vec()));
    log.push(batch(3, b"no commands".to_vec()));
    log.push(Bytes::from_static(b"no value"));
    vec![postcard::to_allocvec(&log).expect("encoding into memory does not fail"), vec![0]]
}
