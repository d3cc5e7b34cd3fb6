//! A failing run is made shorter: what is left fails for the same reason, and every fault
//! in it is needed.

use std::cell::Cell;

use tests::simulation::environment::coverage::Reached;
use tests::simulation::environment::network::Weather;
use tests::simulation::plan::{Kept, KeptWeather, Plan, RunName};
use tests::simulation::run::failure::{Failure, FailureKind};
use tests::simulation::run::minimise::{Minimised, Search, minimise};
use tests::simulation::run::{Keep, run};

const TRIES: u32 = 2_000;

fn planted() -> Failure {
    Failure::new(FailureKind::Stuck, "planted")
}

/// Fails as soon as a leader is deposed: an invariant that no cluster upholds, so that
/// its failures are those of real runs.
fn no_leader_is_deposed(plan: &Plan) -> Option<Failure> {
    let report = run(plan.clone(), Keep::Digest);
    (report.coverage.count(Reached::Outbid) > 0).then(planted)
}

/// The first seed with so many faults of which the run fails.
fn failing_seed(at_least: usize, fails: impl Fn(&Plan) -> bool) -> u64 {
    let is_wanted = |plan: Plan| plan.faults.len() >= at_least && fails(&plan);
    (0..).find(|seed| is_wanted(Plan::new(*seed))).expect("endless")
}

#[test]
fn a_minimised_run_fails_for_the_same_reason_and_needs_all_its_faults() {
    let seed =
        failing_seed(10, |plan| plan.length.as_secs() < 5 && no_leader_is_deposed(plan).is_some());
    let whole = Plan::new(seed);
    let Minimised { name, search } = minimise(&RunName::of_seed(seed), TRIES, no_leader_is_deposed);
    assert_eq!(search, Search::Finished);
    let replayed: RunName = name.to_string().parse().expect("its name is what is printed");
    let plan = Plan::of(&replayed);
    assert_eq!(no_leader_is_deposed(&plan), Some(planted()), "run {name}");
    assert!(
        plan.faults.len() < whole.faults.len() && plan.length <= whole.length,
        "{} is as long as all of seed {seed}",
        name
    );
    let kept = name.kept.expect("something was left out");
    for left_out in &kept.faults {
        let faults = kept.faults.iter().copied().filter(|fault| fault != left_out).collect();
        let without = RunName { seed, kept: Some(Kept { faults, ..kept.clone() }) };
        assert_eq!(
            no_leader_is_deposed(&Plan::of(&without)),
            None,
            "run {without} needs no fault {left_out}"
        );
    }
}

/// Whether a plan has these faults of the whole plan; no two of those are at one time.
fn has_all(plan: &Plan, whole: &Plan, faults: &[usize]) -> bool {
    faults.iter().all(|wanted| plan.faults.iter().any(|fault| fault.at == whole.faults[*wanted].at))
}

#[test]
fn only_the_faults_that_matter_are_left_wherever_they_stand() {
    let seed = failing_seed(40, |_| true);
    let whole = Plan::new(seed);
    for culprits in
        [vec![], vec![0], vec![3, 17, 39], vec![whole.faults.len() - 1], vec![8, 9, 10, 11]]
    {
        let fails = |plan: &Plan| has_all(plan, &whole, &culprits).then(planted);
        let Minimised { name, search } = minimise(&RunName::of_seed(seed), TRIES, fails);
        let kept = name.kept.expect("something was left out");
        assert_eq!((kept.faults, search), (culprits, Search::Finished));
        assert_eq!(
            (kept.clients, kept.weather),
            (1, KeptWeather::Calm),
            "neither clients nor weather matter"
        );
    }
}

#[test]
fn the_weather_is_left_as_it_was_drawn_where_it_matters() {
    let seed = failing_seed(0, |plan| plan.weather != Weather::CALM);
    let Minimised { name, .. } = minimise(&RunName::of_seed(seed), TRIES, |plan| {
        (plan.weather != Weather::CALM).then(planted)
    });
    let kept = name.kept.expect("something was left out");
    assert_eq!((kept.faults, kept.weather), (vec![], KeptWeather::Drawn));
}

#[test]
fn a_shorter_run_that_fails_for_another_reason_is_not_taken() {
    let seed = failing_seed(40, |_| true);
    let whole = Plan::new(seed);
    let fails = |plan: &Plan| {
        Some(if has_all(plan, &whole, &[5, 30]) {
            planted()
        } else {
            Failure::new(FailureKind::Storm, "another reason")
        })
    };
    let Minimised { name, .. } = minimise(&RunName::of_seed(seed), TRIES, fails);
    assert_eq!(name.kept.map(|kept| kept.faults), Some(vec![5, 30]));
}

#[test]
fn a_search_says_when_it_was_cut_short_and_when_there_was_nothing_to_search() {
    let name = RunName::of_seed(failing_seed(40, |_| true));
    // The shortest plan, of four seconds, takes eight: one for its faults, five for its
    // length, one each for its clients and its weather.
    let (runs, limit) = (Cell::new(0), 5);
    let fails = |_: &Plan| {
        runs.set(runs.get() + 1);
        Some(planted())
    };
    assert_eq!(minimise(&name, limit, fails).search, Search::OutOfTries);
    assert!(runs.get() <= limit + 1, "{} runs for {limit} tries", runs.get());
    assert_eq!(minimise(&name, limit, |_| None), Minimised { name, search: Search::NotFailing });
}
