//! What bounds a transaction.

use super::*;
use crate::machine::answers::LoadedAnswers;
use crate::machine::identity::IdempotencyKey;
use crate::machine::keys::{KeyNeeds, KeyScan};

/// So many of these read nearly as much as a transaction may.
const VALUE: usize = 100_000;

fn large(key: &str) -> Op {
    put(key, &"x".repeat(VALUE))
}

#[test]
fn a_transaction_that_reads_too_much_is_refused_and_writes_nothing() {
    let mut state = state_after(vec![large("a")]);
    let reads = |count: usize| vec![get("a"); count];
    let fits = limits::TXN_RESULT_BYTES / (VALUE + 100);
    assert_eq!(results(&mut state, 1, reads(fits)).len(), fits);
    for ops in [reads(fits + 1), [vec![put_op("b", "1")], reads(fits + 1)].concat()] {
        let outcome = outcome_of(&mut state, txn(ops));
        assert_eq!(outcome, CommandOutcome::TxnTooLarge { revision: Revision(1) });
    }
    assert_eq!((state.meta().revision, rows(&mut state)), (Revision(1), (vec![], vec![])));
}

#[test]
fn the_transactions_of_a_batch_read_no_more_together_than_there_is_room_for() {
    let mut state = state_after(vec![large("a")]);
    let fits = limits::TXN_RESULT_BYTES / (VALUE + 100);
    let read = || txn(vec![get("a"); fits]);
    let once = RequestIdentity::Keyed(IdempotencyKey::of("1"));
    let mut commands = commands(0, vec![read(), read(), read(), put("b", "1")]);
    commands.commands[2].request = once;
    let value = raw_batch(1, 1, commands.encode());
    let SlotOutcome::Batch { commands, .. } = execute_next(&mut state, value) else {
        panic!("a batch")
    };
    let refused = CommandOutcome::TxnWithoutRoom { revision: Revision(1) };
    assert_eq!(commands[2].outcome, refused);
    assert!([&commands[0], &commands[1]].iter().all(|it| it.outcome != refused));
    assert_eq!(commands[3].outcome, CommandOutcome::Created { revision: Revision(2) });
    // It may be sent again, and there is room.
    assert_eq!(state.meta().answers, 0);
    let mut again = super::super::commands(0, vec![read()]);
    again.commands[0].request = once;
    let value = raw_batch(1, 2, again.encode());
    let SlotOutcome::Batch { commands, .. } = execute_next(&mut state, value) else {
        panic!("a batch")
    };
    assert_eq!(commands[0].delivery, Delivery::First);
    assert_eq!(taken(commands[0].outcome.clone()).results.len(), fits);
}

/// What is lacking, round by round, of a state of which nothing is loaded.
fn rounds(keys: &[&str], ops: Vec<TxnOp>) -> Vec<KeyNeeds> {
    let meta = state_after(keys.iter().map(|key| put(key, "1")).collect()).meta().clone();
    let mut state = ReplicatedState::partial(meta, Whole::default());
    let mut run = Run::new(vec![entry(2, batch(1, 1, vec![txn(ops)]))]);
    let record = |key: &str| {
        let revision = Revision(1);
        let head = Record {
            revision,
            created_revision: revision,
            version: 1,
            lease: None,
            content_bytes: 1,
            content: None,
        };
        (key.to_owned(), head)
    };
    let mut asked = Vec::new();
    while let RunStep::Lacks(needs) = run.advance(&mut state) {
        let KeyNeeds { heads, contents, scans, rollback: _ } = needs.keys.clone();
        let scan = |scan: &KeyScan| {
            let is_in =
                |key: &&&str| *key.as_bytes() >= *scan.from && *key.as_bytes() < *scan.below;
            keys.iter().filter(is_in).take(scan.at_most).map(|key| record(key)).collect()
        };
        let content = Content { value: Bytes::from_static(b"1"), content_type: None };
        let found = LoadedKeys {
            heads: heads
                .iter()
                .filter(|key| keys.contains(&key.as_str()))
                .map(|key| record(key))
                .collect(),
            contents: contents.keys().map(|key| (key.clone(), content.clone())).collect(),
            scans: scans.iter().map(scan).collect(),
            rollback: None,
        };
        asked.push(needs.keys.clone());
        state.load(needs, Loaded { keys: found, answers: LoadedAnswers::default() });
    }
    asked
}

#[test]
fn a_deletion_of_a_prefix_loads_nothing_and_a_list_only_what_it_shows() {
    assert_eq!(rounds(&["p/1", "p/2"], vec![delete_prefix("p/")]), []);
    let keys: Vec<String> = (0..500).map(|number| format!("p/{number:03}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let rounds = rounds(&keys, vec![get_prefix("p/", 40)]);
    let scan =
        KeyScan { from: b"p/".to_vec(), below: b"p/\xff".to_vec(), at_most: 41, but_for: vec![] };
    assert_eq!(rounds[0], KeyNeeds { scans: vec![scan], ..KeyNeeds::default() });
    assert_eq!((rounds.len(), rounds[1].contents.len()), (2, 40));
}

#[test]
fn a_list_does_not_look_where_all_is_deleted() {
    let keys: Vec<String> = (0..500).map(|number| format!("p/b/{number:03}")).collect();
    let mut keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    keys.insert(0, "p/a");
    keys.push("p/c");
    let ops = vec![delete_prefix("p/b/"), get_prefix("p/", 5)];
    let scanned: Vec<(Vec<u8>, Vec<u8>)> = rounds(&keys, ops)
        .into_iter()
        .flat_map(|needs| needs.scans.into_iter().map(|scan| (scan.from, scan.below)))
        .collect();
    let range = |from: &[u8], below: &[u8]| (from.to_vec(), below.to_vec());
    assert_eq!(scanned, [range(b"p/", b"p/b/"), range(b"p/b/\xff", b"p/\xff")]);
}
