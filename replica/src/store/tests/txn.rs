//! Transactions on a real file: what they look at, whatever is unswept, and what is counted
//! of the prefixes that they delete.

use proptest::collection::vec;
use proptest::prelude::*;

use super::ranges::KEYS;
use super::*;
use crate::machine::execute::{CommandOutcome, SlotOutcome};
use crate::machine::txn::result::{TxnOutcome, TxnResult, counted_prefixes};
use crate::machine::txn::{Comparison, Guards, Relation, Txn, TxnGuard, TxnOp, TxnPut};

/// Of few keys, with values of one byte and guards on them.
pub(super) fn any_txn() -> impl Strategy<Value = Txn> {
    let key = || proptest::sample::select(&KEYS[..]).prop_map(str::to_owned);
    let prefix =
        || proptest::sample::select(vec!["", "a", "a/", "a/2", "b"]).prop_map(str::to_owned);
    let value = || any::<u8>().prop_map(|byte| Bytes::copy_from_slice(&[byte]));
    let put = |(key, value)| TxnOp::Put(Box::new(TxnPut { key, value, content_type: None }));
    let op = prop_oneof![
        4 => (key(), value()).prop_map(put),
        1 => key().prop_map(|key| TxnOp::Delete { key }),
        2 => prefix().prop_map(|prefix| TxnOp::DeletePrefix { prefix }),
        1 => key().prop_map(|key| TxnOp::Get { key }),
        3 => (prefix(), 0..4_u32).prop_map(|(prefix, limit)| TxnOp::GetPrefix { prefix, limit }),
    ];
    let comparison = prop_oneof![
        any::<bool>().prop_map(Comparison::Exists),
        value().prop_map(|value| Comparison::Value(Relation::Less, value)),
    ];
    let guard = (key(), comparison).prop_map(|(key, comparison)| TxnGuard { key, comparison });
    let ops = || vec(op.clone(), 0..5);
    (vec(guard, 0..2), ops(), ops()).prop_map(|(guards, then, otherwise)| Txn {
        guards,
        then,
        otherwise,
    })
}

fn put_op(key: &str, value: &[u8]) -> TxnOp {
    let (key, value) = (key.to_owned(), Bytes::copy_from_slice(value));
    TxnOp::Put(Box::new(TxnPut { key, value, content_type: None }))
}

fn delete_prefix(prefix: &str) -> TxnOp {
    TxnOp::DeletePrefix { prefix: prefix.to_owned() }
}

fn txn(then: Vec<TxnOp>) -> Op {
    Op::Txn(Box::new(Txn { then, ..Txn::default() }))
}

/// Executes a batch of one transaction.
async fn execute(store: &mut Store, number: u64, then: Vec<TxnOp>) -> TxnOutcome {
    let entry = batch(number + 1, number, vec![txn(then)]);
    let report = execute_and_store(&mut store.writer, vec![entry]).await.unwrap();
    let SlotOutcome::Batch { commands, .. } = &report.slots[0].outcome else { panic!("a batch") };
    let CommandOutcome::Txn(outcome) = &commands[0].outcome else { panic!("{commands:?}") };
    TxnOutcome::clone(outcome)
}

/// How many keys each deletion of a prefix deleted, as clients are told.
async fn deleted(store: &Store, branch: &[TxnOp], outcome: &TxnOutcome) -> Vec<u64> {
    let mut deleted = Vec::new();
    for (index, result) in outcome.results.iter().enumerate() {
        match result {
            TxnResult::Deleted { deleted: count } => deleted.push(*count),
            TxnResult::DeletedPrefix { besides } => {
                let prefixes = counted_prefixes(branch, index);
                let query = |prefix| CountQuery::of_prefix(prefix, outcome.revision);
                let mut count = store.reader.count(query(prefixes.all_of)).await.unwrap();
                for gone in prefixes.but_for {
                    count -= store.reader.count(query(gone)).await.unwrap();
                }
                deleted.push(count.checked_add_signed(*besides).unwrap());
            }
            TxnResult::Put { .. }
            | TxnResult::Got(_)
            | TxnResult::Listed { .. }
            | TxnResult::GotLeased(_)
            | TxnResult::ListedLeased { .. } => {}
        }
    }
    deleted
}

