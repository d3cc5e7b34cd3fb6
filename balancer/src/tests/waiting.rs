//! Requests that come while nobody can answer them: a primary is replaced, a quorum is
//! gone, replicas start again.
#![expect(clippy::disallowed_methods, reason = "tests of a wait read the clock")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::Method;
use shared::ids::Instance;
use shared::message::Member;
use shared::problem::Problem;

use super::fake::{Fake, Reply};
use super::harness::{Setup, problem};
use super::successor::{GAP, Successor, no_primary};
use crate::pool::{Intent, To};

#[tokio::test]
async fn a_mutation_without_a_primary_waits_for_the_next_one() {
    let one = Successor::start(1).await;
    one.fake.set_role("backup", 1);
    let two = Successor::start(2).await;
    let balancer = Setup::default().start(&[&one.fake, &two.fake]).await;
    let began = Instant::now();
    let election = async {
        tokio::time::sleep(GAP).await;
        two.take_over();
    };
    let (answer, ()) = tokio::join!(balancer.put("/v1/kv/k", "value"), election);
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "done"));
    assert!(began.elapsed() >= GAP, "after {:?}", began.elapsed());
    let sent = two.fake.seen();
    assert!(sent.iter().all(|seen| seen.body == "value"), "{sent:?}");
    assert_eq!(balancer.get("/v1/status").await.json()["waiting"], 0);
}

#[tokio::test]
async fn a_waiting_mutation_is_sent_again_a_few_times_and_in_no_tight_loop() {
    let one = Fake::start(1, |_| no_primary()).await;
    let balancer = Setup::default().start(&[&one]).await;
    let timeout = [("synod-timeout", "500ms")];
    let began = Instant::now();
    let answer = balancer.send(Method::PUT, "/v1/kv/k", &timeout, "value").await;
    assert_eq!(answer.problem(), problem("unavailable", 503, Some("not_applied")));
    let waited = began.elapsed();
    assert!((Duration::from_millis(450)..Duration::from_secs(5)).contains(&waited), "{waited:?}");
    // 0, 10, 30, 70, 150, 250, 350 and 450 ms after the first.
    let sent = one.seen().len();
    assert!((2..=8).contains(&sent), "sent {sent} times");
}

#[tokio::test]
async fn one_too_many_that_waits_is_refused_naming_the_limit_and_the_status_tells_how_many_do() {
    let one = Successor::start(1).await;
    let balancer = Setup { max_waiting: 1, ..Setup::default() }.start(&[&one.fake]).await;
    let refused = async {
        balancer.until_waiting(1).await;
        assert_eq!(balancer.get("/v1/status").await.json()["waiting"], 1);
        let answer = balancer.put("/v1/kv/k", "second").await;
        one.take_over();
        answer
    };
    let (first, refused) = tokio::join!(balancer.put("/v1/kv/k", "first"), refused);
    assert_eq!(refused.problem(), problem("overloaded", 503, Some("not_applied")));
    assert!(refused.body.contains("1 requests wait"), "{}", refused.body);
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(first.body, "done");
}

#[tokio::test]
async fn a_replica_that_refuses_connections_is_waited_for_until_it_is_there_again() {
    let mut one = Fake::start(1, |_| Reply::ok("one")).await;
    let balancer = Setup::default().start(&[&one]).await;
    one.kill().await;
    let restart = async {
        balancer.until_waiting(2).await;
        let again = Fake::start(1, |_| Reply::ok("again")).await;
        let member = Member { instance: Instance(11), ..again.member() };
        balancer.members.send_replace(vec![member]);
        again
    };
    let (put, get, _again) = tokio::join!(
        balancer.put("/v1/kv/k", "value"),
        balancer.get("/v1/kv/k?consistency=local"),
        restart
    );
    assert_eq!([put.body, get.body], ["again", "again"]);
}

#[tokio::test]
async fn a_read_waits_for_replicas_that_are_not_ready() {
    let ready = Arc::new(AtomicBool::new(false));
    let is_ready = Arc::clone(&ready);
    let one = Fake::start(1, move |_| {
        if is_ready.load(Ordering::SeqCst) {
            Reply::ok("one")
        } else {
            Reply::problem(&Problem::unavailable("catching up"))
        }
    })
    .await;
    let balancer = Setup::default().start(&[&one]).await;
    let getting_ready = async {
        balancer.until_waiting(1).await;
        ready.store(true, Ordering::SeqCst);
    };
    let (answer, ()) = tokio::join!(balancer.get("/v1/kv/k"), getting_ready);
    assert_eq!(answer.body, "one");
}

#[tokio::test]
async fn a_client_that_goes_away_waits_no_longer() {
    let one = Fake::start(1, |_| no_primary()).await;
    let balancer = Setup::default().start(&[&one]).await;
    let waiting = async {
        tokio::select! {
            answer = balancer.put("/v1/kv/k", "value") => panic!("{answer:?}"),
            () = balancer.until_waiting(1) => {}
        }
    };
    waiting.await;
    balancer.until_waiting(0).await;
}

#[tokio::test]
async fn a_balancer_that_ends_lets_nobody_wait() {
    let one = Fake::start(1, |_| no_primary()).await;
    let balancer = Setup::default().start(&[&one]).await;
    let ending = async {
        balancer.until_waiting(1).await;
        balancer.begin_to_end();
    };
    let began = Instant::now();
    let (answer, ()) = tokio::join!(balancer.put("/v1/kv/k", "value"), ending);
    assert_eq!(answer.problem(), problem("unavailable", 503, Some("not_applied")));
    assert!(began.elapsed() < Duration::from_secs(5), "after {:?}", began.elapsed());
}

#[tokio::test]
async fn a_read_waits_for_the_quorum_that_was_there_a_moment_ago() {
    let one = Fake::start(1, |_| Reply::ok("one")).await;
    let balancer = Setup::with_patient_checks().start(&[&one]).await;
    one.set_quorum_answers(false);
    balancer.until(|pool| pool.able(Intent::Read, To::Take) == 0).await;
    let follows = async {
        balancer.until_waiting(1).await;
        one.set_quorum_answers(true);
    };
    let (answer, ()) = tokio::join!(balancer.get("/v1/kv/k"), follows);
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "one"));
}

#[tokio::test]
async fn a_quorum_that_has_been_gone_for_a_while_is_not_waited_for() {
    let one = Fake::start(1, |_| Reply::ok("one")).await;
    let balancer = Setup::with_patient_checks().start(&[&one]).await;
    one.set_quorum_answers(false);
    balancer.until(|pool| pool.with_quorum() == 0).await;
    balancer.until(|pool| !pool.lost_quorum_lately(balancer.now())).await;
    let answer = balancer.get("/v1/kv/k").await;
    assert_eq!(answer.problem(), problem("no-quorum", 503, None));
    assert_eq!(balancer.get("/v1/status").await.json()["waiting"], 0);
}
