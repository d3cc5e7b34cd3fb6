//! Executing stands still at a slot, for whoever is to read the state of exactly that.

use super::*;

/// Has the state of the slots below this one asked for.
async fn asked(rig: &Rig, below: u64) -> oneshot::Receiver<Result<Held, NotPinned>> {
    let (reply, answer) = oneshot::channel();
    rig.pins.send(Pin { below: Slot(below), reply }).await.unwrap();
    answer
}

async fn stored_in(rig: &Rig) -> Slot {
    let connection = store::connect(&rig.dir.path().join(store::FILE)).await.unwrap();
    store::PinnedState::begin(connection).await.unwrap().executed_below()
}

#[tokio::test]
async fn executing_stands_still_at_a_slot_until_somebody_has_begun_to_read_there() {
    let (dir, store) = opened().await;
    let mut rig = start(dir, store);
    let answer = asked(&rig, 2).await;
    rig.jobs.send(noop(0)).await.unwrap();
    rig.jobs.send(noop(1)).await.unwrap();
    let held = answer.await.unwrap().unwrap();
    rig.jobs.send(noop(2)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(stored_in(&rig).await, Slot(2), "all below the slot is stored, and nothing else");
    let mut said = Vec::new();
    while let Ok(input) = rig.inputs.try_recv() {
        said.extend(matches!(&input, Input::Executed(_)).then_some(()));
    }
    assert_eq!(said.len(), 2, "the third slot is not executed");
    drop(held);
    while rig.next().await != Input::Durable(Slot(3)) {}
}

#[tokio::test]
async fn who_does_not_let_go_holds_executing_up_for_a_moment_only() {
    let (dir, store) = opened().await;
    let mut rig = start(dir, store);
    let answer = asked(&rig, 0).await;
    let held = answer.await.unwrap().unwrap();
    rig.jobs.send(noop(0)).await.unwrap();
    assert_eq!(rig.executed_below().await, Slot(1));
    drop(held);
}

#[tokio::test]
async fn a_slot_that_is_past_is_refused_and_one_that_does_not_come_is_waited_for_a_while() {
    let (dir, store) = opened().await;
    let mut rig = start(dir, store);
    rig.jobs.send(noop(0)).await.unwrap();
    rig.jobs.send(noop(1)).await.unwrap();
    while rig.next().await != Input::Durable(Slot(2)) {}
    let passed = NotPinned::Passed { executed_below: Slot(2) };
    assert_eq!(asked(&rig, 1).await.await.unwrap().unwrap_err(), passed);
    // Whoever has gone leaves the place to the next.
    drop(asked(&rig, 9).await);
    let not_reached = NotPinned::NotReached { executed_below: Slot(2) };
    let answer = timeout(Duration::from_secs(10), asked(&rig, 3).await).await.unwrap();
    assert_eq!(answer.unwrap().unwrap_err(), not_reached);
}
