//! A coordinator leads, chooses, is replaced, and ends.

use std::time::{Duration, Instant};

use coordinator::config::shell::{ACCEPTS_IN_FLIGHT, POLLS_IN_FLIGHT, PREPARES_IN_FLIGHT};
use shared::ids::{Ballot, CoordinatorId, Slot};
use shared::message::{Batch, ChosenReply, ProposalReply, Value};
use shared::telemetry::{TraceContext, in_context};

use crate::acceptor::FakeAcceptor;
use crate::cluster::*;

async fn fetch(coordinator: &RunningCoordinator, from: u64, wait: Duration) -> ChosenReply {
    let (cluster, from) = (cluster_id(), Slot(from));
    let reply = coordinator.client.chosen(cluster, from, wait, PATIENCE).await.unwrap();
    reply.for_cluster(cluster).unwrap()
}

/// The commands of what was chosen.
fn values(reply: ChosenReply) -> Vec<(u64, String)> {
    match reply {
        ChosenReply::Entries { entries, .. } => entries
            .into_iter()
            .map(|entry| match Value::decode(&entry.value) {
                Ok(Value::Batch(Batch { commands, .. })) => {
                    (entry.slot.0, String::from_utf8_lossy(&commands).into_owned())
                }
                other => panic!("{other:?}"),
            })
            .collect(),
        ChosenReply::Trimmed { .. } | ChosenReply::Unavailable => panic!("{reply:?}"),
    }
}

async fn ballot(coordinator: &RunningCoordinator) -> Ballot {
    serde_json::from_value(coordinator.status().await["ballot"].clone()).unwrap()
}

#[tokio::test]
async fn a_proposal_is_answered_when_it_is_chosen_and_can_be_fetched() {
    let (coordinator, _acceptors) = leading().await;
    let ballot = ballot(&coordinator).await;
    let chosen = ProposalReply::Chosen { slot: Slot(0), ballot, chosen_below: Slot(1) };
    assert_eq!(coordinator.propose(0, "a").await, chosen);
    coordinator.propose(1, "b").await;
    assert_eq!(
        values(fetch(&coordinator, 0, Duration::ZERO).await),
        [(0, "a".to_owned()), (1, "b".to_owned())]
    );
    let none = ChosenReply::Entries { entries: Vec::new(), chosen_below: Slot(2), previous: None };
    assert_eq!(fetch(&coordinator, 2, Duration::ZERO).await, none);
}

#[tokio::test]
async fn a_fetch_waits_for_what_is_chosen_next_and_no_longer_than_it_was_told() {
    let (coordinator, _acceptors) = leading().await;
    let (fetched, _) = tokio::join!(fetch(&coordinator, 0, PATIENCE), coordinator.propose(0, "a"));
    assert_eq!(values(fetched), [(0, "a".to_owned())]);
    assert_eq!(values(fetch(&coordinator, 1, Duration::from_millis(50)).await), []);
}

#[tokio::test]
async fn a_leader_of_one_ballot_gives_way_to_one_of_a_higher_and_the_log_goes_on() {
    let (first, acceptors) = leading().await;
    first.propose(0, "a").await;
    let second = join(&acceptors);
    first.shutdown.cancel();
    let killed_at = Instant::now();
    first.ended.await.unwrap().unwrap();
    until("the second leads", || second.leads()).await;
    assert!(killed_at.elapsed() < Duration::from_secs(5), "{:?}", killed_at.elapsed());
    assert!(matches!(second.propose(1, "b").await, ProposalReply::Chosen { .. }));
    until("both are there, whoever chose them", || async {
        values(fetch(&second, 0, Duration::ZERO).await).len() == 2
    })
    .await;
}

