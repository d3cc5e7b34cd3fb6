//! What is executed and not stored yet: mutations are answered, readers wait.

use super::*;

#[test]
fn a_mutation_is_answered_when_it_is_executed_and_told_of_when_it_is_stored() {
    let mut rig = Rig::primary();
    rig.mutation(1, "k");
    rig.reply(1, 1, 0, Ok(chosen_at(1)));
    let before = rig.replica.status(rig.now);
    assert_eq!(rig.execute(&[entry(1, batch(1, 0, &["k"]))]), [created(1, 1, 1)]);
    let told = |rig: &Rig| {
        let status = rig.replica.status(rig.now);
        (status.executed_below, status.revision, status.hash)
    };
    assert_eq!(told(&rig), (Slot(1), Revision(0), before.hash));
    assert_eq!(rig.store(), []);
    assert_eq!(told(&rig), (Slot(2), Revision(1), rig.database.meta().hash));
}

#[test]
fn the_next_batch_does_not_wait_for_the_last_one_to_be_stored() {
    let mut rig = Rig::primary();
    rig.mutation(1, "a");
    rig.mutation(2, "b");
    rig.reply(1, 1, 0, Ok(chosen_at(1)));
    assert_eq!(
        rig.execute(&[entry(1, batch(1, 0, &["a"]))]),
        [created(1, 1, 1), propose(1, 2, 1, 1, &["b"])]
    );
}

#[test]
fn a_read_of_what_is_executed_has_it_stored_once_and_waits_for_that() {
    let mut rig = Rig::backup();
    rig.fetched(2, entries(&[noop(1)], 2));
    assert_eq!(rig.execute(&[noop(1)]), [], "nobody waits for it");
    rig.read(1);
    rig.watermarks(2, 1, 2);
    assert_eq!(rig.watermarks(2, 2, 2), [arm(Timer::Probe, 1_000, 0), Effect::Store]);
    assert!(!rig.fire(Timer::Heartbeat).contains(&Effect::Store), "it is ordered");
    assert_eq!(rig.store(), [release(&[1], 2, 0)]);
}

#[test]
fn a_read_that_waits_for_it_has_what_is_executed_stored_at_once() {
    let mut rig = Rig::backup();
    rig.read(1);
    rig.watermarks(2, 1, 3);
    rig.watermarks(2, 2, 3);
    rig.fetched(2, entries(&[noop(1)], 2));
    assert_eq!(rig.execute(&[noop(1)]), [], "it waits for more");
    rig.fetched(3, entries(&[noop(2)], 3));
    assert_eq!(rig.execute(&[noop(2)]), [Effect::Store]);
    assert_eq!(rig.store(), [release(&[1], 3, 0)]);
}

#[test]
fn who_waits_for_a_revision_has_it_stored() {
    let mut rig = Rig::primary();
    rig.mutation(1, "k");
    rig.reply(1, 1, 0, Ok(chosen_at(1)));
    rig.execute(&[entry(1, batch(1, 0, &["k"]))]);
    let wait =
        |revision| Input::WaitRevision { id: RequestId(revision), revision: Revision(revision) };
    assert_eq!(rig.step(wait(2)), [], "it is not executed");
    assert_eq!(rig.step(wait(1)), [Effect::Store]);
    assert_eq!(rig.store(), [release(&[1], 2, 1)]);
}

#[test]
fn what_is_not_stored_is_served_to_peers_from_memory_however_much_it_is() {
    let mut rig = Rig::in_views(Config { learned_entries: 2, ..config() }, &[2]);
    for slot in 1..5 {
        rig.fetched(slot + 1, entries(&[noop(slot)], slot + 1));
        rig.execute(&[noop(slot)]);
    }
    let page = |rig: &Rig| rig.log_from(1, 1, 1 << 20);
    assert!(matches!(page(&rig), LogPage::Ready(_)), "{:?}", page(&rig));
    rig.store();
    assert_eq!(page(&rig), LogPage::Stored { below: Slot(5), chosen_below: Slot(5) });
}

#[test]
fn the_leader_is_told_of_a_view_when_it_is_stored() {
    let mut rig = Rig::primary();
    rig.fetched(0, entries(&[view_entry(1, 2, 1)], 2));
    let executed = rig.execute(&[view_entry(1, 2, 1)]);
    assert_eq!(executed, [Effect::RoleChanged { role: Role::Primary, view: view(2, 1) }]);
    let stored = rig.store();
    assert_eq!(stored, rig.heartbeats(Some(view(2, 1)), 2, None));
}
