//! History is weighed: what it says is what a compaction takes away.

use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::compaction::{compact, sweep};
use super::ranges::any_steps;
use super::*;
use crate::replica::event::Weighed;

/// Weighs what there is to weigh, and says how much goes by which compaction.
async fn weigh(writer: &mut Writer) -> Vec<Weighed> {
    let mut weighed = Vec::new();
    while writer.is_weighing() {
        weighed.extend(writer.weigh().await.unwrap());
    }
    weighed
}

/// What all versions weigh.
async fn weight(dir: &Path) -> u64 {
    let mut connection = schema::reader_options(&dir.join(FILE)).connect().await.unwrap();
    let sql = "SELECT coalesce(sum(256 + 4 * length(key) + coalesce(length(content_type), 0) \
        + coalesce(length(value), 0)), 0) FROM versions";
    let bytes: i64 = schema::scalar(&mut connection, sql).await.unwrap();
    bytes.cast_unsigned()
}

fn bytes(weighed: &[Weighed]) -> u64 {
    weighed.iter().map(|weighed| weighed.bytes).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_weighed_is_what_a_compaction_takes_away(
        steps in any_steps(),
        at_once in 1..5_u64,
        middle in any::<prop::sample::Index>(),
    ) {
        Runtime::new().unwrap().block_on(async {
            let (dir, mut store) = open_new().await;
            let writer = &mut store.writer;
            writer.weigh_above(Some(0));
            writer.weigh_at_once(at_once);
            execute_and_store(writer, vec![view(0, 1)]).await.unwrap();
            let (mut weighed, mut slots) = (Vec::new(), 1);
            for (ops, sweeps) in steps {
                execute_and_store(writer, vec![batch(slots, slots - 1, ops)]).await.unwrap();
                slots += 1;
                for _ in 0..sweeps {
                    sweep(writer).await;
                }
                weighed.extend(weigh(writer).await);
            }
            while sweep(writer).await {}
            // However few are left.
            writer.weigh_at_once(1);
            weighed.extend(weigh(writer).await);
            let revision = writer.meta().revision;
            let middle = weighed[middle.index(weighed.len())].through;
            for through in [middle, revision] {
                let before = weight(dir.path()).await;
                let ops = vec![compact(through.0)];
                execute_and_store(writer, vec![batch(slots, slots - 1, ops)]).await.unwrap();
                slots += 1;
                while sweep(writer).await {}
                let gone = before - weight(dir.path()).await;
                let is_said = |weighed: &Weighed| weighed.through <= through;
                let said = weighed.iter().filter(|weighed| is_said(weighed));
                let said = said.map(|weighed| weighed.bytes).sum::<u64>();
                prop_assert!(said <= gone, "{} are said, and {} went", said, gone);
                prop_assert!(through < revision || said == gone, "{} of {}", said, gone);
                weighed.retain(|weighed| !is_said(weighed));
                // What went beyond that is of a stretch that is partly there.
                if let Some(first) = weighed.first_mut() {
                    first.bytes -= gone - said;
                }
            }
            Ok(())
        })?;
    }
}

/// A key written so many times, a kilobyte each.
async fn overwritten(times: u64) -> (TempDir, Store) {
    let (dir, mut store) = open_new().await;
    execute_and_store(&mut store.writer, vec![view(0, 1)]).await.unwrap();
    let ops = (0..times).map(|_| put("k", &[b'v'; 1_024])).collect();
    execute_and_store(&mut store.writer, vec![batch(1, 0, ops)]).await.unwrap();
    (dir, store)
}

/// A version of that, which is `text/plain`.
const VERSION: u64 = 256 + 4 + 10 + 1_024;

#[tokio::test]
async fn a_step_is_bounded_and_says_what_the_database_takes() {
    let (dir, mut store) = overwritten(600).await;
    store.writer.weigh_above(Some(1 << 19));
    let rows_written = store.writer.rows_written().await;
    let weighed = weigh(&mut store.writer).await;
    assert_eq!(store.writer.rows_written().await, rows_written, "it writes nothing");
    // As many as are less than 64 KiB.
    let mut expected: Vec<_> = (1..=18).map(|n| (32 * n, 32 * VERSION)).collect();
    expected[0].1 -= VERSION;
    expected.push((600, 24 * VERSION));
    let said = weighed.iter().map(|weighed| (weighed.through.0, weighed.bytes));
    assert_eq!(said.collect::<Vec<_>>(), expected);
    store.writer.close().await.unwrap();
    let file = std::fs::metadata(dir.path().join(FILE)).unwrap().len();
    assert!(weighed.iter().all(|weighed| weighed.database_bytes == file), "{weighed:?} of {file}");
}

#[tokio::test]
async fn a_small_database_is_not_weighed_until_it_has_grown() {
    let (_dir, mut store) = overwritten(100).await;
    store.writer.weigh_above(None);
    assert!(!store.writer.is_weighing(), "it is never to be");
    store.writer.weigh_above(Some(1 << 19));
    assert_eq!(weigh(&mut store.writer).await, []);
    let ops = || (0..200).map(|_| put("k", &[b'v'; 1_024])).collect();
    execute_and_store(&mut store.writer, vec![batch(2, 1, ops())]).await.unwrap();
    assert!(!store.writer.is_weighing(), "so few revisions are not worth a look");
    execute_and_store(&mut store.writer, vec![batch(3, 2, ops())]).await.unwrap();
    assert_eq!(bytes(&weigh(&mut store.writer).await), 499 * VERSION);
}

#[tokio::test]
async fn one_revision_that_deletes_much_is_looked_at() {
    let (_dir, mut store) = open_new().await;
    execute_and_store(&mut store.writer, vec![view(0, 1)]).await.unwrap();
    let ops = (0..600).map(|key| put(&format!("k{key:03}"), &[b'v'; 1_024])).collect();
    execute_and_store(&mut store.writer, vec![batch(1, 0, ops)]).await.unwrap();
    store.writer.weigh_above(Some(1 << 19));
    assert_eq!(bytes(&weigh(&mut store.writer).await), 0, "all of it is there");
    let ops = vec![Op::DeletePrefix { prefix: "k".to_owned() }];
    execute_and_store(&mut store.writer, vec![batch(2, 1, ops)]).await.unwrap();
    assert!(!store.writer.is_weighing(), "it is swept first");
    while sweep(&mut store.writer).await {}
    let weighed = weigh(&mut store.writer).await;
    assert_eq!(bytes(&weighed), 600 * (2 * (256 + 4 * 4) + 10 + 1_024));
    assert!(weighed.iter().all(|weighed| weighed.through == Revision(601)));
    assert_eq!(weighed.len(), 19, "32 of them at once");
}

#[tokio::test]
async fn after_a_start_what_is_dropped_is_weighed_no_more() {
    let (dir, mut store) = overwritten(600).await;
    execute_and_store(&mut store.writer, vec![batch(2, 1, vec![compact(500)])]).await.unwrap();
    while sweep(&mut store.writer).await {}
    store.writer.close().await.unwrap();
    let mut store = open_in(dir.path()).await;
    store.writer.weigh_above(Some(1));
    let weighed = weigh(&mut store.writer).await;
    assert_eq!(bytes(&weighed), 100 * VERSION);
    assert_eq!(weighed.last().map(|weighed| weighed.through), Some(Revision(600)));
}
