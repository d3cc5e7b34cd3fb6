//! Between operations and the replicated log: every command carries the number of its
//! operation in its trace.

mod access;
mod tenure;
mod transaction;

use replica::machine::command::{Command, Condition, Op, TraceContext};
use replica::machine::identity::RequestIdentity;
use replica::machine::keys::Record;
use replica::machine::outcome::{CommandOutcome, RollbackRefused};
use replica::machine::state::ReplicatedState;
use shared::ids::{Revision, Slot};

use super::{
    Answer, Call, Executed, Guard, Key, OperationId, Page, Reference, Seen, Value, Version,
};

/// The sampled trace of an operation. The nonce tells the operations of one run from
/// those of others.
#[must_use]
pub fn trace(nonce: u64, operation: OperationId) -> TraceContext {
    let trace_id = (u128::from(nonce) << 64 | u128::from(operation.0)).to_be_bytes();
    TraceContext { trace_id, span_id: operation.0.to_be_bytes(), flags: 1 }
}

/// The operation that a command stems from; none: one of no run with this nonce.
#[must_use]
pub fn operation(command: &Command, nonce: u64) -> Option<OperationId> {
    let trace = u128::from_be_bytes(command.trace?.trace_id);
    let id = u64::try_from(trace & u128::from(u64::MAX)).expect("the lower half of 128 bits");
    (trace >> 64 == u128::from(nonce)).then_some(OperationId(id))
}

/// The command of a mutation, whose request is known by its trace.
///
/// # Panics
/// When it is a read.
#[must_use]
pub fn command(call: &Call, trace: TraceContext) -> Command {
    let op = match call {
        Call::Put { key, value, guard } => Op::Put {
            key: key.to_string(),
            value: value.encode(),
            content_type: None,
            condition: condition(*guard),
        },
        Call::Delete { key, guard } => {
            Op::Delete { key: key.to_string(), condition: condition(*guard) }
        }
        Call::DeletePrefix { prefix } => Op::DeletePrefix { prefix: prefix.to_string() },
        Call::Transaction(asked) => Op::Txn(Box::new(transaction::op(asked))),
        Call::Append { value } => Op::Append { value: value.encode(), content_type: None },
        Call::Rollback { prefix, to } => {
            Op::Rollback { prefix: prefix.to_string(), revision: Revision(*to) }
        }
        Call::Tenure(asked) => tenure::op(asked),
        Call::Compact { below } => Op::Compact { below: Revision(*below) },
        Call::Access(asked) => access::op(asked),
        Call::Read { .. } | Call::List { .. } => unreachable!("a read is no command"),
    };
    Command { op, trace: Some(trace), request: RequestIdentity::Drawn(trace.trace_id) }
}

/// The same command by the first token, where it is by none yet: what it asks for is the same.
#[must_use]
pub fn by_root(command: Command) -> Command {
    if matches!(command.op, Op::Access(_)) || command.op.by().is_some() {
        return command;
    }
    let op = command.op.attributed(Some(access::accessor(super::access::ROOT)));
    Command { op, ..command }
}

/// What a command asks for.
///
/// # Panics
/// When its guard names several revisions, which no client of the tests does.
#[must_use]
pub fn call(command: &Command) -> Call {
    if let Some(asked) = access::call(&command.op) {
        return Call::Access(asked);
    }
    match command.op.unattributed() {
        Op::Put { key, value, condition, .. } => Call::Put {
            key: Key::from(key.as_str()),
            value: Value::decode(value),
            guard: guard(condition),
        },
        Op::Delete { key, condition } => {
            Call::Delete { key: Key::from(key.as_str()), guard: guard(condition) }
        }
        Op::DeletePrefix { prefix } => Call::DeletePrefix { prefix: Key::from(prefix.as_str()) },
        Op::Txn(txn) => Call::Transaction(transaction::call(txn)),
        Op::Append { value, .. } => Call::Append { value: Value::decode(value) },
        Op::Rollback { prefix, revision } => {
            Call::Rollback { prefix: Key::from(prefix.as_str()), to: revision.0 }
        }
        Op::LeasedPut { .. } | Op::Lease(_) | Op::Lock(_) | Op::Fenced(_) => {
            Call::Tenure(tenure::call(command.op.unattributed()))
        }
        Op::Compact { below } => Call::Compact { below: below.0 },
        Op::Access(_) | Op::Attributed { .. } | Op::Issued { .. } | Op::Certified { .. } => {
            unreachable!("{:?} is told above", command.op)
        }
    }
}

