//! What is void is void for everyone: it changes nothing but how far the log is executed.

use bytes::Bytes;
use shared::ids::LogFormat;
use shared::message::View;

use super::*;

/// Executes a value that is void in epoch 1 with batch 1 due: nothing but the slot and
/// the hash may change.
fn void(value: EncodedValue) -> VoidReason {
    let mut state = state_after(vec![put("k", "a")]);
    let before = state.clone();
    let outcome = execute_next(&mut state, value);
    let mut expected = before.meta().clone();
    expected.executed_below = expected.executed_below.next();
    expected.hash = state.meta().hash;
    assert_ne!(state.meta().hash, before.meta().hash);
    // An unreadable batch at its place uses up its number; see its own test.
    expected.next_batch = state.meta().next_batch;
    assert_eq!((state.meta(), state.keys().records()), (&expected, before.keys().records()));
    assert_eq!(state.take_rows().keys, KeyRows::default());
    match outcome {
        SlotOutcome::Void(reason) => reason,
        other @ (SlotOutcome::Noop | SlotOutcome::View(_) | SlotOutcome::Batch { .. }) => {
            panic!("{other:?}")
        }
    }
}

#[test]
fn a_batch_of_another_epoch_is_void() {
    for epoch in [0, 2, u64::MAX] {
        let expected = VoidReason::OtherEpoch {
            epoch: Epoch(epoch),
            number: BatchNumber(1),
            current: Epoch(1),
        };
        assert_eq!(void(batch(epoch, 1, vec![put("k", "b")])), expected);
    }
}

#[test]
fn a_batch_that_comes_again_or_too_early_is_void() {
    for number in [0, 2, u64::MAX] {
        let (number, expected) = (BatchNumber(number), BatchNumber(1));
        let reason = VoidReason::OutOfOrder { epoch: Epoch(1), number, expected };
        assert_eq!(void(batch(1, number.0, vec![put("k", "b")])), reason);
    }
}

#[test]
fn a_batch_before_the_first_view_is_void() {
    let mut state = ReplicatedState::complete();
    let value = batch_of(0, 0, commands(0, vec![put("k", "a")]).encode()).encode();
    let outcome = execute_next(&mut state, value);
    let reason =
        VoidReason::OtherEpoch { epoch: Epoch(0), number: BatchNumber(0), current: Epoch(0) };
    assert_eq!((outcome, state.keys().records().len()), (SlotOutcome::Void(reason), 0));
}

#[test]
fn bytes_that_are_no_value_are_void() {
    let noop_and_more = Bytes::from([&Value::Noop.encode()[..], &[0]].concat());
    for bytes in [Bytes::new(), Bytes::from_static(b"\xff\xff\xff"), noop_and_more] {
        assert_eq!(void(bytes), VoidReason::Undecodable);
    }
}

#[test]
fn a_batch_with_unreadable_commands_is_void() {
    let (epoch, number) = (Epoch(1), BatchNumber(1));
    let unreadable = |payload| void(raw_batch(1, 1, payload));
    let not_commands = VoidReason::Unreadable { epoch, number, error: Unreadable::NotCommands(3) };
    assert_eq!(unreadable(Bytes::from_static(b"\xff\xff\xff")), not_commands);

    let too_long = |what: &'static str, actual, limit: usize| VoidReason::Unreadable {
        epoch,
        number,
        error: Unreadable::OverLimit { what: what.into(), actual, limit: limit as u64 },
    };
    let long = |length: usize| "x".repeat(length);
    let with = |op| unreadable(commands(0, vec![put("k", "b"), op]).encode());
    let over_key = limits::KEY_BYTES + 1;
    assert_eq!(
        with(put(&long(over_key), "")),
        too_long("the key", over_key as u64, limits::KEY_BYTES)
    );
    let over_value = limits::VALUE_BYTES + 1;
    assert_eq!(
        with(put("k", &long(over_value))),
        too_long("the value", over_value as u64, limits::VALUE_BYTES)
    );
    let prefix = Op::DeletePrefix { prefix: long(over_key) };
    assert_eq!(with(prefix), too_long("the prefix", over_key as u64, limits::KEY_BYTES));
    assert_eq!(
        with(put("", "b")),
        VoidReason::Unreadable { epoch, number, error: Unreadable::EmptyKey }
    );

    let over_guard = limits::GUARD_REVISIONS + 1;
    let guard = Condition::IfMatch(vec![Revision(1); over_guard]);
    for op in [put_if("k", "b", guard.clone()), delete_if("k", guard)] {
        let what = "a guard's number of revisions";
        assert_eq!(with(op), too_long(what, over_guard as u64, limits::GUARD_REVISIONS));
    }

    let many = commands(0, vec![put("k", "b"); limits::BATCH_COMMANDS + 1]).encode();
    let expected = too_long(
        "the number of commands",
        limits::BATCH_COMMANDS as u64 + 1,
        limits::BATCH_COMMANDS,
    );
    assert_eq!(unreadable(many), expected);

    let error =
        Unreadable::OverLimit { what: "the time".into(), actual: u64::MAX, limit: limits::TIME_MS };
    let late = commands(u64::MAX, vec![put("k", "b")]).encode();
    assert_eq!(unreadable(late), VoidReason::Unreadable { epoch, number, error });
}

