//! Where the log comes from, and in what order it is executed.

use super::*;

#[test]
fn slots_are_executed_in_order_and_one_run_at_a_time() {
    let mut rig = Rig::backup();
    assert_eq!(
        rig.fetched(0, entries(&[noop(2)], 3)),
        [arm(Timer::FetchStall, 200, 0)],
        "slot 1 is missing"
    );
    let expected = [learned(3), execute(&[noop(1), noop(2)]), fetch(3, replica(2), 3)];
    assert_eq!(rig.fetched(2, entries(&[noop(1)], 3)), expected);
    assert_eq!(rig.fetched(3, entries(&[noop(3)], 4)), [learned(4), fetch(4, replica(2), 4)]);
    assert_eq!(rig.run(&[noop(1), noop(2)]), [execute(&[noop(3)])]);
}

#[test]
fn a_run_is_no_longer_than_its_limits() {
    let config = Config { execute_entries: 2, execute_bytes: 130, ..config() };
    let mut rig = Rig::in_views(config, &[2]);
    let large = |slot| entry(slot, batch(1, 0, &["x".repeat(80).as_str()]));
    let chosen = [noop(1), noop(2), noop(3), large(4), large(5)];
    assert_eq!(rig.fetched(2, entries(&chosen, 6))[1], execute(&chosen[..2]));
    assert_eq!(rig.run(&chosen[..2]), [execute(&chosen[2..4])]);
    assert_eq!(rig.run(&chosen[2..4]), [execute(&chosen[4..])]);
}

#[test]
#[should_panic(expected = "one value is chosen for slot 1, not two")]
fn two_values_for_one_slot_end_the_process() {
    let mut rig = Rig::backup();
    rig.fetched(0, entries(&[noop(1)], 2));
    rig.fetched(0, entries(&[entry(1, batch(1, 0, &["k"]))], 2));
}

#[test]
fn a_slot_that_is_learned_again_at_another_ballot_is_the_same_slot() {
    let mut rig = Rig::backup();
    rig.fetched(2, entries(&[noop(1)], 2));
    let again = ChosenEntry { ballot: ballot(2), ..noop(1) };
    assert_eq!(rig.fetched(0, entries(&[again], 2)), []);
}

#[test]
fn a_backup_follows_the_primary() {
    let mut rig = Rig::backup();
    assert_eq!(
        rig.fetched(2, entries(&[noop(1)], 2)),
        [learned(2), execute(&[noop(1)]), fetch(3, replica(2), 2)]
    );
    assert_eq!(rig.after(1_000).fetched(3, entries(&[], 2)), [fetch(4, replica(2), 2)]);
}

#[test]
fn a_backup_asks_the_leader_and_then_other_replicas_when_the_primary_does_not_answer() {
    let mut rig = Rig::backup();
    assert_eq!(rig.fetched(2, Err(NoAnswer)), [fetch(3, coordinator(1), 1)]);
    let trimmed = Ok(ChosenReply::Trimmed { oldest: Slot(9) });
    assert_eq!(rig.fetched(3, trimmed), [fetch(4, replica(3), 1)]);
    assert_eq!(rig.fetched(4, Ok(ChosenReply::Unavailable)), [arm(Timer::Fetch, 100, 100)]);
    assert_eq!(rig.after(100).fire(Timer::Fetch), [fetch(5, replica(2), 1)]);
}

#[test]
fn a_source_that_serves_is_kept_until_all_is_learned() {
    let mut rig = Rig::backup();
    rig.fetched(2, Err(NoAnswer));
    assert_eq!(
        rig.fetched(3, entries(&[noop(1)], 3))[2..],
        [fetch(4, coordinator(1), 2), arm(Timer::FetchStall, 200, 0)]
    );
    assert_eq!(rig.fetched(4, entries(&[noop(2)], 3))[1..], [fetch(5, coordinator(1), 3)]);
    assert_eq!(
        rig.after(1_000).fetched(5, entries(&[], 3)),
        [fetch(6, replica(2), 3)],
        "the primary again"
    );
}

#[test]
fn a_source_that_gives_nothing_though_there_is_something_is_left() {
    let mut rig = Rig::backup();
    assert_eq!(rig.leads(1, 1, 2), [arm(Timer::FetchStall, 200, 0)]);
    let expected = [fetch(3, coordinator(1), 1), arm(Timer::FetchStall, 200, 0)];
    assert_eq!(rig.after(200).fire(Timer::FetchStall), expected);
    assert_eq!(rig.fetched(2, Err(NoAnswer)), [], "what was left may fail");
    assert_eq!(rig.fetched(2, entries(&[noop(1)], 2))[..1], [learned(2)], "or serve");
}

