//! Commands as they stand in the log.

use bytes::Bytes;
use shared::chain::ChainHash;
use shared::ids::{Ballot, BatchNumber, CoordinatorId, Epoch, Instance, Slot};
use shared::message::{Batch, ChosenEntry, LogPrefix, Value, View};

use super::*;
use crate::machine::access::policy::{
    ClusterRight, ClusterRights, Policy, PolicyName, Right, Rights, Rule,
};
use crate::machine::access::{Force, SecretHash};
use crate::machine::locks::Fence;
use crate::machine::run::{Decoded, Run};

#[test]
fn the_trace_of_a_batch_is_read_without_its_commands_and_of_nothing_else() {
    let trace = Some(TraceContext { trace_id: [7; 16], span_id: [9; 8], flags: 1 });
    let (answers, commands) = (AnswerRetention::default(), Vec::new());
    let commands =
        Commands { time_ms: 300, wall_ms: 1 << 40, trace, answers, commands, executed: None };
    let (epoch, number) = (Epoch(300), BatchNumber(70_000));
    let batch = |commands| Value::Batch(Batch { epoch, number, commands }).encode();
    let value = batch(commands.encode());
    assert_eq!(Commands::trace_of(&value), trace);
    let untraced = Commands { trace: None, ..commands };
    assert_eq!(Commands::trace_of(&batch(untraced.encode())), None);
    let primary: shared::ids::Name = "replica-1".parse().unwrap();
    let (primary_instance, backups) = (Instance(1), vec![primary.clone()]);
    let format = LogFormat::FIRST;
    let view = Value::View(View { epoch, primary, primary_instance, backups, format });
    for other in [Value::Noop.encode(), view.encode(), batch(Bytes::from_static(b"\xff"))] {
        assert_eq!(Commands::trace_of(&other), None);
    }
    for end in 0..value.len() {
        let _no_panic = Commands::trace_of(&value[..end]);
    }
}

fn by(by: u64, op: Op) -> Op {
    op.attributed(Some(Accessor(by)))
}

fn issued(policies: &[&str], op: Op) -> Op {
    let subject = Subject { issuer: "i".to_owned(), subject: "s".to_owned() };
    let policies = policies.iter().map(|name| name.parse().unwrap()).collect();
    Op::Issued { subject, policies, op: Box::new(op) }
}

fn certified(op: Op) -> Op {
    let subject = Subject { issuer: "i".to_owned(), subject: "s".to_owned() };
    Op::Certified { subject, op: Box::new(op) }
}

fn delete(key: &str) -> Op {
    Op::Delete { key: key.to_owned(), condition: Condition::Always }
}

fn fenced(op: Op) -> Op {
    let fence = Fence { name: "l".to_owned(), revision: Revision(3) };
    Op::Fenced(Box::new(Fenced { fence, op }))
}

#[test]
fn operations_of_tokens_are_written_as_they_have_always_been() {
    let secret = SecretHash([7; 32]);
    let hash = [7; 32];
    let name: PolicyName = "p".parse().unwrap();
    let rights = Rights::of(&[Right::Read, Right::Write]);
    let policy = Policy {
        rules: vec![Rule { prefix: "a".to_owned(), rights }],
        cluster: ClusterRights::of(&[ClusterRight::Operate]),
    };
    let (accessor, force) = (Accessor(9), Force::Forced);
    let created = AccessOp::CreateToken {
        secret,
        policies: vec![name.clone()],
        ttl_ms: Some(5),
        description: "d".to_owned(),
    };
    let put = AccessOp::PutPolicy { name: name.clone(), policy, force: Force::Unforced };
    for (op, bytes) in [
        (Op::Access(AccessOp::Bootstrap { secret }), [&[11, 0][..], &hash].concat()),
        (Op::Access(created), [&[11, 1][..], &hash, &[1, 1, b'p', 1, 5, 1, b'd']].concat()),
        (Op::Access(AccessOp::DeleteToken { accessor, force }), vec![11, 2, 9, 1]),
        (Op::Access(put), vec![11, 3, 1, b'p', 1, 1, b'a', 0b11, 0b10, 0]),
        (Op::Access(AccessOp::DeletePolicy { name, force }), vec![11, 4, 1, b'p', 1]),
        (by(300, delete("k")), vec![12, 0xac, 2, 4, 1, 1, b'k', 0]),
        (issued(&["p"], delete("k")), vec![13, 1, b'i', 1, b's', 1, 1, b'p', 4, 1, 1, b'k', 0]),
        (certified(delete("k")), vec![14, 1, b'i', 1, b's', 4, 1, 1, b'k', 0]),
        (by(9, fenced(delete("k"))), vec![12, 9, 9, 9, 1, b'l', 3, 4, 1, 1, b'k', 0]),
    ] {
        assert_eq!(postcard::to_allocvec(&op).unwrap(), bytes, "{op:?}");
        assert_eq!(postcard::from_bytes::<Op>(&bytes).unwrap(), op);
    }
}

