mod health;
mod primary;

use std::time::Duration;

use shared::ids::{Epoch, Instance, Revision, Slot};
use shared::message::Service as Kind;

use super::*;

pub(super) const THRESHOLDS: Thresholds = Thresholds {
    unhealthy_after: 2,
    healthy_after: 2,
    behind_after: Duration::from_secs(5),
    slow_start: Duration::from_secs(10),
    max_in_flight: 1_000,
};

/// When nothing has happened yet.
const START: Duration = Duration::ZERO;

pub(super) fn rules() -> Rules {
    Rules {
        thresholds: THRESHOLDS,
        zone: None,
        policy: Policy::RoundRobin,
        retry_percent: 20,
        hedge_percent: 5,
    }
}

fn ask(intent: Intent, tried: &[EndpointId]) -> Ask<'_> {
    Ask { intent, start: Start::First, tried, key: b"", dice: 0, now: START }
}

fn begin(pool: &mut Pool, intent: Intent, tried: &[EndpointId]) -> Option<Target> {
    pool.begin(&ask(intent, tried)).map(|picked| picked.target)
}

fn finish(pool: &mut Pool, id: EndpointId, outcome: Outcome) -> Option<Health> {
    pool.finish(id, outcome, None)
}

fn checked(pool: &mut Pool, id: EndpointId, result: Option<Report>) -> Option<Health> {
    pool.checked(id, result, START)
}

fn set_replicas(pool: &mut Pool, members: &[Member]) {
    pool.set_replicas(members, START);
}

pub(super) fn replica(number: u64) -> Member {
    Member {
        name: format!("replica-{number}").parse().unwrap(),
        service: Kind::Replica,
        url: format!("http://127.0.0.1:830{number}"),
        instance: Instance(number),
    }
}

pub(super) fn report(role: Role, epoch: u64) -> Option<Report> {
    Some(Report {
        role,
        epoch: Epoch(epoch),
        executed_slot: Some(Slot(7)),
        revision: Some(Revision(epoch)),
        requests_from: Some(Slot(3)),
        quorum_answers: true,
        can_execute: true,
        is_missing_slots: false,
        lag: Some(Duration::from_secs(1)),
        zone: None,
    })
}

/// The replica says of its reads what a replica says that can answer these.
fn say(pool: &mut Pool, number: u64, reads: Reads) {
    let lag = if reads == Reads::Current { THRESHOLDS.behind_after } else { Duration::MAX };
    let said = Report {
        quorum_answers: reads != Reads::Local,
        lag: Some(lag),
        ..report(Role::Backup, 1).unwrap()
    };
    let id = id_of(pool, number);
    checked(pool, id, Some(said));
    assert_eq!(pool.reads(pool.endpoint(id).unwrap()), reads);
}

/// A pool of proven replicas in epoch 1: the first is primary, the others are backups.
pub(super) fn pool_of(replicas: u64) -> Pool {
    pool_of_rules(replicas, rules())
}

pub(super) fn pool_of_rules(replicas: u64, rules: Rules) -> Pool {
    let members: Vec<Member> = (1..=replicas).map(replica).collect();
    let mut pool = Pool::new(rules);
    set_replicas(&mut pool, &members);
    for number in 1..=replicas {
        let role = if number == 1 { Role::Primary } else { Role::Backup };
        let id = id_of(&pool, number);
        assert_eq!(checked(&mut pool, id, report(role, 1)), Some(Health::Healthy));
    }
    pool
}

pub(super) fn id_of(pool: &Pool, number: u64) -> EndpointId {
    pool.find(&replica(number).name).unwrap().id
}

fn number_of(target: &Target) -> u64 {
    target.member.instance.0
}

fn pick(pool: &mut Pool, intent: Intent) -> Option<u64> {
    begin(pool, intent, &[]).map(|target| number_of(&target))
}

fn fail(pool: &mut Pool, number: u64) -> Option<Health> {
    let id = id_of(pool, number);
    checked(pool, id, None)
}

fn counts(pool: &Pool, number: u64) -> Counts {
    pool.find(&replica(number).name).unwrap().counts
}

