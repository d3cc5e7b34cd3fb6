//! What a slot holds, and the commands in a batch: opaque on their way, read by every
//! replica.

use bytes::Bytes;
use replica::machine::command::{
    AnswerRetention, Command, Commands, Condition, Op, TraceContext, Unreadable, limits,
};
use replica::machine::describe::describe;
use replica::machine::identity::RequestIdentity;
use replica::machine::txn::{Comparison, Relation, Txn, TxnGuard, TxnOp, TxnPut};
use shared::bounded::MAX_ELEMENTS;
use shared::ids::{BatchNumber, Epoch, Revision};
use shared::message::{Batch, Removal, Value};

use super::messages::view;
use super::short;

pub(super) fn value(bytes: &[u8]) {
    // What people see of it, whether or not it can be read.
    serde_json::to_string(&describe(bytes)).expect("a description is plain JSON");
    match Value::decode(bytes) {
        Err(error) => short(&error),
        Ok(value) => {
            let again = value.encode();
            assert_eq!(Value::decode(&again).expect("what is encoded is decoded"), value);
            assert!(
                again.len() <= bytes.len(),
                "{} bytes were read as a value of {}",
                bytes.len(),
                again.len()
            );
            match value {
                Value::Noop => {}
                Value::View(view) => {
                    assert!(view.backups.len() <= MAX_ELEMENTS, "{} backups", view.backups.len())
                }
                Value::Removal(Removal { view, replica }) => {
                    assert!(view.backups.len() <= MAX_ELEMENTS, "{} backups", view.backups.len());
                    assert!(!view.contains(&replica), "{replica} is out, and in {view:?}");
                }
                Value::Batch(batch) => commands(&batch.commands),
            }
        }
    }
}

pub(super) fn commands(bytes: &[u8]) {
    match Commands::decode(bytes) {
        Ok(commands) => {
            let again = commands.encode();
            assert_eq!(Commands::decode(&again).expect("what is encoded is decoded"), commands);
            assert!(
                again.len() <= bytes.len(),
                "{} bytes were read as commands of {}",
                bytes.len(),
                again.len()
            );
            assert!(
                commands.commands.len() <= limits::BATCH_COMMANDS,
                "{} commands",
                commands.commands.len()
            );
            let times = [commands.time_ms, commands.wall_ms];
            assert!(times.iter().all(|time| *time <= limits::TIME_MS), "the times are {times:?}");
            commands.commands.iter().for_each(|command| {
                command.op.check().expect("what is decoded is within the limits")
            });
        }
        Err(error) => {
            short(&error);
            if let Unreadable::OverLimit { actual, limit, .. } = &error {
                let (text, limit) = (error.to_string(), *limit);
                assert!(*actual > limit && text.contains(&limit.to_string()), "{text}");
            }
        }
    }
}

fn removal() -> Value {
    let replica = "replica-9".parse().expect("a name");
    Value::Removal(Removal { view: view(), replica })
}

pub(super) fn value_seeds() -> Vec<Vec<u8>> {
    let batch = |commands: Vec<u8>| {
        Value::Batch(Batch { epoch: Epoch(1), number: BatchNumber(300), commands: commands.into() })
    };
    let mut values = vec![Value::Noop, Value::View(view()), removal()];
    values.extend(commands_seeds().into_iter().map(batch));
    values.iter().map(|value| value.encode().to_vec()).collect()
}

pub(super) fn commands_seeds() -> Vec<Vec<u8>> {
    let trace = TraceContext { trace_id: [7; 16], span_id: [8; 8], flags: 1 };
    let of = |ops: Vec<Op>| Commands {
        time_ms: 86_400_000,
        wall_ms: 1_700_000_000_000,
        trace: Some(trace),
        answers: AnswerRetention::default(),
        commands: ops
            .into_iter()
            .map(|op| Command { op, trace: Some(trace), request: RequestIdentity::Drawn([1; 16]) })
            .collect(),
        executed: None,
    };
    [of(ops()), of(Vec::new()), Commands { trace: None, ..of(ops().split_off(2)) }]
        .iter()
        .map(|c| c.encode().to_vec())
        .collect()
}

/// One of each kind.
pub(super) fn ops() -> Vec<Op> {
    let put = |key: &str, condition| Op::Put {
        key: key.to_owned(),
        value: Bytes::from_static(b"value"),
        content_type: Some("text/plain".to_owned()),
        condition,
    };
    vec![
        put("a/1", Condition::Always),
        put("a/2", Condition::IfNoneMatchAny),
        put("a/1", Condition::IfMatch(vec![Revision(1)])),
        Op::Delete { key: "a/1".to_owned(), condition: Condition::IfMatchAny },
        Op::DeletePrefix { prefix: "a/".to_owned() },
        Op::Txn(Box::new(txn())),
    ]
}

/// With one of each kind of guard and operation.
fn txn() -> Txn {
    let guard = |comparison| TxnGuard { key: "a/1".to_owned(), comparison };
    let value = Bytes::from_static(b"value");
    let put = TxnPut {
        key: "a/3".to_owned(),
        value: value.clone(),
        content_type: Some("text/plain".to_owned()),
    };
    Txn {
        guards: vec![
            guard(Comparison::Exists(false)),
            guard(Comparison::Revision(Relation::NotEqual, Revision(1))),
            guard(Comparison::Version(Relation::Less, 1)),
            guard(Comparison::Value(Relation::Greater, value)),
        ],
        then: vec![TxnOp::Put(Box::new(put)), TxnOp::Get { key: "a/3".to_owned() }],
        otherwise: vec![
            TxnOp::Delete { key: "a/3".to_owned() },
            TxnOp::DeletePrefix { prefix: "a/".to_owned() },
            TxnOp::GetPrefix { prefix: "a".to_owned(), limit: 2 },
        ],
    }
}