#[test]
fn a_token_stands_outside_of_everything_and_a_fence_within_it() {
    let within = [
        by(1, fenced(delete("k"))),
        Op::Attributed { by: Accessor(1), op: Box::new(by(2, delete("k"))) },
        fenced(by(1, delete("k"))),
        by(1, fenced(fenced(delete("k")))),
        by(1, fenced(by(2, delete("k")))),
        issued(&[], fenced(delete("k"))),
        issued(&[], by(1, delete("k"))),
        issued(&[], issued(&[], delete("k"))),
        Op::Attributed { by: Accessor(1), op: Box::new(issued(&[], delete("k"))) },
        fenced(issued(&[], delete("k"))),
    ];
    let is_read = |op: &Op| postcard::from_bytes::<Op>(&postcard::to_allocvec(op).unwrap()).is_ok();
    assert_eq!(
        within.each_ref().map(is_read),
        [true, false, false, false, false, true, false, false, false, false]
    );
    assert_eq!(
        within.each_ref().map(Op::check),
        [
            Ok(()),
            Err(Unreadable::AttributedWithin),
            Err(Unreadable::AttributedWithin),
            Err(Unreadable::FenceInFence),
            Err(Unreadable::AttributedWithin),
            Ok(()),
            Err(Unreadable::AttributedWithin),
            Err(Unreadable::AttributedWithin),
            Err(Unreadable::AttributedWithin),
            Err(Unreadable::AttributedWithin),
        ]
    );
}

#[test]
fn a_certificate_stands_outside_of_everything_too() {
    let is_read = |op: &Op| postcard::from_bytes::<Op>(&postcard::to_allocvec(op).unwrap()).is_ok();
    let whole = certified(fenced(delete("k")));
    assert_eq!((is_read(&whole), whole.check()), (true, Ok(())));
    let within = || certified(delete("k"));
    for op in [
        certified(by(1, delete("k"))),
        certified(issued(&[], delete("k"))),
        certified(within()),
        Op::Attributed { by: Accessor(1), op: Box::new(within()) },
        issued(&[], within()),
        fenced(within()),
    ] {
        assert_eq!(
            (is_read(&op), op.check()),
            (false, Err(Unreadable::AttributedWithin)),
            "{op:?}"
        );
    }
}

#[test]
fn an_operation_of_a_certificate_is_the_same_request_as_without() {
    let op = || fenced(Op::DeletePrefix { prefix: "p".to_owned() });
    let done = certified(op());
    assert_eq!((done.unattributed(), done.digest(), done.ranges()), (&op(), op().digest(), 1));
    assert_eq!((done.key_owner(), by(1, op()).key_owner()), (None, Some(Accessor(1))));
    assert!(done.by().is_some() && done.size() > op().size());
    assert_eq!(done.format(), format::CERTIFIED);
}

#[test]
fn an_operation_of_a_token_is_what_it_is_without_and_another_request() {
    let op = || fenced(Op::DeletePrefix { prefix: "p".to_owned() });
    let done = by(1, op());
    assert_eq!(
        (done.by(), done.unattributed(), done.bare()),
        (Some(Accessor(1)), &op(), op().bare())
    );
    assert_eq!((op().by(), op().unattributed()), (None, &op()));
    assert_eq!((done.ranges(), op().ranges()), (1, 1));
    assert_eq!((done.format(), op().format()), (format::ACCESS, format::LEASES));
    assert!(done.size() >= op().size());
    let digests = [op().digest(), done.digest(), by(2, op()).digest(), by(1, op()).digest()];
    assert!(digests[0] != digests[1] && digests[1] != digests[2] && digests[1] == digests[3]);
}

#[test]
fn what_was_executed_is_found_in_a_batch_of_a_format_that_has_it() {
    let executed = Some(LogPrefix { below: Slot(1 << 40), hash: ChainHash([7; 32]) });
    let answers = AnswerRetention::default();
    let of = |executed| Commands {
        time_ms: 5,
        wall_ms: 7,
        trace: None,
        answers,
        commands: vec![],
        executed,
    };
    let value = |executed, format| {
        let commands = of(executed).encode();
        assert_eq!(Commands::decode(&commands), Ok(of(executed)));
        Value::Batch(Batch { epoch: Epoch(1), number: BatchNumber(2), commands }).encode_in(format)
    };
    assert_eq!(of(executed).format(), format::LINKED);
    assert_eq!(Commands::executed_of(&value(executed, format::LINKED)), executed);
    assert_eq!(Commands::executed_of(&value(executed, format::CERTIFIED)), None);
    let commands = |executed, format| {
        let decoded = Decoded::new(&value(executed, format));
        let Decoded::Batch { commands, .. } = decoded else { panic!("{decoded:?}") };
        commands.is_ok()
    };
    let legal = [commands(executed, format::LINKED), commands(None, format::CERTIFIED)];
    let illegal = [commands(None, format::LINKED), commands(executed, format::CERTIFIED)];
    assert_eq!((legal, illegal), ([true; 2], [false; 2]));
}

#[test]
fn values_of_puts_are_found_in_a_batch_that_says_what_was_executed() {
    let key = "key".to_owned();
    let (value, content_type) = (Bytes::from_static(b"a value"), None);
    let op = Op::Put { key, value, content_type, condition: Condition::Always };
    let request = RequestIdentity::Drawn([1; 16]);
    let executed = LogPrefix { below: Slot(3), hash: ChainHash([7; 32]) };
    for executed in [None, Some(executed)] {
        let commands = Commands {
            time_ms: 5,
            wall_ms: 7,
            trace: None,
            answers: AnswerRetention::default(),
            commands: vec![Command { op: op.clone(), trace: None, request }],
            executed,
        };
        let (format, commands) = (commands.format(), commands.encode());
        let batch = Value::Batch(Batch { epoch: Epoch(1), number: BatchNumber(0), commands });
        let value = batch.encode_in(format);
        let ballot = Ballot { round: 1, coordinator: CoordinatorId(1) };
        let run = Run::new(vec![ChosenEntry { slot: Slot(3), ballot, value: value.clone() }]);
        let found = run.put_values(1);
        let [puts] = &found[..] else { panic!("{found:?}") };
        let [put] = &puts[..] else { panic!("{puts:?}") };
        assert_eq!(
            (&value[put.key.clone()], &value[put.value.clone()]),
            (&b"key"[..], &b"a value"[..])
        );
    }
}
