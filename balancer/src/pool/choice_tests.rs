//! Who is asked, beyond who is healthy: what the operator says, zones, slowness, budgets.

use std::time::Duration;

use super::tests::{THRESHOLDS, id_of, pool_of, pool_of_rules, replica, report, rules};
use super::*;

const MS: Duration = Duration::from_millis(1);

fn ask(start: Start, tried: &[EndpointId], now: Duration) -> Ask<'_> {
    Ask { intent: Intent::Read, start, tried, key: b"k", dice: 7, now }
}

/// How many of so many reads each gets, answered at once.
fn shares(pool: &mut Pool, reads: u64, now: Duration) -> Vec<u64> {
    let mut shares = vec![0; pool.endpoints().count()];
    for dice in 0..reads {
        let ask =
            Ask { dice: dice.wrapping_mul(0x9e37_79b9_7f4a_7c15), ..ask(Start::First, &[], now) };
        let Some(picked) = pool.begin(&ask) else { break };
        let number = usize::try_from(picked.target.member.instance.0).unwrap();
        shares[number - 1] += 1;
        pool.finish(picked.target.id, Outcome::Answered, None);
    }
    shares
}

fn order(pool: &mut Pool, number: u64, service: Service, weight: u32, now: Duration) {
    let order = Order { service, weight };
    assert_eq!(pool.order(&replica(number).name, |_| order, now), Some(order));
}

fn check(pool: &mut Pool, number: u64, zone: Option<&str>, now: Duration) {
    let zone = zone.map(|zone| zone.parse().unwrap());
    let role = if number == 1 { Role::Primary } else { Role::Backup };
    let report = report(role, 1).map(|report| Report { zone, ..report });
    let id = id_of(pool, number);
    pool.checked(id, report, now);
}

/// Reads of which the ones at `slow` take long.
fn read(pool: &mut Pool, slow: &[u64], now: Duration) {
    for _ in 0..300 {
        let picked = pool.begin(&ask(Start::First, &[], now)).unwrap();
        let takes = if slow.contains(&picked.target.member.instance.0) { 80 * MS } else { MS };
        pool.finish(picked.target.id, Outcome::Answered, Some(takes));
    }
}

fn ejected(pool: &Pool) -> Vec<u64> {
    let is_ejected = |endpoint: &&Endpoint| endpoint.record.ejected_until.is_some();
    pool.endpoints().filter(is_ejected).map(|endpoint| endpoint.member.instance.0).collect()
}

#[test]
fn a_drained_endpoint_gets_nothing_and_the_others_all() {
    let mut pool = pool_of(3);
    let underway = pool.begin(&ask(Start::First, &[], MS)).unwrap().target;
    assert_eq!(underway.member.instance.0, 1);
    order(&mut pool, 1, Service::Drained, 1, MS);
    assert_eq!(shares(&mut pool, 100, MS), [0, 50, 50]);
    assert!(pool.is_able(underway.id, Intent::Read, To::Finish), "what it has it finishes");
    for intent in [Intent::LocalRead, Intent::Mutation] {
        let picked = pool.begin(&Ask { intent, ..ask(Start::First, &[], MS) }).unwrap();
        assert_ne!(picked.target.id, underway.id, "{intent:?}: a backup forwards mutations");
    }
    assert_eq!((pool.primary(), pool.healthy()), (Some(underway.id), 3));
    for number in [2, 3] {
        order(&mut pool, number, Service::Drained, 1, MS);
    }
    assert!(pool.begin(&ask(Start::First, &[], MS)).is_none());
}

#[test]
fn what_the_operator_said_outlives_the_endpoint() {
    let mut pool = pool_of(2);
    order(&mut pool, 2, Service::Drained, 3, MS);
    pool.set_replicas(&[replica(1)], MS);
    for _ in 0..2 {
        let id = id_of(&pool, 2);
        pool.checked(id, None, MS);
    }
    pool.set_replicas(&[replica(1)], MS);
    assert!(pool.find(&replica(2).name).is_none(), "it is gone");
    let again = Member { instance: shared::ids::Instance(99), ..replica(2) };
    pool.set_replicas(&[replica(1), again], MS);
    check(&mut pool, 2, None, MS);
    assert_eq!(
        pool.find(&replica(2).name).unwrap().order,
        Order { service: Service::Drained, weight: 3 }
    );
    assert!(!pool.is_able(id_of(&pool, 2), Intent::Read, To::Take));
    let of_nobody = pool.order(&"replica-9".parse().unwrap(), |order| order, MS);
    assert_eq!(of_nobody, None);
}

#[test]
fn what_the_operator_said_is_bounded() {
    let mut pool = pool_of(1);
    for number in 2..=1_000 {
        pool.set_replicas(&[replica(1), replica(number)], MS);
        let id = id_of(&pool, number);
        pool.order(&replica(number).name, |_| Order { service: Service::Drained, weight: 1 }, MS);
        pool.set_replicas(&[replica(1)], MS);
        assert!(pool.endpoint(id).is_none(), "it was never healthy");
        assert!(pool.orders().count() <= Pool::MAX_ENDPOINTS, "{number}");
    }
}

