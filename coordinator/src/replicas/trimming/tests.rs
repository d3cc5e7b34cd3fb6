use shared::ids::{ClusterId, Epoch, Instance, LogFormat};
use shared::message::{Heartbeat, Storage};

use super::*;

const HALF: Fill = Fill { bytes: 1 << 20, per_mille: 500 };
const SPARSE: Fill = Fill { bytes: 1 << 20, per_mille: 100 };

struct Bench {
    config: Config,
    replicas: Replicas,
    backups: u64,
}

fn name(replica: u64) -> Name {
    format!("replica-{replica}").parse().unwrap()
}

impl Bench {
    /// Replica 1 is primary, and so many others are backups.
    fn new(backups: u64) -> Self {
        let config = Config {
            trim_behind_bytes: 64 << 20,
            trim_behind_time: Duration::from_secs(60),
            replica_gone_after: Duration::from_secs(120),
            pause_threshold: Duration::from_secs(3_600),
            ..Config::new(3)
        };
        Self { config, replicas: Replicas::default(), backups }
    }

    fn hear(&mut self, at_s: u64, replica: u64, durable_below: u64) {
        self.hear_with(at_s, replica, durable_below, Storage::Writable);
    }

    fn hear_with(&mut self, at_s: u64, replica: u64, durable_below: u64, storage: Storage) {
        self.say(at_s, Heartbeat { storage, ..self.beat(replica, durable_below) });
    }

    fn beat(&self, replica: u64, durable_below: u64) -> Heartbeat {
        let view = View {
            epoch: Epoch(1),
            primary: name(1),
            primary_instance: Instance(1),
            backups: (2..2 + self.backups).map(name).collect(),
            format: LogFormat::FIRST,
        };
        Heartbeat {
            cluster: ClusterId(1),
            replica: name(replica),
            instance: Instance(replica),
            url: String::new(),
            view: Some(view),
            executed_below: Slot(durable_below),
            hash: shared::chain::ChainHash::default(),
            durable_below: Slot(durable_below),
            highest_format: LogFormat::FIRST,
            storage: Storage::Writable,
            nudge_below: None,
        }
    }

    fn say(&mut self, at_s: u64, heartbeat: Heartbeat) {
        self.replicas.hear(&self.config, Duration::from_secs(at_s), Slot(0), heartbeat);
    }

    fn trim(&mut self, at_s: u64, fill: Fill) -> Option<u64> {
        trim_below(&self.config, Duration::from_secs(at_s), &mut self.replicas, (fill, &[]))
            .map(|slot| slot.0)
    }
}

#[test]
fn every_replica_of_the_view_must_have_it_while_the_slowest_is_within_the_bound() {
    let mut bench = Bench::new(2);
    bench.hear(1, 1, 9);
    bench.hear(1, 2, 7);
    assert_eq!(bench.trim(1, SPARSE), Some(0), "one was not heard from yet");
    bench.hear(1, 3, 5);
    assert_eq!(bench.trim(1, SPARSE), Some(5));
    let many = Fill { bytes: (64 << 20) + 1, per_mille: 100 };
    assert_eq!(bench.trim(1, many), Some(7), "the slowest is too many bytes behind");
}

#[test]
fn one_that_is_behind_for_too_long_is_not_waited_for() {
    let mut bench = Bench::new(2);
    for replica in 1..=3 {
        bench.hear(1, replica, 5);
    }
    assert_eq!(bench.trim(1, SPARSE), Some(5));
    bench.hear(2, 1, 9);
    bench.hear(2, 2, 8);
    assert_eq!(bench.trim(2, SPARSE), Some(5));
    for at in 3..=62 {
        (1..=3).for_each(|replica| bench.hear(at, replica, 5));
        assert_eq!(bench.trim(at, SPARSE), Some(5), "{at} s");
    }
    assert_eq!(bench.trim(63, SPARSE), Some(8), "a majority has it");
    bench.hear(64, 3, 8);
    assert_eq!(bench.trim(64, SPARSE), Some(8), "all have it");
}

