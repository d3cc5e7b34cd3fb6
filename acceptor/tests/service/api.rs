#![expect(clippy::disallowed_methods, reason = "a test of a duration reads the clock")]

use std::time::Instant;

use http::StatusCode;
use serde_json::{Value, json};
use shared::ids::{ClusterId, Instance, Name};
use shared::message::{Announcement, Member, Service, VoteRoom};

use super::*;

fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

async fn get(url: &str) -> (StatusCode, Value) {
    let response = http().get(url).send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

async fn post(url: &str, body: &Value) -> (StatusCode, Value) {
    let response = http().post(url).json(body).send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

#[tokio::test]
async fn an_acceptor_promises_votes_and_reports_in_the_binary_encoding() {
    let temp = tempfile::tempdir().unwrap();
    let process = Process::start(temp.path());
    let client = process.client();
    let fresh = client.watermarks(TIMEOUT).await.unwrap();
    assert_eq!((fresh.roster, fresh.promised, fresh.marks), (None, None, Marks::default()));
    let acceptor = fresh.acceptor;

    let promise = Promise {
        acceptor,
        ballot: ballot(1),
        from: Slot(0),
        votes: Vec::new(),
        next: None,
        marks: Marks::default(),
    };
    assert_eq!(
        client.prepare(&prepare(acceptor, 1), TIMEOUT).await.unwrap(),
        PrepareReply::Promise(promise)
    );

    let value = Bytes::from_static(b"\0value");
    let accepted = client.accept(&accept(acceptor, 3, value.clone()), TIMEOUT).await.unwrap();
    let marks = Marks { voted_below: Slot(4), chosen_below: Slot(3), trimmed_below: Slot(0) };
    let room = VoteRoom { used_bytes: 6 + 128, limit_bytes: 512 << 20 };
    let expected = Accepted { acceptor, ballot: ballot(1), slots: vec![Slot(3)], marks, room };
    assert_eq!(accepted, AcceptReply::Accepted(expected));

    let page = client.votes(Slot(0), TIMEOUT).await.unwrap();
    assert_eq!(page.votes, [Vote { slot: Slot(3), ballot: ballot(1), value }]);
    assert_eq!((page.next, page.marks, page.roster), (None, marks, Some(roster_of(acceptor))));
    let known = client.watermarks(TIMEOUT).await.unwrap();
    assert_eq!(
        (known.roster, known.promised, known.marks),
        (Some(roster_of(acceptor)), Some(ballot(1)), marks)
    );
    assert!(known.leader_silent_ms < 10_000);
}

#[tokio::test]
async fn an_acceptor_speaks_json_to_curl() {
    let temp = tempfile::tempdir().unwrap();
    let process = Process::start(temp.path());
    let acceptor = identity(&process.client()).await;
    let roster = json!(roster_of(acceptor));
    let ballot = json!({"round": 2, "coordinator": "0000000000000abc"});
    let prepare = json!({"roster": roster, "ballot": ballot, "from": 0});
    let marks = json!({"voted_below": 0, "chosen_below": 0, "trimmed_below": 0});
    let promise = json!({"promise": {
        "acceptor": acceptor, "ballot": ballot, "from": 0, "votes": [], "next": null, "marks": marks,
    }});
    assert_eq!(
        post(&format!("{}/v1/prepare", process.url), &prepare).await,
        (StatusCode::OK, promise)
    );

    let lower = json!({"roster": roster, "ballot": {"round": 1, "coordinator": "0000000000000abc"}, "from": 0});
    let nack = json!({"nack": {"acceptor": acceptor, "promised": ballot}});
    assert_eq!(post(&format!("{}/v1/prepare", process.url), &lower).await, (StatusCode::OK, nack));

    let (status, page) = get(&format!("{}/v1/votes?from=0&limit=10", process.url)).await;
    let expected =
        json!({"acceptor": acceptor, "roster": roster, "votes": [], "next": null, "marks": marks});
    assert_eq!((status, page), (StatusCode::OK, expected));
}

#[tokio::test]
async fn status_says_what_the_acceptor_knows() {
    let temp = tempfile::tempdir().unwrap();
    let process = Process::start_with(temp.path(), &["--id", "acceptor-7"]);
    let client = process.client();
    let acceptor = identity(&client).await;
    client.accept(&accept(acceptor, 0, Bytes::from_static(b"abc")), TIMEOUT).await.unwrap();
    let (status, mut body) = get(&format!("{}/v1/status", process.url)).await;
    for counter in ["uptime_ms", "leader_silent_ms", "requests"] {
        assert!(body[counter].take().is_u64(), "{counter}");
    }
    // The vote was synced before it was told.
    for counter in ["syncs", "sync_us"] {
        assert!(body[counter].take().as_u64() > Some(0), "{counter}");
    }
    let roster = roster_of(acceptor);
    let expected = json!({
        "service": "acceptor", "id": "acceptor-7", "version": env!("CARGO_PKG_VERSION"), "pid": process.child.id(),
        "uptime_ms": null, "requests": null, "leader_silent_ms": null, "acceptor": acceptor, "cluster_id": roster.cluster(), "roster": roster,
        "promised": ballot(1), "votes": 1, "vote_bytes": 131, "voted_below": 1, "chosen_below": 0, "trimmed_below": 0,
        "log_bytes": 16 << 20, "log_segments": 1, "syncs": null, "sync_us": null,
        "messages_version": shared::wire::VERSION, "follows_acceptors": true, "other_versions": [],
        "succession": null, "has_left": false, "storage": "writable",
    });
    assert_eq!((status, body), (StatusCode::OK, expected));
}

#[tokio::test]
async fn an_acceptor_says_for_how_long_it_has_not_heard_from_a_leader() {
    let temp = tempfile::tempdir().unwrap();
    let process = Process::start(temp.path());
    let client = process.client();
    let acceptor = identity(&client).await;
    let grows = async {
        while client.watermarks(TIMEOUT).await.unwrap().leader_silent_ms < 100 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, grows).await.expect("silence grows");
    let sent = Instant::now();
    client.accept(&accept(acceptor, 0, Bytes::from_static(b"a")), TIMEOUT).await.unwrap();
    let silent_ms = client.watermarks(TIMEOUT).await.unwrap().leader_silent_ms;
    assert!(u128::from(silent_ms) <= sent.elapsed().as_millis(), "{silent_ms} ms");
}

#[tokio::test]
async fn members_find_each_other_and_the_acceptor_itself() {
    let temp = tempfile::tempdir().unwrap();
    let process = Process::start(temp.path());
    let name = |name: &str| name.parse().unwrap();
    let url = "http://127.0.0.1:8301".to_owned();
    let member =
        Member { name: name("replica-1"), service: Service::Replica, url, instance: Instance(5) };
    let announcement = Announcement { cluster: None, member: member.clone() };
    let announced = process.client().announce(&announcement, TIMEOUT).await.unwrap();
    assert_eq!(announced.cluster, None);
    let listed: Vec<Member> =
        announced.directory.members.into_iter().map(|entry| entry.member).collect();
    let instance = listed[0].instance;
    let own = Member {
        name: name("acceptor-1"),
        service: Service::Acceptor,
        url: process.url.clone(),
        instance,
    };
    assert_eq!(listed, [own, member]);
    let (status, body) = get(&format!("{}/v1/members", process.url)).await;
    assert_eq!(
        (status, &body["members"][1]["member"]["name"]),
        (StatusCode::OK, &json!("replica-1"))
    );

    let response = http().put(format!("{}/v1/members/replica-2", process.url)).json(&announcement);
    let response = response.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let problem: Value = response.json().await.unwrap();
    assert_eq!(
        problem["detail"],
        "the member in the body is replica-1, the one in the path is replica-2"
    );
}

#[tokio::test]
async fn a_member_that_ends_is_taken_off_the_list_by_the_process_that_is_on_it() {
    let temp = tempfile::tempdir().unwrap();
    let process = Process::start(temp.path());
    let (client, name) = (process.client(), "replica-1".parse::<Name>().unwrap());
    let url = "http://127.0.0.1:8301".to_owned();
    let member =
        Member { name: name.clone(), service: Service::Replica, url, instance: Instance(5) };
    client.announce(&Announcement { cluster: None, member }, TIMEOUT).await.unwrap();
    let others = client.withdraw(&name, Instance(6), TIMEOUT).await.unwrap();
    assert_eq!(others.members.len(), 2, "that is another process");
    let others = client.withdraw(&name, Instance(5), TIMEOUT).await.unwrap();
    assert_eq!(others.members.len(), 1);
    let path = format!("{}/v1/members/replica-1", process.url);
    for (query, says) in [("", "instance"), ("?instance=5", "16"), ("?by=me", "by")] {
        let response = http().delete(format!("{path}{query}")).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{query}");
        let problem: Value = response.json().await.unwrap();
        assert!(problem["detail"].as_str().unwrap().contains(says), "{query}: {problem}");
    }
}

#[tokio::test]
async fn a_member_of_another_cluster_is_not_listed_and_told_both() {
    let temp = tempfile::tempdir().unwrap();
    let process = Process::start(temp.path());
    let client = process.client();
    let acceptor = identity(&client).await;
    client.prepare(&prepare(acceptor, 1), TIMEOUT).await.unwrap();
    let roster = client.watermarks(TIMEOUT).await.unwrap().roster.unwrap();
    let url = "http://127.0.0.1:8301".to_owned();
    let name = "replica-1".parse().unwrap();
    let member = Member { name, service: Service::Replica, url, instance: Instance(5) };
    let other = ClusterId(roster.cluster().0 ^ 1);
    let announcement = Announcement { cluster: Some(other), member };
    let refused = client.announce(&announcement, TIMEOUT).await.unwrap_err().to_string();
    let (ours, theirs) = (roster.cluster().to_string(), other.to_string());
    assert!(["409", &ours, &theirs].iter().all(|part| refused.contains(part)), "{refused}");
    let announcement = Announcement { cluster: Some(roster.cluster()), ..announcement };
    let announced = client.announce(&announcement, TIMEOUT).await.unwrap();
    assert_eq!((announced.cluster, announced.directory.members.len()), (Some(roster.cluster()), 2));
}

/// Asks for readiness until it is as expected.
async fn wait_until_ready_is(process: &Process, expected: StatusCode) -> String {
    loop {
        let response = http().get(format!("{}/readyz", process.url)).send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        if status == expected {
            return text;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn an_acceptor_that_coordinators_do_not_know_is_alive_and_not_ready() {
    let temp = tempfile::tempdir().unwrap();
    let process = Process::start(temp.path());
    let client = process.client();
    wait_until_ready_is(&process, StatusCode::OK).await;
    let (acceptor, other) = (identity(&client).await, AcceptorId(1));
    let reply = client.prepare(&prepare(other, 1), TIMEOUT).await.unwrap();
    assert!(matches!(reply, PrepareReply::Stranger(_)), "{reply:?}");
    let text = wait_until_ready_is(&process, StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(text.contains("coordinators speak of a cluster that does not name it"), "{text}");
    assert_eq!(
        http().get(format!("{}/livez", process.url)).send().await.unwrap().status(),
        StatusCode::OK
    );

    client.prepare(&prepare(acceptor, 1), TIMEOUT).await.unwrap();
    wait_until_ready_is(&process, StatusCode::OK).await;
    let of = |cluster, generation| {
        let roster = Roster::new(ClusterId(cluster), Generation(generation), vec![other]).unwrap();
        Prepare { roster, ..prepare(other, 1) }
    };
    client.prepare(&of(1, 1), TIMEOUT).await.unwrap();
    let text = wait_until_ready_is(&process, StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(text.contains("another generation of its cluster's acceptors than 0"), "{text}");
    wait_until_ready_is(&process, StatusCode::OK).await;
    client.prepare(&of(2, 0), TIMEOUT).await.unwrap();
    let text = wait_until_ready_is(&process, StatusCode::SERVICE_UNAVAILABLE).await;
    let cluster = roster_of(acceptor).cluster();
    assert!(
        text.contains(&format!("coordinators speak of another cluster than {cluster}")),
        "{text}"
    );
    // Nobody speaks of another cluster any more.
    wait_until_ready_is(&process, StatusCode::OK).await;
}

#[tokio::test]
async fn a_malformed_request_is_a_problem_that_names_what_is_wrong() {
    let temp = tempfile::tempdir().unwrap();
    let process = Process::start(temp.path());
    let acceptor = identity(&process.client()).await;
    let roster = json!(roster_of(acceptor));
    let mut repeated = roster.clone();
    repeated["acceptors"] = json!([acceptor, acceptor]);
    let ballot = json!({"round": 1, "coordinator": "0000000000000abc"});
    let accept = |proposals: Value, chosen: u64, trim: u64| json!({"roster": roster, "ballot": ballot, "proposals": proposals, "chosen_below": chosen, "trim_below": trim});
    let cases = [
        (
            "/v1/accept",
            accept(json!([{"slot": 1, "value": [1]}, {"slot": 1, "value": [1]}]), 0, 0),
            "slot 1 is proposed after",
        ),
        ("/v1/accept", accept(json!([{"slot": u64::MAX, "value": [1]}]), 0, 0), "too far ahead"),
        (
            "/v1/accept",
            accept(json!([{"slot": -1, "value": [1]}]), 0, 0),
            "the body is not the expected JSON",
        ),
        ("/v1/accept", accept(json!([]), 1, 2), "trim_below 2 is above chosen_below 1"),
        ("/v1/accept", json!({"roster": repeated, "ballot": ballot}), "an odd number of acceptors"),
        ("/v1/accept", json!([]), "the body is not the expected JSON"),
        (
            "/v1/prepare",
            json!({"roster": roster, "ballot": {"round": u64::MAX, "coordinator": "0000000000000abc"}, "from": 0}),
            "is more than 4294967296 above 0",
        ),
        (
            "/v1/prepare",
            json!({"roster": roster, "ballot": {"round": 1, "coordinator": "abc"}, "from": 0}),
            "16 hexadecimal digits",
        ),
    ];
    for (path, body, wrong) in cases {
        let (status, problem) = post(&format!("{}{path}", process.url), &body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(wrong), "{body}: {problem}");
    }
    for (query, wrong) in [
        ("from=-1", "from"),
        ("limit=0", "limit 0"),
        ("limit=257", "limit 257"),
        ("form=1", "form"),
    ] {
        let (status, problem) = get(&format!("{}/v1/votes?{query}", process.url)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(wrong), "{query}: {problem}");
    }
    let (status, problem) = get(&format!("{}/v1/kv/a", process.url)).await;
    assert_eq!((status, &problem["title"]), (StatusCode::NOT_FOUND, &json!("Not found")));
    let (status, _) = get(&format!("{}/v1/accept", process.url)).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    let marks = process.client().watermarks(TIMEOUT).await.unwrap();
    assert_eq!((marks.roster, marks.promised, marks.marks), (None, None, Marks::default()));
}

#[tokio::test]
async fn too_much_is_refused_and_the_limit_named() {
    let temp = tempfile::tempdir().unwrap();
    let process = Process::start_with(temp.path(), &["--max-log-value-kib", "64"]);
    let client = process.client();
    let acceptor = identity(&client).await;
    let too_large = client
        .accept(&accept(acceptor, 0, Bytes::from(vec![1; 65 << 10])), TIMEOUT)
        .await
        .unwrap_err();
    assert!(too_large.to_string().contains("the value is limited to 65536 bytes"), "{too_large}");
    let endless = http()
        .post(format!("{}/v1/prepare", process.url))
        .header("content-type", "application/json")
        .body(vec![b' '; 5_000])
        .send()
        .await
        .unwrap();
    assert_eq!(endless.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let problem: Value = endless.json().await.unwrap();
    assert_eq!(problem["detail"], "the prepare is limited to 4096 bytes");
    let xml = http()
        .post(format!("{}/v1/prepare", process.url))
        .header("content-type", "text/xml")
        .body("<a/>");
    assert_eq!(xml.send().await.unwrap().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn two_values_for_a_slot_at_one_ballot_are_a_conflict() {
    let temp = tempfile::tempdir().unwrap();
    let process = Process::start(temp.path());
    let client = process.client();
    let acceptor = identity(&client).await;
    client.accept(&accept(acceptor, 0, Bytes::from_static(b"a")), TIMEOUT).await.unwrap();
    let refused = client
        .accept(&accept(acceptor, 0, Bytes::from_static(b"b")), TIMEOUT)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("409")
            && refused.contains("two values for slot 0 at ballot 1.0000000000000abc"),
        "{refused}"
    );
    let page = client.votes(Slot(0), TIMEOUT).await.unwrap();
    assert_eq!(
        page.votes,
        [Vote { slot: Slot(0), ballot: ballot(1), value: Bytes::from_static(b"a") }]
    );
}
