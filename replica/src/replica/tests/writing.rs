//! The way of a mutation, from its arrival to its answer.

use super::*;
use crate::machine::command::TraceContext;

#[test]
fn a_mutation_is_proposed_learned_executed_and_then_answered() {
    let mut rig = Rig::primary();
    assert_eq!(rig.mutation(1, "k"), [propose(1, 1, 1, 0, &["k"]), arm(Timer::Propose, 50, 50)]);
    let chosen = [entry(1, batch(1, 0, &["k"]))];
    assert_eq!(rig.reply(1, 1, 0, Ok(chosen_at(1))), [learned(2), execute(&chosen)]);
    assert_eq!(rig.run(&chosen), [created(1, 1, 1)]);
}

#[test]
fn what_arrives_while_a_batch_flies_makes_the_next_one() {
    let mut rig = Rig::primary();
    rig.mutation(1, "a");
    assert_eq!(rig.mutation(2, "b"), []);
    assert_eq!(rig.mutation(3, "c"), []);
    let chosen = [entry(1, batch(1, 0, &["a"]))];
    rig.reply(1, 1, 0, Ok(chosen_at(1)));
    assert_eq!(rig.run(&chosen), [created(1, 1, 1), propose(1, 2, 1, 1, &["b", "c"])]);
    let chosen = [entry(2, batch(1, 1, &["b", "c"]))];
    rig.reply(2, 1, 1, Ok(chosen_at(2)));
    assert_eq!(rig.run(&chosen), [created(2, 2, 2), created(3, 2, 3)]);
}

#[test]
fn mutations_that_come_together_share_a_batch() {
    let mut rig = Rig::primary();
    let asked = [(1, "a"), (2, "b"), (3, "c")].map(|(id, key)| Input::Mutation {
        id: RequestId(id),
        command: put(key),
        since: None,
        wall_ms: 0,
    });
    let effects = rig.replica.step_all(rig.now, asked);
    assert_eq!(effects, [propose(1, 1, 1, 0, &["a", "b", "c"]), arm(Timer::Propose, 50, 50)]);
}

#[test]
fn a_batch_is_no_larger_than_its_limits() {
    let config = Config { batch_commands: 2, batch_bytes: 300, ..config() };
    let mut rig = Rig::in_views(config, &[1]);
    rig.mutation(1, "a");
    let long = "x".repeat(200);
    let longer = "y".repeat(200);
    for (id, key) in [(2, "b"), (3, "c"), (4, "d"), (5, long.as_str()), (6, longer.as_str())] {
        assert_eq!(rig.mutation(id, key), []);
    }
    for (number, (last, next)) in [
        (vec!["a"], vec!["b", "c"]),
        (vec!["b", "c"], vec!["d"]),
        (vec!["d"], vec![&long]),
        (vec![&long], vec![&longer]),
    ]
    .into_iter()
    .enumerate()
    {
        let number = number as u64;
        rig.reply(number + 1, 1, number, Ok(chosen_at(number + 1)));
        let effects = rig.run(&[entry(number + 1, batch(1, number, &last))]);
        assert_eq!(effects.last(), Some(&propose(1, number + 2, 1, number + 1, &next)));
    }
}

#[test]
fn mutations_wait_for_a_leader_and_go_to_it_at_once() {
    let mut rig = Rig::joined(config());
    rig.chosen(&[view_entry(0, 1, 1)]);
    assert_eq!(rig.mutation(1, "k"), [arm(Timer::Search, 20, 0)]);
    assert_eq!(rig.leads(2, 5, 1), [propose(2, 1, 1, 0, &["k"]), arm(Timer::Propose, 50, 50)]);
}

