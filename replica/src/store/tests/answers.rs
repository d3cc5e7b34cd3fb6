//! First answers of requests with an `Idempotency-Key`, on disk.

use super::*;
use crate::machine::execute::{CommandOutcome, Delivery, SlotOutcome};
use crate::machine::identity::IdempotencyKey;

fn keyed(slot: u64, number: u64, time_ms: u64, keys: &[&str]) -> ChosenEntry {
    let command = |key: &&str| Command {
        op: put(
            key,
            b"value of at least sixty-four bytes, so that it would be left out of the log",
        ),
        trace: None,
        request: RequestIdentity::Keyed(IdempotencyKey::of(key)),
    };
    let commands = keys.iter().map(command).collect();
    let answers = AnswerRetention { keep_ms: 1_000, at_most: 3 };
    let commands =
        Commands { time_ms, wall_ms: 0, trace: None, answers, commands, executed: None }.encode();
    entry(slot, &Value::Batch(Batch { epoch: Epoch(1), number: BatchNumber(number), commands }))
}

#[tokio::test]
async fn first_answers_are_there_after_a_restart_and_in_the_log_of_a_repeat() {
    let (dir, mut store) = open_new().await;
    let first = keyed(1, 0, 10, &["a", "b"]);
    execute_and_store(&mut store.writer, vec![view(0, 1), first]).await.unwrap();
    store.writer.close().await.unwrap();
    let mut store = open_in(dir.path()).await;
    let again = keyed(2, 1, 20, &["b", "c", "d"]);
    let report = execute_and_store(&mut store.writer, vec![again.clone()]).await.unwrap();
    let SlotOutcome::Batch { commands, .. } = &report.slots[0].outcome else { panic!("a batch") };
    let outcomes: Vec<_> = commands.iter().map(|it| (it.outcome.clone(), it.delivery)).collect();
    let created = |revision| CommandOutcome::Created { revision: Revision(revision) };
    let refused = CommandOutcome::TooManyKeys { revision: Revision(3) };
    assert_eq!(
        outcomes,
        [
            (created(2), Delivery::Replayed),
            (created(3), Delivery::First),
            (refused, Delivery::First)
        ]
    );
    assert_eq!(store.writer.meta().answers, 3);
    let page = store
        .reader
        .log(LogQuery { from: Slot(2), page: PageLimits { items: 1, bytes: 1 << 20 } })
        .await;
    assert_eq!(page.unwrap().rows[0].value, again.value, "the log has the repeat as it was chosen");

    let late = keyed(3, 2, 2_000, &["b"]);
    let report = execute_and_store(&mut store.writer, vec![late]).await.unwrap();
    assert_eq!(report.meta.answers, 1, "the time of all others is over");
    store.writer.close().await.unwrap();
    let inspected = inspect(dir.path(), &name()).await.unwrap().unwrap();
    assert_eq!(inspected.meta.answers, 1);
}

#[tokio::test]
async fn a_row_of_answers_that_is_not_what_was_written_is_refused() {
    let sum = "a row of answers does not match its checksum";
    for (sql, word) in [
        ("UPDATE answers SET outcome = x'0005'", sum),
        ("UPDATE answers SET expires_ms = 3", sum),
        ("UPDATE answers SET request = zeroblob(16)", sum),
        ("DELETE FROM answers", "there are 0 answers, but meta says 1"),
    ] {
        let (dir, mut store) = open_new().await;
        execute_and_store(&mut store.writer, vec![view(0, 1), keyed(1, 0, 10, &["a"])])
            .await
            .unwrap();
        store.writer.close().await.unwrap();
        damage::alter(dir.path(), sql).await;
        let error = open(dir.path(), &name(), 1).await.unwrap_err().to_string();
        assert!(error.contains(word), "{sql}: {error}");
    }
}
