//! A transaction against a plain map, to which its operations are done one after another.

use std::collections::BTreeMap;

use proptest::prelude::*;
use shared::ids::LeaseId;

use super::super::drawn::{any_op, any_txn};
use super::super::properties::Database;
use super::*;
use crate::machine::txn::result::{LeasedItem, counted_prefixes};

/// A key of the map.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plain {
    content: Content,
    revision: u64,
    created: u64,
    version: u64,
    lease: Option<LeaseId>,
}

type Map = BTreeMap<String, Plain>;

fn plain(state: &ReplicatedState) -> Map {
    let of = |(key, record): (&String, &Record)| {
        let Record { revision, created_revision, version, lease, content, .. } = record.clone();
        let (revision, created) = (revision.0, created_revision.0);
        (key.clone(), Plain { content: content.unwrap(), revision, created, version, lease })
    };
    state.keys().records().iter().map(of).collect()
}

fn shown(key: &str, plain: &Plain) -> LeasedItem {
    let Plain { content: Content { value, content_type }, revision, created, version, lease } =
        plain.clone();
    let item = TxnItem {
        key: key.to_owned(),
        value,
        content_type,
        revision: Revision(revision),
        created_revision: Revision(created),
        version,
    };
    LeasedItem { item, lease }
}

fn holds(map: &Map, guard: &TxnGuard) -> bool {
    let found = map.get(&guard.key);
    let is = |relation: Relation, order: std::cmp::Ordering| match relation {
        Relation::Equal => order.is_eq(),
        Relation::NotEqual => !order.is_eq(),
        Relation::Less => order.is_lt(),
        Relation::Greater => order.is_gt(),
    };
    match &guard.comparison {
        Comparison::Exists(exists) => found.is_some() == *exists,
        Comparison::Revision(relation, number) => {
            is(*relation, found.map_or(0, |plain| plain.revision).cmp(&number.0))
        }
        Comparison::Version(relation, number) => {
            is(*relation, found.map_or(0, |plain| plain.version).cmp(number))
        }
        Comparison::Value(relation, value) => match found {
            Some(plain) => is(*relation, plain.content.value.cmp(value)),
            None => *relation == Relation::NotEqual,
        },
    }
}

fn execute(map: &mut Map, op: &TxnOp, revision: u64) -> TxnResult {
    match op {
        TxnOp::Put(put) | TxnOp::LeasedPut(_, put) => {
            let (lease, TxnPut { key, value, content_type }) = (op.lease(), *put.clone());
            let content = Content { value, content_type };
            let before = map.get(&key);
            let (created, version) =
                before.map_or((revision, 1), |plain| (plain.created, plain.version + 1));
            map.insert(key, Plain { content, revision, created, version, lease });
            written(created, version)
        }
        TxnOp::Delete { key } => {
            TxnResult::Deleted { deleted: u64::from(map.remove(key).is_some()) }
        }
        TxnOp::DeletePrefix { prefix } => {
            let before = map.len();
            map.retain(|key, _| !key.starts_with(prefix));
            TxnResult::Deleted { deleted: (before - map.len()) as u64 }
        }
        TxnOp::Get { key } => TxnResult::got(map.get(key).map(|plain| shown(key, plain))),
        TxnOp::GetPrefix { prefix, limit } => {
            let limit = *limit as usize;
            let all: Vec<LeasedItem> = map
                .iter()
                .filter(|(key, _)| key.starts_with(prefix))
                .map(|(key, plain)| shown(key, plain))
                .collect();
            let has_more = all.len() > limit;
            TxnResult::listed(all.into_iter().take(limit).collect(), has_more)
        }
    }
}

/// The results as clients get them: with what is counted in the state before, as the store
/// counts it, by the rows of the revision.
fn counted(outcome: &TxnOutcome, branch: &[TxnOp], rows: &[VersionRow]) -> Vec<TxnResult> {
    let count = |prefix: &str| {
        let is_of =
            |row: &&VersionRow| row.revision == outcome.revision && row.key.starts_with(prefix);
        rows.iter().filter(is_of).count() as u64
    };
    let result = |(index, result): (usize, &TxnResult)| match result {
        TxnResult::DeletedPrefix { besides } => {
            let prefixes = counted_prefixes(branch, index);
            let gone: u64 = prefixes.but_for.into_iter().map(count).sum();
            let deleted = (count(prefixes.all_of) - gone).checked_add_signed(*besides).unwrap();
            TxnResult::Deleted { deleted }
        }
        other @ (TxnResult::Put { .. }
        | TxnResult::Deleted { .. }
        | TxnResult::Got(_)
        | TxnResult::Listed { .. }
        | TxnResult::GotLeased(_)
        | TxnResult::ListedLeased { .. }) => other.clone(),
    };
    outcome.results.iter().enumerate().map(result).collect()
}

proptest! {
    #[test]
    fn a_transaction_is_its_operations_one_after_another(
        before in proptest::collection::vec(any_op(), 0..12),
        txn in any_txn(),
    ) {
        let mut state = state_after(before);
        let mut map = plain(&state);
        let last = state.meta().revision.0;
        let outcome = outcome_of(&mut state, Op::Txn(Box::new(txn.clone())));
        let guards = if txn.guards.iter().all(|guard| holds(&map, guard)) {
            Guards::Hold
        } else {
            Guards::Fail
        };
        let branch = txn.branch(guards);
        let is_gone = |lease: &LeaseId| state.leases().get(*lease).is_none();
        if let Some(lease) = branch.iter().filter_map(TxnOp::lease).find(is_gone) {
            let revision = Revision(last);
            prop_assert_eq!(outcome, CommandOutcome::NoSuchLease { revision, lease });
            prop_assert_eq!(plain(&state), map);
            return Ok(());
        }
        let outcome = taken(outcome);
        let expected: Vec<TxnResult> =
            branch.iter().map(|op| execute(&mut map, op, last + 1)).collect();
        let revision = last + u64::from(branch.iter().any(TxnOp::is_write));
        prop_assert_eq!((outcome.guards, outcome.revision), (guards, Revision(revision)));
        let rows = state.take_rows().keys.versions;
        prop_assert_eq!(counted(&outcome, branch, &rows), expected);
        prop_assert_eq!(plain(&state), map);
        let mut keys: Vec<_> = rows.iter().map(|row| (row.key.clone(), row.revision)).collect();
        let written = keys.len();
        keys.sort();
        keys.dedup();
        prop_assert_eq!(keys.len(), written, "a row for a key and revision");
    }

    #[test]
    fn a_state_that_is_loaded_in_rounds_comes_to_the_same(
        before in proptest::collection::vec(any_op(), 0..12),
        txns in proptest::collection::vec(any_txn(), 1..4),
        round_lookups in 1..4_usize,
    ) {
        let ops = txns.into_iter().map(|txn| Op::Txn(Box::new(txn))).collect();
        let log = [
            entry(0, Value::View(view(1)).encode()),
            entry(1, batch(1, 0, before)),
            entry(2, batch(1, 1, ops)),
        ];
        let mut complete = ReplicatedState::complete();
        let expected = Run::new(log.to_vec()).apply(&mut complete);
        let mut database = Database::new(round_lookups);
        let slots: Vec<_> = [&log[..2], &log[2..]].into_iter().flat_map(|run| database.execute(run).slots).collect();
        prop_assert_eq!(slots, expected.slots);
        prop_assert_eq!(database.records(), complete.keys().records());
    }
}
