use client::{Ballot, ChainHash, LogEntry};
use serde_json::json;
use shared::ids::Slot;
use shared::message::{ChosenEntry, ChosenReply, LogPrefix};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::links::Broken;
use super::*;

/// A log of these values, from a slot on.
fn log(from: u64, values: &[&'static [u8]]) -> Vec<LogEntry> {
    let mut hash = ChainHash::default();
    let entry = |(index, value): (usize, &&'static [u8])| {
        let slot = from + index as u64;
        let previous_hash = hash;
        hash = hash.next(Slot(slot), value);
        serde_json::from_value(json!({
            "slot": slot, "ballot": ballot(), "kind": "noop", "epoch": null, "commands": [],
            "trace_id": null, "revision": 0, "hash": hash, "previous_hash": previous_hash,
        }))
        .unwrap()
    };
    values.iter().enumerate().map(entry).collect()
}

fn ballot() -> Ballot {
    serde_json::from_value(json!({"round": 1, "coordinator": "0000000000000001"})).unwrap()
}

/// What a replica with these values answers.
fn reply(from: u64, previous: ChainHash, values: &[&'static [u8]]) -> ChosenReply {
    let entry = |(index, value): (usize, &&'static [u8])| ChosenEntry {
        slot: Slot(from + index as u64),
        ballot: ballot(),
        value: (*value).into(),
    };
    ChosenReply::Entries {
        entries: values.iter().enumerate().map(entry).collect(),
        chosen_below: Slot(0),
        previous: Some(LogPrefix { below: Slot(from), hash: previous }),
    }
}

fn chained(entries: &[LogEntry]) -> Result<Links, Broken> {
    let mut links = Links::before(&entries[0]);
    entries.iter().try_for_each(|entry| links.take(entry)).map(|()| links)
}

fn held(page: &[LogEntry], reply: ChosenReply) -> (Standing, usize) {
    let cluster = "0000000000000001".parse().unwrap();
    let mut replica = Recompute::new(cluster, String::from("http://replica-1:8301"));
    let left = replica.hold(page, reply).len();
    (replica.standing(), left)
}

#[test]
fn a_log_is_a_chain_where_each_slot_names_the_hash_before_it() {
    let entries = log(0, &[b"a", b"b", b"c"]);
    let links = chained(&entries).unwrap();
    assert_eq!((links.first(), links.last(), links.hash()), (0, 2, entries[2].hash));

    let mut changed = entries.clone();
    changed[1].hash = changed[2].hash;
    assert!(matches!(chained(&changed), Err(Broken::Other { slot: 2, .. })));
    let hole = [&entries[..1], &entries[2..]].concat();
    assert_eq!(chained(&hole).unwrap_err(), Broken::Missing { last: 0, found: 2 });
    let mut begun = entries.clone();
    begun[0].previous_hash = entries[1].hash;
    assert!(matches!(chained(&begun), Err(Broken::Other { slot: 0, .. })), "zeros come first");
    assert!(chained(&entries[1..]).is_ok(), "a log that is not kept from its beginning");
}

#[test]
fn a_replica_is_held_against_every_slot() {
    let page = log(0, &[b"a", b"b", b"c"]);
    let zeros = ChainHash::default();
    let (standing, left) = held(&page, reply(0, zeros, &[b"a", b"b", b"c", b"later"]));
    assert!(standing.is_whole(0, 2) && left == 0, "{standing:?}");
    let (standing, left) = held(&page, reply(0, zeros, &[b"a"]));
    assert!(standing.is_whole(0, 0) && left == 2, "{standing:?}");

    for reply in [reply(0, zeros, &[b"a", b"x", b"c"]), reply(0, page[0].hash, &[b"a", b"b", b"c"])]
    {
        let (standing, _) = held(&page, reply);
        assert!(standing.differs(), "{standing:?}");
    }
    let (standing, _) = held(&page, reply(0, zeros, &[b"a", b"x", b"c"]));
    assert!(standing.cells()[2].starts_with("differs at slot 1: "), "{standing:?}");
}

#[test]
fn what_a_replica_does_not_hold_is_not_recomputed_and_not_called_so() {
    let page = log(5, &[b"a", b"b", b"c"]);
    let (standing, left) = held(&page, ChosenReply::Trimmed { oldest: Slot(7) });
    assert!(!standing.is_whole(5, 7) && left == 1, "{standing:?}");
    let (standing, left) = held(&page, reply(5, page[0].previous_hash, &[]));
    assert_eq!(standing.cells()[2], "it does not give slot 5 yet");
    assert_eq!(left, 3);
    let report = Report { from: 5, to: 7, hash: String::new(), replicas: vec![standing] };
    assert_eq!(report.code(), ExitCode::from(exit::UNAVAILABLE));
    assert!(shown(&report).contains("could not be recomputed"));
}

/// Answers `GET /v1/cluster` so often with a replica of which nobody knows where it is, and
/// then says where.
async fn hears_late(times: usize) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for asked in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = Vec::new();
            while !read.ends_with(b"\r\n\r\n") {
                assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0);
            }
            let url = (asked >= times).then_some("http://replica-1:8301");
            let body = json!({"revision": 1, "replicas": [
                {"id": "replica-1", "url": url, "healthy": url.is_some()},
            ]});
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
            stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        }
    });
    Client::new(&url).unwrap()
}

#[tokio::test]
async fn a_replica_that_is_not_heard_of_yet_is_waited_for_unless_others_are_named() {
    let url = async |client: &Client, given: &[BaseUrl]| {
        let cluster = cluster(client, given).await.unwrap();
        cluster.replicas.into_iter().find_map(|replica| replica.url)
    };
    let named = ["http://replica-2:8302".parse().unwrap()];
    let client = hears_late(2).await;
    assert_eq!(url(&client, &named).await, None);
    assert_eq!(url(&client, &[]).await.as_deref(), Some("http://replica-1:8301"));

    // One that is not heard of at all is reported, in words.
    assert_eq!(url(&hears_late(usize::MAX).await, &[]).await, None);
    let unheard = Recompute::unheard("0000000000000001".parse().unwrap(), "replica-1".to_owned());
    let [name, recomputed, found] = unheard.standing().cells();
    assert_eq!([name.as_str(), &recomputed], ["replica-1", "nothing"]);
    assert_eq!(found, "the replica that was asked has not heard of it yet, or not lately");
}
