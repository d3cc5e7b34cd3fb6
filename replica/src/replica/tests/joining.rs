//! From the start to a place in the view.

use super::*;
use crate::replica::event::{Refusal, Stall};

#[test]
fn a_replica_asks_the_acceptors_which_cluster_this_is() {
    let mut rig = Rig::new(config());
    let expected = [
        arm(Timer::Heartbeat, 100, 0),
        probe(1, ProbeScope::All),
        arm(Timer::Probe, 1_000, 0),
        arm(Timer::Compact, 5_000, 0),
    ];
    assert_eq!(rig.step(Input::Started), expected);
    assert_eq!(rig.directory(&[coordinator(1), coordinator(2), replica(2)]), []);
    assert_eq!(
        rig.after(100).fire(Timer::Heartbeat),
        [arm(Timer::Heartbeat, 100, 0)],
        "no cluster, no heartbeat"
    );
    assert_eq!(rig.watermarks(1, 1, 0), []);
    let joined = [Effect::Join { cluster: cluster(), at: Slot(0) }];
    let expected = [
        &joined[..],
        &rig.heartbeats(None, 0, None),
        &[arm(Timer::Probe, 1_000, 0), fetch(1, replica(2), 0)],
    ]
    .concat();
    assert_eq!(rig.watermarks(1, 2, 0), expected);
    assert_eq!(rig.replica.status(rig.now).cluster, Some(cluster()));
}

#[test]
fn only_a_majority_of_a_roster_that_reports_that_roster_counts() {
    let mut rig = Rig::new(Config { acceptors: 5, ..config() });
    rig.step(Input::Started);
    let mut say = |acceptor, roster| {
        let reply = Ok(watermarks(acceptor, 0, roster));
        rig.step(Input::ProbeReply { probe: ProbeId(1), reply })
    };
    assert_eq!(say(1, Some(roster())), []);
    assert_eq!(say(1, Some(roster())), [], "one acceptor counts once");
    assert_eq!(say(2, None), [], "one without a cluster doesn't count");
    assert_eq!(say(9, Some(roster())), [], "one that the roster doesn't name doesn't count");
    assert_eq!(say(3, Some(roster()))[0], Effect::Join { cluster: cluster(), at: Slot(0) });
}

#[test]
fn slots_that_were_trimmed_and_that_nobody_has_are_missing_until_they_come() {
    let mut rig = Rig::new(config());
    rig.step(Input::Started);
    rig.directory(&[coordinator(1), replica(2)]);
    let mut trimmed = |acceptor, below| {
        let mut reply = watermarks(acceptor, 9, Some(roster()));
        reply.marks.chosen_below = Slot(9);
        reply.marks.trimmed_below = Slot(below);
        rig.step(Input::ProbeReply { probe: ProbeId(1), reply: Ok(reply) })
    };
    trimmed(1, 7);
    assert!(trimmed(2, 5).contains(&fetch(1, replica(2), 0)));
    let missing = |rig: &Rig| rig.replica.status(rig.now).missing;
    assert_eq!(missing(&rig), None, "the other replica may have them");
    rig.fetched(1, Err(NoAnswer));
    let expected = Missing { from: Slot(0), trimmed_below: Slot(5) };
    assert_eq!(missing(&rig), Some(expected), "one acceptor alone has trimmed more");
    assert_eq!(rig.fire(Timer::Fetch), [fetch(2, replica(2), 0)]);
    assert_eq!(missing(&rig), Some(expected), "it is being asked for");
    rig.read(1);
    let refusal = Refusal::GivenUp(Stall::Missing(expected));
    assert_eq!(rig.cancel(1), [Effect::Refuse { id: RequestId(1), refusal }]);
    rig.fetched(2, entries(&[noop(0)], 9));
    assert_eq!(missing(&rig), None);
}