#[test]
fn an_unreadable_batch_at_its_place_uses_up_its_number() {
    let mut state = state_after(vec![]);
    execute_next(&mut state, raw_batch(1, 1, Bytes::from_static(b"\xff")));
    let outcomes = vec![CommandOutcome::Created { revision: Revision(1) }];
    let expected = SlotOutcome::Batch {
        epoch: Epoch(1),
        number: BatchNumber(2),
        commands: executed(outcomes),
    };
    assert_eq!(execute_next(&mut state, batch(1, 2, vec![put("k", "a")])), expected);
}

#[test]
fn a_view_counts_only_if_it_follows_the_epoch_before_it() {
    for epoch in [0, 1, 3, u64::MAX] {
        let expected = VoidReason::ViewOutOfOrder { epoch: Epoch(epoch), current: Epoch(1) };
        assert_eq!(void(Value::View(view(epoch)).encode()), expected);
    }
    let mut state = state_after(vec![]);
    assert_eq!(execute_next(&mut state, Value::View(view(2)).encode()), SlotOutcome::View(view(2)));
    assert_eq!(
        (state.meta().view.as_ref(), state.meta().next_batch),
        (Some(&view(2)), BatchNumber(0))
    );
}

#[test]
fn a_view_of_too_many_replicas_is_void() {
    let backups = vec![name("replica-2"); limits::BACKUPS + 1];
    let too_large = View { backups, ..view(2) };
    let expected = VoidReason::ViewTooLarge { epoch: Epoch(2), backups: limits::BACKUPS + 1 };
    assert_eq!(void(Value::View(too_large).encode()), expected);
}

#[test]
fn what_is_of_a_format_beyond_the_logs_is_void_until_a_view_raises_it() {
    let (format, current) = (LogFormat(2), LogFormat(1));
    let view = |epoch| View { format: current, ..view(epoch) };
    let not_reached = SlotOutcome::Void(VoidReason::FormatNotReached { format, current });
    let raised = View { format, ..view(2) };
    let mut state = ReplicatedState::complete();
    let mut outcome = |slot, value| apply(&mut state, &entry(slot, value)).outcome;
    assert_eq!(outcome(0, Value::View(view(1)).encode()), SlotOutcome::View(view(1)));
    assert_eq!(outcome(1, Value::Noop.encode_in(format)), not_reached);
    assert_eq!(outcome(2, Value::View(raised.clone()).encode_in(format)), not_reached);
    assert_eq!(outcome(3, Value::View(raised.clone()).encode()), SlotOutcome::View(raised));
    assert_eq!(outcome(4, Value::Noop.encode_in(format)), SlotOutcome::Noop);
    assert_eq!(outcome(5, Value::Noop.encode()), SlotOutcome::Noop);
    let lowered = VoidReason::FormatLowered { epoch: Epoch(3), format: current, current: format };
    assert_eq!(outcome(6, Value::View(view(3)).encode()), SlotOutcome::Void(lowered));
}