#[test]
fn while_mutations_wait_and_nobody_leads_the_coordinators_are_asked_often() {
    let mut rig = Rig::primary();
    rig.mutation(1, "k");
    let lost = rig.reply(1, 1, 0, Err(NoAnswer));
    assert_eq!(lost, [arm(Timer::Search, 20, 0)], "the leader is lost");
    let view = rig.replica.meta.view.clone();
    let asked = [rig.heartbeats(view, 1, None), vec![arm(Timer::Search, 20, 0)]].concat();
    assert_eq!(rig.after(20).fire(Timer::Search), asked);
    assert_eq!(rig.leads(2, 2, 1), [propose(2, 2, 1, 0, &["k"])]);
    assert_eq!(rig.after(20).fire(Timer::Search), [], "one leads");
}

#[test]
fn a_batch_is_proposed_again_to_the_coordinator_that_leads_now() {
    let mut rig = Rig::primary();
    rig.mutation(1, "k");
    assert_eq!(
        rig.leads(2, 2, 1),
        [propose(2, 2, 1, 0, &["k"])],
        "no answer yet, and another leads"
    );
    assert_eq!(
        rig.reply(1, 1, 0, Ok(ProposalReply::NotLeading)),
        [],
        "the first attempt's answer says nothing now"
    );
    assert_eq!(
        rig.reply(2, 1, 0, Ok(ProposalReply::NotLeading)),
        [propose(1, 3, 1, 0, &["k"])],
        "1 still says that it leads"
    );
}

#[test]
fn a_refused_or_unanswered_batch_is_proposed_again_after_a_while() {
    let overloaded = ProposalReply::Overloaded { limit: String::new() };
    for reply in [Ok(ProposalReply::Unresolved), Ok(overloaded)] {
        let mut rig = Rig::primary();
        rig.mutation(1, "k");
        assert_eq!(rig.reply(1, 1, 0, reply), []);
        assert_eq!(
            rig.after(50).fire(Timer::Propose),
            [propose(1, 2, 1, 0, &["k"]), arm(Timer::Propose, 50, 50)]
        );
    }
}

#[test]
fn a_coordinator_that_cannot_be_reached_leads_no_more_until_it_says_so() {
    for reply in [Ok(ProposalReply::NotLeading), Err(NoAnswer)] {
        let mut rig = Rig::primary();
        rig.mutation(1, "k");
        assert_eq!(rig.reply(1, 1, 0, reply), [arm(Timer::Search, 20, 0)]);
        assert_eq!(rig.replica.status(rig.now).leader, None);
        assert_eq!(rig.after(50).fire(Timer::Propose), [arm(Timer::Propose, 50, 50)]);
        assert_eq!(rig.leads(1, 1, 1), [propose(1, 2, 1, 0, &["k"])]);
    }
}

#[test]
fn a_proposal_that_was_lost_is_made_again() {
    let mut rig = Rig::primary();
    rig.mutation(1, "k");
    rig.after(1_999).leads(1, 1, 1);
    assert_eq!(rig.fire(Timer::Propose), [arm(Timer::Propose, 50, 50)]);
    assert_eq!(
        rig.after(1).fire(Timer::Propose),
        [propose(1, 2, 1, 0, &["k"]), arm(Timer::Propose, 50, 50)]
    );
}

#[test]
fn nothing_is_proposed_again_once_it_is_executed() {
    let mut rig = Rig::primary();
    rig.mutation(1, "k");
    rig.reply(1, 1, 0, Ok(chosen_at(1)));
    rig.run(&[entry(1, batch(1, 0, &["k"]))]);
    assert_eq!(rig.fire(Timer::Propose), []);
    assert_eq!(rig.leads(2, 2, 2), []);
}

