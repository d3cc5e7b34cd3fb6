//! Quorum reads: which probe a read uses, and what it waits for.

use super::*;
use crate::replica::event::{LimitHit, Refusal, Stall};

/// A backup with slot 0 executed, whose first probe (the joining one) is done.
fn rig() -> Rig {
    Rig::backup()
}

#[test]
fn a_read_is_released_when_the_highest_vote_of_a_quorum_is_executed() {
    let mut rig = rig();
    assert_eq!(rig.read(1), asks(2));
    assert_eq!(rig.watermarks(2, 1, 3), []);
    assert_eq!(
        rig.watermarks(2, 3, 1),
        [arm(Timer::Probe, 1_000, 0)],
        "slots 1 and 2 are voted for"
    );
    rig.fetched(2, entries(&[noop(1)], 2));
    assert_eq!(rig.run(&[noop(1)]), []);
    rig.fetched(3, entries(&[noop(2)], 3));
    assert_eq!(rig.run(&[noop(2)]), [release(&[1], 3, 0)]);
}

#[test]
fn a_read_is_released_at_once_when_all_is_executed() {
    let mut rig = rig();
    rig.read(1);
    rig.watermarks(2, 1, 1);
    assert_eq!(rig.watermarks(2, 2, 0), [arm(Timer::Probe, 1_000, 0), release(&[1], 1, 0)]);
}

#[test]
fn a_read_uses_only_a_probe_that_was_sent_after_it_arrived() {
    let mut rig = rig();
    rig.read(1);
    assert_eq!(rig.read(2), [], "one probe in flight");
    assert_eq!(rig.read(3), [], "and one queued");
    rig.watermarks(2, 1, 1);
    let released = [release(&[1], 1, 0)];
    assert_eq!(rig.watermarks(2, 2, 1), [&asks(3)[..], &released].concat());
    assert_eq!(rig.watermarks(2, 3, 1), [], "an answer to the first says nothing about the second");
    rig.watermarks(3, 1, 1);
    assert_eq!(rig.watermarks(3, 2, 1), [arm(Timer::Probe, 1_000, 0), release(&[2, 3], 1, 0)]);
}

#[test]
fn reads_that_arrive_together_share_a_probe() {
    let mut rig = rig();
    let ids = [1, 2, 3].map(RequestId).to_vec();
    assert_eq!(rig.step(Input::Reads { ids }), asks(2));
    rig.watermarks(2, 1, 1);
    let released = [arm(Timer::Probe, 1_000, 0), release(&[1, 2, 3], 1, 0)];
    assert_eq!(rig.watermarks(2, 2, 1), released);
}

#[test]
fn an_acceptor_counts_once_in_a_probe() {
    let mut rig = rig();
    rig.read(1);
    assert_eq!(rig.watermarks(2, 1, 1), []);
    assert_eq!(rig.watermarks(2, 1, 1), []);
}

#[test]
fn acceptors_of_another_cluster_do_not_count() {
    let mut rig = rig();
    rig.read(1);
    let other =
        Roster::new(ClusterId(2), Generation(0), [1, 2, 4].map(AcceptorId).to_vec()).unwrap();
    rig.watermarks(2, 1, 1);
    let reply = Ok(watermarks(2, 9, Some(other)));
    assert_eq!(
        rig.step(Input::ProbeReply { probe: ProbeId(2), reply }),
        [probe(2, ProbeScope::Rest)],
        "no quorum of this cluster: another one may be"
    );
    assert_eq!(rig.watermarks(2, 3, 1), [arm(Timer::Probe, 1_000, 0), release(&[1], 1, 0)]);
}

#[test]
fn reads_that_wait_take_the_verdict_of_a_later_quorum_that_reports_less() {
    let mut rig = rig();
    rig.read(1);
    rig.watermarks(2, 1, 3);
    assert_eq!(
        rig.watermarks(2, 2, 1),
        [arm(Timer::Probe, 1_000, 0)],
        "a vote for slot 2 that the third does not share"
    );
    assert_eq!(rig.read(2), asks(3));
    rig.watermarks(3, 2, 1);
    assert_eq!(rig.watermarks(3, 3, 1), [arm(Timer::Probe, 1_000, 0), release(&[1, 2], 1, 0)]);
}

