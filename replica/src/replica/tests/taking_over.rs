//! What a change of the view does to mutations that are under way.

use super::*;

fn not_applied(id: u64) -> Effect {
    answer(id, Answer::NotApplied(NotApplied::PrimaryChanged))
}

/// The last thing that a view leads to, before it is stored and told of.
fn before_heartbeats(effects: &[Effect]) -> Option<&Effect> {
    effects.iter().rev().find(|effect| !matches!(effect, Effect::Heartbeat { .. }))
}

#[test]
fn a_deposed_primary_says_that_what_was_not_executed_never_will_be() {
    let mut rig = Rig::primary();
    rig.mutation(1, "a");
    rig.mutation(2, "b");
    let effects = rig.chosen(&[view_entry(1, 2, 2)]);
    let answers = [
        not_applied(1),
        not_applied(2),
        Effect::RoleChanged { role: Role::Backup, view: view(2, 2) },
    ];
    let expected =
        [&answers[..], &[fetch(2, replica(2), 2)], &rig.heartbeats(Some(view(2, 2)), 2, None)]
            .concat();
    assert_eq!(effects, expected);
}

#[test]
fn a_batch_that_is_chosen_after_the_view_is_void_and_one_before_it_counts() {
    let mut rig = Rig::primary();
    rig.mutation(1, "a");
    rig.mutation(2, "b");
    let chosen =
        [entry(1, batch(1, 0, &["a"])), view_entry(2, 2, 2), entry(3, batch(1, 1, &["b"]))];
    let effects = rig.chosen(&chosen);
    assert_eq!(effects[..2], [created(1, 1, 1), not_applied(2)]);
    assert_eq!(rig.replica.status(rig.now).revision, Revision(1));
}

#[test]
fn late_answers_to_a_deposed_primary_change_nothing() {
    let mut rig = Rig::primary();
    rig.mutation(1, "a");
    rig.chosen(&[view_entry(1, 2, 2)]);
    assert_eq!(rig.reply(1, 1, 0, Ok(ProposalReply::NotLeading)), []);
    assert!(rig.replica.status(rig.now).leader.is_some());
    assert_eq!(rig.reply(1, 1, 0, Err(NoAnswer)), []);
    assert_eq!(
        rig.reply(1, 1, 0, Ok(chosen_at(2))),
        [arm(Timer::FetchStall, 200, 0)],
        "slot 2 is chosen, and not learned here"
    );
    assert_eq!(rig.fire(Timer::Propose), []);
}

#[test]
fn a_primary_that_stays_one_proposes_anew_in_the_new_epoch() {
    let mut rig = Rig::primary();
    rig.mutation(1, "a");
    rig.mutation(2, "b");
    let effects = rig.chosen(&[view_entry(1, 2, 1)]);
    let changed = [Effect::RoleChanged { role: Role::Primary, view: view(2, 1) }];
    let expected = [
        &changed[..],
        &[propose(1, 2, 2, 0, &["a", "b"])],
        &rig.heartbeats(Some(view(2, 1)), 2, None),
    ]
    .concat();
    assert_eq!(effects, expected);
    // The old epoch's copy is chosen after the view: void. The new one is executed.
    assert_eq!(rig.reply(1, 1, 0, Ok(chosen_at(2))), [arm(Timer::FetchStall, 200, 0)]);
    let chosen = [entry(2, batch(1, 0, &["a"])), entry(3, batch(2, 0, &["a", "b"]))];
    rig.chosen(&chosen);
    assert_eq!(rig.replica.status(rig.now).revision, Revision(2));
}

#[test]
fn what_flew_comes_first_in_the_new_epoch_and_in_its_order() {
    let mut rig = Rig::in_views(Config { pipeline: 2, ..config() }, &[1]);
    for (id, key) in [(1, "a"), (2, "b"), (3, "c"), (4, "d")] {
        rig.mutation(id, key);
    }
    let effects = rig.chosen(&[view_entry(1, 2, 1)]);
    assert_eq!(before_heartbeats(&effects), Some(&propose(1, 3, 2, 0, &["a", "b", "c", "d"])));
}

#[test]
fn what_was_given_up_is_not_proposed_in_the_new_epoch() {
    let mut rig = Rig::primary();
    rig.mutation(1, "a");
    rig.mutation(2, "b");
    rig.cancel(1);
    let effects = rig.chosen(&[view_entry(1, 2, 1)]);
    assert_eq!(before_heartbeats(&effects), Some(&propose(1, 2, 2, 0, &["b"])));
}

#[test]
fn a_span_that_starts_after_its_epoch_ended_starts_nothing() {
    let mut rig = Rig::primary();
    let sampled =
        crate::machine::command::TraceContext { trace_id: [1; 16], span_id: [1; 8], flags: 1 };
    let command = Command { trace: Some(sampled), ..put("k") };
    rig.step(Input::Mutation { id: RequestId(1), command, since: None, wall_ms: 0 });
    let effects = rig.chosen(&[view_entry(1, 2, 1)]);
    let (number, requests) = (BatchNumber(0), vec![RequestId(1)]);
    assert_eq!(
        before_heartbeats(&effects),
        Some(&Effect::StartBatch { epoch: Epoch(2), number, requests })
    );
    assert_eq!(rig.step(Input::BatchStarted { epoch: Epoch(1), number, trace: None }), []);
}

#[test]
fn a_view_of_an_epoch_that_is_past_changes_nothing() {
    let mut rig = Rig::primary();
    rig.mutation(1, "a");
    assert_eq!(rig.chosen(&[view_entry(1, 1, 2)]), []);
    assert_eq!(rig.replica.role(), Role::Primary);
}

#[test]
fn a_backup_becomes_primary_and_takes_mutations_only_then() {
    let mut rig = Rig::backup();
    let refused = Answer::NotApplied(NotApplied::NotPrimary { primary: Some(replica(2).name) });
    assert_eq!(rig.mutation(1, "a"), [answer(1, refused.clone())]);
    rig.fetched(2, entries(&[view_entry(1, 2, 1)], 2));
    assert_eq!(rig.mutation(2, "b"), [answer(2, refused)], "learned is not executed");
    rig.run(&[view_entry(1, 2, 1)]);
    assert_eq!(rig.mutation(3, "c"), [propose(1, 1, 2, 0, &["c"]), arm(Timer::Propose, 50, 50)]);
}