/// What an executed command's client hears. How many keys a prefix had is not in the
/// outcome: whoever answers counts those that a revision changed.
///
/// # Panics
/// When it is not an outcome of the call.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others are not about it")]
#[must_use]
pub fn answer(
    call: &Call,
    outcome: &CommandOutcome,
    counted: impl Fn(Revision, &str) -> u64,
) -> Answer {
    if let Call::Tenure(_) = call {
        return Answer::Tenure(tenure::answer(outcome, counted));
    }
    if let Call::Access(_) = call {
        return Answer::Access(access::answer(outcome));
    }
    match outcome {
        CommandOutcome::Created { .. } | CommandOutcome::Replaced { .. } => Answer::Put,
        CommandOutcome::Deleted { deleted, .. } => Answer::Deleted(*deleted),
        CommandOutcome::DeletedPrefix { revision } => {
            let Call::DeletePrefix { prefix } = call else { panic!("{call:?}: {outcome:?}") };
            Answer::Deleted(counted(*revision, prefix))
        }
        CommandOutcome::Txn(outcome) => {
            let Call::Transaction(asked) = call else { panic!("{call:?}: {outcome:?}") };
            Answer::Transaction(transaction::answer(asked, outcome, counted))
        }
        CommandOutcome::TxnTooLarge { .. } | CommandOutcome::TxnWithoutRoom { .. } => {
            unreachable!("the transactions of tests read little")
        }
        CommandOutcome::Appended { .. } => Answer::Appended,
        CommandOutcome::RolledBack { restored, deleted, .. } => {
            Answer::RolledBack { restored: *restored, deleted: *deleted }
        }
        CommandOutcome::RollbackRefused { why: RollbackRefused::Future { .. }, .. } => {
            Answer::NotYet
        }
        CommandOutcome::RollbackRefused {
            why: RollbackRefused::Compacted { oldest, .. }, ..
        } => Answer::Gone { oldest: oldest.0 },
        CommandOutcome::Compacted { below, .. } => Answer::Compacted { below: below.0 },
        CommandOutcome::CompactionAhead { .. } => Answer::NotYet,
        CommandOutcome::RollbackRefused { why, .. } => {
            unreachable!("the roll-backs of tests change little of what is kept: {why}")
        }
        CommandOutcome::PreconditionFailed { .. } => Answer::GuardFailed,
        CommandOutcome::KeyReused { .. } | CommandOutcome::TooManyKeys { .. } => {
            unreachable!("clients use a key for one request, and hear nothing where it has no room")
        }
        other => unreachable!("{other:?} is no outcome of {call:?}"),
    }
}

