//! Going on from another replica's state.

use super::*;

fn long_log() -> Config {
    Config { snapshot_from_slots: 100, ..config() }
}

fn fetch_snapshot(source: u64) -> Effect {
    Effect::FetchSnapshot { source: replica(source), cluster: cluster() }
}

/// Started, knows two other replicas, and that so many slots are chosen.
fn new_with_chosen(chosen_below: u64) -> (Rig, Vec<Effect>) {
    let mut rig = Rig::new(long_log());
    rig.step(Input::Started);
    rig.directory(&[coordinator(1), replica(2), replica(3)]);
    let mut effects = Vec::new();
    for acceptor in [1, 2] {
        let mut reply = watermarks(acceptor, chosen_below, Some(roster()));
        reply.marks.chosen_below = Slot(chosen_below);
        effects = rig.step(Input::ProbeReply { probe: ProbeId(1), reply: Ok(reply) });
    }
    (rig, effects)
}

fn not_given() -> Input {
    Input::SnapshotFailed(SnapshotFailure::NotGiven)
}

fn asks_for_a_snapshot(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::FetchSnapshot { .. }))
}

#[test]
fn a_new_replica_begins_with_a_snapshot_where_the_log_is_long() {
    let (_, effects) = new_with_chosen(100);
    assert!(effects.contains(&fetch_snapshot(2)), "{effects:?}");
    let fetches = |effect: &Effect| matches!(effect, Effect::Fetch { .. });
    assert!(!effects.iter().any(fetches), "one of both: {effects:?}");
    let (_, effects) = new_with_chosen(99);
    assert!(!asks_for_a_snapshot(&effects) && effects.contains(&fetch(1, replica(2), 0)));
}

#[test]
fn for_a_moment_after_asking_nothing_else_is_fetched_and_then_the_log() {
    let (mut rig, _) = new_with_chosen(100);
    assert_eq!(rig.replica.status(rig.now).snapshot_from, Some(replica(2).name));
    for timer in [Timer::Fetch, Timer::FetchStall, Timer::Heartbeat] {
        let effects = rig.after(100).fire(timer);
        let fetches =
            |effect: &Effect| matches!(effect, Effect::Fetch { .. } | Effect::FetchSnapshot { .. });
        assert!(!effects.iter().any(fetches), "{timer:?}: {effects:?}");
    }
    let effects = rig.after(700).fire(Timer::Fetch);
    assert!(effects.contains(&fetch(1, replica(2), 0)), "who is asked may hang: {effects:?}");
    assert!(!asks_for_a_snapshot(&effects), "one at a time: {effects:?}");
}

#[test]
fn after_one_that_cannot_be_had_the_log_is_fetched_and_then_another_replica_is_asked() {
    let (mut rig, _) = new_with_chosen(100);
    let effects = rig.step(not_given());
    assert!(effects.contains(&fetch(1, replica(2), 0)), "{effects:?}");
    assert_eq!(rig.replica.status(rig.now).snapshot_from, None);
    let effects = rig.after(1_999).fetched(1, Err(NoAnswer));
    assert!(!asks_for_a_snapshot(&effects), "{effects:?}");
    let effects = rig.after(1).fetched(2, Err(NoAnswer));
    assert!(effects.contains(&fetch_snapshot(3)), "{effects:?}");
}

#[test]
fn a_replica_that_executes_the_log_goes_on_with_it_however_long_it_is() {
    let mut rig = Rig::in_views(long_log(), &[2]);
    let effects = rig.leads(1, 1, 5_000);
    assert!(!asks_for_a_snapshot(&effects), "{effects:?}");
}

#[test]
fn where_what_comes_next_is_trimmed_everywhere_a_backup_is_asked_for_its_state() {
    let mut rig = Rig::in_views(config(), &[2]);
    rig.leads(1, 1, 9);
    let trimmed = || Ok(ChosenReply::Trimmed { oldest: Slot(5) });
    let effects = rig.fetched(2, trimmed());
    assert!(effects.contains(&fetch(3, coordinator(1), 1)), "the others may have it: {effects:?}");
    let effects = rig.fetched(3, trimmed());
    assert!(effects.contains(&fetch(4, replica(3), 1)), "{effects:?}");
    let effects = rig.fetched(4, trimmed());
    assert!(!asks_for_a_snapshot(&effects), "{effects:?}");
    let effects = rig.fire(Timer::Fetch);
    assert!(effects.contains(&fetch_snapshot(3)), "the primary has enough to do: {effects:?}");
}