#[test]
fn a_database_of_another_cluster_is_noticed_and_nothing_is_executed_on_it() {
    let mut rig = Rig::new(config());
    let identity = Identity { name: replica(1).name, instance: Instance(7), url: replica(1).url };
    let ours = ClusterId(5);
    rig.replica =
        Replica::new(config(), identity, Recovered { cluster: Some(ours), ..Recovered::default() });
    rig.step(Input::Started);
    rig.directory(&[coordinator(1), replica(2)]);
    rig.watermarks(1, 1, 0);
    let expected =
        [Effect::WrongCluster { expected: ours, found: cluster() }, arm(Timer::Probe, 50, 50)];
    assert_eq!(rig.watermarks(1, 2, 0), expected);
    assert_eq!(rig.fetched(1, entries(&[noop(0)], 1)), []);
    assert_eq!(rig.after(100).fire(Timer::Heartbeat), [arm(Timer::Heartbeat, 100, 0)]);
}

#[test]
fn a_restarted_replica_joins_its_cluster_without_saying_so_again() {
    let mut rig = Rig::new(config());
    let identity = Identity { name: replica(1).name, instance: Instance(7), url: replica(1).url };
    rig.replica = Replica::new(
        config(),
        identity,
        Recovered { cluster: Some(cluster()), ..Recovered::default() },
    );
    rig.step(Input::Started);
    rig.watermarks(1, 1, 0);
    assert_eq!(rig.watermarks(1, 2, 0), [arm(Timer::Probe, 1_000, 0)]);
}

#[test]
fn a_replica_is_primary_once_it_has_executed_a_view_that_names_this_life_of_it() {
    let mut rig = Rig::joined(config());
    assert_eq!(rig.replica.role(), Role::Waiting);
    let chosen = [view_entry(0, 1, 1)];
    assert_eq!(rig.fetched(1, entries(&chosen, 1))[..2], [learned(1), execute(&chosen)]);
    assert_eq!(rig.replica.role(), Role::Waiting, "learned is not executed");
    let effects = rig.run(&chosen);
    let changed = [Effect::RoleChanged { role: Role::Primary, view: view(1, 1) }];
    assert_eq!(effects, [&changed[..], &rig.heartbeats(Some(view(1, 1)), 1, None)].concat());
    assert_eq!(rig.replica.role(), Role::Primary);
}

#[test]
fn a_restarted_primary_is_no_primary() {
    let mut rig = Rig::joined(config());
    let before_restart = View { primary_instance: Instance(6), ..view(1, 1) };
    let effects = rig.chosen(&[entry(0, Value::View(before_restart.clone()).encode())]);
    assert_eq!(effects[0], Effect::RoleChanged { role: Role::Waiting, view: before_restart });
    let refused = Answer::NotApplied(NotApplied::NotPrimary { primary: Some(replica(1).name) });
    assert_eq!(rig.mutation(1, "k"), [answer(1, refused)]);
    rig.chosen(&[view_entry(1, 2, 1)]);
    assert_eq!(rig.replica.role(), Role::Primary);
}

#[test]
fn of_many_views_executed_at_once_only_the_last_is_reported() {
    let mut rig = Rig::joined(config());
    let effects = rig.chosen(&[view_entry(0, 1, 1), view_entry(1, 2, 2)]);
    let changed = [Effect::RoleChanged { role: Role::Backup, view: view(2, 2) }];
    assert_eq!(
        effects,
        [&changed[..], &[fetch(2, replica(2), 2)], &rig.heartbeats(Some(view(2, 2)), 2, None)]
            .concat()
    );
}

#[test]
fn heartbeats_say_what_is_executed_and_what_is_durable() {
    let mut rig = Rig::primary();
    rig.step(Input::Durable(Slot(1)));
    rig.step(Input::Durable(Slot(0)));
    let effects = rig.after(100).fire(Timer::Heartbeat);
    let mut expected = rig.heartbeats(Some(view(1, 1)), 1, None);
    for effect in &mut expected {
        if let Effect::Heartbeat { message, .. } = effect {
            message.durable_below = Slot(1);
        }
    }
    assert_eq!(effects, [&[arm(Timer::Heartbeat, 100, 0)][..], &expected].concat());
}