/// A backup that knows of a chosen slot which nobody gives it for so many rounds over all
/// sources. None is asked now.
fn stalled(rounds: u32) -> Rig {
    let mut rig = Rig::backup();
    assert_eq!(rig.leads(1, 1, 2), [arm(Timer::FetchStall, 200, 0)]);
    for round in 0..rounds {
        let wait = 200 << round.min(4);
        let first = 2 + 3 * u64::from(round);
        let mut look = || {
            for _ in 0..wait / 100 {
                assert_eq!(rig.after(100).leads(1, 1, 2), [], "it goes on saying that it leads");
            }
            rig.fire(Timer::FetchStall)
        };
        assert_eq!(look(), [fetch(first + 1, coordinator(1), 1), arm(Timer::FetchStall, wait, 0)]);
        assert_eq!(look(), [fetch(first + 2, replica(3), 1), arm(Timer::FetchStall, wait, 0)]);
        let longer = 200 << (round + 1).min(4);
        assert_eq!(
            look(),
            [arm(Timer::Fetch, 100, 100), arm(Timer::FetchStall, longer, 0)],
            "longer from round to round"
        );
        if round + 1 < rounds {
            assert_eq!(rig.after(100).fire(Timer::Fetch), [fetch(first + 3, replica(2), 1)]);
        }
    }
    rig
}

#[test]
fn all_sources_are_tried_for_as_long_before_any_is_given_longer() {
    stalled(7);
}

/// The log has stood still for long, and the next wait would be one of seconds: but now
/// there is somebody who can help.
#[test]
fn a_new_leader_is_asked_soon_however_long_nobody_could_help() {
    let mut rig = stalled(7);
    assert_eq!(rig.leads(2, 2, 2), [fetch(23, replica(2), 1), arm(Timer::FetchStall, 200, 0)]);
    let expected = [fetch(24, coordinator(2), 1), arm(Timer::FetchStall, 200, 0)];
    assert_eq!(rig.after(200).fire(Timer::FetchStall), expected);
}

/// A heartbeat that is lost now and then must not end every page that takes longer than
/// until the next loss.
#[test]
fn a_leader_that_was_not_heard_for_a_moment_is_no_new_one() {
    let mut rig = stalled(3);
    assert_eq!(rig.after(100).fire(Timer::Fetch), [fetch(11, replica(2), 1)]);
    rig.step(Input::HeartbeatReply { from: coordinator(1).name, reply: Err(NoAnswer) });
    assert_eq!(rig.leads(1, 1, 2), [], "the page goes on to be read");
}

#[test]
fn the_next_page_is_given_as_long_as_a_large_one_took() {
    let mut rig = stalled(3);
    assert_eq!(rig.after(100).fire(Timer::Fetch), [fetch(11, replica(2), 1)]);
    let effects = rig.after(900).fetched(11, entries(&[noop(1)], 3));
    assert_eq!(effects[2..], [fetch(12, replica(2), 2)], "and the long watch goes on");
}

#[test]
fn once_something_was_learned_the_next_stall_is_noticed_as_soon_as_the_first() {
    let mut rig = stalled(7);
    assert_eq!(rig.after(100).fire(Timer::Fetch), [fetch(23, replica(2), 1)]);
    let effects = rig.fetched(23, entries(&[noop(1)], 3));
    assert_eq!(effects[2..], [fetch(24, replica(2), 2), arm(Timer::FetchStall, 200, 0)]);
}

#[test]
fn a_source_that_says_at_once_that_it_has_nothing_is_not_asked_without_pause() {
    let mut rig = Rig::backup();
    assert_eq!(rig.after(99).fetched(2, entries(&[], 1)), [arm(Timer::Fetch, 100, 100)]);
    assert_eq!(rig.after(100).fire(Timer::Fetch), [fetch(3, replica(2), 1)]);
}

#[test]
fn a_fetch_that_was_lost_is_given_up() {
    let mut rig = Rig::backup();
    rig.after(3_000).leads(1, 1, 1);
    let effects = rig.fire(Timer::Heartbeat);
    assert_eq!(effects.last(), Some(&fetch(3, coordinator(1), 1)));
}

#[test]
fn a_primary_fetches_only_what_is_missing() {
    let mut rig = Rig::primary();
    assert_eq!(rig.leads(1, 1, 1), []);
    let expected = [fetch(2, coordinator(1), 1), arm(Timer::FetchStall, 200, 0)];
    assert_eq!(rig.leads(1, 1, 2), expected);
    assert_eq!(
        rig.fetched(2, Ok(ChosenReply::Trimmed { oldest: Slot(7) })),
        [fetch(3, replica(2), 1)]
    );
}