#[test]
fn one_who_took_itself_for_primary_comes_back_by_a_state() {
    let mut rig = Rig::primary();
    rig.leads(1, 1, 9);
    for fetch in 1..=8 {
        rig.fetched(fetch, Ok(ChosenReply::Trimmed { oldest: Slot(5) }));
    }
    let effects = rig.fire(Timer::Fetch);
    assert!(effects.contains(&fetch_snapshot(2)), "{effects:?}");
    assert!(rig.replica.takes_state(Slot(5)), "a primary behind what is trimmed is none");
    assert!(!Rig::primary().replica.takes_state(Slot(5)), "but one that is not is one");
}

#[test]
fn while_the_leader_may_have_what_replicas_have_trimmed_nobody_is_asked_for_a_state() {
    let mut rig = Rig::in_views(config(), &[2]);
    rig.leads(1, 1, 9);
    rig.fetched(2, Ok(ChosenReply::Trimmed { oldest: Slot(5) }));
    rig.replica.history = History::Unconfirmed;
    rig.fetched(3, Ok(ChosenReply::Trimmed { oldest: Slot(5) }));
    rig.fetched(4, Ok(ChosenReply::Trimmed { oldest: Slot(5) }));
    let effects = rig.fire(Timer::Fetch);
    assert!(!asks_for_a_snapshot(&effects), "{effects:?}");
}

#[test]
fn what_is_of_no_use_again_and_again_is_asked_for_less_and_less_often() {
    let (mut rig, _) = new_with_chosen(100);
    for seconds in [2, 4, 8, 16, 32, 64, 128, 256, 256] {
        rig.step(Input::SnapshotFailed(SnapshotFailure::Useless));
        let due = rig.replica.installing.not_before;
        assert_eq!(due.checked_sub(rig.now), Some(Duration::from_secs(seconds)));
        rig.now = due;
    }
}

/// However long all were away: whoever comes back is asked soon.
#[test]
fn whoever_gives_none_is_asked_again_as_soon_as_ever() {
    let (mut rig, _) = new_with_chosen(100);
    for _ in 0..20 {
        rig.step(not_given());
        let due = rig.replica.installing.not_before;
        assert_eq!(due.checked_sub(rig.now), Some(Duration::from_secs(2)));
        rig.now = due;
    }
}

#[test]
fn where_what_comes_next_is_trimmed_only_those_are_asked_who_said_so() {
    let mut rig = Rig::in_views(config(), &[2]);
    rig.leads(1, 1, 9);
    let trimmed = || Ok(ChosenReply::Trimmed { oldest: Slot(5) });
    rig.fetched(2, trimmed());
    rig.fetched(3, trimmed());
    rig.fetched(4, Err(NoAnswer));
    let effects = rig.fire(Timer::Fetch);
    assert!(effects.contains(&fetch_snapshot(2)), "not one with nothing: {effects:?}");
    rig.step(not_given());
    let effects = rig.after(2_000).fetched(5, Err(NoAnswer));
    assert!(effects.contains(&fetch_snapshot(2)), "again: {effects:?}");
}

#[test]
fn what_only_acceptors_have_trimmed_is_in_nobodys_state() {
    let mut rig = Rig::in_views(config(), &[2]);
    rig.leads(1, 1, 9);
    rig.fetched(2, Err(NoAnswer));
    rig.fetched(3, Ok(ChosenReply::Trimmed { oldest: Slot(5) }));
    rig.fetched(4, Err(NoAnswer));
    let effects = rig.fire(Timer::Fetch);
    assert!(!asks_for_a_snapshot(&effects), "{effects:?}");
    assert!(effects.contains(&fetch(5, replica(2), 1)), "{effects:?}");
}