#[tokio::test]
async fn what_a_transaction_deleted_is_counted_however_far_it_is_swept() {
    let (_dir, mut store) = open_new().await;
    let ops = ["a/1", "a/2", "a/3", "a/x/1", "b"].map(|key| put(key, b"1")).to_vec();
    execute_and_store(&mut store.writer, vec![view(0, 1), batch(1, 0, ops)]).await.unwrap();
    store.writer.sweep_at_once(0);
    let then = vec![
        put_op("a/new", b"1"),
        TxnOp::Delete { key: "a/1".to_owned() },
        delete_prefix("a/x"),
        put_op("a/x/1", b"2"),
        delete_prefix("a/"),
        put_op("a/2", b"2"),
        put_op("a/late", b"2"),
        delete_prefix("a/3"),
        delete_prefix("c"),
    ];
    let outcome = execute(&mut store, 1, then.clone()).await;
    assert_eq!(outcome.guards, Guards::Hold);
    // `a/1`; `a/x/1`; `a/new`, `a/2`, `a/3` and `a/x/1` again; and nothing.
    let expected = [1, 1, 4, 0, 0];
    store.writer.sweep_at_once(1);
    assert_eq!(store.writer.unswept().prefixes, 2, "one within another is none of its own");
    while store.writer.unswept().prefixes > 0 {
        assert_eq!(deleted(&store, &then, &outcome).await, expected);
        store.writer.sweep().await.unwrap();
    }
    assert_eq!(deleted(&store, &then, &outcome).await, expected);
    let page = store.reader.list(list_all(), soon()).await.unwrap();
    assert_eq!(keys_of(&page), ["a/2", "a/late", "b"]);
    // And whatever is written later.
    execute(&mut store, 2, vec![put_op("a/3", b"3"), put_op("a/2", b"3")]).await;
    assert_eq!(deleted(&store, &then, &outcome).await, expected);
}

#[tokio::test]
async fn what_is_deleted_and_not_swept_is_not_read() {
    let (_dir, mut store) = open_new().await;
    let keys: Vec<String> = (0..300).map(|number| format!("p/{number:03}")).collect();
    let ops = keys.iter().map(|key| put(key, b"1")).collect();
    execute_and_store(&mut store.writer, vec![view(0, 1), batch(1, 0, ops)]).await.unwrap();
    store.writer.sweep_at_once(0);
    execute(&mut store, 1, vec![delete_prefix("p/0"), delete_prefix("p/1")]).await;
    execute(&mut store, 2, vec![put_op("p/150", b"2")]).await;
    assert_eq!(store.writer.unswept().prefixes, 2);
    let get = TxnOp::GetPrefix { prefix: "p/".to_owned(), limit: 2 };
    let outcome = execute(&mut store, 3, vec![get, TxnOp::Get { key: "p/000".to_owned() }]).await;
    let [TxnResult::Listed { items, has_more: true }, TxnResult::Got(None)] = &outcome.results[..]
    else {
        panic!("{outcome:?}")
    };
    let found: Vec<_> = items.iter().map(|item| (item.key.as_str(), &item.value[..])).collect();
    assert_eq!(found, [("p/150", &b"2"[..]), ("p/200", b"1")]);
}

#[tokio::test]
async fn the_ranges_of_one_revision_are_there_after_a_restart() {
    let (dir, mut store) = open_new().await;
    let ops = ["a/1", "a/2", "b/1", "b/2"].map(|key| put(key, b"1")).to_vec();
    execute_and_store(&mut store.writer, vec![view(0, 1), batch(1, 0, ops)]).await.unwrap();
    store.writer.sweep_at_once(1);
    execute(&mut store, 1, vec![delete_prefix("b/"), delete_prefix("a/")]).await;
    store.writer.close().await.unwrap();
    let mut store = open_in(dir.path()).await;
    let page = store.reader.list(list_all(), soon()).await.unwrap();
    assert_eq!((page.items.len(), store.writer.unswept().prefixes), (0, 2));
    while store.writer.unswept().prefixes > 0 {
        store.writer.sweep().await.unwrap();
    }
    let past = ListQuery { at: Some(Revision(4)), ..list_all() };
    let page = store.reader.list(past, soon()).await.unwrap();
    assert_eq!(keys_of(&page), ["a/1", "a/2", "b/1", "b/2"]);
    store.writer.close().await.unwrap();
    open_in(dir.path()).await;
}