/// What the outcome of a command must be that the reference has executed, and that stands
/// in this slot.
///
/// # Panics
/// When it was a read.
#[must_use]
pub fn outcome(call: &Call, executed: &Executed, slot: Slot) -> CommandOutcome {
    let revision = Revision(executed.revision);
    match (call, &executed.answer) {
        (_, Answer::GuardFailed) => CommandOutcome::PreconditionFailed {
            revision,
            current: executed.before.map(|key| Revision(key.modified)),
        },
        (Call::Put { .. }, _) => written(executed),
        (Call::Delete { .. }, _) => {
            CommandOutcome::Deleted { revision, deleted: executed.changes.len() as u64 }
        }
        (Call::DeletePrefix { .. }, _) => CommandOutcome::DeletedPrefix { revision },
        (Call::Transaction(asked), Answer::Transaction(taken)) => {
            transaction::outcome(asked, taken, executed)
        }
        (Call::Append { .. }, _) => CommandOutcome::Appended { revision, slot },
        (Call::Rollback { .. }, Answer::RolledBack { restored, deleted }) => {
            CommandOutcome::RolledBack { revision, restored: *restored, deleted: *deleted }
        }
        (Call::Rollback { to, .. }, Answer::Gone { oldest }) => {
            let (asked, oldest) = (Revision(*to), Revision(*oldest));
            let why = RollbackRefused::Compacted { asked, oldest };
            CommandOutcome::RollbackRefused { revision, why }
        }
        (Call::Compact { .. }, Answer::Compacted { below }) => {
            CommandOutcome::Compacted { revision, below: Revision(*below) }
        }
        (Call::Compact { below }, _) => {
            CommandOutcome::CompactionAhead { revision, asked: Revision(*below) }
        }
        (Call::Rollback { to, .. }, _) => {
            let why = RollbackRefused::Future { asked: Revision(*to) };
            CommandOutcome::RollbackRefused { revision, why }
        }
        (Call::Tenure(asked), Answer::Tenure(answer)) => tenure::outcome(asked, *answer, executed),
        (Call::Access(asked), Answer::Access(answer)) => access::outcome(asked, *answer, executed),
        (Call::Access(_), other) => unreachable!("a token or a policy is answered {other:?}"),
        (Call::Tenure(_), other) => unreachable!("a lease or a lock is answered {other:?}"),
        (Call::Transaction(_), other) => unreachable!("a transaction is answered {other:?}"),
        (Call::Read { .. } | Call::List { .. }, _) => unreachable!("a read is no command"),
    }
}

/// The outcome without what it says of the leases of keys that a transaction read: the
/// reference does not say it, and the state is held against it in any case.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others are not about it")]
#[must_use]
pub fn without_leases(outcome: &CommandOutcome) -> CommandOutcome {
    match outcome {
        CommandOutcome::Txn(txn) => transaction::without_leases(txn),
        other => other.clone(),
    }
}

/// What a put comes to.
fn written(executed: &Executed) -> CommandOutcome {
    let revision = Revision(executed.revision);
    match (executed.before, executed.changes[0].after) {
        (Some(_), Some(after)) => CommandOutcome::Replaced {
            revision,
            created_revision: Revision(after.created),
            version: after.version,
        },
        (None, _) | (Some(_), None) => CommandOutcome::Created { revision },
    }
}

/// What a read gets of a replica's state: one key, or every key that it lists.
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
        Call::Put { .. }
        | Call::Delete { .. }
        | Call::DeletePrefix { .. }
        | Call::Transaction(_)
        | Call::Append { .. }
        | Call::Rollback { .. }
        | Call::Tenure(_)
        | Call::Compact { .. }
        | Call::Access(_) => unreachable!("only reads are released"),
    }
}

/// Whether a replica's state is that of the reference.
#[must_use]
pub fn is_state_of(state: &ReplicatedState, reference: &Reference) -> bool {
    let records =
        state.keys().records().iter().map(|(key, record)| (key.as_str(), version(record)));
    state.meta().revision.0 == reference.revision()
        && state.meta().compacted_below.0 == reference.oldest()
        && tenure::is_of(state, reference.tenure())
        && access::is_of(state, reference.permissions())
        && records.eq(reference.keys().iter().map(|(key, version)| (&**key, *version)))
}

fn version(record: &Record) -> Version {
    let Seen { value, modified } = seen(record);
    Version { value, modified, created: record.created_revision.0, version: record.version }
}

fn seen(record: &Record) -> Seen {
    let content = record.content.as_ref().expect("a complete state has its contents");
    Seen { value: Value::decode(&content.value), modified: record.revision.0 }
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
            several => panic!("the clients of tests name one revision, not {several:?}"),
        },
        Condition::IfMatchAny => Guard::Exists,
        Condition::IfNoneMatchAny => Guard::Absent,
    }
}
