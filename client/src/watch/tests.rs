use futures::TryStreamExt;

use super::*;
use crate::stub::{ReceivedRequest, Said, Stub};

fn deleted(key: &str, revision: u64, is_last: bool) -> String {
    let id = is_last.then_some(revision);
    let data = serde_json::json!({"key": key, "revision": revision, "prev_revision": 1});
    format!("{}\n", serde_json::json!({"event": "delete", "id": id, "data": data}))
}

#[tokio::test]
async fn a_watch_that_is_cut_within_a_revision_is_resumed_before_it_and_tells_nothing_twice() {
    let stub = Stub::start(|_: &ReceivedRequest, turn| {
        let lines = match turn {
            1 => vec![deleted("a", 5, true), deleted("a", 6, false), deleted("b", 6, false)],
            2 => vec![deleted("a", 6, false), deleted("b", 6, false), deleted("c", 6, true)],
            _ => return Said::Nothing,
        };
        Said::Answer(200, lines.concat())
    })
    .await;
    let events =
        stub.client().watch().stream().take(4).map_ok(|event| {
            (event.key().unwrap_or_default().to_owned(), event.revision(), event.id)
        });
    let told: Vec<(String, u64, Option<u64>)> = events.try_collect().await.unwrap();
    let expected = [("a", 5, Some(5)), ("a", 6, None), ("b", 6, None), ("c", 6, Some(6))];
    assert_eq!(told, expected.map(|(key, revision, id)| (key.to_owned(), revision, id)));
    let asked = stub.asked();
    assert_eq!(asked[0].header("last-event-id"), None);
    assert_eq!(asked[1].header("last-event-id"), Some("5"));
}

#[tokio::test]
async fn a_watch_that_is_cut_before_its_first_event_is_resumed_where_it_began() {
    let stub = Stub::start(|_: &ReceivedRequest, turn| match turn {
        1 => Said::Answer(200, String::new()),
        _ => Said::Answer(200, deleted("a", 5, true)),
    })
    .await;
    let mut events = stub.client().watch().stream();
    assert_eq!(events.try_next().await.unwrap().unwrap().revision(), 5);
    // The revision of the first answer.
    assert_eq!(stub.asked()[1].header("last-event-id"), Some("4"));
}
