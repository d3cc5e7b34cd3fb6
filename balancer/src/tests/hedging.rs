//! What is sent beyond clients' requests: hedged reads and retries, and what bounds them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::Method;

use super::fake::{Fake, Reply};
use super::harness::{Balancer, Setup, thresholds};
use crate::health::Pace;

/// The pool judges what is usual once a second.
fn judged() -> Setup {
    let pace = Pace { interval: Duration::from_millis(20), timeout: Duration::from_secs(5) };
    Setup { pace, ..Setup::default() }
}

/// A fake that answers with its number, late while it is told to.
async fn fake(number: u64, late: &Arc<AtomicBool>) -> Fake {
    let late = Arc::clone(late);
    Fake::start(number, move |_| {
        let takes = if late.load(Ordering::Relaxed) { 3_000 } else { 0 };
        Reply::ok(&number.to_string()).late(Duration::from_millis(takes))
    })
    .await
}

/// How many reads were hedged.
async fn hedges(balancer: &Balancer) -> u64 {
    balancer.get("/v1/balancer").await.json()["hedges"]["sent"].as_u64().unwrap()
}

/// Reads until the balancer knows what is usual.
async fn learn(balancer: &Balancer) {
    let known = async {
        loop {
            for _ in 0..50 {
                balancer.get("/v1/kv/k").await;
            }
            if balancer.get("/v1/balancer").await.json()["hedge_after_ms"].is_u64() {
                break;
            }
        }
    };
    tokio::time::timeout(super::harness::PATIENCE, known).await.expect("it learns nothing");
}

#[tokio::test]
async fn a_read_that_takes_longer_than_most_is_answered_by_another_replica() {
    let late = [false; 2].map(|late| Arc::new(AtomicBool::new(late)));
    let (one, two) = (fake(1, &late[0]).await, fake(2, &late[1]).await);
    let balancer = judged().start(&[&one, &two]).await;
    // One that is sent to the other at first is not hedged, nor one of which it is not known
    // what is usual, which a machine that is busy may make of it.
    for _ in 0..20 {
        late[0].store(false, Ordering::Relaxed);
        learn(&balancer).await;
        late[0].store(true, Ordering::Relaxed);
        let before = hedges(&balancer).await;
        let answer = balancer.get("/v1/kv/k").await;
        if hedges(&balancer).await > before {
            assert_eq!(answer.body, "2", "it waited for the one that is late");
            return;
        }
    }
    panic!("no read was hedged: {}", balancer.get("/v1/balancer").await.body);
}

#[tokio::test]
async fn a_mutation_is_sent_once_however_long_it_takes() {
    let late = [false; 2].map(|late| Arc::new(AtomicBool::new(late)));
    let (one, two) = (fake(1, &late[0]).await, fake(2, &late[1]).await);
    let setup = Setup { slow_read_after: Duration::from_millis(50), ..judged() };
    let balancer = setup.start(&[&one, &two]).await;
    learn(&balancer).await;
    late[0].store(true, Ordering::Relaxed);
    assert_eq!(balancer.put("/v1/kv/k", "value").await.status, 200);
    let keyed = [("idempotency-key", "one")];
    assert_eq!(balancer.send(Method::PUT, "/v1/kv/k", &keyed, "value").await.status, 200);
    let puts =
        |fake: &Fake| fake.seen().iter().filter(|seen| seen.line().starts_with("PUT")).count();
    assert_eq!((puts(&one), puts(&two)), (2, 0));
}

#[tokio::test]
async fn once_the_budget_is_spent_reads_that_fail_wait_and_are_bounded() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let one = Fake::start(1, move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Reply::Cut
    })
    .await;
    let two = Fake::start(2, |_| Reply::ok("")).await;
    let setup = Setup { thresholds: thresholds(10_000, 1), ..Setup::default() };
    let balancer = setup.start(&[&one, &two]).await;
    for _ in 0..600 {
        assert_eq!(balancer.get("/v1/kv/k").await.status, 200, "none fails");
        if balancer.get("/v1/balancer").await.json()["retries"]["refused"] != 0 {
            break;
        }
    }
    let shown = balancer.get("/v1/balancer").await.json();
    assert!(shown["retries"]["refused"].as_u64() > Some(0), "{shown}");
    assert!(shown["retries"]["sent"].as_u64() <= Some(100 + 600 / 5), "{shown}");
    assert!(asked.load(Ordering::Relaxed) > 100);
}