#[test]
fn a_repeated_or_late_answer_to_a_proposal_changes_nothing() {
    let mut rig = Rig::primary();
    rig.mutation(1, "k");
    let chosen = [entry(1, batch(1, 0, &["k"]))];
    assert_eq!(rig.reply(1, 1, 0, Ok(chosen_at(1))), [learned(2), execute(&chosen)]);
    for reply in [
        Ok(chosen_at(1)),
        Ok(ProposalReply::Unresolved),
        Ok(ProposalReply::NotLeading),
        Err(NoAnswer),
    ] {
        assert_eq!(rig.reply(1, 1, 0, reply.clone()), []);
    }
    assert_eq!(rig.run(&chosen), [created(1, 1, 1)]);
    for reply in [
        Ok(chosen_at(1)),
        Ok(ProposalReply::Unresolved),
        Ok(ProposalReply::NotLeading),
        Err(NoAnswer),
    ] {
        assert_eq!(rig.reply(1, 1, 0, reply.clone()), []);
        assert_eq!(rig.reply(1, 0, 0, reply.clone()), [], "of another epoch");
    }
}

#[test]
fn a_batch_that_is_chosen_in_two_slots_is_executed_and_answered_once() {
    let mut rig = Rig::primary();
    rig.mutation(1, "k");
    rig.leads(2, 2, 1);
    let twice = [entry(1, batch(1, 0, &["k"])), entry(2, batch(1, 0, &["k"]))];
    rig.reply(2, 1, 0, Ok(chosen_at(1)));
    assert_eq!(rig.reply(1, 1, 0, Ok(chosen_at(2))), [learned(3)], "the other copy is learned too");
    assert_eq!(rig.run(&twice[..1]), [created(1, 1, 1), execute(&twice[1..])]);
    assert_eq!(rig.run(&twice[1..]), []);
    assert_eq!(rig.replica.status(rig.now).revision, Revision(1));
}

#[test]
fn a_batch_is_answered_though_the_coordinator_never_answers() {
    let mut rig = Rig::primary();
    rig.mutation(1, "k");
    assert_eq!(rig.chosen(&[entry(1, batch(1, 0, &["k"]))]), [created(1, 1, 1)]);
}

#[test]
fn a_pipeline_has_several_batches_in_flight_and_the_rest_waits() {
    let mut rig = Rig::in_views(Config { pipeline: 2, ..config() }, &[1]);
    rig.mutation(1, "a");
    assert_eq!(rig.mutation(2, "b"), [propose(1, 2, 1, 1, &["b"])]);
    assert_eq!(rig.mutation(3, "c"), []);
    let chosen = [entry(1, batch(1, 0, &["a"]))];
    rig.reply(1, 1, 0, Ok(chosen_at(1)));
    assert_eq!(rig.run(&chosen), [created(1, 1, 1), propose(1, 3, 1, 2, &["c"])]);
}

#[test]
fn a_batch_that_was_void_for_coming_too_early_is_proposed_again_when_it_is_due() {
    let mut rig = Rig::in_views(Config { pipeline: 2, ..config() }, &[1]);
    rig.mutation(1, "a");
    rig.mutation(2, "b");
    let early = [entry(1, batch(1, 1, &["b"]))];
    assert_eq!(rig.reply(2, 1, 1, Ok(chosen_at(1))), [learned(2), execute(&early)]);
    assert_eq!(rig.run(&early), [], "it would be void again");
    assert_eq!(
        rig.reply(2, 1, 1, Ok(chosen_at(1))),
        [],
        "that slot is executed: nothing comes of it any more"
    );
    let due = [entry(2, batch(1, 0, &["a"]))];
    rig.reply(1, 1, 0, Ok(chosen_at(2)));
    assert_eq!(rig.run(&due), [created(1, 2, 1), propose(1, 3, 1, 1, &["b"])]);
    let again = [entry(3, batch(1, 1, &["b"]))];
    rig.reply(3, 1, 1, Ok(chosen_at(3)));
    assert_eq!(rig.run(&again), [created(2, 3, 2)]);
}

