//! What a command does, what is void, and that replicas which executed the same log are
//! the same.

mod access;
mod drawn;
mod keys;
mod loading;
mod once;
mod properties;
mod removals;
mod tenure;
mod txn;
mod void;

use crate::machine::identity::RequestIdentity;
use bytes::Bytes;
use shared::ids::{Ballot, CoordinatorId, Instance, Name, Slot};
use shared::message::{Batch, EncodedValue};

use super::*;
use crate::machine::chain::ChainHash;
use crate::machine::change::{Change, ChangeCounts, ChangeKind};
use crate::machine::format;
use crate::machine::keys::{KeyNeeds, KeyRows, LoadedKeys, RangeTombstone, VersionRow};
use crate::machine::state::{Loaded, Needs, Whole};

pub(super) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(super) fn view(epoch: u64) -> View {
    View {
        epoch: Epoch(epoch),
        primary: name("replica-1"),
        primary_instance: Instance(1),
        backups: vec![name("replica-2")],
        format: format::HIGHEST,
    }
}

pub(super) fn put(key: &str, value: &str) -> Op {
    put_if(key, value, Condition::Always)
}

pub(super) fn put_if(key: &str, value: &str, condition: Condition) -> Op {
    Op::Put {
        key: key.to_owned(),
        value: Bytes::copy_from_slice(value.as_bytes()),
        content_type: None,
        condition,
    }
}

pub(super) fn delete_if(key: &str, condition: Condition) -> Op {
    Op::Delete { key: key.to_owned(), condition }
}

pub(super) fn commands(time_ms: u64, ops: Vec<Op>) -> Commands {
    Commands {
        time_ms,
        wall_ms: 0,
        trace: None,
        answers: AnswerRetention::default(),
        commands: ops
            .into_iter()
            .map(|op| Command { op, trace: None, request: RequestIdentity::Drawn([1; 16]) })
            .collect(),
        executed: None,
    }
}

/// What came of the commands of [`commands`].
pub(super) fn executed(outcomes: Vec<CommandOutcome>) -> Vec<ExecutedCommand> {
    let request = RequestIdentity::Drawn([1; 16]);
    outcomes
        .into_iter()
        .map(|outcome| ExecutedCommand { request, outcome, delivery: Delivery::First })
        .collect()
}

pub(super) fn batch(epoch: u64, number: u64, ops: Vec<Op>) -> EncodedValue {
    raw_batch(epoch, number, commands(0, ops).encode())
}

pub(super) fn batch_of(epoch: u64, number: u64, commands: Bytes) -> Value {
    Value::Batch(Batch { epoch: Epoch(epoch), number: BatchNumber(number), commands })
}

pub(super) fn raw_batch(epoch: u64, number: u64, commands: Bytes) -> EncodedValue {
    batch_of(epoch, number, commands).encode_in(format::CERTIFIED)
}

pub(super) fn entry(slot: u64, value: EncodedValue) -> ChosenEntry {
    ChosenEntry {
        slot: Slot(slot),
        ballot: Ballot { round: 1, coordinator: CoordinatorId(1) },
        value,
    }
}

pub(super) fn execute_next(state: &mut ReplicatedState, value: EncodedValue) -> SlotOutcome {
    let slot = state.meta().executed_below;
    apply(state, &entry(slot.0, value)).outcome
}

/// A state in epoch 1, where these were executed one after the other.
pub(super) fn state_after(ops: Vec<Op>) -> ReplicatedState {
    let mut state = ReplicatedState::complete();
    execute_next(&mut state, Value::View(view(1)).encode());
    execute_next(&mut state, batch(1, 0, ops));
    let _ = state.take_rows();
    state
}

/// What comes of one more command.
fn outcome_of(state: &mut ReplicatedState, op: Op) -> CommandOutcome {
    let value = batch(1, state.meta().next_batch.0, vec![op]);
    match execute_next(state, value) {
        SlotOutcome::Batch { commands, .. } => commands[0].outcome.clone(),
        other @ (SlotOutcome::Noop | SlotOutcome::View(_) | SlotOutcome::Void(_)) => {
            panic!("{other:?}")
        }
    }
}

fn content(value: &str) -> Option<Content> {
    Some(Content { value: Bytes::copy_from_slice(value.as_bytes()), content_type: None })
}

#[test]
fn deleting_a_prefix_deletes_the_keys_that_start_so_at_one_revision() {
    let mut state = state_after(vec![
        put("a", ""),
        put("a/1", ""),
        put("a/2", ""),
        put("a0", ""),
        put("b", ""),
    ]);
    let outcome = outcome_of(&mut state, Op::DeletePrefix { prefix: "a/".to_owned() });
    assert_eq!(outcome, CommandOutcome::DeletedPrefix { revision: Revision(6) });
    assert_eq!(state.keys().records().keys().collect::<Vec<_>>(), ["a", "a0", "b"]);
    let outcome = outcome_of(&mut state, Op::DeletePrefix { prefix: String::new() });
    assert_eq!(outcome, CommandOutcome::DeletedPrefix { revision: Revision(7) });
    assert!(state.keys().records().is_empty());
}

#[test]
fn time_is_what_batches_say_and_never_goes_back_nor_further_than_a_step() {
    let mut state = state_after(vec![]);
    let step = limits::TIME_STEP_MS;
    let said = [(5, 5), (3, 5), (9, 9), (limits::TIME_MS, step + 9), (2 * step + 9, 2 * step + 9)];
    for (number, (said, expected)) in said.into_iter().enumerate() {
        execute_next(&mut state, raw_batch(1, 1 + number as u64, commands(said, vec![]).encode()));
        assert_eq!(state.meta().time_ms, expected);
    }
}

