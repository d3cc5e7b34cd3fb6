use client::{Ballot, ChainHash, LogEntry};
use serde_json::json;
use shared::ids::Slot;
use shared::message::{ChosenEntry, ChosenReply, LogPrefix};

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