#[test]
fn reads_that_wait_take_the_verdict_of_another_quorum_of_the_same_probe_that_reports_less() {
    let mut rig = rig();
    rig.read(1);
    rig.watermarks(2, 1, 3);
    assert_eq!(
        rig.watermarks(2, 2, 1),
        [arm(Timer::Probe, 1_000, 0)],
        "a vote for slot 2 that the third does not share"
    );
    assert_eq!(rig.watermarks(2, 1, 1), [], "an acceptor counts once");
    assert_eq!(rig.watermarks(2, 3, 1), [release(&[1], 1, 0)]);
}

#[test]
fn a_late_answer_of_another_cluster_does_not_count() {
    let mut rig = rig();
    rig.read(1);
    rig.watermarks(2, 1, 3);
    rig.watermarks(2, 2, 1);
    let alone = Roster::new(ClusterId(2), Generation(0), vec![AcceptorId(0)]).unwrap();
    let reply = Ok(watermarks(0, 1, Some(alone)));
    assert_eq!(
        rig.step(Input::ProbeReply { probe: ProbeId(2), reply }),
        [],
        "it is a quorum of itself, but not of this cluster"
    );
}

#[test]
fn a_late_answer_says_nothing_about_reads_of_a_later_probe() {
    let mut rig = rig();
    rig.read(1);
    rig.watermarks(2, 1, 3);
    rig.watermarks(2, 2, 1);
    // Meanwhile the third votes for slot 2, so that it is chosen, and then the next read
    // arrives.
    rig.read(2);
    rig.watermarks(3, 1, 3);
    assert_eq!(rig.watermarks(3, 2, 1), [arm(Timer::Probe, 1_000, 0)]);
    assert_eq!(rig.watermarks(2, 3, 1), [], "it was asked before the second read arrived");
    assert_eq!(rig.watermarks(3, 3, 3), [], "two of three have voted for slot 2");
}

#[test]
fn a_probe_that_cannot_succeed_is_sent_again_after_a_while_with_all_its_reads() {
    let mut rig = rig();
    rig.read(1);
    let no_answer = |probe| Input::ProbeReply { probe: ProbeId(probe), reply: Err(NoAnswer) };
    assert_eq!(rig.step(no_answer(2)), [probe(2, ProbeScope::Rest)]);
    rig.watermarks(2, 1, 1);
    assert_eq!(rig.step(no_answer(2)), [arm(Timer::Probe, 50, 50)]);
    assert_eq!(rig.read(2), []);
    assert_eq!(rig.fire(Timer::Probe), [probe(3, ProbeScope::All), arm(Timer::Probe, 1_000, 0)]);
    rig.watermarks(3, 1, 1);
    assert_eq!(rig.watermarks(3, 2, 1), [arm(Timer::Probe, 1_000, 0), release(&[1, 2], 1, 0)]);
}

#[test]
fn a_probe_asks_a_quorum_first_and_the_others_when_one_is_silent() {
    let mut rig = rig();
    rig.read(1);
    assert_eq!(rig.watermarks(2, 1, 1), []);
    assert_eq!(rig.fire(Timer::ProbeRest), [probe(2, ProbeScope::Rest)]);
    assert_eq!(rig.fire(Timer::ProbeRest), [], "all are asked");
    assert_eq!(rig.watermarks(2, 3, 1), [arm(Timer::Probe, 1_000, 0), release(&[1], 1, 0)]);
    assert_eq!(rig.fire(Timer::ProbeRest), [], "nobody waits");
}

