use shared::ids::{ClusterId, LogFormat};

use super::*;
use crate::simulation::plan::{Plan, Topology};
use crate::simulation::run::failure::watch;

const LEADER: NodeId = NodeId::Coordinator(0);
const ONE: NodeId = NodeId::Replica(0);
const TWO: NodeId = NodeId::Replica(1);
const THREE: NodeId = NodeId::Replica(2);

fn view(backups: &[u8]) -> View {
    View {
        epoch: Epoch(1),
        primary: ONE.to_string().parse().unwrap(),
        primary_instance: Instance(1),
        backups: backups
            .iter()
            .map(|number| NodeId::Replica(*number).to_string().parse().unwrap())
            .collect(),
        format: LogFormat::FIRST,
    }
}

fn heartbeat(instance: u64) -> Heartbeat {
    Heartbeat {
        cluster: ClusterId(1),
        replica: "replica-1".parse().unwrap(),
        instance: Instance(instance),
        url: String::new(),
        view: None,
        executed_below: Slot(5),
        hash: shared::chain::ChainHash::default(),
        durable_below: Slot(5),
        highest_format: LogFormat::FIRST,
        storage: Storage::Writable,
        nudge_below: None,
    }
}

/// A leader hears these replicas every second until 20 s after its start.
fn hears(view: View, replicas: &[NodeId]) -> Observer {
    let mut tuning = Plan::new(1).tuning;
    tuning.vote_bytes = 512 << 20;
    tuning.trim_behind = Duration::from_secs(10);
    tuning.gone_after = Duration::from_secs(15);
    let topology = Topology { acceptors: 3, spares: 0, coordinators: 1, replicas: 3, clients: 1 };
    let mut observer = Observer::new(&topology, &tuning);
    observer.golden.assume_view(view);
    for at in 0..=20 {
        for (number, replica) in replicas.iter().enumerate() {
            let beat = Heartbeat { executed_below: Slot(at), ..heartbeat(number as u64) };
            observer.heard(Duration::from_secs(at), (LEADER, *replica), &beat);
        }
    }
    observer
}

fn may_trim(mut observer: Observer, at: u64) -> bool {
    watch(|| observer.allows_trimming(Duration::from_secs(at), (LEADER, Epoch(1)), Slot(5))).is_ok()
}

fn with(mut observer: Observer, holders: &[NodeId]) -> Observer {
    holders.iter().for_each(|holder| observer.durable(*holder, Slot(5)));
    observer
}

#[test]
fn all_of_the_view_must_hold_what_is_trimmed_while_none_can_be_slow() {
    let all = || hears(view(&[1, 2]), &[ONE, TWO, THREE]);
    assert!(may_trim(with(all(), &[ONE, TWO, THREE]), 9));
    assert!(!may_trim(with(all(), &[ONE, TWO]), 9));
    assert!(may_trim(with(all(), &[ONE, TWO]), 11), "the third may be slow by now");
    assert!(!may_trim(with(all(), &[ONE]), 11), "one copy is not enough");
}

#[test]
fn those_that_are_gone_are_not_waited_for() {
    let two = || with(hears(view(&[1, 2]), &[ONE, TWO]), &[ONE, TWO]);
    assert!(may_trim(two(), 16));
    let mut paused = two();
    paused.was_away(Duration::from_secs(19), LEADER, Duration::from_secs(2));
    assert!(!may_trim(paused, 20), "the third may have spoken meanwhile");
}

#[test]
fn a_late_word_of_an_earlier_life_makes_the_present_one_no_younger() {
    let stuck = || {
        let mut observer = with(hears(view(&[1, 2]), &[ONE, TWO, THREE]), &[ONE, TWO]);
        observer.trim_behind = Duration::from_secs(60);
        observer.replica_mut(THREE).instance = Instance(7);
        for (at, instance) in [(21, 7), (22, 2), (23, 7)] {
            observer.heard(Duration::from_secs(at), (LEADER, THREE), &heartbeat(instance));
        }
        for (replica, instance) in [(ONE, 0), (TWO, 1)] {
            let beat = Heartbeat { executed_below: Slot(30), ..heartbeat(instance) };
            observer.heard(Duration::from_secs(30), (LEADER, replica), &beat);
        }
        observer
    };
    assert!(!may_trim(stuck(), 35), "what stands still may yet move");
    assert!(may_trim(stuck(), 36));
}

#[test]
fn a_single_copy_must_do_only_where_acceptors_fill_up() {
    let alone = || with(hears(view(&[]), &[ONE]), &[ONE]);
    assert!(!may_trim(alone(), 20));
    let mut filled = alone();
    filled.acceptor_filled();
    assert!(may_trim(filled, 20));
}

#[test]
fn a_disk_that_is_known_to_be_lost_does_not_count() {
    let mut observer = with(hears(view(&[1, 2]), &[ONE, TWO, THREE]), &[ONE, TWO, THREE]);
    observer.replica_wiped(THREE);
    assert!(may_trim(observer, 9), "the leader cannot know");
    let mut observer = with(hears(view(&[1, 2]), &[ONE, TWO, THREE]), &[ONE, TWO, THREE]);
    observer.replica_wiped(THREE);
    observer.replica_mut(THREE).lives_since.insert(Instance(2));
    assert!(!may_trim(observer, 9));
}