#[test]
fn weights_are_shares_under_every_policy() {
    for policy in [Policy::RoundRobin, Policy::Random, Policy::LeastInFlight] {
        let mut pool = pool_of(3);
        pool.set_policy(policy);
        order(&mut pool, 2, Service::Serving, 3, MS);
        let shares = shares(&mut pool, 5_000, MS);
        assert!(shares[1].abs_diff(3_000) < 100 && shares[0].abs_diff(1_000) < 100, "{shares:?}");
    }
}

#[test]
fn one_key_has_one_replica_and_many_have_all() {
    let mut pool = pool_of(3);
    pool.set_policy(Policy::ConsistentHash);
    let mut picks = shares(&mut pool, 300, MS);
    picks.sort_unstable();
    assert_eq!(picks, [0, 0, 300]);
    let mut seen = [0_u64; 3];
    for key in 0..3_000_u32 {
        let key = format!("/v1/kv/{key}");
        let picked =
            pool.begin(&Ask { key: key.as_bytes(), ..ask(Start::First, &[], MS) }).unwrap();
        pool.finish(picked.target.id, Outcome::Answered, None);
        seen[usize::try_from(picked.target.member.instance.0).unwrap() - 1] += 1;
    }
    assert!(seen.iter().all(|seen| seen.abs_diff(1_000) < 100), "{seen:?}");
}

#[test]
fn reads_stay_in_the_zone_while_it_can_serve_them() {
    let east = Some("east".parse().unwrap());
    let mut pool = pool_of_rules(3, Rules { zone: east, ..rules() });
    for (number, zone) in [(1, Some("west")), (2, Some("east")), (3, None)] {
        check(&mut pool, number, zone, MS);
    }
    assert_eq!(shares(&mut pool, 10, MS), [0, 10, 0]);
    let second = id_of(&pool, 2);
    let elsewhere = pool.begin(&ask(Start::Retry, &[second], MS)).unwrap().target;
    assert_ne!(elsewhere.id, second, "where it failed, the next zone is asked");
    let behind = report(Role::Backup, 1).map(|report| Report {
        lag: Some(Duration::MAX),
        zone: Some("east".parse().unwrap()),
        ..report
    });
    pool.checked(second, behind, MS);
    assert_eq!(shares(&mut pool, 10, MS)[1], 0, "a zone that is behind cannot serve them");
    order(&mut pool, 2, Service::Drained, 1, MS);
    assert_eq!(shares(&mut pool, 10, MS), [5, 0, 5]);
}

#[test]
fn who_is_slow_is_left_alone_and_comes_back_slowly() {
    let mut pool = pool_of(3);
    let mut now = Duration::ZERO;
    for _ in 0..4 {
        read(&mut pool, &[2], now);
        now += Duration::from_secs(1);
        check(&mut pool, 1, None, now);
        if !ejected(&pool).is_empty() {
            break;
        }
    }
    assert_eq!(ejected(&pool), [2]);
    let all = shares(&mut pool, 100, now);
    assert_eq!(all, [50, 0, 50]);
    let others = [id_of(&pool, 1), id_of(&pool, 3)];
    let last = pool.begin(&ask(Start::Retry, &others, now)).unwrap().target;
    assert_eq!(last.member.instance.0, 2, "better slow than not at all");
    now += Duration::from_secs(5);
    check(&mut pool, 1, None, now);
    assert_eq!(ejected(&pool), [] as [u64; 0]);
    let few = shares(&mut pool, 210, now)[1];
    assert!((1..=20).contains(&few), "{few} of 210 at first");
    now += THRESHOLDS.slow_start;
    check(&mut pool, 1, None, now);
    assert_eq!(shares(&mut pool, 300, now)[1], 100);
}

#[test]
fn no_more_than_a_third_is_left_alone() {
    for (replicas, slow, most) in
        [(1, &[1][..], 0), (2, &[1], 1), (3, &[2, 3], 1), (6, &[1, 2, 3], 2)]
    {
        let (mut pool, mut now) = (pool_of(replicas), Duration::ZERO);
        for _ in 0..4 {
            read(&mut pool, slow, now);
            now += Duration::from_secs(1);
            check(&mut pool, 1, None, now);
        }
        assert_eq!(ejected(&pool).len(), most, "{slow:?} of {replicas}");
    }
}

#[test]
fn slowness_of_all_ejects_nobody() {
    let (mut pool, mut now) = (pool_of(3), Duration::ZERO);
    for round in 0..6 {
        let slow: &[u64] = if round > 1 { &[1, 2, 3] } else { &[] };
        read(&mut pool, slow, now);
        now += Duration::from_secs(1);
        check(&mut pool, 1, None, now);
        assert_eq!(ejected(&pool), [] as [u64; 0]);
    }
}

