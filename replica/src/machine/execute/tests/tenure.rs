//! Leases, locks and fences.

use shared::ids::LeaseId;

use super::*;
use crate::machine::command::Unreadable;
use crate::machine::leases::{LeaseEnd, LeaseOp};
use crate::machine::locks::{Fence, Fenced, Holder, LockOp, Otherwise};

const TTL_MS: u64 = 1_000;

fn grant() -> Op {
    Op::Lease(LeaseOp::Grant { ttl_ms: TTL_MS })
}

fn renew(lease: u64) -> Op {
    Op::Lease(LeaseOp::Renew { lease: LeaseId(lease) })
}

fn revoke(lease: u64) -> Op {
    Op::Lease(LeaseOp::Revoke { lease: LeaseId(lease) })
}

fn acquire(lease: u64, otherwise: Otherwise) -> Op {
    Op::Lock(LockOp::Acquire { name: "l".to_owned(), lease: LeaseId(lease), otherwise })
}

fn release(lease: u64) -> Op {
    Op::Lock(LockOp::Release { name: "l".to_owned(), lease: LeaseId(lease) })
}

fn put_with(lease: u64, key: &str) -> Op {
    let (key, value) = (key.to_owned(), Bytes::from_static(b"v"));
    let (content_type, condition) = (None, Condition::Always);
    Op::LeasedPut { lease: LeaseId(lease), key, value, content_type, condition }
}

fn fenced(fence: u64, op: Op) -> Op {
    let fence = Fence { name: "l".to_owned(), revision: Revision(fence) };
    Op::Fenced(Box::new(Fenced { fence, op }))
}

/// What comes of commands at a time of the log.
fn at(state: &mut ReplicatedState, time_ms: u64, ops: Vec<Op>) -> Executed {
    let (slot, number) = (state.meta().executed_below, state.meta().next_batch);
    let value = raw_batch(1, number.0, commands(time_ms, ops).encode());
    apply(state, &entry(slot.0, value))
}

fn keys(state: &ReplicatedState) -> Vec<&str> {
    state.keys().records().keys().map(String::as_str).collect()
}

fn holder(lease: u64, fence: u64) -> Holder {
    Holder { lease: LeaseId(lease), fence: Revision(fence) }
}

#[test]
fn a_lease_ends_when_its_time_has_come_with_its_keys_at_one_revision() {
    let mut state = state_after(vec![grant(), put_with(1, "a"), put_with(1, "b"), put("c", "v")]);
    assert!(at(&mut state, TTL_MS, vec![]).changes.is_empty());
    let executed = at(&mut state, TTL_MS + 1, vec![]);
    let (lease, revision) = (LeaseId(1), Revision(5));
    assert_eq!(executed.changes, [Change::Lease { lease, end: LeaseEnd::Expired, revision }]);
    assert_eq!((executed.revision, keys(&state)), (revision, vec!["c"]));
    let rows = state.take_rows().keys;
    assert_eq!(rows.leases.len(), 1);
    let marked: Vec<_> = rows.versions.iter().map(|row| (row.revision, row.lease)).collect();
    assert_eq!(marked, [(revision, Some(lease)), (revision, Some(lease))]);
    let (revision, lease) = (Revision(5), LeaseId(1));
    let gone = CommandOutcome::NoSuchLease { revision, lease };
    for op in [renew(1), revoke(1), put_with(1, "a"), acquire(1, Otherwise::Wait)] {
        assert_eq!(outcome_of(&mut state, op), gone);
    }
}

