//! Mutations that are refused or given up: what is definite, and what is not.

use super::*;
use crate::machine::access::{AccessOp, Accessor, Force};
use crate::machine::command::{Unreadable, limits};
use crate::replica::batching::{Mutation, ReplicatedClock};
use crate::replica::event::{LimitHit, Stall, Unswept};

fn refused(id: u64, reason: NotApplied) -> Effect {
    answer(id, Answer::NotApplied(reason))
}

#[test]
fn a_replica_without_a_view_takes_no_mutation() {
    let mut rig = Rig::joined(config());
    assert_eq!(rig.mutation(1, "k"), [refused(1, NotApplied::NotPrimary { primary: None })]);
}

#[test]
fn a_mutation_that_is_given_up_before_it_is_proposed_never_happens() {
    let mut rig = Rig::primary();
    rig.mutation(1, "a");
    rig.mutation(2, "b");
    rig.mutation(3, "c");
    assert_eq!(rig.cancel(2), [refused(2, NotApplied::GivenUp(Stall::Slow))]);
    assert_eq!(rig.cancel(2), [], "once");
    rig.reply(1, 1, 0, Ok(chosen_at(1)));
    assert_eq!(
        rig.run(&[entry(1, batch(1, 0, &["a"]))]),
        [created(1, 1, 1), propose(1, 2, 1, 1, &["c"])]
    );
}

#[test]
fn a_mutation_that_is_given_up_in_a_batch_may_happen_yet() {
    let mut rig = Rig::primary();
    rig.mutation(1, "a");
    assert_eq!(rig.cancel(1), [answer(1, Answer::Unknown(Stall::Slow))]);
    rig.reply(1, 1, 0, Ok(chosen_at(1)));
    assert_eq!(rig.run(&[entry(1, batch(1, 0, &["a"]))]), [], "nobody waits for the answer");
    assert_eq!(rig.replica.status(rig.now).revision, Revision(1));
}

#[test]
fn a_mutation_that_is_given_up_while_the_leader_proposes_no_more_hears_of_its_limit() {
    let mut rig = Rig::primary();
    rig.mutation(1, "a");
    rig.mutation(2, "b");
    rig.mutation(3, "c");
    let limit = "2 acceptors have no room";
    rig.reply(1, 1, 0, Ok(ProposalReply::Overloaded { limit: limit.to_owned() }));
    let stall = || Stall::Overloaded(limit.into());
    assert_eq!(rig.cancel(1), [answer(1, Answer::Unknown(stall()))]);
    assert_eq!(rig.cancel(2), [refused(2, NotApplied::GivenUp(stall()))]);
    rig.after(50).fire(Timer::Propose);
    rig.reply(2, 1, 0, Ok(ProposalReply::Unresolved));
    assert_eq!(
        rig.cancel(3),
        [refused(3, NotApplied::GivenUp(Stall::Slow))],
        "there was room again"
    );
}

#[test]
fn a_limit_is_forgotten_with_the_batch_that_met_it() {
    let mut rig = Rig::primary();
    rig.mutation(1, "a");
    rig.reply(
        1,
        1,
        0,
        Ok(ProposalReply::Overloaded { limit: "2 acceptors have no room".to_owned() }),
    );
    rig.chosen(&[entry(1, batch(1, 0, &["a"]))]);
    rig.mutation(2, "b");
    rig.reply(1, 1, 0, Ok(ProposalReply::Overloaded { limit: "late".to_owned() }));
    assert_eq!(rig.cancel(2), [answer(2, Answer::Unknown(Stall::Slow))]);
}

#[test]
fn a_mutation_that_is_given_up_without_a_leader_was_in_no_batch_and_says_so() {
    let mut rig = Rig::joined(config());
    rig.chosen(&[view_entry(0, 1, 1)]);
    rig.mutation(1, "a");
    assert_eq!(rig.cancel(1), [refused(1, NotApplied::GivenUp(Stall::NoLeader))]);
}

#[test]
fn mutations_beyond_the_limit_are_refused_at_once() {
    let mut rig = Rig::in_views(Config { queued_mutations: 1, ..config() }, &[1]);
    rig.mutation(1, "a");
    assert_eq!(rig.mutation(2, "b"), []);
    let limit = LimitHit::new("mutations that wait", 1);
    assert_eq!(rig.mutation(3, "c"), [refused(3, NotApplied::QueueFull(limit))]);
    rig.cancel(2);
    assert_eq!(rig.mutation(4, "d"), []);
}

#[test]
fn mutations_of_too_many_bytes_are_refused_at_once() {
    let mut rig = Rig::in_views(Config { queued_bytes: 200, ..config() }, &[1]);
    rig.mutation(1, "a");
    assert_eq!(rig.mutation(2, &"x".repeat(100)), []);
    let limit = LimitHit::new("bytes of the mutations that wait", 200);
    assert_eq!(rig.mutation(3, "c"), [refused(3, NotApplied::QueueFull(limit))]);
}