#[test]
fn a_primary_waits_for_the_answer_to_its_proposal_before_it_fetches() {
    let mut rig = Rig::primary();
    rig.mutation(1, "k");
    assert_eq!(rig.leads(1, 1, 2), [arm(Timer::FetchStall, 200, 0)]);
    let expected = [fetch(2, coordinator(1), 1), arm(Timer::FetchStall, 200, 0)];
    assert_eq!(rig.after(200).fire(Timer::FetchStall), expected);
}

#[test]
fn a_primary_fetches_at_once_what_is_missing_before_its_own_batch() {
    let mut rig = Rig::primary();
    rig.mutation(1, "k");
    let expected = [fetch(2, coordinator(1), 1), arm(Timer::FetchStall, 200, 0)];
    assert_eq!(rig.reply(1, 1, 0, Ok(chosen_at(2))), expected);
    let chosen = [noop(1), entry(2, batch(1, 0, &["k"]))];
    assert_eq!(rig.fetched(2, entries(&chosen[..1], 3)), [learned(3), execute(&chosen)]);
    assert_eq!(rig.run(&chosen), [created(1, 2, 1)]);
}

#[test]
fn a_hole_before_its_own_batch_is_fetched_though_another_proposal_is_open() {
    let mut rig = Rig::in_views(Config { pipeline: 2, ..config() }, &[1]);
    rig.mutation(1, "a");
    rig.mutation(2, "b");
    let expected = [fetch(2, coordinator(1), 1), arm(Timer::FetchStall, 200, 0)];
    assert_eq!(rig.reply(1, 1, 0, Ok(chosen_at(2))), expected);
}

#[test]
fn nothing_is_fetched_that_there_is_no_room_for() {
    let mut rig = Rig::in_views(Config { learned_entries: 2, ..config() }, &[2]);
    let chosen: Vec<_> = (1..6).map(noop).collect();
    assert_eq!(rig.fetched(2, entries(&chosen, 6)), [learned(3), execute(&chosen[..2])]);
    assert_eq!(rig.run(&chosen[..2]), [fetch(3, replica(2), 3), arm(Timer::FetchStall, 200, 0)]);
}

#[test]
fn the_learned_log_is_served_to_peers_from_memory_else_from_the_database() {
    let mut rig = Rig::in_views(Config { learned_entries: 3, ..config() }, &[2]);
    let page = |rig: &Rig, from| rig.log_from(from, 2, 1 << 20);
    let log = [view_entry(0, 1, 2), noop(1), noop(2), noop(3)];
    let from = |from: usize, entries: &[ChosenEntry], chosen_below| ChosenReply::Entries {
        entries: entries.to_vec(),
        chosen_below: Slot(chosen_below),
        previous: Some(prefix(&log[..from])),
    };
    let ready = |served: &[ChosenEntry], chosen_below| {
        let first = usize::try_from(served[0].slot.0).unwrap();
        LogPage::Ready(from(first, served, chosen_below))
    };
    assert_eq!(page(&rig, 0), ready(&[view_entry(0, 1, 2)], 1));
    assert_eq!(page(&rig, 1), LogPage::Nothing(from(1, &[], 1)));
    assert_eq!(page(&rig, 2), LogPage::Nothing(entries(&[], 1).unwrap()), "it is not so far");
    rig.fetched(2, entries(&[noop(1), noop(3)], 5));
    assert_eq!(page(&rig, 1), ready(&[noop(1)], 5), "learned and not executed; not beyond a hole");
    rig.run(&[noop(1)]);
    rig.chosen(&[noop(2), noop(3)]);
    assert_eq!(page(&rig, 0), LogPage::Stored { below: Slot(4), chosen_below: Slot(4) });
    assert_eq!(page(&rig, 1), ready(&[noop(1), noop(2)], 4));
    assert_eq!(rig.log_from(1, 9, 0), ready(&[noop(1)], 4), "one at least");
}

