use serde_json::json;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn look(primary: &str, epoch: u64, round: u64, requests: u64) -> Look {
    let cluster = serde_json::from_value(json!({
        "cluster_id": "00aa", "revision": requests, "x": 1,
        "leader": {"coordinator": "coordinator-1", "url": "http://c",
            "ballot": {"round": round, "coordinator": "c1"}},
        "view": {"epoch": epoch, "primary": primary, "backups": []},
        "coordinators": [{"id": "coordinator-1", "url": "http://c", "healthy": true,
            "coordinator": "c1", "phase": "phase2"}],
        "acceptors": [{"id": null, "url": "http://a", "healthy": false, "promised": null}],
        "replicas": [{"id": "replica-1", "url": "http://r", "healthy": true,
            "requests": requests}],
        "balancers": [{"id": "balancer-1", "url": "http://b", "healthy": true,
            "endpoints": [{"id": "replica-1", "healthy": true, "requests": requests}]}],
    }));
    let text = format!(
        "synod_balancer_forward_duration_seconds_bucket{{intent=\"read\",le=\"+Inf\"}} {requests}\n"
    );
    let measures = BTreeMap::from([("balancer-1".to_owned(), Measures::of(&text))]);
    Look { cluster: cluster.unwrap(), measures }
}

#[test]
fn rates_are_of_what_came_between_two_looks() {
    let mut state = State::default();
    state.answered(look("replica-1", 1, 1, 100), SECOND);
    let (_, replica) = state.of(Kind::Replica).next().unwrap();
    assert_eq!((replica.rate, state.reads.is_none()), (None, true));
    state.answered(look("replica-1", 1, 1, 300), SECOND * 3);
    let (_, replica) = state.of(Kind::Replica).next().unwrap();
    let (_, balancer) = state.of(Kind::Balancer).next().unwrap();
    assert_eq!(replica.rate, Some(100.0));
    assert_eq!(balancer.flows, [("replica-1".to_owned(), Some(100.0))]);
    assert_eq!(state.reads.as_ref().unwrap().per_second, 100.0);
    // It was started anew.
    state.answered(look("replica-1", 1, 1, 5), SECOND * 4);
    assert_eq!(state.of(Kind::Replica).next().unwrap().1.rate, None);
    assert_eq!(state.coordinator("c1"), "coordinator-1");
    assert_eq!(state.of(Kind::Acceptor).next().unwrap().0, "http://a");
}

#[test]
fn another_primary_and_another_leader_are_counted_once_whoever_answers() {
    let mut state = State::default();
    state.answered(look("replica-1", 1, 1, 1), SECOND);
    state.answered(look("replica-2", 2, 1, 2), SECOND * 2);
    // A replica that has not heard of it yet.
    state.answered(look("replica-1", 1, 1, 3), SECOND * 3);
    state.answered(look("replica-2", 2, 5, 4), SECOND * 4);
    assert_eq!((state.fail_overs, state.elections), (1, 1));
    let said: Vec<&str> = state.changes.iter().map(|change| change.what.as_str()).collect();
    let leader = "leader coordinator-1 -> coordinator-1, ballot 5";
    assert_eq!(said, [leader, "primary replica-1 -> replica-2, epoch 2"]);
}

#[test]
fn who_is_not_listed_any_more_is_gone_and_then_forgotten() {
    let mut state = State::default();
    state.answered(look("replica-1", 1, 1, 1), SECOND);
    let without = |seconds: u32, state: &mut State| {
        let mut look = look("replica-1", 1, 1, 1);
        look.cluster.replicas.clear();
        state.answered(look, SECOND * seconds);
    };
    without(2, &mut state);
    let (_, replica) = state.of(Kind::Replica).next().unwrap();
    assert!(!replica.is_listed && !replica.service.healthy);
    without(70, &mut state);
    assert_eq!(state.of(Kind::Replica).count(), 0);
    state.failed("no answer".to_owned());
    assert_eq!(state.error.as_deref(), Some("no answer"));
}

#[test]
fn another_cluster_begins_anew() {
    let mut state = State::default();
    state.answered(look("replica-1", 9, 9, 9), SECOND);
    let mut other = look("replica-1", 1, 1, 1);
    other.cluster.cluster_id = Some("00bb".to_owned());
    state.answered(other, SECOND * 2);
    assert_eq!(state.cluster.view.as_ref().unwrap().epoch, 1);
    assert_eq!((state.fail_overs, state.elections), (0, 0));
}