/// A log that was written so makes the same of its slots for ever.
#[test]
fn in_a_log_of_an_older_format_a_lease_ends_a_millisecond_sooner() {
    let mut state = ReplicatedState::complete();
    let view = View { format: format::LEASES, ..view(1) };
    execute_next(&mut state, Value::View(view).encode());
    let mut changed_at = |number, time_ms, ops| {
        let batch = batch_of(1, number, commands(time_ms, ops).encode());
        let slot = state.meta().executed_below;
        apply(&mut state, &entry(slot.0, batch.encode_in(format::LEASES))).changes.len()
    };
    changed_at(0, 0, vec![grant()]);
    assert_eq!(changed_at(1, TTL_MS - 1, vec![]), 0);
    assert_eq!(changed_at(2, TTL_MS, vec![]), 1);
}

#[test]
fn a_renewal_in_the_batch_that_would_end_the_lease_counts() {
    let mut state = state_after(vec![grant()]);
    at(&mut state, TTL_MS + 500, vec![renew(1)]);
    let left = state.leases().get(LeaseId(1)).map(|it| it.remaining_ms(state.meta().time_ms));
    assert_eq!(left, Some(TTL_MS));
}

#[test]
fn a_key_that_is_put_without_a_lease_or_with_another_does_not_go_with_the_first() {
    let ops = vec![grant(), grant(), put_with(1, "a"), put_with(1, "b"), put("a", "v")];
    let mut state = state_after(ops);
    outcome_of(&mut state, put_with(2, "b"));
    outcome_of(&mut state, revoke(1));
    assert_eq!(keys(&state), ["a", "b"]);
    outcome_of(&mut state, revoke(2));
    assert_eq!(keys(&state), ["a"]);
    let rows = state.take_rows().keys.versions;
    assert_eq!(rows.last().map(|row| row.lease), Some(None), "it was revoked, and has not expired");
}

#[test]
fn a_lock_goes_to_those_who_wait_in_the_order_in_which_they_came() {
    let mut state = state_after(vec![grant(), grant(), grant()]);
    let held = |revision, fence| CommandOutcome::LockHeld {
        revision: Revision(revision),
        fence: Revision(fence),
    };
    assert_eq!(outcome_of(&mut state, acquire(1, Otherwise::Leave)), held(4, 4));
    assert_eq!(outcome_of(&mut state, acquire(1, Otherwise::Wait)), held(4, 4), "it has it");
    let busy = CommandOutcome::LockBusy { revision: Revision(4), holder: holder(1, 4) };
    assert_eq!(outcome_of(&mut state, acquire(2, Otherwise::Leave)), busy);
    let waits = |revision, since| CommandOutcome::LockAwaited {
        revision: Revision(revision),
        since: Revision(since),
    };
    assert_eq!(outcome_of(&mut state, acquire(3, Otherwise::Wait)), waits(5, 5));
    assert_eq!(outcome_of(&mut state, acquire(2, Otherwise::Wait)), waits(6, 6));
    assert_eq!(outcome_of(&mut state, acquire(3, Otherwise::Wait)), waits(6, 5), "its place");
    let not_held =
        CommandOutcome::LockNotHeld { revision: Revision(6), holder: Some(holder(1, 4)) };
    assert_eq!(outcome_of(&mut state, release(2)), not_held);
    outcome_of(&mut state, revoke(1));
    assert_eq!(state.locks().holder("l"), Some(holder(3, 7)));
    outcome_of(&mut state, release(3));
    assert_eq!(state.locks().holder("l"), Some(holder(2, 8)));
    outcome_of(&mut state, release(2));
    assert_eq!((state.locks().holder("l"), state.meta().claims), (None, 0));
    state.locks().invariant_lines_are_in_order();
}

#[test]
fn who_asks_without_waiting_leaves_the_line() {
    let mut state = state_after(vec![grant(), grant(), acquire(1, Otherwise::Leave)]);
    outcome_of(&mut state, acquire(2, Otherwise::Wait));
    let left = CommandOutcome::LockBusy { revision: Revision(5), holder: holder(1, 3) };
    assert_eq!(outcome_of(&mut state, acquire(2, Otherwise::Leave)), left);
    outcome_of(&mut state, release(1));
    assert_eq!(state.locks().holder("l"), None);
}