#[test]
fn every_slot_is_chained_to_the_one_before_it() {
    let mut state = ReplicatedState::complete();
    let noop = Value::Noop.encode();
    let first = apply(&mut state, &entry(0, noop.clone()));
    let second = apply(&mut state, &entry(1, noop.clone()));
    let by_hand = |previous: [u8; 32], slot: u64| {
        let bytes = [&previous[..], &slot.to_le_bytes(), &noop].concat();
        ChainHash(*blake3::hash(&bytes).as_bytes())
    };
    assert_eq!(first.hash, by_hand([0; 32], 0));
    assert_eq!(second.hash, by_hand(first.hash.0, 1));
    assert_eq!(state.meta().hash, second.hash);
}

#[test]
#[should_panic(expected = "slots are executed in order, each once")]
fn a_slot_is_not_executed_twice() {
    let mut state = ReplicatedState::complete();
    apply(&mut state, &entry(0, Value::Noop.encode()));
    apply(&mut state, &entry(0, Value::Noop.encode()));
}

#[test]
fn a_key_written_after_the_deletion_of_its_prefix_in_one_batch_is_created_anew() {
    let mut state = state_after(vec![put("a/1", "1")]);
    let ops = vec![
        Op::DeletePrefix { prefix: "a/".to_owned() },
        put_if("a/1", "2", Condition::IfNoneMatchAny),
    ];
    let SlotOutcome::Batch { commands, .. } = execute_next(&mut state, batch(1, 1, ops)) else {
        panic!("it is executed")
    };
    assert_eq!(commands[1].outcome, CommandOutcome::Created { revision: Revision(3) });
}

#[test]
fn a_batch_of_more_deletions_of_prefixes_than_the_limit_is_void() {
    let ops = |ranges| vec![Op::DeletePrefix { prefix: "a".to_owned() }; ranges];
    let read = |ranges| Commands::decode(&commands(0, ops(ranges)).encode());
    assert!(read(limits::BATCH_RANGES).is_ok());
    let refused = read(limits::BATCH_RANGES + 1).unwrap_err().to_string();
    assert_eq!(refused, "the number of deletions of prefixes is 65, above the limit of 64");
}

#[test]
fn a_batch_of_more_roll_backs_than_the_limit_is_void() {
    let rollback = Op::Rollback { prefix: "a".to_owned(), revision: Revision(0) };
    let read = |ops| Commands::decode(&commands(0, ops).encode());
    assert!(read(vec![rollback.clone(), put("a", "")]).is_ok());
    let refused = read(vec![rollback; 2]).unwrap_err().to_string();
    assert_eq!(refused, "the number of roll-backs is 2, above the limit of 1");
}

#[test]
fn what_is_appended_takes_a_revision_and_names_its_slot() {
    let append = |value: &'static str| Op::Append {
        value: Bytes::from_static(value.as_bytes()),
        content_type: None,
    };
    let mut state = state_after(vec![put("a", "1")]);
    let slot = state.meta().executed_below;
    let appended = CommandOutcome::Appended { revision: Revision(2), slot };
    assert_eq!(outcome_of(&mut state, append("v")), appended);
    let appended = CommandOutcome::Appended { revision: Revision(3), slot: slot.next() };
    assert_eq!(outcome_of(&mut state, append("v")), appended);
    assert_eq!(state.keys().records().len(), 1);
}

#[test]
fn a_digest_tells_states_apart() {
    let digest = |ops| state_after(ops).digest();
    let states = [
        digest(vec![]),
        digest(vec![put("k", "a")]),
        digest(vec![put("k", "b")]),
        digest(vec![put("k", "a"), put("k", "a")]),
    ];
    for (index, one) in states.iter().enumerate() {
        assert!(!states[index + 1..].contains(one), "state {index} has the digest of another");
    }
    assert_eq!(digest(vec![put("k", "a")]), states[1]);
}

fn changes_of(state: &mut ReplicatedState, ops: Vec<Op>) -> Vec<Change> {
    let slot = state.meta().executed_below;
    let value = batch(1, state.meta().next_batch.0, ops);
    apply(state, &entry(slot.0, value)).changes
}

#[test]
fn a_slot_reports_what_it_changed_and_nothing_else() {
    let change = |key: &str, kind, revision, previous: Option<u64>| Change::Key {
        key: key.to_owned(),
        kind,
        revision: Revision(revision),
        previous: previous.map(Revision),
    };
    let mut state = state_after(vec![put("a", "1")]);
    let ops = vec![
        put("a", "2"),
        put("b", "1"),
        delete_if("a", Condition::Always),
        delete_if("none", Condition::Always),
        put_if("b", "2", Condition::IfNoneMatchAny),
        Op::DeletePrefix { prefix: "b".to_owned() },
        put("b", "3"),
    ];
    let expected = [
        change("a", ChangeKind::Updated, 2, Some(1)),
        change("b", ChangeKind::Created, 3, None),
        change("a", ChangeKind::Deleted, 4, Some(2)),
        Change::Prefix { prefix: "b".to_owned(), revision: Revision(6) },
        change("b", ChangeKind::Created, 7, None),
    ];
    assert_eq!(changes_of(&mut state, ops), expected);
    assert_eq!(apply(&mut state, &entry(3, Value::Noop.encode())).changes, []);
    let mut counts = ChangeCounts::default();
    counts.add(&expected);
    let (keys_written, keys_deleted, prefixes_deleted) = (3, 1, 1);
    assert_eq!(
        counts,
        ChangeCounts { keys_written, keys_deleted, prefixes_deleted, leases_ended: 0 }
    );
}
