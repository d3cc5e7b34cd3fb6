//! Storing beside executing.

use super::*;

/// What is executed after `begin_storing` must be in memory: executing does not wait then.
async fn began() -> (TempDir, Store) {
    let (dir, mut store) = open_new().await;
    let entries = vec![view(0, 1), batch(1, 0, vec![put("a", b"1")])];
    execute_and_store(&mut store.writer, entries).await.unwrap();
    store.writer.execute(vec![batch(2, 1, vec![put("a", b"2")])]).await.unwrap();
    (dir, store)
}

#[tokio::test]
async fn executing_goes_on_while_what_was_executed_is_stored() {
    let (_dir, mut store) = began().await;
    store.writer.begin_storing().await.unwrap();
    let later = store.writer.execute(vec![batch(3, 2, vec![put("a", b"3")])]).await.unwrap();
    assert!(store.writer.is_storing(), "executing has waited for the transaction");
    assert_eq!(later.meta.executed_below, Slot(4));
    assert_eq!(store.writer.meta().executed_below, Slot(2), "stored is what the tables have");

    store.writer.end_storing().await.unwrap();
    assert_eq!(store.writer.meta().executed_below, Slot(3));
    assert_eq!(value_at(&store, "a", None).await.unwrap(), "2");
    assert!(store.writer.has_unstored());

    store.writer.store().await.unwrap();
    assert!(store.writer.is_stored());
    let found = store.reader.point(key("a"), None).await.unwrap().item.unwrap();
    let facts = (found.value, found.revision, found.created_revision, found.version);
    assert_eq!(facts, (key("3"), Revision(3), Revision(1), 3));
}

#[tokio::test]
async fn who_looks_at_what_is_not_in_memory_waits_for_the_transaction() {
    let (_dir, mut store) = began().await;
    store.writer.begin_storing().await.unwrap();
    store.writer.execute(vec![batch(3, 2, vec![put("b", b"1")])]).await.unwrap();
    assert!(!store.writer.is_storing());
    assert_eq!(store.writer.meta().executed_below, Slot(3));
}

#[tokio::test]
async fn what_a_transaction_could_not_store_is_executed_again_with_what_came_after_it() {
    let (_dir, mut store) = began().await;
    let long = vec![7; 100_000];
    store.writer.execute(vec![batch(3, 2, vec![put("a", &long)])]).await.unwrap();
    store.writer.fill().await;
    store.writer.begin_storing().await.unwrap();
    store.writer.execute(vec![batch(4, 3, vec![put("a", b"last")])]).await.unwrap();
    let error = store.writer.end_storing().await.unwrap_err();
    assert!(matches!(error, StoreError::Full(_)), "{error}");
    assert_eq!(store.writer.meta().executed_below, Slot(2));

    store.writer.store().await.unwrap();
    assert_eq!(store.writer.meta().executed_below, Slot(5));
    assert_eq!(value_at(&store, "a", Some(2)).await.unwrap(), "2");
    assert_eq!(value_at(&store, "a", Some(3)).await.unwrap(), long);
    assert_eq!(value_at(&store, "a", None).await.unwrap(), "last");
}

#[tokio::test]
async fn what_deletes_many_keys_is_stored_before_anything_else() {
    let (_dir, mut store) = began().await;
    let prefix = Op::DeletePrefix { prefix: "a".to_owned() };
    store.writer.execute(vec![batch(3, 2, vec![prefix])]).await.unwrap();
    assert!(store.writer.is_urgent());
    store.writer.begin_storing().await.unwrap();
    assert!(store.writer.is_stored());
    store.writer.execute(vec![batch(4, 3, vec![put("a", b"new")])]).await.unwrap();
    store.writer.store().await.unwrap();
    let found = store.reader.point(key("a"), None).await.unwrap().item.unwrap();
    assert_eq!((found.created_revision, found.version), (Revision(4), 1));
}

#[tokio::test]
async fn what_is_to_be_executed_again_is_stored_though_nothing_more_is_executed() {
    let (_dir, mut store) = began().await;
    // What fails between batches has the file opened again.
    store.writer.lose().await;
    store.writer.checkpoint().await.unwrap();
    assert!(store.writer.has_unstored());
    store.writer.begin_storing().await.unwrap();
    store.writer.end_storing().await.unwrap();
    assert_eq!(store.writer.meta().executed_below, Slot(3));
    assert_eq!(value_at(&store, "a", None).await.unwrap(), "2");
}
