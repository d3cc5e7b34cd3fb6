//! Between the words of histories and those of the log: every command carries the number
//! of its call, as its trace and, in a put, as its value.

use bytes::Bytes;
use replica::machine::command::{Command, Condition, Op, TraceContext};
use replica::machine::identity::RequestIdentity;
use replica::machine::keys::Record;
use replica::machine::state::ReplicatedState;
use shared::ids::Revision;

use crate::linearizability::history::{Answer, Call, Guard, Key, OperationId, Seen, ValueId};
use crate::linearizability::listing::Page;

use super::client::Request;

/// The command of a client's mutation.
///
/// # Panics
/// When it is a read.
#[must_use]
pub fn command(request: &Request) -> Command {
    let op = match &request.call {
        Call::Put { key, value, guard } => Op::Put {
            key: key.to_string(),
            value: encode_value(*value, request.value_bytes),
            content_type: None,
            condition: condition(*guard),
        },
        Call::Delete { key, guard } => {
            Op::Delete { key: key.to_string(), condition: condition(*guard) }
        }
        Call::DeletePrefix { prefix } => Op::DeletePrefix { prefix: prefix.to_string() },
        Call::Read { .. } | Call::List { .. } => unreachable!("a read is no command"),
    };
    // One in four is sampled, so that batches with and without spans are made.
    let flags = u8::from(request.operation.0.is_multiple_of(4));
    let trace = trace(request.operation.0);
    let identity = RequestIdentity::Drawn(trace.trace_id);
    Command { op, trace: Some(TraceContext { flags, ..trace }), request: identity }
}

/// The call that a command stems from.
#[must_use]
pub fn operation(command: &Command) -> OperationId {
    let trace = command.trace.expect("a simulated command names its call");
    OperationId(u64::from_be_bytes(trace.span_id))
}

/// What a command asks for, in the words of histories.
#[must_use]
pub fn call(command: &Command) -> Call {
    match &command.op {
        Op::Put { key, value, condition, .. } => Call::Put {
            key: Key::from(key.as_str()),
            value: decode_value(value),
            guard: guard(condition),
        },
        Op::Delete { key, condition } => {
            Call::Delete { key: Key::from(key.as_str()), guard: guard(condition) }
        }
        Op::DeletePrefix { prefix } => Call::DeletePrefix { prefix: Key::from(prefix.as_str()) },
    }
}

/// A sampled trace of this number.
#[must_use]
pub fn trace(number: u64) -> TraceContext {
    let mut trace_id = [0; 16];
    trace_id[8..].copy_from_slice(&number.to_be_bytes());
    TraceContext { trace_id, span_id: number.to_be_bytes(), flags: 1 }
}

/// What a released read gets of the state: one key, or every key that it lists.
///
/// # Panics
/// When it is a mutation.
#[must_use]
pub fn read(call: &Call, state: &ReplicatedState) -> Answer {
    match call {
        Call::Read { key, .. } => Answer::Read(state.keys().get(key).map(seen)),
        Call::List { listing, .. } => {
            let listed = listing.among(state.keys().records()).into_iter();
            let items =
                listed.map(|(key, record)| (Key::from(key.as_str()), seen(record))).collect();
            Answer::Listed(Page { items, has_more: false })
        }
        Call::Put { .. } | Call::Delete { .. } | Call::DeletePrefix { .. } => {
            unreachable!("only reads are released")
        }
    }
}

fn seen(record: &Record) -> Seen {
    let content = record.content.as_ref().expect("a complete state has its contents");
    Seen { value: decode_value(&content.value), modified: record.revision.0 }
}

fn encode_value(value: ValueId, bytes: u64) -> Bytes {
    let mut encoded = vec![0; usize::try_from(bytes).expect("small").max(8)];
    encoded[..8].copy_from_slice(&value.to_be_bytes());
    Bytes::from(encoded)
}

fn decode_value(bytes: &[u8]) -> ValueId {
    let (head, _) =
        bytes.split_first_chunk::<8>().expect("a simulated value begins with its number");
    u64::from_be_bytes(*head)
}

fn condition(guard: Guard) -> Condition {
    match guard {
        Guard::Always => Condition::Always,
        Guard::Revision(revision) => Condition::IfMatch(vec![Revision(revision)]),
        Guard::Exists => Condition::IfMatchAny,
        Guard::Absent => Condition::IfNoneMatchAny,
    }
}

fn guard(condition: &Condition) -> Guard {
    match condition {
        Condition::Always => Guard::Always,
        Condition::IfMatch(revisions) => match revisions.as_slice() {
            [revision] => Guard::Revision(revision.0),
            several => panic!("the simulation's clients name one revision, not {several:?}"),
        },
        Condition::IfMatchAny => Guard::Exists,
        Condition::IfNoneMatchAny => Guard::Absent,
    }
}
