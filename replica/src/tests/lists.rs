//! Lists that take longer than the state stands still.

use http::Method;
use serde_json::{Value, json};

use super::network::Network;
use super::send;

#[tokio::test]
async fn a_stream_shows_the_state_that_it_began_with_whatever_happens_meanwhile() {
    let network = Network::start(1).await;
    // More than the sockets between take ahead of a reader who waits.
    let (keys, bytes) = (24, 1_000_000);
    for key in 0..keys {
        let request = network
            .request(0, Method::PUT, &format!("/v1/kv/big/{key:03}"))
            .body(vec![b'x'; bytes]);
        assert_eq!(send(request).await.status, 201);
    }
    let request = network
        .request(0, Method::GET, "/v1/kv?prefix=big/")
        .header("accept", "application/x-ndjson");
    let mut stream = request.send().await.unwrap();
    let mut body = stream.chunk().await.unwrap().expect("it has begun").to_vec();
    assert_eq!(network.delete(0, "/v1/kv?prefix=big/").await.json()["deleted"], keys);
    while let Some(chunk) = stream.chunk().await.unwrap() {
        body.extend_from_slice(&chunk);
    }
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let listed: Vec<Value> =
        lines.map(|line| serde_json::from_slice::<Value>(line).unwrap()["key"].clone()).collect();
    assert_eq!(listed, (0..keys).map(|key| json!(format!("big/{key:03}"))).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_later_page_waits_at_a_replica_that_is_behind_the_first_one() {
    // Both have the same history, of which one has more.
    let (ahead, network) = (Network::start(1).await, Network::start(1).await);
    for key in ["/v1/kv/list/a", "/v1/kv/list/b"] {
        ahead.put(0, key, "1").await;
    }
    network.put(0, "/v1/kv/list/a", "1").await;
    let first = ahead.get(0, "/v1/kv?prefix=list/&limit=1").await.json();
    let next = format!(
        "/v1/kv?consistency=local&cursor={}",
        first["next"].as_str().expect("there is more")
    );
    let behind = network.with(0, Method::GET, &next, &[("synod-timeout", "300ms")]).await;
    assert_eq!(behind.refusal(), (503, Value::Null, true), "{}", behind.text());
    let (second, _) = tokio::join!(network.get(0, &next), network.put(0, "/v1/kv/list/b", "1"));
    let second = second.json();
    assert_eq!(
        (&second["items"][0]["key"], &second["revision"]),
        (&json!("list/b"), &first["revision"]),
        "{second}"
    );
}
