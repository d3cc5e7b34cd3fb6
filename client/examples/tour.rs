//! A tour of what the client does.

use std::collections::BTreeMap;

use client::{Client, Error, EventKind, Guard, Op, PutOp, Test, Txn};
use futures::TryStreamExt;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let urls = std::env::var("SYNOD_URL").unwrap_or("http://127.0.0.1:8000".into());
    let client = Client::new(&urls)?;

    // Written once, however often it has to be sent.
    let stored = client.put("tour/greeting", "hello").content_type("text/plain").await?;
    let item = client.get("tour/greeting").await?;
    assert_eq!(item.value.as_deref(), Some(b"hello".as_slice()));

    // Compare-and-swap: only one of those who read the same revision writes the next one.
    client.put("tour/greeting", "hello, world").if_revision(stored.revision).await?;
    let late = client.put("tour/greeting", "bye").if_revision(stored.revision).await;
    assert!(matches!(late, Err(Error::ConditionFailed(_))));

    // Several things as one step.
    let key = String::from("tour/owner");
    let put = PutOp { key: key.clone(), value: "me".into(), content_type: None, lease: None };
    let claim = Txn {
        guards: vec![Guard { key, test: Test::Exists(false) }],
        then: vec![Op::Put(put)],
        otherwise: Vec::new(),
    };
    assert!(client.txn(&claim).await?.succeeded);
    assert!(!client.txn(&claim).await?.succeeded);

    // What there is, and then every change, once and in order.
    let mut mirror = BTreeMap::new();
    let mut events = client.watch().prefix("tour/").snapshot().stream();
    while let Some(event) = events.try_next().await? {
        match event.kind {
            EventKind::Put(put) => drop(mirror.insert(put.item.key, put.item.value)),
            EventKind::Delete(delete) => drop(mirror.remove(&delete.key)),
            EventKind::Synced { .. } => break,
        }
    }
    assert_eq!(mirror.keys().collect::<Vec<_>>(), ["tour/greeting", "tour/owner"]);

    // How it was, and what became of it since.
    let changes: Vec<_> =
        client.diff(stored.revision).prefix("tour/").stream().try_collect().await?;
    assert_eq!(changes.len(), 2);

    client.delete_prefix("tour/").await?;
    assert!(matches!(client.get("tour/owner").await, Err(Error::NotFound(_))));
    Ok(())
}
