//! Replicated time while there are leases, or tokens that end: it goes on by itself, and not while nobody could
//! use it.

use super::*;
use crate::machine::access::{AccessOp, SecretHash};
use crate::machine::command::{AnswerRetention, Commands};
use crate::machine::leases::LeaseOp;

const TTL_MS: u64 = 2_000;

fn grant() -> Command {
    let op = Op::Lease(LeaseOp::Grant { ttl_ms: TTL_MS });
    Command { op, trace: None, request: identity("grant") }
}

/// A primary in a log that has leases, in which one was granted at time 0 of the log.
fn with_a_lease() -> Rig {
    let mut rig = Rig::joined(config());
    rig.leads(1, 1, 0);
    let view = View { format: format::LEASES, ..view(1, 1) };
    rig.chosen(&[entry(0, Value::View(view).encode())]);
    let effects =
        rig.step(Input::Mutation { id: RequestId(1), command: grant(), since: None, wall_ms: 0 });
    execute_proposed(&mut rig, &effects, 1);
    rig
}

fn proposed(effects: &[Effect]) -> Option<&Proposal> {
    effects.iter().find_map(|effect| {
        if let Effect::Propose { proposal, .. } = effect { Some(proposal) } else { None }
    })
}

/// The batch is chosen at the slot, and executed.
fn execute_proposed(rig: &mut Rig, effects: &[Effect], slot: u64) -> Vec<Effect> {
    let proposal = proposed(effects).unwrap().clone();
    let chosen = [entry(slot, proposal.value)];
    rig.reply(slot, 1, proposal.number.0, Ok(chosen_at(slot)));
    rig.run(&chosen)
}

fn time_of(proposal: &Proposal) -> (u64, usize) {
    let Ok(Value::Batch(batch)) = Value::decode(&proposal.value) else { panic!("a batch") };
    let Commands { time_ms, commands, .. } = Commands::decode(&batch.commands).unwrap();
    (time_ms, commands.len())
}

/// Time passes, and the leader goes on leading.
fn pass(rig: &mut Rig, milliseconds: u64) -> Vec<Effect> {
    let mut effects = Vec::new();
    for _ in 0..milliseconds / 100 {
        effects.extend(rig.after(100).leads(1, 1, 0));
        effects.extend(rig.fire(Timer::Heartbeat));
    }
    effects
}

#[test]
fn an_idle_primary_has_the_time_chosen_when_a_lease_is_due_and_not_before() {
    let mut rig = with_a_lease();
    assert_eq!(proposed(&pass(&mut rig, TTL_MS)), None, "its last millisecond has begun");
    let effects = rig.after(1).fire(Timer::Time);
    assert_eq!(proposed(&effects).map(time_of), Some((TTL_MS + 1, 0)));
    execute_proposed(&mut rig, &effects, 2);
    assert_eq!((rig.database.leases().len(), rig.replica.next_expiry_ms), (0, None));
    assert_eq!(proposed(&pass(&mut rig, 60_000)), None, "nobody needs to know the time");
}

#[test]
fn an_idle_primary_has_the_time_chosen_when_a_token_is_due_and_not_before() {
    let mut rig = Rig::joined(config());
    rig.leads(1, 1, 0);
    let view = View { format: format::ACCESS, ..view(1, 1) };
    rig.chosen(&[entry(0, Value::View(view).encode())]);
    let (first, second) = (SecretHash::of(b"first"), SecretHash::of(b"second"));
    let short = AccessOp::CreateToken {
        secret: second,
        policies: Vec::new(),
        ttl_ms: Some(TTL_MS),
        description: String::new(),
    };
    let short = Op::Access(short).attributed(Some(first.accessor()));
    let ops = [Op::Access(AccessOp::Bootstrap { secret: first }), short];
    for (slot, op) in (1..).zip(ops) {
        let command = Command { op, trace: None, request: identity(&slot.to_string()) };
        let id = RequestId(slot);
        let effects = rig.step(Input::Mutation { id, command, since: None, wall_ms: 0 });
        execute_proposed(&mut rig, &effects, slot);
    }
    assert_eq!(proposed(&pass(&mut rig, TTL_MS)), None, "its last millisecond has begun");
    let effects = rig.after(1).fire(Timer::Time);
    assert_eq!(proposed(&effects).map(time_of), Some((TTL_MS + 1, 0)));
    execute_proposed(&mut rig, &effects, 3);
    assert_eq!((rig.database.access().meta().tokens, rig.replica.next_expiry_ms), (1, None));
    assert_eq!(proposed(&pass(&mut rig, 60_000)), None, "nobody needs to know the time");
}

#[test]
fn a_backup_has_nothing_chosen_and_time_is_heard_of_now_and_then() {
    let mut rig = Rig::joined(config());
    rig.leads(1, 1, 0);
    let view = View { format: format::LEASES, ..view(1, 2) };
    rig.chosen(&[entry(0, Value::View(view).encode())]);
    let commands = Commands {
        time_ms: 0,
        wall_ms: 0,
        trace: None,
        answers: AnswerRetention::default(),
        commands: vec![Command { op: Op::Lease(LeaseOp::Grant { ttl_ms: 60_000 }), ..grant() }],
        executed: None,
    };
    let (epoch, number) = (Epoch(1), BatchNumber(0));
    let granted = Value::Batch(Batch { epoch, number, commands: commands.encode() });
    rig.chosen(&[entry(1, granted.encode_in(format::LEASES))]);
    assert_eq!(proposed(&pass(&mut rig, 6_000)), None);
    let own = View { format: format::LEASES, ..super::view(2, 1) };
    rig.chosen(&[entry(2, Value::View(own).encode())]);
    assert_eq!(proposed(&pass(&mut rig, 4_900)), None);
    let effects = pass(&mut rig, 100);
    assert_eq!(proposed(&effects).map(time_of), Some((5_000, 0)), "from where the log left it");
}

#[test]
fn what_passes_while_no_coordinator_leads_or_a_batch_is_held_up_ends_no_lease() {
    let mut rig = with_a_lease();
    // Nobody is heard to lead: one second is how long it takes to be noticed.
    for _ in 0..100 {
        assert_eq!(proposed(&rig.after(100).fire(Timer::Heartbeat)), None);
    }
    assert_eq!(proposed(&pass(&mut rig, TTL_MS - 1_200)), None, "it could not be renewed");
    let effects = rig.mutation(2, "k");
    let (time_ms, _) = time_of(proposed(&effects).unwrap());
    assert!(time_ms < TTL_MS, "{time_ms}");
    // It flies for long.
    pass(&mut rig, 5_000);
    let after = execute_proposed(&mut rig, &effects, 2);
    assert_eq!(proposed(&after), None, "the lease is not due");
    assert_eq!(rig.database.leases().len(), 1);
    let effects = pass(&mut rig, 2_000);
    assert!(time_of(proposed(&effects).unwrap()).0 < time_ms + 1_500);
}