#[test]
fn who_was_slow_until_another_answered_was_slow() {
    let mut pool = pool_of(3);
    let mut now = Duration::ZERO;
    for _ in 0..3 {
        for _ in 0..300 {
            let picked = pool.begin(&ask(Start::First, &[], now)).unwrap();
            let slow = picked.target.member.instance.0 == 3;
            let (outcome, waited) =
                if slow { (Outcome::Abandoned, 50 * MS) } else { (Outcome::Answered, MS) };
            pool.finish(picked.target.id, outcome, Some(waited));
        }
        now += Duration::from_secs(1);
        check(&mut pool, 1, None, now);
    }
    assert_eq!(ejected(&pool), [3]);
}

#[test]
fn an_endpoint_with_too_much_in_flight_gets_no_more_reads() {
    let thresholds = Thresholds { max_in_flight: 2, ..THRESHOLDS };
    let mut pool = pool_of_rules(2, Rules { thresholds, ..rules() });
    let taken = [(); 4].map(|()| pool.begin(&ask(Start::First, &[], MS)).unwrap().target.id);
    assert!(pool.begin(&ask(Start::First, &[], MS)).is_none());
    assert_eq!(pool.full(Intent::Read), 2);
    let mutation = Ask { intent: Intent::Mutation, ..ask(Start::First, &[], MS) };
    assert!(pool.begin(&mutation).is_some(), "there is one place alone where these can go");
    pool.finish(taken[1], Outcome::Answered, None);
    assert_eq!(pool.begin(&ask(Start::First, &[], MS)).unwrap().target.id, taken[1]);
}

#[test]
fn what_is_sent_beyond_clients_requests_is_paid_for() {
    let mut pool = pool_of(3);
    let first = id_of(&pool, 1);
    let retries = (0..500).filter(|_| pool.begin(&ask(Start::Retry, &[first], MS)).is_some());
    assert_eq!(retries.count(), 100, "the reserve");
    assert!(pool.begin(&ask(Start::Hedge, &[first], MS)).is_none(), "none were earned");
    let mut hedged = 0;
    for _ in 0..1_000 {
        assert!(pool.begin(&ask(Start::First, &[], MS)).is_some());
        hedged += usize::from(pool.begin(&ask(Start::Hedge, &[first], MS)).is_some());
    }
    assert_eq!(hedged, 50, "five of a hundred");
    assert!(pool.begin(&ask(Start::Waited, &[], MS)).is_some(), "who has waited pays nothing");
    let retries = (0..500).filter(|_| pool.begin(&ask(Start::Retry, &[first], MS)).is_some());
    assert_eq!(retries.count(), 100, "and no more than the reserve is saved up");
}

#[test]
fn a_mutation_is_never_hedged() {
    let mut pool = pool_of(3);
    for _ in 0..1_000 {
        shares(&mut pool, 1, MS);
    }
    let tried = [id_of(&pool, 1)];
    let hedge = ask(Start::Hedge, &tried, MS);
    assert!(pool.begin(&Ask { intent: Intent::Mutation, ..hedge }).is_none());
    assert!(pool.begin(&hedge).is_some());
}

#[test]
fn reads_are_hedged_after_what_most_of_them_take() {
    let mut pool = pool_of(3);
    let hedge_after =
        |pool: &mut Pool| pool.begin(&ask(Start::First, &[], MS)).unwrap().hedge_after;
    assert_eq!(hedge_after(&mut pool), None, "nothing is known yet");
    for read in 0..1_000_u64 {
        let picked = pool.begin(&ask(Start::First, &[], MS)).unwrap();
        let takes = if read % 100 < 96 { 2 * MS } else { 500 * MS };
        pool.finish(picked.target.id, Outcome::Answered, Some(takes));
    }
    check(&mut pool, 1, None, Duration::from_secs(1));
    let after = hedge_after(&mut pool).unwrap();
    assert!((2 * MS..3 * MS).contains(&after), "{after:?}");
}

#[test]
fn every_endpoint_says_why_it_is_in_or_out() {
    let mut pool = pool_of_rules(3, Rules { zone: Some("east".parse().unwrap()), ..rules() });
    order(&mut pool, 1, Service::Drained, 1, MS);
    let standing = |pool: &Pool, number| {
        let Standing { is_in, why } =
            pool.standing(pool.endpoint(id_of(pool, number)).unwrap(), MS);
        (is_in, why.join("; "))
    };
    let (is_in, why) = standing(&pool, 1);
    assert!(!is_in && why.starts_with("the operator has drained it"), "{why}");
    assert_eq!(standing(&pool, 2), (true, "it is not in this balancer's zone".to_owned()));
    check(&mut pool, 3, Some("east"), MS);
    assert_eq!(standing(&pool, 3), (true, "it is healthy and current".to_owned()));
    assert_eq!(
        standing(&pool, 2),
        (false, "it is not in this balancer's zone; others do better".to_owned())
    );
}