#[test]
fn a_replica_that_knew_requests_by_name_is_taken_to_do_so_after_a_restart() {
    let mut pool = pool_of(2);
    assert_eq!(pool.named_since(), Some(Slot(8)), "slot 7 is executed");
    let reborn = Member { instance: Instance(9), ..replica(2) };
    set_replicas(&mut pool, &[replica(1), reborn.clone()]);
    assert_eq!(pool.named_since(), Some(Slot(8)));
    set_replicas(&mut pool, &[replica(1), reborn, replica(3)]);
    assert_eq!(pool.named_since(), None, "nothing is known of the third");
    let id = id_of(&pool, 3);
    let former = Report { requests_from: None, ..report(Role::Backup, 1).unwrap() };
    checked(&mut pool, id, Some(former));
    assert_eq!(pool.named_since(), None, "it is an older program");
}

#[test]
fn reads_take_turns_exactly() {
    let mut pool = pool_of(3);
    let mut picks = [0_u32; 4];
    for _ in 0..300 {
        picks[usize::try_from(pick(&mut pool, Intent::Read).unwrap()).unwrap()] += 1;
    }
    assert_eq!(picks, [0, 100, 100, 100]);
}

#[test]
fn an_unhealthy_endpoint_loses_its_turns_and_the_others_share_them() {
    let mut pool = pool_of(3);
    fail(&mut pool, 2);
    assert_eq!(fail(&mut pool, 2), Some(Health::Unhealthy));
    let picks: Vec<u64> = (0..4).map(|_| pick(&mut pool, Intent::Read).unwrap()).collect();
    assert!(picks == [1, 3, 1, 3] || picks == [3, 1, 3, 1], "{picks:?}");
}

#[test]
fn a_replica_that_no_quorum_answers_gets_only_local_reads() {
    let mut pool = pool_of(3);
    say(&mut pool, 2, Reads::Local);
    let id = id_of(&pool, 2);
    assert!(
        !pool.is_able(id, Intent::Read, To::Take) && pool.is_able(id, Intent::LocalRead, To::Take)
    );
    let mut picks = |intent| -> Vec<u64> {
        let mut picks: Vec<u64> = (0..6).map(|_| pick(&mut pool, intent).unwrap()).collect();
        picks.sort_unstable();
        picks
    };
    assert_eq!(picks(Intent::Read), [1, 1, 1, 3, 3, 3]);
    assert_eq!(picks(Intent::LocalRead), [1, 1, 2, 2, 3, 3]);
}

#[test]
fn a_replica_whose_disk_takes_nothing_is_asked_after_the_others() {
    let mut pool = pool_of(2);
    let full = Report { can_execute: false, ..report(Role::Backup, 1).unwrap() };
    let id = id_of(&pool, 2);
    checked(&mut pool, id, Some(full));
    assert_eq!([(); 3].map(|()| pick(&mut pool, Intent::Read)), [Some(1); 3]);
    assert!(
        pool.is_able(id, Intent::Read, To::Take),
        "where the others fail it may have all it needs"
    );
}

#[test]
fn a_replica_that_is_behind_gets_linearizable_reads_where_none_is_current() {
    let mut pool = pool_of(3);
    say(&mut pool, 2, Reads::Behind);
    say(&mut pool, 3, Reads::Behind);
    assert_eq!([(); 3].map(|()| pick(&mut pool, Intent::Read)), [Some(1); 3]);
    let first = id_of(&pool, 1);
    let mut second = || number_of(&begin(&mut pool, Intent::Read, &[first]).unwrap());
    assert_eq!([second(), second()], [2, 3], "the current one was tried before");
    say(&mut pool, 1, Reads::Local);
    let picks: Vec<u64> = (0..4).map(|_| pick(&mut pool, Intent::Read).unwrap()).collect();
    assert!(picks == [2, 3, 2, 3] || picks == [3, 2, 3, 2], "{picks:?}");
}