#[test]
fn who_leaves_a_line_gives_up_the_claim_that_it_made_and_takes_nothing() {
    let mut state = state_after(vec![grant(), grant(), acquire(1, Otherwise::Leave)]);
    let leave = |since| {
        let (name, lease, since) = ("l".to_owned(), LeaseId(2), Revision(since));
        Op::Lock(LockOp::Leave { name, lease, since })
    };
    outcome_of(&mut state, acquire(2, Otherwise::Wait));
    let no_claim =
        |revision, holder| CommandOutcome::LockNotHeld { revision: Revision(revision), holder };
    let another = no_claim(4, Some(holder(1, 3)));
    assert_eq!(outcome_of(&mut state, leave(3)), another, "it made that one at 4");
    let left = CommandOutcome::LockBusy { revision: Revision(5), holder: holder(1, 3) };
    assert_eq!(outcome_of(&mut state, leave(4)), left);
    assert_eq!(outcome_of(&mut state, leave(4)), no_claim(5, Some(holder(1, 3))), "once");
    outcome_of(&mut state, release(1));
    assert_eq!(outcome_of(&mut state, leave(4)), no_claim(6, None), "it is free, and stays so");
    outcome_of(&mut state, acquire(2, Otherwise::Wait));
    let held = CommandOutcome::LockHeld { revision: Revision(7), fence: Revision(7) };
    assert_eq!(outcome_of(&mut state, leave(4)), held, "it holds it by now");
    state.locks().invariant_lines_are_in_order();
}

#[test]
fn a_mutation_with_a_fence_is_executed_only_while_the_lock_is_held_at_it() {
    let mut state = state_after(vec![grant(), grant(), acquire(1, Otherwise::Leave)]);
    outcome_of(&mut state, acquire(2, Otherwise::Wait));
    let created = CommandOutcome::Created { revision: Revision(5) };
    assert_eq!(outcome_of(&mut state, fenced(3, put("k", "1"))), created);
    outcome_of(&mut state, revoke(1));
    let failed = CommandOutcome::FenceFailed { revision: Revision(6), holder: Some(holder(2, 6)) };
    assert_eq!(outcome_of(&mut state, fenced(3, put("k", "2"))), failed);
    assert_eq!(state.keys().get("k").unwrap().revision, Revision(5));
    assert!(matches!(
        outcome_of(&mut state, fenced(6, put("k", "3"))),
        CommandOutcome::Replaced { .. }
    ));
}

#[test]
fn so_many_leases_end_with_one_batch_and_the_others_with_the_next() {
    let leases = limits::LEASES_ENDED + 1;
    let mut state = state_after((0..leases).map(|_| grant()).collect());
    assert_eq!(at(&mut state, TTL_MS + 1, vec![]).changes.len(), limits::LEASES_ENDED);
    assert_eq!((state.leases().len(), state.meta().leases), (1, 1));
    at(&mut state, TTL_MS + 1, vec![]);
    assert!(state.leases().is_empty());
}

#[test]
fn a_fence_within_a_fence_is_no_command_however_deep() {
    let deep = (0..3).fold(put("k", "v"), |op, _| fenced(3, op));
    assert_eq!(deep.check(), Err(Unreadable::FenceInFence));
    let encoded = commands(0, vec![deep]).encode();
    assert_eq!(Commands::decode(&encoded), Err(Unreadable::NotCommands(encoded.len())));
    for ttl_ms in [0, limits::LEAST_TTL_MS - 1, limits::MOST_TTL_MS + 1] {
        let op = Op::Lease(LeaseOp::Grant { ttl_ms });
        assert_eq!(op.check(), Err(Unreadable::TimeToLive { ttl_ms }));
    }
    let op = Op::Lock(LockOp::Release { name: String::new(), lease: LeaseId(1) });
    assert_eq!(op.check(), Err(Unreadable::EmptyName));
}
