//! Mutations that are sent again, by their names or with a key: to whom, how often, and what
//! the client hears where that is in vain.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use shared::ids::{Revision, Slot};
use shared::problem::{Outcome, Problem};
use shared::repeat::Repeatable;

use super::fake::{Fake, Reply, Seen};
use super::harness::{Answer, PATIENCE, Setup, problem};
use super::successor::{GAP, Successor, no_primary};
use crate::pool::Pool;
use crate::proxy::BodyLimits;

#[tokio::test]
async fn a_mutation_under_way_at_a_primary_that_dies_is_sent_to_the_next_one_only_with_a_key() {
    let key: &[(&str, &str)] = &[("idempotency-key", "k1")];
    for fields in [&[], key] {
        let mut one = Fake::start(1, |_| Reply::Hang).await;
        let two = Successor::start(2).await;
        let balancer = Setup::default().start(&[&one, &two.fake]).await;
        let failover = async {
            one.until_asked().await;
            one.kill().await;
            if !fields.is_empty() {
                balancer.until_waiting(1).await;
            }
            two.take_over();
        };
        let mutation = balancer.send(Method::PUT, "/v1/kv/k", fields, "value");
        let (answer, ()) = tokio::join!(mutation, failover);
        if fields.is_empty() {
            assert_eq!(answer.problem(), problem("bad-gateway", 502, Some("unknown")));
            assert_eq!(two.fake.seen().len(), 0);
        } else {
            assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "done"));
        }
    }
}

#[tokio::test]
async fn a_mutation_under_way_at_a_primary_that_dies_is_sent_by_its_name_to_the_next_one() {
    let mut one = Fake::start(1, |_| Reply::Hang).await.know_names();
    let two = Successor::start(2).await.know_names();
    let balancer = Setup::default().start(&[&one, &two.fake]).await;
    let failover = async {
        one.until_asked().await;
        one.kill().await;
        balancer.until_waiting(1).await;
        two.take_over();
    };
    let forged = [("synod-request", "00000000000000000000000000000000;since=1")];
    let mutation = balancer.send(Method::PUT, "/v1/kv/k", &forged, "value");
    let (answer, ()) = tokio::join!(mutation, failover);
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "done"));
    let (first, last) = (&one.seen()[0], two.fake.seen().pop().unwrap());
    assert_eq!(first.field("synod-request"), last.field("synod-request"));
    let name: Repeatable = first.field("synod-request")[0].parse().unwrap();
    assert_eq!(name.since, Slot(8), "slot 7 is executed");
    assert_ne!(name.identity, [0; 16], "a client's own name is none");
}

#[tokio::test]
async fn a_mutation_at_a_primary_that_hangs_is_sent_to_the_next_one() {
    let one = Fake::start(1, |_| Reply::Hang).await.know_names();
    let two = Successor::start(2).await.know_names();
    let balancer = Setup::with_checks().start(&[&one, &two.fake]).await;
    let failover = async {
        one.until_asked().await;
        one.stop(true);
        two.take_over();
    };
    let (answer, ()) = tokio::join!(balancer.put("/v1/kv/k", "value"), failover);
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "done"));
}

#[tokio::test]
async fn a_mutation_at_one_that_is_primary_no_more_and_does_not_know_is_sent_to_the_next_one() {
    // Cut off from the others, it answers checks, and nothing else.
    let one = Fake::start(1, |_| Reply::Hang).await.know_names();
    let two = Successor::start(2).await.know_names();
    let balancer = Setup::with_checks().start(&[&one, &two.fake]).await;
    let failover = async {
        one.until_asked().await;
        two.take_over();
    };
    let (answer, ()) = tokio::join!(balancer.put("/v1/kv/k", "value"), failover);
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "done"));
    assert_eq!(
        one.seen()[0].field("synod-request"),
        two.fake.seen().pop().unwrap().field("synod-request")
    );
}

#[tokio::test]
async fn who_waits_in_line_for_a_lock_stays_where_that_is_when_the_primary_is_another_one() {
    // It asks the next primary itself; to leave it is to leave the line.
    let one = Fake::start(1, |_| Reply::ok("held").late(2 * GAP)).await.know_names();
    let two = Successor::start(2).await.know_names();
    let balancer = Setup::with_patient_checks().start(&[&one, &two.fake]).await;
    let failover = async {
        one.until_asked().await;
        two.take_over();
    };
    let (answer, ()) = tokio::join!(balancer.put("/v1/locks/l", "{}"), failover);
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "held"));
    assert!(two.fake.seen().is_empty(), "{:?}", two.fake.seen());
}