#[tokio::test]
async fn entries_older_than_the_window_come_from_the_acceptors_until_they_are_trimmed() {
    let (first, acceptors) = leading().await;
    for number in 0..3 {
        first.propose(number, &format!("v{number}")).await;
    }
    until("the acceptors know", || async { acceptors.iter().all(|it| it.knows_chosen(3)) }).await;
    let second = join(&acceptors);
    first.shutdown.cancel();
    until("the second leads", || second.leads()).await;
    assert_eq!(second.status().await["window_start"], 3);
    let old = [(0, "v0".to_owned()), (1, "v1".to_owned()), (2, "v2".to_owned())];
    assert_eq!(values(fetch(&second, 0, Duration::ZERO).await), old);
    acceptors.iter().for_each(|acceptor| acceptor.memory.lock().unwrap().trim = true);
    until("it hears that they are gone", || async {
        fetch(&second, 0, Duration::ZERO).await == ChosenReply::Trimmed { oldest: Slot(3) }
    })
    .await;
}

#[tokio::test]
async fn acceptors_that_are_full_are_refused_more_and_served_again_when_room_is_back() {
    let (coordinator, acceptors) = leading().await;
    let full = |is_full| {
        acceptors.iter().for_each(|acceptor| acceptor.memory.lock().unwrap().is_full = is_full)
    };
    full(true);
    // What is proposed before the refusals come waits in its slot, and is chosen when
    // there is room.
    let (first, ()) = tokio::join!(coordinator.propose(0, "a"), async {
        until("all are known to be full", || async {
            coordinator.status().await["full_acceptors"] == 3
        })
        .await;
        let limit = "3 acceptors have no room".to_owned();
        assert_eq!(coordinator.propose(1, "b").await, ProposalReply::Overloaded { limit });
        full(false);
    });
    assert!(matches!(first, ProposalReply::Chosen { slot: Slot(0), .. }), "{first:?}");
}

/// Fails what is asked of the acceptors at a path, until each has failed more than may be
/// under way to it at once.
async fn fail(acceptors: &[FakeAcceptor], path: &'static str, at_once: usize) {
    acceptors.iter().for_each(|acceptor| acceptor.fail(Some(path)));
    until(path, || async { acceptors.iter().all(|acceptor| acceptor.failed() > at_once) }).await;
}

/// A call that failed is over: it makes room for the next one as an answer does.
#[tokio::test]
async fn acceptors_that_failed_again_and_again_are_asked_again() {
    let acceptors = acceptors().await;
    let works = || acceptors.iter().for_each(|acceptor| acceptor.fail(None));
    let coordinator = join(&acceptors);
    fail(&acceptors, "/v1/watermarks", POLLS_IN_FLIGHT).await;
    fail(&acceptors, "/v1/prepare", PREPARES_IN_FLIGHT).await;
    works();
    until("it leads", || coordinator.leads()).await;
    fail(&acceptors, "/v1/accept", ACCEPTS_IN_FLIGHT).await;
    works();
    until("it chooses", || async {
        matches!(coordinator.propose(0, "a").await, ProposalReply::Chosen { .. })
    })
    .await;
}

#[tokio::test]
async fn one_proposal_too_many_is_refused_at_once_and_who_hung_up_is_not_waited_for() {
    let (coordinator, acceptors) = leading().await;
    acceptors.iter().for_each(|acceptor| acceptor.memory.lock().unwrap().delay = 6 * PATIENCE);
    let mut waiting = tokio::task::JoinSet::new();
    for number in 0..64 {
        let client = coordinator.client.clone();
        waiting.spawn(async move { client.propose(&proposal(number, "x"), PATIENCE).await });
    }
    // They stay in flight, whoever waits for them.
    let waits_for = async |proposals: u64| {
        let status = coordinator.status().await;
        status["waiting_proposals"] == proposals && status["in_flight_slots"] == 64
    };
    until("all wait", || waits_for(64)).await;
    let limit = "64 proposals are waited for".to_owned();
    assert_eq!(coordinator.propose(64, "x").await, ProposalReply::Overloaded { limit });
    waiting.shutdown().await;
    until("none waits", || waits_for(0)).await;
}

