//! Nothing is learned from a service of another cluster, or told to it, and nothing before
//! a quorum of acceptors has said which cluster is our own.

use shared::message::{ClusterError, OtherCluster};
use shared::page::PageLimits;

use super::*;

const PAGE: PageLimits = PageLimits { items: 9, bytes: 1 << 20 };

const OTHER: ClusterId = ClusterId(2);

fn refusal() -> ClusterError {
    ClusterError::Other(OtherCluster { ours: cluster(), theirs: OTHER })
}

#[test]
fn a_page_of_another_clusters_log_is_not_learned() {
    let mut rig = Rig::backup();
    let page = ChosenReply::Entries {
        entries: vec![noop(1)],
        chosen_below: Slot(9),
        previous: rig.replica.learner.prefix(Slot(1)),
    };
    let foreign = Input::Fetched { fetch: FetchId(2), reply: Ok(OfCluster::new(OTHER, page)) };
    assert_eq!(rig.step(foreign), [fetch(3, coordinator(1), 1)], "the next source is asked");
    let status = rig.replica.status(rig.now);
    assert_eq!((status.learned_below, status.chosen_below), (Slot(1), Slot(1)));
}

#[test]
fn a_coordinator_of_another_cluster_leads_nobody_here() {
    let mut rig = Rig::joined(config());
    let reply = HeartbeatReply {
        coordinator: CoordinatorId(7),
        phase: Phase::Phase2,
        ballot: Some(ballot(9)),
        chosen_below: Slot(9),
    };
    let reply = Ok(OfCluster::new(OTHER, reply));
    assert_eq!(rig.step(Input::HeartbeatReply { from: coordinator(1).name, reply }), []);
    let status = rig.replica.status(rig.now);
    assert_eq!((status.leader, status.chosen_below), (None, Slot(0)));
}

#[test]
fn a_batch_that_another_cluster_has_chosen_is_not_executed() {
    let mut rig = Rig::primary();
    let effects = rig.mutation(1, "a");
    assert!(effects.contains(&propose(1, 1, 1, 0, &["a"])), "{effects:?}");
    let (epoch, number, attempt) = (Epoch(1), BatchNumber(0), Attempt(1));
    let reply = Ok(OfCluster::new(OTHER, chosen_at(1)));
    let effects = rig.step(Input::ProposalReply { epoch, number, attempt, reply });
    assert!(!effects.contains(&execute(&[entry(1, batch(1, 0, &["a"]))])), "{effects:?}");
    assert_eq!(rig.replica.status(rig.now).learned_below, Slot(1));
}

#[test]
fn a_replica_gives_its_log_only_to_those_of_its_cluster() {
    let rig = Rig::backup();
    let asked = |theirs| rig.replica.log_from(theirs, Slot(0), PAGE);
    assert!(matches!(asked(cluster()), Ok(LogPage::Ready(_))));
    assert_eq!(asked(OTHER), Err(refusal()));
}

#[test]
fn before_a_quorum_has_named_the_cluster_in_this_life_nothing_is_given_or_taken() {
    let before = Rig::backup();
    let recovered = Recovered {
        cluster: Some(cluster()),
        joined_at: Slot(0),
        meta: before.database.meta().clone(),
        next_expiry_ms: None,
        durable_below: Slot(1),
    };
    let identity = Identity { name: replica(1).name, instance: Instance(8), url: replica(1).url };
    let mut rig = Rig { replica: Replica::new(config(), identity, recovered), ..before };
    rig.step(Input::Started);
    rig.directory(&[coordinator(1), replica(2)]);
    let asked = |rig: &Rig| rig.replica.log_from(cluster(), Slot(0), PAGE);
    assert_eq!(asked(&rig), Err(ClusterError::Unknown));
    assert_eq!(rig.fetched(1, entries(&[noop(1)], 9)), []);
    assert_eq!(rig.leads(1, 1, 9), []);
    let status = rig.replica.status(rig.now);
    assert_eq!(
        (status.learned_below, status.chosen_below, status.leader),
        (Slot(1), Slot(1), None)
    );
    rig.watermarks(1, 1, 1);
    rig.watermarks(1, 2, 1);
    assert!(asked(&rig).is_ok());
}

#[test]
fn a_replica_that_lives_ends_once_a_quorum_names_another_cluster() {
    let mut rig = Rig::backup();
    let other = [4, 5, 6].map(AcceptorId).to_vec();
    let other = Roster::new(OTHER, Generation(0), other).unwrap();
    rig.after(1_000).fire(Timer::Probe);
    let mut say = |acceptor| {
        let reply = Ok(watermarks(acceptor, 0, Some(other.clone())));
        rig.step(Input::ProbeReply { probe: ProbeId(2), reply })
    };
    assert_eq!(say(4), []);
    let wrong = Effect::WrongCluster { expected: cluster(), found: OTHER };
    assert_eq!(say(5), [wrong, arm(Timer::Probe, 50, 50)]);
}
