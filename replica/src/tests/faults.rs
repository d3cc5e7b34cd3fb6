//! What clients see when others are gone, and that it heals.

#![expect(clippy::disallowed_methods, reason = "a test of a deadline reads the clock")]

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use shared::ids::{ClusterId, Slot};

use super::network::{Behaviour, Network, eventually};
use super::send;

/// The deadline of a mutation that a backup forwards: so long that it keeps back for the
/// primary's answer what one may take on a busy machine, and not less.
const FORWARDED: [(&str, &str); 1] = [("synod-timeout", "1s")];

#[tokio::test]
async fn without_a_quorum_only_local_reads_are_served_and_it_heals() {
    let network = Network::start(1).await;
    network.put(0, "/v1/kv/kept", "before").await;
    network.fake.behave(Behaviour::Silent);
    let soon = [("synod-timeout", "1500ms")];
    assert_eq!(
        network.with(0, Method::GET, "/v1/kv/kept", &soon).await.refusal(),
        (503, Value::Null, true)
    );
    let refused = network.with(0, Method::PUT, "/v1/kv/kept", &soon).await;
    assert_eq!(refused.refusal(), (503, json!("not_applied"), true), "{}", refused.text());
    let local = network.get(0, "/v1/kv/kept?consistency=local").await;
    assert_eq!((local.status, local.text()), (200, "before"));
    assert!(local.header("synod-lag").parse::<u64>().unwrap() >= 1_000);
    network.fake.behave(Behaviour::Works);
    assert_eq!(network.put(0, "/v1/kv/kept", "after").await.status, 200);
    assert_eq!(network.get(0, "/v1/kv/kept").await.text(), "after");
}

#[tokio::test]
async fn without_a_leader_reads_go_on_and_writes_are_not_applied() {
    let network = Network::start(2).await;
    network.put(0, "/v1/kv/kept", "before").await;
    network.fake.behave(Behaviour::NoLeader);
    eventually("nobody leads", async || {
        network.status(&network.nodes[0]).await["leader"].is_null()
    })
    .await;
    for node in 0..2 {
        let refused = network.with(node, Method::PUT, "/v1/kv/kept", &FORWARDED).await;
        assert_eq!(refused.refusal(), (503, json!("not_applied"), true), "{}", refused.text());
        assert_eq!(network.get(node, "/v1/kv/kept").await.text(), "before");
    }
}

#[tokio::test]
async fn a_proposal_that_is_never_answered_leaves_the_outcome_unknown() {
    let network = Network::start(2).await;
    network.fake.behave(Behaviour::SwallowsProposals);
    let proposed = network.with(1, Method::PUT, "/v1/kv/maybe", &FORWARDED).await;
    assert_eq!(proposed.refusal(), (504, json!("unknown"), false), "{}", proposed.text());
    // Behind a batch that still flies, nothing is proposed.
    let queued = network.with(1, Method::PUT, "/v1/kv/never", &FORWARDED).await;
    assert_eq!(queued.refusal(), (504, json!("not_applied"), false), "{}", queued.text());
}

/// Whatever ends it: what it has proposed may be executed by others.
#[tokio::test]
async fn a_mutation_under_way_in_a_replica_that_fails_is_unknown() {
    let network = Network::start(1).await;
    network.fake.behave(Behaviour::SwallowsProposals);
    let fails = async {
        eventually("it is under way", async || {
            network.status(&network.nodes[0]).await["flying_mutations"] == 1
        })
        .await;
        network.fake.behave(Behaviour::OtherCluster);
    };
    let (proposed, ()) = tokio::join!(network.put(0, "/v1/kv/maybe", "v"), fails);
    assert_eq!(proposed.refusal(), (504, json!("unknown"), false), "{}", proposed.text());
    assert!(proposed.text().contains("the replica ended"), "{}", proposed.text());
}

