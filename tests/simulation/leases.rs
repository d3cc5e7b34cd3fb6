//! Leases that are renewed for hours, and leases that are not.
#![expect(clippy::print_stdout, reason = "how soon leases end is read by people")]

use std::time::Duration;

use tests::simulation::run::leases::{self, Leases, PROMPTLY, TTL};

const HOUR: Duration = Duration::from_secs(3_600);
/// Clusters that live for an hour each under faults, unless `SYNOD_LEASE_HOURS` says otherwise.
const HOURS: u64 = 1;

fn hours() -> u64 {
    std::env::var("SYNOD_LEASE_HOURS")
        .map_or(HOURS, |hours| hours.parse().expect("SYNOD_LEASE_HOURS is a number"))
}

/// How long after their last renewals were executed leases ended, at most.
fn lived(seed: u64, run: &Leases) -> Duration {
    assert!(run.failure.is_none(), "seed {seed}: {:?}", run.failure);
    let mut longest = Duration::ZERO;
    for (lease, (last, ended)) in &run.ended {
        let (least, most) = (*ended - last.answered, *ended - last.asked);
        assert!(most >= TTL, "seed {seed}: {lease} ended {most:?} after {last:?}");
        let bound = run.bound(*last);
        assert!(*ended <= bound, "seed {seed}: {lease} was to end by {bound:?}, not {ended:?}");
        longest = longest.max(least);
    }
    longest
}

#[test]
fn a_lease_that_is_renewed_in_time_is_kept_for_hours_under_faults_and_no_other_is() {
    let (mut renewals, mut views) = (0, 0);
    for seed in 1..=hours() {
        let run = leases::under_faults(seed, HOUR);
        let longest = lived(seed, &run);
        println!(
            "seed {seed}: {} renewals over {} views and {} faults; others ended {longest:?} at \
             most after their last renewals",
            run.renewals,
            run.views,
            run.faults.len()
        );
        (renewals, views) = (renewals + run.renewals, views + run.views);
    }
    // One is renewed every two seconds.
    assert!(renewals > 1_800 * hours(), "{renewals} renewals");
    assert!(views > 5 * hours(), "{views} views: hardly any primary was ever lost");
}

#[test]
fn an_idle_cluster_ends_a_lease_at_its_time_and_writes_nothing_more() {
    for seed in 1..=4 {
        let run = leases::idle(seed, HOUR / 6);
        let longest = lived(seed, &run);
        assert!(longest <= TTL + PROMPTLY, "seed {seed}: {longest:?}");
        assert_eq!(run.chosen, run.chosen_by_then, "seed {seed}: nobody needs the time any more");
    }
}