fn unswept(prefixes: usize, leases: usize) -> Input {
    Input::Unswept(Unswept { prefixes, leases, revisions: 0 })
}

#[test]
fn deletions_of_prefixes_beyond_the_limit_are_refused_until_others_are_swept() {
    let mut rig = Rig::primary();
    let delete = |rig: &mut Rig, id: u64| {
        let op = Op::DeletePrefix { prefix: "a".to_owned() };
        let command = Command { op, trace: None, request: identity(&id.to_string()) };
        rig.step(Input::Mutation { id: RequestId(id), command, since: None, wall_ms: 0 })
    };
    let limit = LimitHit::new("deletions of prefixes under way", limits::RANGE_TOMBSTONES);
    rig.step(unswept(limits::RANGE_TOMBSTONES - 1, 0));
    rig.mutation(1, "k");
    assert_eq!(delete(&mut rig, 2), []);
    assert_eq!(delete(&mut rig, 3), [refused(3, NotApplied::QueueFull(limit))], "one waits");
    assert_eq!(rig.mutation(4, "k"), [], "other mutations are taken");
    rig.step(unswept(limits::RANGE_TOMBSTONES - 2, 0));
    assert_eq!(delete(&mut rig, 5), []);
}

#[test]
fn a_batch_has_no_more_deletions_of_prefixes_than_the_log_can_hold() {
    let mut batching = Batching::new(&Config { batch_commands: 1_000, ..config() });
    batching.begin(Epoch(1), ReplicatedClock::starting_at(0, ms(0)));
    for id in 0..limits::BATCH_RANGES as u64 + 1 {
        let op = Op::DeletePrefix { prefix: "a".to_owned() };
        let command = Command { op, trace: None, request: identity(&id.to_string()) };
        batching.push(RequestId(id), Mutation { command, wall_ms: 0 }).unwrap();
    }
    batching.next_batch(ms(0)).unwrap();
    assert_eq!((batching.flying_mutations(), batching.queued()), (limits::BATCH_RANGES, 1));
}

#[test]
fn a_roll_back_is_taken_where_nothing_is_to_be_swept_and_few_others_wait() {
    let mut rig = Rig::primary();
    let raised = View { format: format::ROLLBACKS, ..view(2, 1) };
    rig.chosen(&[entry(1, Value::View(raised).encode())]);
    let roll_back = |rig: &mut Rig, id: u64| {
        let op = Op::Rollback { prefix: "a".to_owned(), revision: Revision(0) };
        let command = Command { op, trace: None, request: identity(&id.to_string()) };
        rig.step(Input::Mutation { id: RequestId(id), command, since: None, wall_ms: 0 })
    };
    let limit =
        LimitHit::new("deletions of many keys, or of history, under way before a roll-back", 0);
    for (prefixes, leases) in [(1, 0), (0, 1)] {
        rig.step(unswept(prefixes, leases));
        let refusal = refused(1, NotApplied::QueueFull(limit.clone()));
        assert_eq!(roll_back(&mut rig, 1), [refusal], "{prefixes} and {leases} are to be swept");
    }
    rig.step(Input::Unswept(Unswept { revisions: 1, ..Unswept::default() }));
    assert_eq!(roll_back(&mut rig, 1), [refused(1, NotApplied::QueueFull(limit))], "of history");
    rig.step(unswept(0, 0));
    for id in 2..2 + limits::ROLLBACKS as u64 {
        let taken = roll_back(&mut rig, id);
        assert!(!taken.iter().any(|effect| matches!(effect, Effect::Answer { .. })), "{taken:?}");
    }
    let limit = LimitHit::new("roll-backs under way", limits::ROLLBACKS);
    assert_eq!(roll_back(&mut rig, 9), [refused(9, NotApplied::QueueFull(limit))]);
}

#[test]
fn a_batch_has_one_roll_back_at_most() {
    let mut batching = Batching::new(&config());
    batching.begin(Epoch(1), ReplicatedClock::starting_at(0, ms(0)));
    for id in 0..2 {
        let op = Op::Rollback { prefix: "a".to_owned(), revision: Revision(0) };
        let command = Command { op, trace: None, request: identity(&id.to_string()) };
        batching.push(RequestId(id), Mutation { command, wall_ms: 0 }).unwrap();
    }
    batching.next_batch(ms(0)).unwrap();
    assert_eq!((batching.flying_mutations(), batching.queued()), (limits::BATCH_ROLLBACKS, 1));
}

#[test]
fn a_batch_has_no_more_changes_of_tokens_and_policies_than_the_log_can_hold() {
    let mut batching = Batching::new(&Config { batch_commands: 1_000, ..config() });
    batching.begin(Epoch(1), ReplicatedClock::starting_at(0, ms(0)));
    for id in 0..limits::BATCH_ACCESS as u64 + 1 {
        let (accessor, force) = (Accessor(id), Force::Unforced);
        let op = Op::Access(AccessOp::DeleteToken { accessor, force });
        let op = op.attributed(Some(Accessor(1)));
        let command = Command { op, trace: None, request: identity(&id.to_string()) };
        batching.push(RequestId(id), Mutation { command, wall_ms: 0 }).unwrap();
    }
    batching.next_batch(ms(0)).unwrap();
    assert_eq!((batching.flying_mutations(), batching.queued()), (limits::BATCH_ACCESS, 1));
}