#[tokio::test]
async fn the_time_that_a_body_takes_is_part_of_what_the_request_may_take() {
    let network = Network::start(1).await;
    network.fake.behave(Behaviour::SwallowsProposals);
    let (took, rest) = (Duration::from_millis(2_000), Duration::from_millis(1_000));
    let body = futures::stream::once(async move {
        tokio::time::sleep(took).await;
        Ok::<_, std::io::Error>("v")
    });
    let request = network.request(0, Method::PUT, "/v1/kv/slow").header("synod-timeout", "3s");
    let began = Instant::now();
    let answer = send(request.body(reqwest::Body::wrap_stream(body))).await;
    assert_eq!(answer.refusal(), (504, json!("unknown"), false), "{}", answer.text());
    assert!(
        began.elapsed() < took + rest + took,
        "the deadline began anew with the body's end: {:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_replica_whose_state_is_damaged_ends_and_leaves_open_what_was_under_way() {
    use sqlx::{ConnectOptions, Connection};
    let mut network = Network::start(1).await;
    network.put(0, "/v1/kv/rots", "v").await;
    // Whoever has read it knows that it is in the file.
    assert_eq!(network.get(0, "/v1/kv/rots").await.text(), "v");
    network.fake.behave(Behaviour::SwallowsProposals);
    let breaks = async {
        eventually("it flies", async || {
            network.status(&network.nodes[0]).await["flying_mutations"] == 1
        })
        .await;
        let file = network.nodes[0].state_file();
        let mut other =
            sqlx::sqlite::SqliteConnectOptions::new().filename(file).connect().await.unwrap();
        sqlx::query("UPDATE versions SET value = x'00' WHERE key = x'726f7473'")
            .execute(&mut other)
            .await
            .unwrap();
        other.close().await.unwrap();
        network.get(0, "/v1/kv/rots?consistency=local").await
    };
    let (proposed, read) = tokio::join!(network.put(0, "/v1/kv/maybe", "v"), breaks);
    assert_eq!(read.refusal(), (500, Value::Null, false), "{}", read.text());
    assert_eq!(proposed.refusal(), (504, json!("unknown"), false), "{}", proposed.text());
    let ended =
        tokio::time::timeout(Duration::from_secs(10), network.nodes.remove(0).end()).await.unwrap();
    let said = format!("{:#}", ended.unwrap_err());
    assert!(said.contains("the record of \"rots\""), "{said}");
}

#[tokio::test]
async fn a_backup_whose_primary_is_gone_says_that_nothing_happened() {
    let mut network = Network::start(2).await;
    let _dir = network.nodes.remove(0).stop().await;
    let refused = network.put(0, "/v1/kv/x", "v").await;
    assert_eq!(refused.refusal(), (503, json!("not_applied"), true), "{}", refused.text());
    network.appoint("replica-2").await;
    assert_eq!(network.put(0, "/v1/kv/x", "v").await.status, 201);
}

#[tokio::test]
async fn a_replica_that_was_away_finds_its_state_again_and_catches_up() {
    let mut network = Network::start(2).await;
    network.put(0, "/v1/kv/a", "1").await;
    assert_eq!(network.get(1, "/v1/kv/a").await.text(), "1");
    let dir = network.nodes.remove(1).stop().await;
    let written = network.put(0, "/v1/kv/a", "2").await;
    network.add("replica-2", dir).await;
    let newest = [("synod-min-revision", written.header("synod-revision"))];
    let read = network.with(1, Method::GET, "/v1/kv/a", &newest).await;
    assert_eq!((read.status, read.text()), (200, "2"));
    eventually("both say the same", async || {
        let [first, second] =
            [network.status(&network.nodes[0]).await, network.status(&network.nodes[1]).await];
        (&first["hash"], &first["revision"]) == (&second["hash"], &second["revision"])
    })
    .await;
}

#[tokio::test]
async fn a_restarted_primary_takes_no_mutations_until_a_view_names_its_new_life() {
    let mut network = Network::start(1).await;
    let dir = network.nodes.remove(0).stop().await;
    network.add("replica-1", dir).await;
    let refused = network.put(0, "/v1/kv/x", "v").await;
    assert_eq!(refused.refusal(), (503, json!("not_applied"), true), "{}", refused.text());
    network.appoint("replica-1").await;
    assert_eq!(network.put(0, "/v1/kv/x", "v").await.status, 201);
}

#[tokio::test]
async fn a_state_of_another_cluster_ends_the_process_with_a_clear_error() {
    let mut network = Network::start(1).await;
    let dir = network.nodes.remove(0).stop().await;
    let mut store = crate::store::open(&dir.path().join("data"), &"replica-1".parse().unwrap(), 1)
        .await
        .unwrap();
    store.writer.join(ClusterId(1), Slot(0)).await.unwrap();
    store.writer.close().await.unwrap();
    network.add("replica-1", dir).await;
    let ended =
        tokio::time::timeout(Duration::from_secs(10), network.nodes.remove(0).end()).await.unwrap();
    let said = format!("{:#}", ended.unwrap_err());
    assert!(
        said.contains("is of cluster 0000000000000001") && said.contains("--acceptors"),
        "{said}"
    );
}

#[tokio::test]
async fn a_replica_is_ready_once_it_knows_its_cluster_a_view_and_itself_current() {
    let mut network = Network::start(1).await;
    let ready = network.get(0, "/readyz?verbose").await;
    assert_eq!(
        (ready.status, ready.text()),
        (200, "cluster ok\nview ok\nlog ok\nhistory ok\ncurrent ok\nnames ok\nok\n")
    );
    network.fake.behave(Behaviour::Silent);
    network.add("replica-9", tempfile::tempdir().unwrap()).await;
    let waiting = network.get(1, "/readyz").await;
    assert_eq!(waiting.status, 503);
    assert!(waiting.text().contains("quorum of the 1 acceptors"), "{}", waiting.text());
    assert_eq!(network.get(1, "/livez").await.status, 200);
    eventually("one that knows nothing new is not ready either", async || {
        let stale = network.get(0, "/readyz").await;
        stale.status == 503 && stale.text().contains("last knew itself current")
    })
    .await;
}
