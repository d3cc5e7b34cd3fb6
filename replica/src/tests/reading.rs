//! How new the state is that a request is answered from.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::network::{Behaviour, CLUSTER, Network, eventually};

#[tokio::test]
async fn whatever_is_read_shows_what_was_acknowledged_before_also_at_a_replica_that_is_behind() {
    let mut network = Network::start(2).await;
    network.put(0, "/v1/kv/a", "1").await;
    assert_eq!(network.get(1, "/v1/kv/a").await.text(), "1");
    let dir = network.nodes.remove(1).stop().await;
    network.put(0, "/v1/kv/a", "2").await;
    let slot = network.status(&network.nodes[0]).await["executed_slot"].clone();
    network.fake.behave(Behaviour::Silent);
    network.add("replica-2", dir).await;
    let heals = async {
        eventually("all of them wait", async || {
            network.status(&network.nodes[1]).await["waiting_reads"] == 4
        })
        .await;
        network.fake.behave(Behaviour::Works);
    };
    let slot_path = format!("/v1/log/{slot}");
    let from_path = format!("/v1/log?from={slot}");
    let (value, list, entry, entries, ()) = tokio::join!(
        network.get(1, "/v1/kv/a"),
        network.get(1, "/v1/kv?prefix=a"),
        network.get(1, &slot_path),
        network.get(1, &from_path),
        heals
    );
    assert_eq!((value.status, value.text()), (200, "2"));
    assert_eq!(list.json()["items"][0]["value"], "2");
    assert_eq!((entry.status, &entry.json()["slot"]), (200, &slot));
    assert_eq!(entries.json()[0]["slot"], slot);
}

#[tokio::test]
async fn a_state_newer_than_any_is_waited_for_and_no_longer_than_the_request_may_take() {
    let network = Network::start(2).await;
    let newer = [("synod-min-revision", "999999"), ("synod-timeout", "300ms")];
    for node in 0..2 {
        for path in ["/v1/kv/a", "/v1/kv/a?consistency=local", "/v1/kv", "/v1/log"] {
            let behind = network.with(node, Method::GET, path, &newer).await;
            assert_eq!(behind.refusal(), (503, Value::Null, true), "{path}: {}", behind.text());
        }
        // A backup keeps back as much of a second as it ever does, so that the primary's
        // answer comes before its own.
        let later = [("synod-min-revision", "999999"), ("synod-timeout", "1s")];
        let behind = network.with(node, Method::PUT, "/v1/kv/a", &later).await;
        assert_eq!(behind.refusal(), (503, json!("not_applied"), true), "{}", behind.text());
        assert_eq!(network.get(node, "/v1/kv/a").await.status, 404);
    }
}

#[tokio::test]
async fn a_local_read_is_refused_until_the_replica_has_once_known_itself_current() {
    let mut network = Network::start(2).await;
    network.put(0, "/v1/kv/a", "1").await;
    assert_eq!(network.get(1, "/v1/kv/a").await.text(), "1");
    let dir = network.nodes.remove(1).stop().await;
    network.fake.behave(Behaviour::Silent);
    network.add("replica-2", dir).await;
    assert_eq!(network.status(&network.nodes[1]).await["lag_ms"], Value::Null);
    for path in ["/v1/kv/a?consistency=local", "/v1/kv?consistency=local"] {
        let refused = network.get(1, path).await;
        assert_eq!(refused.refusal(), (503, Value::Null, true), "{path}: {}", refused.text());
    }
    let ready = network.get(1, "/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("has not known itself current since it started"), "{ready:?}");
    network.fake.behave(Behaviour::Works);
    let local = "/v1/kv/a?consistency=local";
    eventually("it is current", async || network.get(1, local).await.status == 200).await;
    let answer = network.get(1, local).await;
    assert!(answer.header("synod-lag").parse::<u64>().unwrap() < 60_000, "{answer:?}");
}

#[tokio::test]
async fn a_read_whose_client_has_gone_waits_no_more() {
    let network = Network::start(1).await;
    network.fake.behave(Behaviour::Silent);
    let waiting = async || network.status(&network.nodes[0]).await["waiting_reads"].clone();
    tokio::select! {
        answer = network.with(0, Method::GET, "/v1/kv/a", &[("synod-timeout", "60s")]) => panic!("{answer:?}"),
        () = eventually("it waits", async || waiting().await == 1) => {}
    }
    eventually("nobody waits", async || waiting().await == 0).await;
}

#[tokio::test]
async fn who_copies_the_log_is_sent_no_more_than_asked_for_and_what_is_new_at_once() {
    let network = Network::start(1).await;
    network.put(0, "/v1/kv/a", "1").await;
    let slots = async |path: String| -> Vec<Value> {
        let page = network.get(0, &path).await.json();
        page["content"]["entries"]["entries"]
            .as_array()
            .unwrap_or_else(|| panic!("{page}"))
            .iter()
            .map(|it| it["slot"].clone())
            .collect()
    };
    assert_eq!(
        slots(format!("/v1/replication/log?cluster={CLUSTER}&from=0&limit=1")).await,
        [json!(0)]
    );
    // Whoever has read it knows that all is stored, as the status says.
    network.get(0, "/v1/kv/a").await;
    let next = network.status(&network.nodes[0]).await["executed_below"].as_u64().unwrap();
    let copied = slots(format!("/v1/replication/log?cluster={CLUSTER}&from={next}&wait_ms=10000"));
    let (copied, _) = tokio::time::timeout(Duration::from_secs(5), async {
        tokio::join!(copied, network.put(0, "/v1/kv/a", "2"))
    })
    .await
    .expect("it is not waited for longer");
    assert_eq!(copied, [json!(next)]);
}
