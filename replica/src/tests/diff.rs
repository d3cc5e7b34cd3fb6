//! What changed between two revisions, and slots that are waited for.

use std::time::Duration;

use super::*;

impl Network {
    async fn changes(&self, node: usize, query: &str) -> Vec<(String, String, Value, Value)> {
        let seen = self.get(node, &format!("/v1/diff?{query}")).await;
        assert_eq!(seen.status, 200, "{seen:?}");
        changes_of(&seen.json()["changes"])
    }
}

fn changes_of(changes: &Value) -> Vec<(String, String, Value, Value)> {
    let of = |change: &Value| {
        let text = |name: &str| change[name].as_str().unwrap().to_owned();
        (
            text("key"),
            text("change"),
            change["before"]["value"].clone(),
            change["after"]["value"].clone(),
        )
    };
    changes.as_array().unwrap().iter().map(of).collect()
}

/// Writes seven times, and gives the revision before the first.
async fn written() -> (Network, u64) {
    let network = Network::start(2).await;
    let before = network.put(0, "/v1/kv/before", "").await;
    let before = before.header("synod-revision").parse().unwrap();
    for (path, body) in [("a", "1"), ("b", "1"), ("a", "2"), ("c/1", "1"), ("c/2", "1")] {
        assert!([200, 201].contains(&network.put(0, &format!("/v1/kv/{path}"), body).await.status));
    }
    assert_eq!(network.delete(0, "/v1/kv?prefix=c/").await.status, 200);
    assert_eq!(network.delete(0, "/v1/kv/b").await.status, 200);
    (network, before)
}

fn change(key: &str, change: &str, before: Value, after: Value) -> (String, String, Value, Value) {
    (key.to_owned(), change.to_owned(), before, after)
}

#[tokio::test]
async fn a_comparison_says_what_was_created_updated_and_deleted_between_two_revisions() {
    let (network, zero) = written().await;
    let null = Value::Null;
    for node in 0..2 {
        assert_eq!(
            network.changes(node, &format!("from={}&to={}", zero + 2, zero + 7)).await,
            [
                change("a", "updated", json!("1"), json!("2")),
                change("b", "deleted", json!("1"), null.clone())
            ],
            "what was created and deleted in between is not there"
        );
        assert_eq!(
            network.changes(node, &format!("from={}", zero + 5)).await,
            [
                change("b", "deleted", json!("1"), null.clone()),
                change("c/1", "deleted", json!("1"), null.clone()),
                change("c/2", "deleted", json!("1"), null.clone()),
            ]
        );
        assert_eq!(
            network.changes(node, &format!("from={}&to={}&prefix=c", zero, zero + 4)).await,
            [change("c/1", "created", null.clone(), json!("1"))]
        );
        assert_eq!(network.changes(node, &format!("from={}&to={}", zero + 3, zero + 3)).await, []);
        assert_eq!(network.changes(node, &format!("from={}", zero + 7)).await, []);
    }
}

#[tokio::test]
async fn a_comparison_is_read_page_by_page_or_as_lines_and_stays_at_its_revisions() {
    let (network, zero) = written().await;
    let whole = network.changes(0, &format!("from={}&to={}", zero, zero + 5)).await;
    assert_eq!(whole.len(), 4);
    let query = format!("from={zero}&to={}", zero + 5);
    let mut path = format!("/v1/diff?{query}&limit=1");
    let mut pages = Vec::new();
    loop {
        let page = network.get(1, &path).await;
        assert_eq!(page.header("synod-revision"), (zero + 5).to_string());
        let json = page.json();
        pages.extend(changes_of(&json["changes"]));
        // However much is written meanwhile.
        network.put(0, "/v1/kv/a", "later").await;
        let Some(next) = json["next"].as_str() else { break };
        assert_eq!(page.header("link"), format!("</v1/diff?cursor={next}&limit=1>; rel=\"next\""));
        path = format!("/v1/diff?cursor={next}&limit=1");
    }
    assert_eq!(pages, whole);
    let lines = [("accept", "application/x-ndjson")];
    let streamed = network.with(0, Method::GET, &format!("/v1/diff?{query}"), &lines).await;
    let lines: Vec<Value> =
        streamed.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(changes_of(&json!(lines)), whole);
}

#[tokio::test]
async fn a_comparison_that_makes_no_sense_is_refused() {
    let (network, _) = written().await;
    for (query, status, names) in [
        ("", 400, "\"from\" is missing"),
        ("from=5&to=4", 400, "comes after"),
        ("from=5&to=99", 400, "99"),
        ("from=99", 400, "99"),
        ("from=-1", 400, "from"),
        ("from=18446744073709551616", 400, "from"),
        ("from=1&limit=0", 400, "limit"),
        ("from=1&limit=1001", 400, "limit"),
        ("from=1&from=2", 400, "from"),
        ("from=1&until=2", 400, "until"),
        ("cursor=AAAA", 400, "cursor"),
        ("from=1&prefix=%FF", 400, "prefix"),
    ] {
        let seen = network.get(0, &format!("/v1/diff?{query}")).await;
        assert_eq!(seen.status, status, "{query}: {seen:?}");
        assert!(seen.json()["detail"].as_str().unwrap().contains(names), "{query}: {seen:?}");
    }
    let posted = send(network.request(0, Method::POST, "/v1/diff?from=1")).await;
    assert_eq!((posted.status, posted.header("allow")), (405, "GET,HEAD"));
}

#[tokio::test]
async fn a_slot_that_is_not_chosen_yet_is_waited_for() {
    let (network, _) = written().await;
    let latest: u64 = {
        let slots = network.get(0, "/v1/log").await.json();
        slots.as_array().unwrap().last().unwrap()["slot"].as_u64().unwrap()
    };
    let path = format!("/v1/log/{}?wait=30s", latest + 1);
    let (waited, written) = tokio::join!(network.get(1, &path), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        network.put(0, "/v1/kv/a", "awaited").await
    });
    assert_eq!((waited.status, written.status), (200, 200));
    assert_eq!(waited.json()["slot"], latest + 1);
    let never = network.get(1, &format!("/v1/log/{}?wait=20ms", latest + 9)).await;
    assert_eq!(never.status, 404);
    for bad in ["0s", "1", "61s", "-1s", "soon"] {
        let seen = network.get(1, &format!("/v1/log/0?wait={bad}")).await;
        assert_eq!(seen.status, 400, "{bad}");
    }
}