#[test]
fn what_has_the_name_of_a_member_and_has_not_executed_the_view_is_no_copy() {
    let mut bench = Bench::new(2);
    for (replica, below) in [(1, 9), (2, 5), (3, 5)] {
        bench.hear(1, replica, below);
    }
    // One of the name was taken out before this view, and wakes with the data it had.
    let of_old = Heartbeat { instance: Instance(33), view: None, ..bench.beat(3, 9) };
    bench.say(2, of_old);
    let many = Fill { bytes: (64 << 20) + 1, per_mille: 100 };
    assert_eq!(bench.trim(2, many), Some(5), "two of the view are to have it");
}

#[test]
fn nothing_is_durable_at_a_member_that_has_not_executed_the_view() {
    let mut bench = Bench::new(1);
    for replica in 1..=2 {
        bench.hear(2, replica, 9);
    }
    let not_durable = |bench: &Bench| {
        let now = Duration::from_secs(2);
        not_durable_at(&bench.config, now, &bench.replicas, Slot(9)).map(|why| why.words)
    };
    assert_eq!(not_durable(&bench), None);
    let of_old = Heartbeat { instance: Instance(22), view: None, ..bench.beat(2, 9) };
    bench.say(2, of_old);
    let why = format!("{} holds durably only what is below 0", name(2));
    assert_eq!(not_durable(&bench), Some(why));
}

#[test]
fn one_that_keeps_a_distance_is_not_behind() {
    // It makes durable what the others did half a minute ago, for ever.
    let mut bench = Bench::new(1);
    for at in 100..400 {
        bench.hear(at, 1, at);
        bench.hear(at, 2, at - 30);
        assert_eq!(bench.trim(at, SPARSE), Some(at - 30));
    }
}

#[test]
fn past_the_bound_it_takes_a_majority_and_at_least_two() {
    assert_eq!([1, 2, 3, 4, 5].map(enough_copies), [1, 2, 2, 3, 3]);
}

#[test]
fn a_single_copy_must_do_only_once_acceptors_are_three_quarters_full() {
    let mut bench = Bench::new(0);
    bench.hear(1, 1, 9);
    assert_eq!(bench.trim(1, Fill { bytes: u64::MAX, per_mille: 749 }), None);
    assert_eq!(bench.trim(1, Fill { bytes: 0, per_mille: 750 }), Some(9));
}

#[test]
fn those_that_are_gone_are_not_waited_for() {
    let mut bench = Bench::new(1);
    let nearly_full = Fill { bytes: 400 << 20, per_mille: 800 };
    bench.hear(1, 1, 9);
    bench.hear(1, 2, 5);
    bench.hear(120, 1, 9);
    assert_eq!(bench.trim(120, nearly_full), Some(5), "silent, but not for so long");
    bench.hear(121, 1, 9);
    assert_eq!(bench.trim(121, SPARSE), None, "one copy is left");
    assert_eq!(bench.trim(121, nearly_full), Some(9));
}

#[test]
fn one_whose_disk_stays_full_is_not_waited_for_either() {
    let mut bench = Bench::new(1);
    let nearly_full = Fill { bytes: 400 << 20, per_mille: 800 };
    for at in 1..=121 {
        bench.hear(at, 1, 9);
        bench.hear_with(at, 2, 5, if at == 1 { Storage::Writable } else { Storage::Full });
    }
    assert_eq!(bench.trim(121, nearly_full), Some(5));
    bench.hear_with(122, 2, 5, Storage::Full);
    assert_eq!(bench.trim(122, nearly_full), Some(9));
}

#[test]
fn who_holds_trimming_up_is_named_once_acceptors_are_half_full() {
    let mut bench = Bench::new(1);
    bench.hear(1, 1, 9);
    bench.hear(1, 2, 5);
    bench.hear(44, 1, 9);
    let now = Duration::from_secs(44);
    let held_up = |bench: &Bench, fill| {
        held_up_by(&bench.config, now, &bench.replicas, (fill, Slot(5), Slot(11)))
    };
    assert_eq!(held_up(&bench, SPARSE), None);
    assert_eq!(
        held_up(&bench, HALF).unwrap(),
        "the acceptors are 50 % full of votes: replica-2 (silent for 43 s) holds durably only \
         what is \
         below 5; trimmed is below 5, chosen below 11"
    );
}
