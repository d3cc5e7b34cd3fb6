//! Between transactions and the replicated log.

use std::sync::Arc;

use replica::machine::outcome::CommandOutcome;
use replica::machine::txn::result::{LeasedItem, TxnItem, TxnOutcome, TxnResult, counted_prefixes};
use replica::machine::txn::{Comparison, Guards, Relation, Txn, TxnGuard, TxnOp, TxnPut};
use shared::ids::Revision;

use crate::operations::transaction::{Step, StepResult, Taken, Transaction};
use crate::operations::{Change, Executed, Guard, Key, Value, Version};

/// As it stands in the log.
pub(super) fn op(transaction: &Transaction) -> Txn {
    let Transaction { guards, then, otherwise } = transaction;
    Txn {
        guards: guards.iter().flat_map(|(key, guard)| txn_guard(key, *guard)).collect(),
        then: then.iter().map(txn_op).collect(),
        otherwise: otherwise.iter().map(txn_op).collect(),
    }
}

fn txn_guard(key: &Key, guard: Guard) -> Option<TxnGuard> {
    let comparison = match guard {
        Guard::Always => return None,
        Guard::Revision(revision) => Comparison::Revision(Relation::Equal, Revision(revision)),
        Guard::Exists => Comparison::Exists(true),
        Guard::Absent => Comparison::Exists(false),
    };
    Some(TxnGuard { key: key.to_string(), comparison })
}

fn txn_op(step: &Step) -> TxnOp {
    match step {
        Step::Put { key, value } => TxnOp::Put(Box::new(TxnPut {
            key: key.to_string(),
            value: value.encode(),
            content_type: None,
        })),
        Step::Delete { key } => TxnOp::Delete { key: key.to_string() },
        Step::DeletePrefix { prefix } => TxnOp::DeletePrefix { prefix: prefix.to_string() },
        Step::Read { key } => TxnOp::Get { key: key.to_string() },
        Step::List { prefix, limit } => TxnOp::GetPrefix {
            prefix: prefix.to_string(),
            limit: u32::try_from(*limit).expect("a page of few items"),
        },
    }
}

/// What it asks for.
///
/// # Panics
/// When it compares what no client of the tests does.
pub(super) fn call(txn: &Txn) -> Transaction {
    let Txn { guards, then, otherwise } = txn;
    let guard = |guard: &TxnGuard| {
        let of = match &guard.comparison {
            Comparison::Exists(true) => Guard::Exists,
            Comparison::Exists(false) => Guard::Absent,
            Comparison::Revision(Relation::Equal, revision) => Guard::Revision(revision.0),
            other
            @ (Comparison::Revision(..) | Comparison::Version(..) | Comparison::Value(..)) => {
                panic!("the clients of tests do not compare {other:?}")
            }
        };
        (Key::from(guard.key.as_str()), of)
    };
    Transaction {
        guards: guards.iter().map(guard).collect(),
        then: then.iter().map(step).collect(),
        otherwise: otherwise.iter().map(step).collect(),
    }
}

fn step(op: &TxnOp) -> Step {
    match op {
        TxnOp::Put(put) => {
            Step::Put { key: Key::from(put.key.as_str()), value: Value::decode(&put.value) }
        }
        TxnOp::LeasedPut(..) => panic!("the clients of tests bind no keys in transactions"),
        TxnOp::Delete { key } => Step::Delete { key: Key::from(key.as_str()) },
        TxnOp::DeletePrefix { prefix } => Step::DeletePrefix { prefix: Key::from(prefix.as_str()) },
        TxnOp::Get { key } => Step::Read { key: Key::from(key.as_str()) },
        TxnOp::GetPrefix { prefix, limit } => {
            Step::List { prefix: Key::from(prefix.as_str()), limit: *limit as usize }
        }
    }
}