#[test]
fn a_void_copy_says_nothing_about_one_that_is_chosen_later() {
    let mut rig = Rig::in_views(Config { pipeline: 2, execute_entries: 1, ..config() }, &[1]);
    rig.mutation(1, "a");
    rig.mutation(2, "b");
    let chosen = [
        entry(1, batch(1, 1, &["b"])),
        entry(2, batch(1, 0, &["a"])),
        entry(3, batch(1, 1, &["b"])),
    ];
    rig.reply(2, 1, 1, Ok(chosen_at(3)));
    rig.reply(1, 1, 0, Ok(chosen_at(2)));
    assert_eq!(rig.fetched(2, entries(&chosen[..1], 4)), [learned(4), execute(&chosen[..1])]);
    assert_eq!(rig.run(&chosen[..1]), [execute(&chosen[1..2])]);
    assert_eq!(
        rig.run(&chosen[1..2]),
        [created(1, 2, 1), execute(&chosen[2..])],
        "it is not proposed again"
    );
    assert_eq!(rig.run(&chosen[2..]), [created(2, 3, 2)]);
}

#[test]
fn a_batch_with_a_sampled_request_gets_its_span_before_it_is_encoded() {
    let mut rig = Rig::primary();
    let sampled = TraceContext { trace_id: [1; 16], span_id: [1; 8], flags: 1 };
    let command = Command { trace: Some(sampled), ..put("k") };
    let effects = rig.step(Input::Mutation {
        id: RequestId(1),
        command: command.clone(),
        since: None,
        wall_ms: 9,
    });
    let (epoch, number) = (Epoch(1), BatchNumber(0));
    let start = Effect::StartBatch { epoch, number, requests: vec![RequestId(1)] };
    assert_eq!(effects, [start, arm(Timer::Propose, 50, 50)]);
    assert_eq!(
        rig.fire(Timer::Propose),
        [arm(Timer::Propose, 50, 50)],
        "there is nothing to propose yet"
    );
    let trace = Some(TraceContext { trace_id: [2; 16], span_id: [2; 8], flags: 1 });
    let commands = Commands {
        time_ms: 0,
        wall_ms: 9,
        trace,
        answers: Default::default(),
        commands: vec![command],
        executed: None,
    }
    .encode();
    let value = Value::Batch(Batch { epoch, number, commands }).encode();
    let proposal = Proposal { cluster: cluster(), epoch, number, value };
    let expected = Effect::Propose { to: coordinator(1), attempt: Attempt(1), proposal };
    assert_eq!(rig.step(Input::BatchStarted { epoch, number, trace }), [expected]);
    assert_eq!(
        rig.step(Input::BatchStarted { epoch, number, trace: None }),
        [],
        "it is encoded once"
    );
}

/// What a proposal says of the time.
fn time_in(effects: &[Effect]) -> u64 {
    let [Effect::Propose { proposal, .. }, ..] = effects else { panic!("{effects:?}") };
    let Ok(Value::Batch(batch)) = Value::decode(&proposal.value) else { panic!("{proposal:?}") };
    Commands::decode(&batch.commands).unwrap().time_ms
}

#[test]
fn time_grows_by_the_monotonic_clock_since_the_view_from_where_the_log_left_it() {
    let mut rig = Rig::backup();
    let (trace, answers, commands) = (None, Default::default(), vec![put("k")]);
    let earlier = Commands { time_ms: 700, wall_ms: 0, trace, answers, commands, executed: None };
    let (epoch, number) = (Epoch(1), BatchNumber(0));
    let earlier = Value::Batch(Batch { epoch, number, commands: earlier.encode() }).encode();
    rig.after(300);
    let log = [entry(1, earlier), view_entry(2, 2, 1)];
    rig.fetched(2, entries(&log, 3));
    rig.run(&log);
    rig.after(30);
    for (id, wall_ms, expected) in [(1, 4_000_000_000_000, 730), (2, 0, 730)] {
        let command = Command { request: identity(&id.to_string()), ..put("k") };
        let effects =
            rig.step(Input::Mutation { id: RequestId(id), command, since: None, wall_ms });
        assert_eq!(time_in(&effects), expected);
        let Effect::Propose { proposal, .. } = &effects[0] else { unreachable!() };
        rig.chosen(&[entry(2 + id, proposal.value.clone())]);
    }
}