#[test]
fn a_probe_asks_the_others_at_once_when_those_it_asked_are_no_quorum() {
    let mut rig = rig();
    rig.read(1);
    rig.watermarks(2, 1, 1);
    let other = Roster::new(ClusterId(2), Generation(0), vec![AcceptorId(9)]).unwrap();
    let mut stranger = watermarks(2, 1, Some(other));
    stranger.acceptor = AcceptorId(2);
    let reply = Input::ProbeReply { probe: ProbeId(2), reply: Ok(stranger) };
    assert_eq!(rig.step(reply), [probe(2, ProbeScope::Rest)]);
}

#[test]
fn a_read_that_arrives_before_the_others_are_asked_waits_for_the_next_probe() {
    let mut rig = rig();
    rig.read(1);
    rig.watermarks(2, 1, 1);
    assert_eq!(rig.read(2), []);
    assert_eq!(rig.fire(Timer::ProbeRest), [probe(2, ProbeScope::Rest)]);
    let released = [release(&[1], 1, 0)];
    assert_eq!(rig.watermarks(2, 3, 1), [&asks(3)[..], &released].concat());
}

#[test]
fn answers_to_the_probe_before_are_no_part_of_a_quorum() {
    let mut rig = rig();
    rig.read(1);
    rig.watermarks(2, 1, 3);
    rig.watermarks(2, 2, 1);
    assert_eq!(rig.read(2), asks(3));
    assert_eq!(rig.watermarks(3, 3, 1), [], "the others may have voted since they were asked");
    assert_eq!(rig.watermarks(3, 2, 3), [arm(Timer::Probe, 1_000, 0)]);
    assert_eq!(rig.watermarks(3, 1, 3), [], "slot 2 is chosen");
}

#[test]
fn where_a_quorum_is_all_there_is_all_are_asked_at_once() {
    let mut rig = rig();
    rig.step(Input::Acceptors { count: 2, generation: Generation(0) });
    assert_eq!(rig.read(1), [probe(2, ProbeScope::All), arm(Timer::Probe, 1_000, 0)]);
}

#[test]
fn reads_that_wait_for_a_vote_have_the_others_asked_whether_they_have_to() {
    let mut rig = rig();
    rig.read(1);
    rig.watermarks(2, 1, 3);
    rig.watermarks(2, 2, 1);
    assert_eq!(rig.fire(Timer::ProbeRest), [probe(2, ProbeScope::Rest)]);
    assert_eq!(rig.watermarks(2, 3, 1), [release(&[1], 1, 0)]);
}

#[test]
fn a_probe_asks_all_where_reads_have_waited_for_a_vote_however_many_come_after_them() {
    let mut rig = rig();
    rig.read(1);
    rig.watermarks(2, 1, 3);
    rig.watermarks(2, 2, 1);
    assert_eq!(rig.after(5).read(2), asks(3), "not for long yet");
    rig.watermarks(3, 1, 3);
    rig.watermarks(3, 2, 1);
    assert_eq!(rig.after(5).read(3), [probe(4, ProbeScope::All), arm(Timer::Probe, 1_000, 0)]);
}

#[test]
fn a_probe_that_nobody_waits_for_asks_all() {
    let mut rig = rig();
    let expected = [probe(2, ProbeScope::All), arm(Timer::Probe, 1_000, 0)];
    assert_eq!(rig.after(1_000).fire(Timer::Probe), expected);
}

#[test]
fn a_probe_that_is_late_is_sent_again() {
    let mut rig = rig();
    rig.read(1);
    rig.watermarks(2, 1, 1);
    assert_eq!(
        rig.after(1_000).fire(Timer::Probe),
        [probe(3, ProbeScope::All), arm(Timer::Probe, 1_000, 0)]
    );
    assert_eq!(rig.watermarks(2, 2, 1), []);
    rig.watermarks(3, 1, 1);
    assert_eq!(rig.watermarks(3, 2, 1), [arm(Timer::Probe, 1_000, 0), release(&[1], 1, 0)]);
}

