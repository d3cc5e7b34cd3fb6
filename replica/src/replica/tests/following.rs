//! The acceptors that are asked are followed by others.

use super::*;

/// An acceptor of the next generation of the roster, of acceptors 1, 4 and 5.
fn of_next_generation(rig: &mut Rig, probe: u64, acceptor: u64) -> Vec<Effect> {
    let acceptors = [1, 4, 5].map(AcceptorId).to_vec();
    let next = Roster::new(cluster(), Generation(1), acceptors).unwrap();
    let reply = Ok(watermarks(acceptor, 1, Some(next)));
    rig.step(Input::ProbeReply { probe: ProbeId(probe), reply })
}

fn nobody(rig: &mut Rig, probe: u64) -> Vec<Effect> {
    rig.step(Input::ProbeReply { probe: ProbeId(probe), reply: Err(NoAnswer) })
}

#[test]
fn an_acceptor_of_a_later_generation_has_the_others_of_it_found_and_asked_at_once() {
    let mut rig = Rig::backup();
    rig.read(1);
    assert_eq!(of_next_generation(&mut rig, 2, 1), [Effect::FollowAcceptors]);
    assert_eq!(nobody(&mut rig, 2), [probe(2, ProbeScope::Rest)]);
    assert_eq!(nobody(&mut rig, 2), [arm(Timer::Probe, 50, 50)]);
    assert!(rig.replica.status(rig.now).quorum_answers, "those that were asked are no quorum now");
    let next = Input::Acceptors { count: 3, generation: Generation(1) };
    assert_eq!(rig.step(next.clone()), asks(3), "the read does not wait any longer");
    assert_eq!(rig.step(next), [], "it is told again, with another name of one of them");
    of_next_generation(&mut rig, 3, 4);
    let released = [arm(Timer::Probe, 1_000, 0), release(&[1], 1, 0)];
    assert_eq!(of_next_generation(&mut rig, 3, 5), released);
    rig.fire(Timer::Probe);
    (0..3).for_each(|_| drop(nobody(&mut rig, 4)));
    assert!(!rig.replica.status(rig.now).quorum_answers, "these are the present ones");
}

#[test]
fn a_probe_of_former_acceptors_is_not_waited_for_once_others_are_known() {
    let mut rig = Rig::backup();
    rig.read(1);
    of_next_generation(&mut rig, 2, 1);
    let next = Input::Acceptors { count: 3, generation: Generation(1) };
    assert_eq!(rig.step(next), asks(3));
    assert_eq!(of_next_generation(&mut rig, 2, 4), [], "the probe before is over");
}

#[test]
fn where_those_that_followed_are_not_found_in_time_no_quorum_answers() {
    let mut rig = Rig::backup();
    rig.read(1);
    of_next_generation(&mut rig, 2, 1);
    nobody(&mut rig, 2);
    nobody(&mut rig, 2);
    assert!(rig.replica.status(rig.now).quorum_answers);
    rig.after(2_000).fire(Timer::Probe);
    assert_eq!(of_next_generation(&mut rig, 3, 1), [], "all were asked already");
    nobody(&mut rig, 3);
    nobody(&mut rig, 3);
    assert!(!rig.replica.status(rig.now).quorum_answers);
}

#[test]
fn a_later_generation_of_another_cluster_is_followed_by_nobody() {
    let mut rig = Rig::backup();
    rig.read(1);
    let other = Roster::new(ClusterId(2), Generation(1), vec![AcceptorId(1)]).unwrap();
    let reply = Ok(watermarks(1, 1, Some(other)));
    let said = rig.step(Input::ProbeReply { probe: ProbeId(2), reply });
    let wrong = Effect::WrongCluster { expected: cluster(), found: ClusterId(2) };
    assert_eq!(said, [wrong, arm(Timer::Probe, 50, 50)]);
}
