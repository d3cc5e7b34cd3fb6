//! Failures and answers make an endpoint unhealthy and healthy.

use super::*;

#[test]
fn one_failure_alone_changes_nothing() {
    let mut pool = pool_of(1);
    for _ in 0..3 {
        let id = id_of(&pool, 1);
        assert_eq!(checked(&mut pool, id, None), None);
        assert_eq!(checked(&mut pool, id, report(Role::Primary, 1)), None);
        assert!(pool.is_able(id, Intent::Read, To::Take));
    }
}

#[test]
fn failed_requests_count_against_an_endpoint_like_failed_checks() {
    let mut pool = pool_of(1);
    let target = begin(&mut pool, Intent::Read, &[]).unwrap();
    assert_eq!(finish(&mut pool, target.id, Outcome::Failed), None);
    assert_eq!(fail(&mut pool, 1), Some(Health::Unhealthy));
    assert_eq!(pool.healthy(), 0);
}

#[test]
fn an_answered_request_forgives_earlier_failures() {
    let mut pool = pool_of(1);
    fail(&mut pool, 1);
    let target = begin(&mut pool, Intent::Read, &[]).unwrap();
    finish(&mut pool, target.id, Outcome::Answered);
    assert_eq!(fail(&mut pool, 1), None);
    assert!(pool.is_able(target.id, Intent::Read, To::Take));
}

#[test]
fn an_abandoned_request_says_nothing_of_its_endpoint() {
    let mut pool = pool_of(1);
    fail(&mut pool, 1);
    let target = begin(&mut pool, Intent::Read, &[]).unwrap();
    assert_eq!(finish(&mut pool, target.id, Outcome::Abandoned), None);
    assert_eq!(fail(&mut pool, 1), Some(Health::Unhealthy));
}

#[test]
fn only_good_checks_in_a_row_revive_an_endpoint() {
    let mut pool = pool_of(1);
    let late = begin(&mut pool, Intent::Read, &[]).unwrap();
    let id = late.id;
    fail(&mut pool, 1);
    fail(&mut pool, 1);
    assert_eq!(
        finish(&mut pool, id, Outcome::Answered),
        None,
        "an answer says that a process lives, not that it serves"
    );
    assert_eq!(checked(&mut pool, id, report(Role::Primary, 1)), None);
    assert_eq!(checked(&mut pool, id, None), None);
    assert_eq!(
        checked(&mut pool, id, report(Role::Primary, 1)),
        None,
        "the failure between them starts the count again"
    );
    assert_eq!(checked(&mut pool, id, report(Role::Primary, 1)), Some(Health::Healthy));
}

#[test]
fn a_new_endpoint_waits_for_its_first_good_check() {
    let mut pool = Pool::new(rules());
    set_replicas(&mut pool, &[replica(1)]);
    assert_eq!(pick(&mut pool, Intent::Read), None);
    assert_eq!(pick(&mut pool, Intent::Mutation), None);
    let id = id_of(&pool, 1);
    assert_eq!(checked(&mut pool, id, report(Role::Backup, 0)), Some(Health::Healthy));
    assert_eq!(pick(&mut pool, Intent::Read), Some(1));
}

#[test]
fn nothing_healthy_means_nothing_is_picked() {
    let mut pool = pool_of(2);
    for number in [1, 1, 2, 2] {
        fail(&mut pool, number);
    }
    assert_eq!(pick(&mut pool, Intent::Read), None);
    assert_eq!(pick(&mut pool, Intent::Mutation), None);
}
