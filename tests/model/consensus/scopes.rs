//! The scopes that are explored. How many states there are depends on the cores only, so
//! the counts are part of the tests' output but not of their verdict.

use super::scope::{Disk, Impatience, Polled, Replicas, Replies, Scope, Successions};
use super::step::Consensus;
use crate::check::explore;

fn check(scope: Scope) {
    explore(scope.name, Consensus::new(scope));
}

#[test]
fn a_slot_is_decided_once_over_two_ballots() {
    check(Scope::new("1 slot, 2 ballots"));
}

#[test]
fn a_slot_is_decided_once_though_replies_are_late() {
    check(Scope {
        batches: [&["a"], &[]],
        replies: Replies::AnyTime,
        ..Scope::new("1 slot, 2 ballots, late replies")
    });
}

#[test]
fn a_slot_is_decided_once_though_acceptors_crash_before_they_synced() {
    let scope = Scope::new("1 slot, 2 ballots, crashes");
    check(Scope { batches: [&["a"], &[]], disk: Disk::Delayed, unsynced: 1, ..scope });
}

#[test]
fn a_slot_is_decided_once_though_coordinators_are_killed() {
    check(Scope { restarts: 1, ..Scope::new("1 slot, 2 ballots, a coordinator restarts") });
}

#[test]
fn a_slot_is_decided_once_though_leaders_step_down_and_try_again() {
    check(Scope {
        impatience: Impatience::StandsAlways,
        ..Scope::new("1 slot, 2 ballots, impatient leaders")
    });
}

/// The smallest scope in which two votes of one quorum hold different values, so that the
/// ballot decides.
#[test]
fn a_third_leader_proposes_the_vote_of_the_highest_ballot() {
    let scope = Scope::new("1 slot, 3 ballots, 2 values");
    check(Scope {
        ballots: 3,
        order: Some(&[0, 1, 0]),
        proposing_ballots: 2,
        polls: Polled::Nothing,
        ..scope
    });
}

#[test]
fn slots_are_trimmed_and_filled_only_when_that_is_safe() {
    let scope = Scope::new("1 slot, 2 ballots, 2 ticks, trims and nudges");
    check(Scope { batches: [&["a"], &[]], ticks: 2, replicas: Replicas::TrimAndNudge, ..scope });
}

/// Whoever leads next finds the stop in a quorum, or in none.
#[test]
fn nothing_is_chosen_after_a_generation_has_ended() {
    let scope = Scope::new("1 slot, 2 ballots, a stop");
    check(Scope { ticks: 1, replicas: Replicas::Stop, ..scope });
}

/// Nor is anything chosen by votes of a generation once acceptors are of the next.
#[test]
fn acceptors_are_sealed_and_opened_at_any_time_once_their_generation_has_ended() {
    let scope = Scope::new("1 slot, 2 ballots, a stop, acceptors are sealed and opened");
    check(Scope {
        batches: [&["a"], &[]],
        ticks: 1,
        replicas: Replicas::Stop,
        successions: Successions::AnyTime,
        ..scope
    });
}

#[test]
fn two_slots_are_decided_once_though_votes_are_paged() {
    check(Scope {
        batches: [&["a", "b"], &[]],
        page_votes: 1,
        ..Scope::new("2 slots, 2 ballots, paged promises")
    });
}

mod large {
    use super::*;

    #[test]
    #[ignore = "7 million transitions; see main.rs"]
    fn both_leaders_propose_and_replies_are_late() {
        check(Scope {
            replies: Replies::AnyTime,
            ..Scope::new("1 slot, 2 ballots, late replies, both propose")
        });
    }

    #[test]
    #[ignore = "13 million transitions; see main.rs"]
    fn both_leaders_propose_and_acceptors_crash() {
        check(Scope {
            disk: Disk::Delayed,
            unsynced: 1,
            ..Scope::new("1 slot, 2 ballots, crashes, both propose")
        });
    }

    #[test]
    #[ignore = "34 million transitions; see main.rs"]
    fn acceptors_crash_with_two_decisions_under_one_sync() {
        let scope = Scope::new("1 slot, 2 ballots, crashes, groups of 2");
        check(Scope { batches: [&["a"], &[]], disk: Disk::Delayed, unsynced: 2, ..scope });
    }

    #[test]
    #[ignore = "5 million transitions; see main.rs"]
    fn both_leaders_propose_in_two_slots() {
        check(Scope {
            batches: [&["a", "b"], &["c"]],
            page_votes: 1,
            ..Scope::new("2 slots, 2 ballots, both propose")
        });
    }

    #[test]
    #[ignore = "5 million transitions; see main.rs"]
    fn two_slots_are_trimmed_and_filled() {
        let scope = Scope::new("2 slots, 2 ballots, 1 tick, trims and nudges");
        check(Scope {
            batches: [&["a", "b"], &[]],
            ticks: 1,
            replicas: Replicas::TrimAndNudge,
            ..scope
        });
    }

    #[test]
    #[ignore = "32 million transitions; see main.rs"]
    fn both_leaders_propose_over_three_ballots() {
        check(Scope {
            ballots: 3,
            polls: Polled::MarksAndPromises,
            ..Scope::new("1 slot, 3 ballots, both propose")
        });
    }
}