#[test]
fn where_no_quorum_answers_anybody_no_linearizable_read_is_sent() {
    let mut pool = pool_of(2);
    for number in [1, 2] {
        say(&mut pool, number, Reads::Local);
    }
    assert_eq!(pick(&mut pool, Intent::Read), None);
    assert!(pick(&mut pool, Intent::LocalRead).is_some());
    assert_eq!((pool.able(Intent::Read, To::Take), pool.healthy()), (0, 2));
}

#[test]
fn a_replica_that_never_was_current_is_behind() {
    let mut pool = pool_of(1);
    let id = id_of(&pool, 1);
    checked(&mut pool, id, report(Role::Backup, 1).map(|report| Report { lag: None, ..report }));
    assert_eq!(pool.reads(pool.endpoint(id).unwrap()), Reads::Behind);
    let missing = |report| Report { lag: None, is_missing_slots: true, ..report };
    checked(&mut pool, id, report(Role::Backup, 1).map(missing));
    assert_eq!(pool.reads(pool.endpoint(id).unwrap()), Reads::Local, "and may never be");
    assert_eq!((pool.able(Intent::Read, To::Take), pool.with_quorum()), (0, 1));
}

#[test]
fn an_endpoint_is_tried_once() {
    let mut pool = pool_of(3);
    for intent in [Intent::Read, Intent::Mutation] {
        let mut tried = Vec::new();
        while let Some(target) = begin(&mut pool, intent, &tried) {
            tried.push(target.id);
        }
        tried.sort_unstable();
        assert_eq!(tried, [1, 2, 3].map(|number| id_of(&pool, number)), "{intent:?}");
    }
}

#[test]
fn a_restarted_replica_is_a_new_endpoint_with_the_counters_of_its_name() {
    let mut pool = pool_of(1);
    let target = begin(&mut pool, Intent::Read, &[]).unwrap();
    set_replicas(&mut pool, &[Member { instance: Instance(99), ..replica(1) }]);
    let again = pool.find(&replica(1).name).unwrap();
    assert_ne!(again.id, target.id);
    assert_eq!((again.health, again.report.as_ref()), (Health::Unproven, None));
    assert_eq!(again.counts, Counts { requests: 1, checks: 1, ..Counts::default() });
    assert_eq!(
        finish(&mut pool, target.id, Outcome::Failed),
        None,
        "what its former life failed is not held against it"
    );
    assert_eq!(counts(&pool, 1), Counts { requests: 1, checks: 1, ..Counts::default() });
}

#[test]
fn an_endpoint_that_discovery_lost_goes_only_when_it_fails_too() {
    let mut pool = pool_of(2);
    set_replicas(&mut pool, &[]);
    assert_eq!(pool.healthy(), 2);
    fail(&mut pool, 2);
    fail(&mut pool, 2);
    set_replicas(&mut pool, &[]);
    assert_eq!(pool.endpoints().count(), 1);
    assert_eq!(pick(&mut pool, Intent::Read), Some(1));
}

#[test]
fn only_replicas_are_endpoints_and_not_more_than_the_limit() {
    let mut pool = Pool::new(rules());
    let coordinator = Member { service: Kind::Coordinator, ..replica(0) };
    let many: Vec<Member> = (1..=200).map(replica).chain([coordinator]).collect();
    set_replicas(&mut pool, &many);
    assert_eq!(pool.endpoints().count(), Pool::MAX_ENDPOINTS);
    assert!(pool.find(&replica(0).name).is_none());
}

#[test]
fn every_request_and_check_is_counted_once() {
    let mut pool = pool_of(1);
    let [first, second, third, _fourth] =
        [(); 4].map(|()| begin(&mut pool, Intent::Read, &[]).unwrap());
    finish(&mut pool, first.id, Outcome::Answered);
    finish(&mut pool, second.id, Outcome::Failed);
    finish(&mut pool, third.id, Outcome::Abandoned);
    checked(&mut pool, first.id, None);
    assert_eq!(
        counts(&pool, 1),
        Counts {
            requests: 4,
            in_flight: 1,
            failures: 1,
            checks: 1,
            check_failures: 1,
            ejections: 0
        }
    );
}