#[test]
fn what_the_format_of_the_log_does_not_have_is_refused_until_a_view_raises_it() {
    let mut rig = Rig::primary();
    let txn = |rig: &mut Rig, id: u64| {
        let command = Command {
            op: Op::Txn(Box::default()),
            trace: None,
            request: identity(&id.to_string()),
        };
        rig.step(Input::Mutation { id: RequestId(id), command, since: None, wall_ms: 0 })
    };
    let (needed, current) = (format::TRANSACTIONS, LogFormat::FIRST);
    let reason = NotApplied::FormatNotReached { needed, current };
    assert_eq!(txn(&mut rig, 1), [refused(1, reason)]);
    let raised = View { format: needed, ..view(2, 1) };
    rig.chosen(&[entry(1, Value::View(raised).encode())]);
    let formats = |effects: &[Effect]| -> Vec<LogFormat> {
        let value = |effect: &Effect| {
            let Effect::Propose { proposal, .. } = effect else { return None };
            Some(proposal.value.clone())
        };
        effects.iter().filter_map(value).map(|value| Value::format_of(&value).unwrap().0).collect()
    };
    assert_eq!(formats(&txn(&mut rig, 2)), [needed]);
    // What needs no more is of the first format as before.
    rig.mutation(3, "k");
    rig.reply(1, 2, 0, Ok(chosen_at(2)));
    let command = Command { op: Op::Txn(Box::default()), trace: None, request: identity("2") };
    let commands = Commands {
        time_ms: 0,
        wall_ms: 0,
        trace: None,
        answers: AnswerRetention::default(),
        commands: vec![command],
        executed: None,
    };
    let batch = Batch { epoch: Epoch(2), number: BatchNumber(0), commands: commands.encode() };
    let executed = rig.run(&[entry(2, Value::Batch(batch).encode_in(needed))]);
    assert_eq!(formats(&executed), [LogFormat::FIRST]);
}

#[test]
fn a_command_that_the_log_cannot_hold_is_never_proposed() {
    let mut rig = Rig::primary();
    assert_eq!(rig.mutation(1, ""), [refused(1, NotApplied::Unreadable(Unreadable::EmptyKey))]);
    let (actual, limit) = (limits::KEY_BYTES as u64 + 1, limits::KEY_BYTES as u64);
    let too_long = Unreadable::OverLimit { what: "the key".into(), actual, limit };
    assert_eq!(
        rig.mutation(2, &"x".repeat(limits::KEY_BYTES + 1)),
        [refused(2, NotApplied::Unreadable(too_long))]
    );
}

#[test]
fn a_wall_clock_that_the_log_cannot_hold_is_brought_within() {
    let mut rig = Rig::primary();
    rig.step(Input::Mutation {
        id: RequestId(1),
        command: put("k"),
        since: None,
        wall_ms: u64::MAX,
    });
    let commands = Commands {
        time_ms: 0,
        wall_ms: limits::TIME_MS,
        trace: None,
        answers: Default::default(),
        commands: vec![put("k")],
        executed: None,
    }
    .encode();
    let value = Value::Batch(Batch { epoch: Epoch(1), number: BatchNumber(0), commands }).encode();
    assert_eq!(rig.chosen(&[entry(1, value)]), [created(1, 1, 1)]);
}

#[test]
fn a_full_disk_refuses_what_is_not_proposed_and_heals() {
    let mut rig = Rig::primary();
    rig.mutation(1, "a");
    rig.mutation(2, "b");
    assert_eq!(rig.step(Input::Storage(Storage::Full)), [refused(2, NotApplied::StorageFull)]);
    assert_eq!(rig.mutation(3, "c"), [refused(3, NotApplied::StorageFull)]);
    rig.reply(1, 1, 0, Ok(chosen_at(1)));
    assert_eq!(rig.run(&[entry(1, batch(1, 0, &["a"]))]), [created(1, 1, 1)]);
    rig.step(Input::Storage(Storage::Writable));
    assert_eq!(rig.mutation(4, "d"), [propose(1, 2, 1, 1, &["d"])]);
}

#[test]
fn a_full_disk_refuses_what_a_new_epoch_would_propose_anew() {
    let mut rig = Rig::primary();
    rig.mutation(1, "a");
    rig.step(Input::Storage(Storage::Full));
    let effects = rig.chosen(&[view_entry(1, 2, 1)]);
    let settled = [
        refused(1, NotApplied::StorageFull),
        Effect::RoleChanged { role: Role::Primary, view: view(2, 1) },
    ];
    let told = rig.heartbeats_with(Storage::Full, Some(view(2, 1)), 2, None);
    assert_eq!(effects, [&settled[..], &told].concat(), "coordinators hear of it, too");
}