#[tokio::test]
async fn what_comes_while_requests_fly_goes_together() {
    let (coordinator, acceptors) = leading().await;
    acceptors
        .iter()
        .for_each(|acceptor| acceptor.memory.lock().unwrap().delay = Duration::from_millis(100));
    let proposals = (0..40).map(|number| {
        let client = coordinator.client.clone();
        tokio::spawn(async move { client.propose(&proposal(number, "x"), PATIENCE).await.unwrap() })
    });
    for reply in proposals.collect::<Vec<_>>() {
        let reply = reply.await.unwrap().for_cluster(cluster_id());
        assert!(matches!(reply, Ok(ProposalReply::Chosen { .. })));
    }
    let batches = acceptors[0].memory.lock().unwrap().batches.clone();
    assert!(batches.len() < 20 && batches.iter().any(|slots| *slots > 5), "{batches:?}");
}

#[tokio::test]
async fn an_acceptor_that_a_quorum_does_without_gets_what_has_gathered() {
    let (coordinator, acceptors) = leading().await;
    for number in 0..50 {
        coordinator.propose(number, "x").await;
    }
    let requests = |at: usize| acceptors[at].memory.lock().unwrap().batches.len();
    let slots = |at: usize| acceptors[at].memory.lock().unwrap().batches.iter().sum::<usize>();
    until("all have voted for all", || async { (0..3).all(|at| slots(at) >= 50) }).await;
    let (fewest, most) = ((0..3).map(requests).min().unwrap(), (0..3).map(requests).max().unwrap());
    assert!(fewest < most / 2, "{fewest} requests to one, {most} to another");
}

#[tokio::test]
async fn the_trace_of_a_proposal_goes_on_to_every_acceptor() {
    let (coordinator, acceptors) = leading().await;
    let trace = TraceContext { trace_id: [7; 16], span_id: [3; 8], flags: 1 };
    in_context(trace.to_context(), coordinator.propose(0, "a")).await;
    let sent = format!("00-{}-{}-01", "07".repeat(16), "03".repeat(8));
    until("all have it", || async {
        acceptors.iter().all(|acceptor| acceptor.memory.lock().unwrap().traces == [sent.clone()])
    })
    .await;
}

#[tokio::test]
async fn a_coordinator_that_ends_leaves_what_it_proposed_unresolved() {
    let (coordinator, acceptors) = leading().await;
    acceptors.iter().for_each(|acceptor| acceptor.memory.lock().unwrap().delay = PATIENCE);
    let waiting = coordinator.propose(0, "a");
    let ends = async {
        until("it is in flight", || async { coordinator.status().await["in_flight_slots"] == 1 })
            .await;
        coordinator.shutdown.cancel();
    };
    let (reply, ()) = tokio::join!(waiting, ends);
    assert_eq!(reply, ProposalReply::Unresolved);
    coordinator.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_standby_says_that_it_does_not_lead() {
    let (_leader, acceptors) = leading().await;
    let standby = join(&acceptors);
    until("it knows its cluster", || async { standby.status().await["waiting_for"].is_null() })
        .await;
    assert_eq!(standby.propose(0, "a").await, ProposalReply::NotLeading);
    assert_eq!(fetch(&standby, 0, PATIENCE).await, ChosenReply::Unavailable);
    let status = standby.status().await;
    assert_eq!(
        (&status["phase"], &status["ballot"]),
        (&"inactive".into(), &serde_json::Value::Null)
    );
    assert_ne!(
        status["coordinator"].as_str().unwrap().parse::<CoordinatorId>().unwrap(),
        CoordinatorId(0)
    );
}

#[tokio::test]
async fn a_coordinator_of_the_same_name_started_again_has_another_identity() {
    let (first, acceptors) = leading().await;
    let before = first.status().await;
    first.shutdown.cancel();
    first.ended.await.unwrap().unwrap();
    let second = join(&acceptors);
    let after = second.status().await;
    assert_eq!((&before["id"], &after["id"]), (&"coordinator-1".into(), &"coordinator-1".into()));
    assert_ne!(
        before["coordinator"], after["coordinator"],
        "ballots of the former life would be used again"
    );
}
