use super::*;

fn candidates(weights: &[u32]) -> Vec<Candidate> {
    let candidate = |(at, weight): (usize, &u32)| Candidate {
        id: EndpointId(at as u64),
        weight: *weight,
        in_flight: 0,
        name: hash(format!("replica-{at}").as_bytes()),
        owed: 0,
    };
    weights.iter().enumerate().map(candidate).collect()
}

/// How often each is picked.
fn picks(times: u64, of: usize, mut pick: impl FnMut(u64) -> usize) -> Vec<u64> {
    let mut picks = vec![0; of];
    for time in 0..times {
        picks[pick(time)] += 1;
    }
    picks
}

/// Whether each was picked within a hundredth of all picks of its share.
#[track_caller]
fn assert_shares(picks: &[u64], weights: &[u32]) {
    let (all, whole) = (picks.iter().sum::<u64>(), weights.iter().sum::<u32>());
    for (picked, weight) in picks.iter().zip(weights) {
        let share = all * u64::from(*weight) / u64::from(whole);
        assert!(picked.abs_diff(share) <= all / 100, "{picks:?} for {weights:?}");
    }
}

const TIMES: u64 = 30_000;
const WEIGHTS: [&[u32]; 4] = [&[1], &[100, 100, 100], &[300, 100, 100], &[1, 100, 7]];

#[test]
fn nobody_is_picked_of_nobody() {
    assert_eq!(round_robin(&mut []), None);
    for pick in [random, least_in_flight, consistent_hash] {
        assert_eq!(pick(&[], 7), None);
    }
}

#[test]
fn every_policy_shares_by_weight() {
    for weights in WEIGHTS {
        let mut turns = candidates(weights);
        assert_shares(&picks(TIMES, weights.len(), |_| round_robin(&mut turns).unwrap()), weights);
        let idle = candidates(weights);
        for pick in [random, least_in_flight, consistent_hash] {
            let picks = picks(TIMES, weights.len(), |time| pick(&idle, mix(time)).unwrap());
            assert_shares(&picks, weights);
        }
    }
}

#[test]
fn round_robin_is_exact_and_smooth() {
    let mut turns = candidates(&[5, 1, 1]);
    let order: Vec<usize> = (0..7).map(|_| round_robin(&mut turns).unwrap()).collect();
    assert_eq!(order, [0, 0, 1, 0, 2, 0, 0], "the example in nginx's own commit");
    assert!(turns.iter().all(|candidate| candidate.owed == 0), "a round leaves no debts");
}

#[test]
fn round_robin_goes_on_fairly_when_the_set_changes() {
    let mut turns = candidates(&[100, 100, 100]);
    round_robin(&mut turns);
    let mut two = turns.split_off(1);
    assert_shares(&picks(1_000, 2, |_| round_robin(&mut two).unwrap()), &[1, 1]);
    turns.append(&mut two);
    assert_shares(&picks(999, 3, |_| round_robin(&mut turns).unwrap()), &[1, 1, 1]);
}

/// What each is asked of requests that take one step, and at the first ten, of which so many
/// begin in each.
fn with_a_slow_one(pick: impl Fn(&[Candidate], u64) -> usize) -> Vec<u64> {
    const STEPS: u64 = 5_000;
    let mut all = candidates(&[100, 100, 100]);
    let mut ends: Vec<(u64, usize)> = Vec::new();
    let mut picked = vec![0; 3];
    for step in 0..STEPS {
        ends.retain(|(end, at)| {
            let has_ended = *end <= step;
            all[*at].in_flight -= u64::from(has_ended);
            !has_ended
        });
        for request in 0..6 {
            let at = pick(&all, mix(step * 6 + request));
            picked[at] += 1;
            all[at].in_flight += 1;
            ends.push((step + if at == 0 { 10 } else { 1 }, at));
        }
    }
    picked
}

#[test]
fn two_choices_leave_a_slow_endpoint_alone_and_chance_does_not() {
    let blind = with_a_slow_one(|all, dice| random(all, dice).unwrap());
    let seeing = with_a_slow_one(|all, dice| least_in_flight(all, dice).unwrap());
    assert_shares(&blind, &[1, 1, 1]);
    assert!(seeing[0] * 5 < seeing[1] && seeing[0] > 0, "{seeing:?}");
    assert!(seeing[1].abs_diff(seeing[2]) < 1_000, "{seeing:?}");
}

#[test]
fn where_one_goes_only_its_keys_move() {
    let three = candidates(&[100, 100, 100]);
    let two: Vec<Candidate> = three.iter().copied().filter(|one| one.id != EndpointId(1)).collect();
    let mut moved = 0;
    for key in (0..TIMES).map(mix) {
        let before = three[consistent_hash(&three, key).unwrap()].id;
        let after = two[consistent_hash(&two, key).unwrap()].id;
        assert!(before == after || before == EndpointId(1), "a key moved without a reason");
        moved += u64::from(before != after);
    }
    assert!(moved.abs_diff(TIMES / 3) < TIMES / 50, "{moved} of {TIMES} moved");
}

#[test]
fn one_key_alone_fills_nobody_above_the_bound() {
    let mut all = candidates(&[100, 100, 100]);
    for load in 1..=300_u64 {
        let at = consistent_hash(&all, 7).unwrap();
        all[at].in_flight += 1;
        let bound = (load * 125).div_ceil(300);
        assert!(all.iter().all(|one| one.in_flight <= bound), "{all:?} of {load}");
    }
    let mut loads: Vec<u64> = all.iter().map(|one| one.in_flight).collect();
    loads.sort_unstable();
    assert_eq!(loads, [50, 125, 125], "the first two of its order, and the rest");
}

#[test]
fn the_hash_is_what_it_has_always_been() {
    assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325);
    assert_eq!(hash(b"a"), 0xaf63_dc4c_8601_ec8c, "of the authors' test vectors");
}
