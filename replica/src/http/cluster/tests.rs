use shared::ids::{Epoch, Instance, LogFormat};

use super::*;
use crate::machine::state::RemovedReplica;

impl Seen {
    fn rendered_json(&self, head: u64) -> Value {
        serde_json::to_value(self.rendered(head)).unwrap()
    }
}

fn seen(name: &str, service: Service, status: Option<Value>) -> Seen {
    let url = Some(format!("http://{name}:1"));
    Seen { name: Some(name.parse().unwrap()), service, url, status }
}

#[test]
fn votes_are_counted_over_the_slots_decided() {
    let acceptor = |trimmed: u64, votes: u64| {
        let status = json!({"chosen_below": 100, "trimmed_below": trimmed, "votes": votes});
        seen("acceptor-1", Service::Acceptor, Some(status))
    };
    let [up, behind, away] =
        [acceptor(60, 41), acceptor(60, 15), seen("acceptor-3", Service::Acceptor, None)];
    assert_eq!(votes_per_decision(&[&up, &up, &up], Slot(90)), 3.0);
    assert_eq!(votes_per_decision(&[&up, &behind, &away], Slot(90)), 1.75);
    assert_eq!(votes_per_decision(&[&away], Slot(0)), 0.0);
}

#[test]
fn a_service_that_does_not_answer_is_shown_as_unhealthy() {
    let behind = seen(
        "replica-2",
        Service::Replica,
        Some(json!({"role": "backup", "executed_below": 7, "executed_slot": 6})),
    );
    let shown = behind.rendered_json(10);
    assert_eq!(
        (&shown["healthy"], &shown["lag_slots"], &shown["role"]),
        (&json!(true), &json!(3), &json!("backup"))
    );
    let shown = seen("replica-3", Service::Replica, None).rendered_json(10);
    let nothing = Value::Null;
    assert_eq!(
        (&shown["healthy"], &shown["lag_slots"], &shown["role"]),
        (&json!(false), &nothing, &nothing)
    );
    assert_eq!(shown["url"], "http://replica-3:1");
}

#[test]
fn a_silent_replica_that_was_taken_out_is_not_listed_and_one_that_answers_is() {
    let removed =
        [RemovedReplica { replica: "replica-2".parse().unwrap(), slot: Slot(7), epoch: Epoch(3) }];
    let out = |name, service, status| seen(name, service, status).is_out(&removed);
    assert!(out("replica-2", Service::Replica, None));
    assert!(!out("replica-2", Service::Replica, Some(json!({}))), "another one of its name");
    assert!(!out("replica-2", Service::Balancer, None));
    assert!(!out("replica-3", Service::Replica, None));
}

#[test]
fn replicas_of_the_view_are_shown_however_long_they_are_silent() {
    let name = |number| format!("replica-{number}").parse::<Name>().unwrap();
    let view = View {
        epoch: Epoch(3),
        primary: name(3),
        primary_instance: Instance(1),
        backups: vec![name(1), name(2)],
        format: LogFormat::FIRST,
    };
    let heard = [
        seen("replica-1", Service::Replica, Some(json!({}))),
        seen("replica-9", Service::Replica, None),
    ];
    let url = "http://replica-2:1".to_owned();
    let addresses = Addresses::from([(name(2), url.clone()), (name(9), url.clone())]);
    let shown: Vec<Value> = unheard(Some(&view), &heard, &addresses)
        .iter()
        .map(|seen| seen.rendered_json(10))
        .collect();
    let ids: Vec<&Value> = shown.iter().map(|shown| &shown["id"]).collect();
    assert_eq!(ids, ["replica-2", "replica-3"]);
    let urls: Vec<&Value> = shown.iter().map(|shown| &shown["url"]).collect();
    assert_eq!(urls, [&json!(url), &Value::Null], "where it was heard of last, if it was");
    assert!(shown.iter().all(|shown| shown["healthy"] == false));
    assert!(unheard(None, &heard, &addresses).is_empty());
}

#[test]
fn a_balancer_is_shown_with_what_it_sends_to_whom() {
    // Its own `healthy` is a number of replicas: here the word says whether it answers.
    let status = json!({
        "version": "1.2.3", "uptime_ms": 7, "healthy": 2, "primary": "replica-1", "waiting": 4,
        "endpoints": [{"id": "replica-1", "healthy": true, "requests": 9}],
    });
    let shown = seen("balancer-1", Service::Balancer, Some(status)).rendered_json(0);
    assert_eq!((&shown["healthy"], &shown["waiting"]), (&json!(true), &json!(4)));
    assert_eq!((&shown["version"], &shown["uptime_ms"]), (&json!("1.2.3"), &json!(7)));
    assert_eq!(shown["endpoints"][0]["requests"], 9);
}
