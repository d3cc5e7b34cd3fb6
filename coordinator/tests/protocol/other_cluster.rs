//! All acceptors of a cluster lose their data while a coordinator lives.

use coordinator::effect::{Effect, Input, Timer};
use coordinator::membership::foreign::WrongCluster;
use shared::ids::{AcceptorId, BatchNumber, ClusterId, Epoch, Slot};
use shared::message::{Phase, Proposal, ProposalReply, Roster, Watermarks};

use crate::support::*;

/// An acceptor with a new disk, at the place of an old one.
fn fresh(index: usize, roster: Option<&Roster>) -> Watermarks {
    let acceptor = AcceptorId(index as u64 + 7);
    Watermarks { roster: roster.cloned(), ..unformed(acceptor) }
}

fn ends(effects: &[Effect]) -> Option<WrongCluster> {
    let wrong = |effect: &Effect| {
        if let Effect::WrongCluster(wrong) = effect { Some(*wrong) } else { None }
    };
    effects.iter().find_map(wrong)
}

/// It stands by in the cluster, whose acceptors hear another leader.
fn standing_by() -> Bench {
    let mut bench = Bench::new();
    bench.step(Input::Started);
    for index in 0..3 {
        bench.watermarks(index, 0, led(index, ballot(1, OTHER)));
    }
    assert_eq!(bench.core.roster(), Some(&roster()));
    bench.wait_ms(100);
    bench.fire(Timer::Poll);
    bench
}

#[test]
fn a_coordinator_ends_once_a_quorum_has_lost_its_data() {
    let mut bench = standing_by();
    assert_eq!(ends(&bench.watermarks(0, 1, fresh(0, None))), None, "one is a minority");
    assert_eq!(ends(&bench.watermarks(0, 1, fresh(0, None))), None, "and counts once");
    let lost = WrongCluster::Lost { known: roster().cluster() };
    assert_eq!(ends(&bench.watermarks(1, 1, fresh(1, None))), Some(lost));
}

#[test]
fn a_coordinator_ends_once_a_quorum_is_of_another_cluster() {
    let mut bench = standing_by();
    let found = formed([7, 8, 9].map(AcceptorId));
    assert_eq!(ends(&bench.watermarks(0, 1, fresh(0, Some(&found)))), None);
    let (known, found_id) = (roster().cluster(), found.cluster());
    let replaced = WrongCluster::Replaced { known, found: found_id };
    assert_eq!(ends(&bench.watermarks(2, 1, fresh(2, Some(&found)))), Some(replaced));
}

#[test]
fn answers_long_past_and_members_that_are_there_end_nobody() {
    let mut bench = standing_by();
    bench.watermarks(0, 1, fresh(0, None));
    bench.wait_ms(2_001);
    bench.fire(Timer::Poll);
    assert_eq!(ends(&bench.watermarks(1, 2, fresh(1, None))), None);
    bench.watermarks(1, 2, led(1, ballot(1, OTHER)));
    assert_eq!(ends(&bench.watermarks(2, 2, fresh(2, None))), None);
}

#[test]
fn a_leader_notices_that_the_disks_of_its_acceptors_are_new() {
    let (mut bench, _) = Bench::leading();
    for _ in 0..100 {
        bench.wait_ms(100);
        bench.fire(Timer::Lead);
        if bench.core.phase() == Phase::Inactive {
            break;
        }
    }
    assert_eq!(bench.core.phase(), Phase::Inactive, "no member answers it");
    let first = bench.fire(Timer::Poll);
    let poll = first.iter().find_map(|effect| {
        if let Effect::PollWatermarks { poll, .. } = effect { Some(poll.0) } else { None }
    });
    let poll = poll.unwrap();
    bench.watermarks(0, poll, fresh(0, None));
    assert!(ends(&bench.watermarks(1, poll, fresh(1, None))).is_some());
}

#[test]
fn a_proposal_of_another_cluster_is_not_proposed() {
    let (mut bench, _) = Bench::leading();
    let (id, other) = (coordinator::effect::RequestId(1), ClusterId(9));
    let (epoch, number) = (Epoch(1), BatchNumber(0));
    let proposal = Proposal { cluster: other, epoch, number, value: value("x") };
    let refused = Effect::ProposalReply { id, reply: ProposalReply::NotLeading };
    assert_eq!(bench.step(Input::Proposal { id, proposal }), [refused]);
    assert_eq!(bench.core.status(bench.now).next_slot, Some(Slot(0)));
}