#[test]
fn a_replica_starts_where_its_database_ends() {
    let mut before = Rig::backup();
    before.chosen(&[noop(1)]);
    let recovered = Recovered {
        cluster: Some(cluster()),
        joined_at: Slot(0),
        meta: before.database.meta().clone(),
        next_expiry_ms: None,
        durable_below: Slot(1),
    };
    let identity = Identity { name: replica(1).name, instance: Instance(8), url: replica(1).url };
    let mut rig = Rig { replica: Replica::new(config(), identity, recovered), ..before };
    rig.step(Input::Started);
    rig.directory(&[coordinator(1), replica(2)]);
    rig.watermarks(1, 1, 2);
    let Some(Effect::Fetch { source, from, wait_ms, .. }) = rig.watermarks(1, 2, 2).pop() else {
        panic!("it asks for what follows")
    };
    assert_eq!((source, from, wait_ms), (replica(2), Slot(2), 0));
    assert_eq!(rig.fetched(1, entries(&[noop(2)], 3))[..2], [learned(3), execute(&[noop(2)])]);
    assert_eq!(rig.log_from(1, 9, 9), LogPage::Stored { below: Slot(2), chosen_below: Slot(3) });
}

#[test]
#[should_panic(expected = "what was handed out is executed")]
fn an_execution_of_something_else_ends_the_process() {
    let mut rig = Rig::backup();
    rig.fetched(2, entries(&[noop(1)], 2));
    let report = ExecutionReport {
        slots: Vec::new(),
        meta: rig.database.meta().clone(),
        next_expiry_ms: None,
    };
    rig.step(Input::Executed(report));
}

/// A backup that has learned and executed all that there was, and pauses.
fn paused() -> (Rig, Vec<Effect>) {
    let mut rig = Rig::in_views(pausing(), &[2]);
    rig.fire(Timer::Fetch);
    let effects = rig.fetched(2, entries(&[noop(1)], 2));
    rig.run(&[noop(1)]);
    (rig, effects)
}

fn pausing() -> Config {
    Config { fetch_pause: Duration::from_millis(5), ..Config::default() }
}

#[test]
fn who_has_learned_all_that_there_was_asks_for_more_after_a_while() {
    let (mut rig, effects) = paused();
    assert_eq!(effects, [arm(Timer::Fetch, 5, 0), learned(2), execute(&[noop(1)])]);
    assert_eq!(rig.fire(Timer::Fetch), [fetch(3, replica(2), 2)]);
}

#[test]
fn a_read_has_what_was_chosen_meanwhile_asked_for_at_once() {
    let (mut rig, _) = paused();
    let fetches = [fetch(3, replica(2), 2)];
    assert_eq!(rig.read(1), [&asks(2)[..], &fetches].concat());
    assert_eq!(rig.fire(Timer::Fetch), [], "it is under way");
}

#[test]
fn who_waits_for_a_revision_has_the_log_asked_for_at_once() {
    let (mut rig, _) = paused();
    let wait = Input::WaitRevision { id: RequestId(1), revision: Revision(9) };
    assert_eq!(rig.step(wait), [fetch(3, replica(2), 2)]);
}

#[test]
fn where_somebody_follows_what_is_executed_no_replica_pauses() {
    let (mut rig, _) = paused();
    assert_eq!(rig.step(Input::Followed(Followed::Yes)), [fetch(3, replica(2), 2)]);
    let effects = rig.fetched(3, entries(&[noop(2)], 3));
    assert_eq!(effects, [learned(3), execute(&[noop(2)]), fetch(4, replica(2), 3)]);
}

#[test]
fn what_is_known_to_be_chosen_is_asked_for_at_once() {
    let mut rig = Rig::in_views(pausing(), &[2]);
    rig.fire(Timer::Fetch);
    let effects = rig.fetched(2, entries(&[noop(1)], 3));
    assert!(effects.contains(&fetch(3, replica(2), 2)), "{effects:?}");
}

#[test]
fn what_is_handed_out_ends_where_somebody_is_to_see_the_state() {
    let (mut rig, _) = paused();
    assert_eq!(rig.step(Input::StopAt(Slot(4))), []);
    rig.fire(Timer::Fetch);
    let effects = rig.fetched(3, entries(&[noop(2), noop(3), noop(4), noop(5)], 6));
    assert!(effects.contains(&execute(&[noop(2), noop(3)])), "{effects:?}");
    let effects = rig.run(&[noop(2), noop(3)]);
    assert!(effects.contains(&execute(&[noop(4), noop(5)])), "{effects:?}");
    rig.run(&[noop(4), noop(5)]);
    // A slot that is past stops nothing.
    assert_eq!(rig.step(Input::StopAt(Slot(5))), []);
    rig.fire(Timer::Fetch);
    let effects = rig.fetched(4, entries(&[noop(6), noop(7)], 8));
    assert!(effects.contains(&execute(&[noop(6), noop(7)])), "{effects:?}");
}
