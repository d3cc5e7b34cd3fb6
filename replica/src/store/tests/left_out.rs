//! Values that are stored once, and read back in the log as they were chosen.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::machine::access::subject::{Author, Subject};
use crate::machine::txn::{Comparison, Txn, TxnGuard, TxnOp, TxnPut};
use crate::store::left_out::SHORT_BYTES;
use shared::ids::Accessor;

fn any_op() -> impl Strategy<Value = Op> {
    let key = (0..4_usize).prop_map(|n| ["a", "a/1", "b", "b/1"][n].to_owned());
    let length = prop_oneof![0..200_usize, Just(SHORT_BYTES - 1), Just(SHORT_BYTES), Just(40_000)];
    let value = (any::<u8>(), length).prop_map(|(byte, length)| Bytes::from(vec![byte; length]));
    let condition = prop_oneof![
        3 => Just(Condition::Always),
        1 => Just(Condition::IfNoneMatchAny),
        1 => Just(Condition::IfMatch(vec![Revision(3)])),
    ];
    let content_type = proptest::option::of(Just("text/plain".to_owned()));
    let op = prop_oneof![
        6 => (key.clone(), value, content_type, condition)
            .prop_map(|(key, value, content_type, condition)| Op::Put { key, value, content_type, condition }),
        1 => key.clone().prop_map(|key| delete(&key)),
        1 => key.prop_map(|prefix| Op::DeletePrefix { prefix }),
        4 => any_txn().prop_map(|txn| Op::Txn(Box::new(txn))),
    ];
    let subject = Subject { issuer: "https://issuer".to_owned(), subject: "ci".to_owned() };
    let policies = vec!["app".parse().expect("it is a name")];
    let author = prop_oneof![
        8 => Just(None),
        1 => any::<u64>().prop_map(|by| Some(Author::Token(Accessor(by)))),
        1 => Just(Some(Author::Issued(subject.clone(), policies))),
        1 => Just(Some(Author::Certified(subject))),
    ];
    (op, author).prop_map(|(op, author)| op.done_by(author))
}

/// One that puts the same keys again and again, in both branches.
fn any_txn() -> impl Strategy<Value = Txn> {
    let key = || (0..4_usize).prop_map(|n| ["a", "a/1", "b", "b/1"][n].to_owned());
    let length = prop_oneof![Just(SHORT_BYTES - 1), Just(SHORT_BYTES), Just(300), Just(20_000)];
    let value = (any::<u8>(), length).prop_map(|(byte, length)| Bytes::from(vec![byte; length]));
    let put = |(key, value)| TxnOp::Put(Box::new(TxnPut { key, value, content_type: None }));
    let op = prop_oneof![
        5 => (key(), value).prop_map(put),
        1 => key().prop_map(|key| TxnOp::Delete { key }),
        1 => key().prop_map(|prefix| TxnOp::DeletePrefix { prefix }),
        1 => key().prop_map(|key| TxnOp::Get { key }),
    ];
    let guard = (key(), any::<bool>())
        .prop_map(|(key, exists)| TxnGuard { key, comparison: Comparison::Exists(exists) });
    let ops = || vec(op.clone(), 0..5);
    (vec(guard, 0..2), ops(), ops()).prop_map(|(guards, then, otherwise)| Txn {
        guards,
        then,
        otherwise,
    })
}

/// Batches, of which some come out of their order, and bytes that are none.
fn any_log() -> impl Strategy<Value = Vec<ChosenEntry>> {
    let chosen = prop_oneof![
        8 => (Just(None::<Vec<u8>>), vec(any_op(), 0..5)),
        1 => vec(any::<u8>(), 0..200).prop_map(|junk| (Some(junk), Vec::new())),
    ];
    vec((chosen, 0..6_u64), 1..12).prop_map(|chosen| {
        let mut number = 0;
        let mut log = vec![view(0, 1)];
        for ((junk, ops), turn) in chosen {
            let slot = log.len() as u64;
            let due = if turn == 0 { number + 7 } else { number };
            let entry = batch(slot, due, ops);
            match junk {
                Some(junk) => log.push(ChosenEntry { value: junk.into(), ..entry }),
                None => {
                    number += u64::from(turn != 0);
                    log.push(entry);
                }
            }
        }
        log
    })
}

async fn read_log(store: &Store) -> Vec<Bytes> {
    let query =
        LogQuery { from: Slot(0), page: PageLimits { items: usize::MAX, bytes: usize::MAX } };
    store.reader.log(query).await.unwrap().rows.into_iter().map(|row| row.value).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_read_back_byte_for_byte(log in any_log(), run in 1..5_usize) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (written, read, after) = runtime.block_on(async {
            let (dir, mut store) = open_new().await;
            for entries in log.chunks(run) {
                execute_and_store(&mut store.writer, entries.to_vec()).await.unwrap();
            }
            let read = read_log(&store).await;
            store.writer.close().await.unwrap();
            // With every check of a start.
            let again = open_in(dir.path()).await;
            (log.iter().map(|entry| entry.value.clone()).collect::<Vec<_>>(), read, read_log(&again).await)
        });
        prop_assert_eq!(&read, &written);
        prop_assert_eq!(&after, &written);
    }
}

#[tokio::test]
async fn a_value_that_was_put_is_stored_once_and_one_that_was_not_stays_in_the_log() {
    const LARGE: usize = 100_000;
    let (dir, mut store) = open_new().await;
    let refused = Op::Put {
        key: "a".into(),
        value: vec![2; LARGE].into(),
        content_type: None,
        condition: Condition::IfNoneMatchAny,
    };
    let ops = vec![put("a", &[1; LARGE]), refused, put("b", &[3; LARGE]), put("b", &[4; 10])];
    execute_and_store(&mut store.writer, vec![view(0, 1), batch(1, 0, ops)]).await.unwrap();
    let mut connection = schema::reader_options(&dir.path().join(FILE)).connect().await.unwrap();
    let sql =
        "SELECT (SELECT sum(length(value)) FROM log), (SELECT sum(length(value)) FROM versions)";
    let row = sqlx::query(sql).fetch_one(&mut connection).await.unwrap();
    let (in_log, in_versions): (i64, i64) = (row.get(0), row.get(1));
    let large = i64::try_from(LARGE).unwrap();
    assert!((large..large + 300).contains(&in_log), "{in_log} bytes in the log");
    assert_eq!(in_versions, 2 * large + 10);
}
