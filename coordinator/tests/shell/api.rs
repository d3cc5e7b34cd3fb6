//! What the service answers to people, probes and nonsense.

use std::time::Duration;

use coordinator::Args;
use shared::chain::ChainHash;
use shared::ids::{ClusterId, Epoch, Instance, LogFormat, Slot};
use shared::message::{Heartbeat, HeartbeatReply, Phase, Proposal, Removal, Storage, Value, View};

use crate::acceptor::FakeAcceptor;
use crate::cluster::*;

fn heartbeat(cluster: ClusterId) -> Heartbeat {
    Heartbeat {
        cluster,
        replica: "replica-1".parse().unwrap(),
        instance: Instance(1),
        url: "http://127.0.0.1:1".to_owned(),
        view: None,
        executed_below: Slot(0),
        hash: ChainHash::default(),
        durable_below: Slot(0),
        highest_format: LogFormat::FIRST,
        storage: Storage::Writable,
        nudge_below: None,
    }
}

#[tokio::test]
async fn a_coordinator_without_acceptors_is_alive_and_says_what_it_waits_for() {
    let coordinator = RunningCoordinator::start(&[
        "http://127.0.0.1:1",
        "http://127.0.0.1:2",
        "http://127.0.0.1:3",
    ]);
    assert_eq!(coordinator.send("GET", "/livez", "").await, (200, "ok\n".to_owned()));
    until("it says so", || async {
        let (status, body) = coordinator.send("GET", "/readyz", "").await;
        status == 503
            && body.contains("http://127.0.0.1:1 and http://127.0.0.1:2 and http://127.0.0.1:3")
    })
    .await;
    let status = coordinator.status().await;
    assert_eq!(
        (&status["phase"], &status["cluster_id"]),
        (&"inactive".into(), &serde_json::Value::Null)
    );
    coordinator.shutdown.cancel();
    coordinator.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_list_that_no_cluster_can_have_ends_it() {
    for list in [&["http://127.0.0.1:1", "http://127.0.0.1:2"][..], &["http://127.0.0.1:1"; 3]] {
        let coordinator = RunningCoordinator::start(list);
        let error = coordinator.ended.await.unwrap().unwrap_err();
        assert!(error.to_string().contains("--acceptors"), "{error:#}");
    }
}

#[tokio::test]
async fn a_coordinator_that_hears_a_quorum_is_ready() {
    let (coordinator, acceptors) = leading().await;
    until("it is ready", || async { coordinator.send("GET", "/readyz", "").await.0 == 200 }).await;
    let status = coordinator.status().await;
    assert_eq!((&status["service"], &status["phase"]), (&"coordinator".into(), &"phase2".into()));
    assert_eq!(status["cluster_id"], cluster_id().to_string());
    let urls: Vec<&str> = status["acceptors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["url"].as_str().unwrap())
        .collect();
    assert_eq!(urls, acceptors.iter().map(|it| it.url.as_str()).collect::<Vec<_>>());
}

#[tokio::test]
async fn malformed_requests_are_refused_with_what_is_wrong() {
    let (coordinator, _acceptors) = leading().await;
    let of_ours = |rest: &str| format!("/v1/chosen?cluster={}&{rest}", cluster_id());
    for (method, path, body, status, says) in [
        ("GET", "/v1/chosen?from=0", "", 400, "cluster"),
        ("GET", "/v1/chosen?cluster=1&from=0", "", 400, "16 hexadecimal digits"),
        ("GET", &of_ours(""), "", 400, "from"),
        ("GET", &of_ours("from=x"), "", 400, "from"),
        ("GET", &of_ours("from=-1"), "", 400, "from"),
        ("GET", &of_ours("from=0&until=9"), "", 400, "until"),
        ("GET", &of_ours("from=0&limit=0"), "", 400, "limit"),
        ("GET", &of_ours("from=0&limit=1025"), "", 400, "limit"),
        ("POST", "/v1/proposals", "{", 400, "JSON"),
        ("POST", "/v1/proposals", "{}", 400, "cluster"),
        ("POST", "/v1/heartbeats", r#"{"cluster":"x"}"#, 400, "16 hexadecimal digits"),
        ("POST", "/v1/primary", r#"{"cluster":"0000000000000001"}"#, 400, "wanted"),
        ("GET", "/v1/proposals", "", 405, "GET"),
        ("GET", "/v1/nothing", "", 404, "/v1/nothing"),
    ] {
        let (answered, body) = coordinator.send(method, path, body).await;
        assert!(answered == status && body.contains(says), "{method} {path}: {answered} {body}");
    }
    let (status, body) =
        coordinator.send("POST", "/v1/proposals", &" ".repeat((8 << 20) + 2_000)).await;
    assert!(status == 413 && body.contains("proposal"), "{status} {body}");
}

#[tokio::test]
async fn a_heartbeat_is_answered_with_who_leads() {
    let (coordinator, _acceptors) = leading().await;
    let reply = coordinator.client.heartbeat(&heartbeat(cluster_id()), PATIENCE).await.unwrap();
    let reply = reply.for_cluster(cluster_id()).unwrap();
    let ballot = reply.ballot.unwrap();
    let expected = HeartbeatReply {
        coordinator: ballot.coordinator,
        phase: Phase::Phase2,
        ballot: Some(ballot),
        chosen_below: Slot(0),
    };
    assert_eq!(reply, expected);
    let endless = Heartbeat { url: "x".repeat(64 << 10), ..heartbeat(cluster_id()) };
    let refused = coordinator.client.heartbeat(&endless, PATIENCE).await.unwrap_err();
    assert!(refused.to_string().contains("the heartbeat is limited to 65536 bytes"), "{refused}");
    let absurd = Heartbeat { durable_below: Slot(u64::MAX), ..heartbeat(cluster_id()) };
    let refused = coordinator.client.heartbeat(&absurd, PATIENCE).await.unwrap_err();
    assert!(
        refused.to_string().contains("durable_below 18446744073709551615 is more than"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_replica_of_another_cluster_is_refused_and_told_both() {
    let (coordinator, _acceptors) = leading().await;
    let (client, other) = (&coordinator.client, ClusterId(9));
    let proposal = Proposal { cluster: other, ..proposal(0, "x") };
    let refusals = [
        client.heartbeat(&heartbeat(other), PATIENCE).await.unwrap_err(),
        client.propose(&proposal, PATIENCE).await.unwrap_err(),
        client.chosen(other, Slot(0), Duration::ZERO, PATIENCE).await.unwrap_err(),
    ];
    for refused in refusals {
        let text = refused.to_string();
        let (ours, theirs) = (cluster_id().to_string(), other.to_string());
        assert!(["409", &ours, &theirs].iter().all(|part| text.contains(part)), "{text}");
    }
}

#[tokio::test]
async fn what_is_no_batch_as_the_proposal_names_it_is_not_proposed() {
    let (coordinator, acceptors) = leading().await;
    let of = |value: Value| Proposal { value: value.encode(), ..proposal(0, "x") };
    let view = View {
        epoch: Epoch(1),
        primary: "replica-1".parse().unwrap(),
        primary_instance: Instance(1),
        backups: Vec::new(),
        format: LogFormat(99),
    };
    let removal = Removal { view: view.clone(), replica: "replica-2".parse().unwrap() };
    let cut = proposal(0, "commands").value;
    for wrong in [
        of(Value::Noop),
        of(Value::View(view)),
        of(Value::Removal(removal)),
        Proposal { value: proposal(1, "x").value, ..proposal(0, "x") },
        Proposal { epoch: Epoch(2), ..proposal(0, "x") },
        Proposal { value: cut.slice(..cut.len() - 1), ..proposal(0, "x") },
        Proposal { value: "x".into(), ..proposal(0, "x") },
    ] {
        let refused = coordinator.client.propose(&wrong, PATIENCE).await.unwrap_err().to_string();
        assert!(refused.contains("400") && refused.contains("must be a batch"), "{refused}");
    }
    assert!(acceptors.iter().all(|acceptor| acceptor.memory.lock().unwrap().batches.is_empty()));
}

#[tokio::test]
async fn before_its_cluster_is_known_a_coordinator_answers_no_replica() {
    let acceptor = FakeAcceptor::start(1).await;
    let coordinator = RunningCoordinator::start(&[
        acceptor.url.as_str(),
        "http://127.0.0.1:1",
        "http://127.0.0.1:2",
    ]);
    let (client, cluster) = (&coordinator.client, cluster_id());
    let refusals = [
        client.heartbeat(&heartbeat(cluster), PATIENCE).await.unwrap_err(),
        client.propose(&proposal(0, "x"), PATIENCE).await.unwrap_err(),
        client.chosen(cluster, Slot(0), Duration::ZERO, PATIENCE).await.unwrap_err(),
    ];
    for refused in refusals {
        assert!(refused.to_string().contains("503"), "{refused}");
    }
}

#[test]
fn flags_have_bounds() {
    #[derive(Debug, clap::Parser)]
    struct Flags {
        #[command(flatten)]
        _args: Args,
    }
    for bad in [
        ["--election-timeout-ms", "0"],
        ["--max-in-flight-slots", "0"],
        ["--max-in-flight-bytes", "1"],
    ] {
        let flags = <Flags as clap::Parser>::try_parse_from(["coordinator", bad[0], bad[1]]);
        assert!(flags.is_err(), "{bad:?}");
    }
}