/// The first answer breaks off, the next is this, and all others are good.
async fn after_a_break(path: &str, then: Reply) -> (Fake, Answer) {
    let replies = Mutex::new(vec![then, Reply::Broken(String::new())]);
    let script = move |_: &Seen| replies.lock().unwrap().pop().unwrap_or_else(|| Reply::ok("done"));
    let one = Fake::start(1, script).await.know_names();
    let balancer = Setup::default().start(&[&one]).await;
    let answer = balancer.put(path, "{}").await;
    (one, answer)
}

#[tokio::test]
async fn what_executing_a_mutation_again_refused_is_the_clients_answer() {
    let fields = "content-type: application/problem+json\r\nsynod-revision: 7\r\n";
    let busy = Problem::conflict("somebody holds it").with_outcome(Outcome::NotApplied);
    let reply = |problem: Problem| {
        let body = serde_json::to_string(problem.body()).unwrap();
        Reply::with("409 Conflict", fields, &body)
    };
    // Every answer has the header; of what was executed, the problem names the revision.
    let (_one, answer) = after_a_break("/v1/kv/k", reply(busy.clone())).await;
    assert_eq!(answer.problem(), problem("unavailable", 503, Some("unknown")));
    let conflict = || reply(busy.clone().with_revision(Revision(7)));
    let (_one, answer) = after_a_break("/v1/kv/k", conflict()).await;
    assert_eq!(answer.problem(), problem("conflict", 409, Some("not_applied")));
    // The line was left by the first attempt, which is not told here.
    let (_one, answer) = after_a_break("/v1/locks/l", conflict()).await;
    assert_eq!(answer.problem(), problem("unavailable", 503, Some("unknown")));
}

#[tokio::test]
async fn a_mutation_that_was_executed_and_could_not_be_counted_waits_for_nothing() {
    let uncounted = Problem::overloaded("counting").with_outcome(Outcome::Applied);
    let (one, answer) = after_a_break("/v1/kv/k", Reply::problem(&uncounted)).await;
    assert_eq!(answer.problem(), problem("overloaded", 503, Some("applied")));
    assert_eq!(one.seen().len(), 2);
}

#[tokio::test]
async fn a_mutation_that_may_have_been_executed_waits_where_there_is_too_much_at_once() {
    let full = Problem::overloaded("the queue").with_outcome(Outcome::NotApplied);
    let (one, answer) = after_a_break("/v1/kv/k", Reply::problem(&full)).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "done"));
    assert_eq!(one.seen().len(), 3);
}

#[tokio::test]
async fn of_a_mutation_at_a_primary_that_hangs_nobody_says_that_it_did_not_happen() {
    let one = Fake::start(1, |_| Reply::Hang).await.know_names();
    let balancer = Setup::with_checks().start(&[&one]).await;
    let hang = async {
        one.until_asked().await;
        one.stop(true);
    };
    let timeout = [("synod-timeout", "1500ms")];
    let mutation = balancer.send(Method::PUT, "/v1/kv/k", &timeout, "value");
    let (answer, ()) = tokio::join!(mutation, hang);
    assert_eq!(answer.problem(), problem("unavailable", 503, Some("unknown")));
    assert!(answer.body.contains("replica-1 was asked"), "{}", answer.body);
}

#[tokio::test]
async fn what_was_refused_before_says_nothing_of_a_mutation_that_was_lost_after_it() {
    let one = Fake::start(1, |_| no_primary()).await.know_names();
    one.set_role("backup", 1);
    let takes = Arc::new(AtomicBool::new(false));
    let is_primary = Arc::clone(&takes);
    let script = move |_: &Seen| {
        if is_primary.load(Ordering::SeqCst) { Reply::Hang } else { no_primary() }
    };
    let two = Fake::start(2, script).await.know_names();
    let balancer = Setup::with_checks().start(&[&one, &two]).await;
    let failover = async {
        balancer.until_waiting(1).await;
        let refused = two.seen().len();
        takes.store(true, Ordering::SeqCst);
        two.set_role("primary", 2);
        while two.seen().len() == refused {
            tokio::task::yield_now().await;
        }
        two.stop(true);
    };
    let timeout = [("synod-timeout", "2500ms")];
    let mutation = balancer.send(Method::PUT, "/v1/kv/k", &timeout, "value");
    let (answer, ()) = tokio::join!(mutation, failover);
    assert_eq!(answer.problem(), problem("unavailable", 503, Some("unknown")));
}