/// What an executed transaction's client hears, given how many keys with a prefix are to be
/// counted for its revision.
pub(super) fn answer(
    transaction: &Transaction,
    outcome: &TxnOutcome,
    counted: impl Fn(Revision, &str) -> u64,
) -> Taken {
    let txn = op(transaction);
    let branch = txn.branch(outcome.guards);
    let result = |(index, result): (usize, &TxnResult)| match result {
        TxnResult::Put { created_revision, version } => {
            StepResult::Put { created: created_revision.0, version: *version }
        }
        TxnResult::Deleted { deleted } => StepResult::Deleted(*deleted),
        TxnResult::DeletedPrefix { besides } => {
            let prefixes = counted_prefixes(branch, index);
            let count = |prefix: &str| counted(outcome.revision, prefix);
            let gone: u64 = prefixes.but_for.into_iter().map(count).sum();
            let deleted = (count(prefixes.all_of) - gone).checked_add_signed(*besides);
            StepResult::Deleted(deleted.expect("no fewer than none are deleted"))
        }
        TxnResult::Got(item) => StepResult::Read(item.as_deref().map(version)),
        TxnResult::GotLeased(leased) => StepResult::Read(Some(version(&leased.item))),
        TxnResult::ListedLeased { items, has_more } => {
            let item =
                |leased: &LeasedItem| (Key::from(leased.item.key.as_str()), version(&leased.item));
            StepResult::Listed { items: items.iter().map(item).collect(), has_more: *has_more }
        }
        TxnResult::Listed { items, has_more } => StepResult::Listed {
            items: items.iter().map(|it| (Key::from(it.key.as_str()), version(it))).collect(),
            has_more: *has_more,
        },
    };
    let results = outcome.results.iter().enumerate().map(result).collect();
    let wrote = branch.iter().any(TxnOp::is_write);
    Taken { succeeded: outcome.guards == Guards::Hold, wrote, results }
}

fn version(item: &TxnItem) -> Version {
    Version {
        value: Value::decode(&item.value),
        modified: item.revision.0,
        created: item.created_revision.0,
        version: item.version,
    }
}

/// The outcome without the leases of what was read.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others name no leases")]
pub(super) fn without_leases(outcome: &TxnOutcome) -> CommandOutcome {
    let result = |result: &TxnResult| match result {
        TxnResult::GotLeased(leased) => TxnResult::Got(Some(Box::new(leased.item.clone()))),
        TxnResult::ListedLeased { items, has_more } => TxnResult::Listed {
            items: items.iter().map(|leased| leased.item.clone()).collect(),
            has_more: *has_more,
        },
        other => other.clone(),
    };
    let results = outcome.results.iter().map(result).collect();
    CommandOutcome::Txn(Arc::new(TxnOutcome { results, ..outcome.clone() }))
}

/// What the outcome must be of one that the reference has executed.
pub(super) fn outcome(
    transaction: &Transaction,
    taken: &Taken,
    executed: &Executed,
) -> CommandOutcome {
    let txn = op(transaction);
    let guards = if taken.succeeded { Guards::Hold } else { Guards::Fail };
    let branch = txn.branch(guards);
    let of =
        |(index, result): (usize, &StepResult)| expected(branch, index, result, &executed.changes);
    let results = taken.results.iter().enumerate().map(of).collect();
    let revision = Revision(executed.revision);
    CommandOutcome::Txn(Arc::new(TxnOutcome { revision, guards, results }))
}

fn expected(branch: &[TxnOp], index: usize, result: &StepResult, changes: &[Change]) -> TxnResult {
    match result {
        StepResult::Put { created, version } => {
            TxnResult::Put { created_revision: Revision(*created), version: *version }
        }
        StepResult::Deleted(deleted) => match branch[index].deleted_prefix() {
            Some(prefix) if !is_covered(&branch[..index], prefix) => {
                let is_of = |prefix: &str| {
                    let is_in = |change: &&Change| change.key.starts_with(prefix);
                    i64::try_from(changes.iter().filter(is_in).count()).expect("few changes")
                };
                let prefixes = counted_prefixes(branch, index);
                let gone: i64 = prefixes.but_for.into_iter().map(is_of).sum();
                let counted = is_of(prefixes.all_of) - gone;
                let deleted = i64::try_from(*deleted).expect("few keys");
                TxnResult::DeletedPrefix { besides: deleted - counted }
            }
            Some(_) | None => TxnResult::Deleted { deleted: *deleted },
        },
        StepResult::Read(version) => {
            let key = branch[index].key().expect("a read is of a key");
            TxnResult::Got(version.map(|version| Box::new(item(key, version))))
        }
        StepResult::Listed { items, has_more } => TxnResult::Listed {
            items: items.iter().map(|(key, version)| item(key, *version)).collect(),
            has_more: *has_more,
        },
    }
}

fn is_covered(earlier: &[TxnOp], prefix: &str) -> bool {
    earlier.iter().filter_map(TxnOp::deleted_prefix).any(|earlier| prefix.starts_with(earlier))
}

fn item(key: &str, version: Version) -> TxnItem {
    TxnItem {
        key: key.to_owned(),
        value: version.value.encode(),
        content_type: None,
        revision: Revision(version.modified),
        created_revision: Revision(version.created),
        version: version.version,
    }
}