#[test]
fn a_vote_that_nobody_brings_to_an_end_makes_the_replica_nudge_the_leader() {
    let mut rig = rig();
    rig.read(1);
    rig.watermarks(2, 1, 3);
    rig.watermarks(2, 2, 1);
    let heartbeats = |rig: &Rig, nudge| {
        [&[arm(Timer::Heartbeat, 100, 0)][..], &rig.heartbeats(Some(view(1, 2)), 1, nudge)].concat()
    };
    assert_eq!(rig.after(99).fire(Timer::Heartbeat), heartbeats(&rig, None));
    assert_eq!(rig.after(1).fire(Timer::Heartbeat), heartbeats(&rig, Some(3)));
    rig.leads(1, 1, 3);
    assert_eq!(
        rig.after(100).fire(Timer::Heartbeat),
        heartbeats(&rig, None),
        "chosen: it needs learning, not nudging"
    );
}

#[test]
fn a_replica_knows_since_when_it_is_current() {
    let mut rig = rig();
    assert_eq!(rig.replica.status(rig.now).current_as_of, Some(ms(0)));
    rig.after(1_000).fire(Timer::Probe);
    rig.after(5).watermarks(2, 1, 2);
    rig.watermarks(2, 2, 2);
    assert_eq!(rig.replica.status(rig.now).current_as_of, Some(ms(0)), "slot 1 is not executed");
    rig.after(5).chosen(&[noop(1)]);
    assert_eq!(
        rig.replica.status(rig.now).current_as_of,
        Some(ms(1_000)),
        "when the probe was sent"
    );
}

#[test]
fn a_read_waits_for_the_revision_it_asks_for() {
    let mut rig = rig();
    let wait =
        |id, revision| Input::WaitRevision { id: RequestId(id), revision: Revision(revision) };
    assert_eq!(rig.step(wait(1, 0)), [release(&[1], 1, 0)]);
    assert_eq!(rig.step(wait(2, 2)), []);
    assert_eq!(rig.step(wait(3, 1)), []);
    let effects = rig.chosen(&[entry(1, batch(1, 0, &["a"]))]);
    assert_eq!(effects, [release(&[3], 2, 1)]);
    let effects = rig.chosen(&[entry(2, batch(1, 1, &["a", "b"]))]);
    assert_eq!(effects, [release(&[2], 3, 3)]);
}

#[test]
fn a_read_that_is_given_up_says_what_it_waited_for() {
    let refused =
        |id, stall| Effect::Refuse { id: RequestId(id), refusal: Refusal::GivenUp(stall) };
    let mut rig = rig();
    rig.read(1);
    rig.read(2);
    rig.step(Input::WaitRevision { id: RequestId(3), revision: Revision(9) });
    assert_eq!(rig.cancel(1), [refused(1, Stall::Slow)]);
    assert_eq!(rig.cancel(1), [], "once");
    rig.after(2_000).fire(Timer::Probe);
    assert_eq!(rig.cancel(2), [refused(2, Stall::NoQuorum)]);
    assert_eq!(rig.cancel(3), [refused(3, Stall::NoQuorum)]);
    rig.read(4);
    rig.watermarks(3, 1, 9);
    rig.watermarks(3, 2, 9);
    rig.read(5);
    rig.watermarks(4, 1, 9);
    rig.watermarks(4, 2, 9);
    assert_eq!(rig.cancel(5), [refused(5, Stall::NoLeader)], "heard last two seconds ago");
    assert_eq!(rig.replica.status(rig.now).waiting_reads, 1);
}

#[test]
fn reads_beyond_the_limit_are_refused_at_once() {
    let mut rig = Rig::in_views(Config { waiting_reads: 2, ..config() }, &[2]);
    let refused = |id| {
        let limit = LimitHit::new("reads that wait", 2);
        Effect::Refuse { id: RequestId(id), refusal: Refusal::QueueFull(limit) }
    };
    rig.read(1);
    rig.step(Input::WaitRevision { id: RequestId(2), revision: Revision(9) });
    assert_eq!(rig.read(3), [refused(3)]);
    assert_eq!(
        rig.step(Input::WaitRevision { id: RequestId(4), revision: Revision(9) }),
        [refused(4)]
    );
    rig.cancel(2);
    assert_eq!(rig.read(5), []);
}