#[tokio::test]
async fn a_mutation_that_breaks_off_at_all_is_sent_again_once_there_is_a_primary() {
    // One breaks off itself, the other says that the primary did.
    let (broke, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(true)));
    let (dies, forwards) = (Arc::clone(&broke), Arc::clone(&asked));
    let script = move |_: &Seen| {
        if dies.swap(false, Ordering::SeqCst) { Reply::Broken(String::new()) } else { no_primary() }
    };
    let one = Fake::start(1, script).await.know_names();
    let script = move |_: &Seen| {
        let problem = Problem::bad_gateway("the primary replica-1 broke off");
        let problem = problem.with_outcome(Outcome::Unknown);
        if forwards.swap(false, Ordering::SeqCst) {
            Reply::problem(&problem)
        } else {
            Reply::ok("done")
        }
    };
    let two = Fake::start(2, script).await.know_names();
    let balancer = Setup::default().start(&[&one, &two]).await;
    let failover = async {
        balancer.until_waiting(1).await;
        two.set_role("primary", 2);
    };
    let (answer, ()) = tokio::join!(balancer.put("/v1/kv/k", "value"), failover);
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "done"));
    let seen = one.seen().into_iter().chain(two.seen());
    let names: Vec<String> = seen.map(|seen| seen.field("synod-request")[0].to_owned()).collect();
    assert!(names.iter().all(|name| *name == names[0]), "{names:?}");
}

#[tokio::test]
async fn one_death_of_a_primary_is_one_however_many_tell_of_it_when_it_is_gone() {
    let mut one = Fake::start(1, |_| Reply::Broken(String::new())).await.know_names();
    let there_is_one = Arc::new(AtomicBool::new(false));
    let [two, three] = [2, 3].map(|number| {
        let succeeded = Arc::clone(&there_is_one);
        Fake::start(number, move |_| {
            let problem = Problem::bad_gateway("the primary replica-1 broke off");
            if succeeded.load(Ordering::SeqCst) {
                Reply::ok("done")
            } else {
                Reply::problem(&problem.with_outcome(Outcome::Unknown))
            }
        })
    });
    let [two, three] = [two.await.know_names(), three.await.know_names()];
    let balancer = Setup::with_checks().start(&[&one, &two, &three]).await;
    let failover = async {
        one.until_asked().await;
        one.kill().await;
        balancer.until(|pool| pool.primary().is_none()).await;
        let before = [&two, &three].map(|fake| fake.seen().len());
        let both_tell = async {
            while two.seen().len() == before[0] || three.seen().len() == before[1] {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, both_tell).await.expect("it was given up");
        there_is_one.store(true, Ordering::SeqCst);
        two.set_role("primary", 2);
    };
    let timeout = [("synod-timeout", "20s")];
    let mutation = balancer.send(Method::PUT, "/v1/kv/k", &timeout, "value");
    let (answer, ()) = tokio::join!(mutation, failover);
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "done"));
}

fn is_primary(pool: &Pool, fake: &Fake) -> bool {
    let primary = pool.primary().and_then(|id| pool.endpoint(id));
    primary.is_some_and(|endpoint| *endpoint.member == fake.member())
}

#[tokio::test]
async fn a_mutation_that_kills_every_primary_by_way_of_others_is_given_up() {
    let script = |_: &Seen| {
        let problem = Problem::bad_gateway("the primary broke off");
        Reply::problem(&problem.with_outcome(Outcome::Unknown))
    };
    let [one, two, three] = [1, 2, 3].map(|number| Fake::start(number, script));
    let one = one.await.know_names();
    let [two, three] = [two.await.know_names(), three.await.know_names()];
    let balancer = Setup::with_checks().start(&[&one, &two, &three]).await;
    let elections = async {
        balancer.until_waiting(1).await;
        two.set_role("primary", 2);
        balancer.until(|pool| is_primary(pool, &two)).await;
        let asked = || one.seen().len() + two.seen().len() + three.seen().len();
        let before = asked();
        // Once more under the second primary at least, which is asked first.
        while asked() < before + 2 {
            tokio::task::yield_now().await;
        }
        three.set_role("primary", 3);
        balancer.until(|pool| is_primary(pool, &three)).await;
    };
    // Longer than any test: who is not given up is not answered.
    let timeout = [("synod-timeout", "60s")];
    let mutation = balancer.send(Method::PUT, "/v1/kv/k", &timeout, "value");
    let (answer, ()) = tokio::join!(mutation, elections);
    assert_eq!(answer.problem(), problem("unavailable", 503, Some("unknown")));
}

#[tokio::test]
async fn a_mutation_at_a_dead_primary_whose_address_answers_waits_for_the_next_one() {
    // As behind a port that something else holds open for it.
    let one = Fake::start(1, |_| Reply::Cut).await.know_names();
    let two = Successor::start(2).await.know_names();
    let balancer = Setup::with_checks().start(&[&one, &two.fake]).await;
    let failover = async {
        balancer.until_waiting(1).await;
        tokio::time::sleep(GAP).await;
        two.take_over();
    };
    let (answer, ()) = tokio::join!(balancer.put("/v1/kv/k", "value"), failover);
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "done"));
}

#[tokio::test]
async fn a_request_that_is_refused_unread_is_not_waited_with() {
    let one = Fake::start(1, |_| Reply::Cut).await;
    one.set_longest_body(1_000);
    let bodies = BodyLimits { body_bytes: 16 << 20, buffered_bytes: 32 << 20 };
    let balancer = Setup { bodies, ..Setup::default() }.start(&[&one]).await;
    let key = [("idempotency-key", "k1")];
    let body = "x".repeat(16 << 20);
    let answer = balancer.send(Method::PUT, "/v1/kv/k", &key, &body).await;
    assert_eq!(answer.problem(), problem("bad-gateway", 502, Some("unknown")));
    assert_eq!(one.seen().len(), 1);
}

#[tokio::test]
async fn a_mutation_that_kills_who_takes_it_is_not_carried_to_all() {
    let breaks = |_: &Seen| Reply::Broken(String::new());
    let all = [
        Fake::start(1, breaks).await.know_names(),
        Fake::start(2, breaks).await.know_names(),
        Fake::start(3, breaks).await.know_names(),
        Fake::start(4, breaks).await.know_names(),
    ];
    let balancer = Setup::default().start(&[&all[0], &all[1], &all[2], &all[3]]).await;
    let answer = balancer.put("/v1/kv/k", "value").await;
    assert_eq!(answer.problem(), problem("bad-gateway", 502, Some("unknown")));
    let sent: usize = all.iter().map(|one| one.seen().len()).sum();
    assert_eq!(sent, 3, "two that broke, and one more");
}

#[tokio::test]
async fn where_one_replica_knows_no_names_none_is_given() {
    let one = Fake::start(1, |_| Reply::ok("done")).await.know_names();
    let two = Fake::start(2, |_| Reply::ok("done")).await;
    let balancer = Setup::default().start(&[&one, &two]).await;
    balancer.put("/v1/kv/k", "value").await;
    assert!(one.seen()[0].field("synod-request").is_empty());
}

#[tokio::test]
async fn a_mutation_that_may_have_been_executed_is_still_unknown_after_a_wait_in_vain() {
    let mut one = Fake::start(1, |_| Reply::Hang).await;
    let two = Fake::start(2, |_| no_primary()).await;
    let balancer = Setup::default().start(&[&one, &two]).await;
    let death = async {
        one.until_asked().await;
        one.kill().await;
    };
    let fields = [("idempotency-key", "k1"), ("synod-timeout", "400ms")];
    let mutation = balancer.send(Method::PUT, "/v1/kv/k", &fields, "value");
    let (answer, ()) = tokio::join!(mutation, death);
    assert_eq!(answer.problem(), problem("unavailable", 503, Some("unknown")));
    assert!(answer.body.contains("replica-1 cannot be reached"), "{}", answer.body);
}
