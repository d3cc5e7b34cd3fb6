use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::timeout;

use super::*;
use crate::stub::{Asked, Said, Stub};

const SECOND: Duration = Duration::from_secs(1);

/// A server that has a lease, and a lock for it; renewals are answered so.
async fn server(renewed: impl Fn() -> Said + Send + Sync + 'static) -> Stub {
    Stub::start(move |asked: &Asked, _| {
        let ok = |body: &str| Said::Answer(200, body.to_owned());
        match asked.line.as_str() {
            line if line.starts_with("POST /v1/leases ") => {
                Said::Answer(201, r#"{"id": 7, "ttl_ms": 1}"#.to_owned())
            }
            line if line.starts_with("POST /v1/leases/7/renew ") => renewed(),
            line if line.starts_with("DELETE /v1/leases/7 ") => {
                ok(r#"{"deleted": 0, "revision": 4}"#)
            }
            line if line.starts_with("PUT /v1/locks/l ") => {
                ok(r#"{"name": "l", "lease": 7, "fence": 3}"#)
            }
            other => panic!("nobody asks for {other}"),
        }
    })
    .await
}

fn renewed() -> Said {
    Said::Answer(200, r#"{"id": 7, "ttl_ms": 1, "remaining_ms": 1}"#.to_owned())
}

async fn is_ended(stub: &Stub) -> bool {
    for _ in 0..100 {
        if stub.asked().iter().any(|asked| asked.line.starts_with("DELETE /v1/leases/7 ")) {
            return true;
        }
        sleep(Duration::from_millis(50)).await;
    }
    false
}

#[tokio::test]
async fn a_lock_is_held_for_as_long_as_its_lease_is_renewed_and_then_given_up() {
    let stub = server(renewed).await;
    let guard = stub.client().lock("l").ttl(3 * SECOND).await.unwrap();
    assert_eq!((guard.fence().to_string(), guard.lease()), ("l=3".to_owned(), 7));
    let asked = stub.asked();
    let asked = asked.iter().find(|asked| asked.line.starts_with("PUT ")).unwrap();
    assert_eq!(asked.header("idempotency-key"), None, "its answer is that of the moment");
    assert!(timeout(5 * SECOND, guard.lost()).await.is_err(), "it was renewed all the while");
    assert!(!guard.is_lost());
    guard.release().await.unwrap();
    assert!(is_ended(&stub).await);
}

#[tokio::test]
async fn a_lock_that_is_dropped_is_given_up() {
    let stub = server(renewed).await;
    drop(stub.client().lock("l").ttl(60 * SECOND).await.unwrap());
    assert!(is_ended(&stub).await);
}

#[tokio::test]
async fn a_lock_is_lost_once_the_lease_is_said_to_have_ended() {
    let gone = || Said::Answer(404, r#"{"detail": "there is no lease 7"}"#.to_owned());
    let guard = server(gone).await.client().lock("l").ttl(9 * SECOND).await.unwrap();
    // It is asked after a third of its life.
    timeout(6 * SECOND, guard.lost()).await.unwrap();
    assert!(guard.is_lost());
}

#[tokio::test]
async fn a_lock_may_be_lost_once_nothing_was_heard_for_as_long_as_the_lease_lasts() {
    let answers = Arc::new(AtomicBool::new(true));
    let is_answered = Arc::clone(&answers);
    let stub =
        server(move || if is_answered.load(Ordering::Relaxed) { renewed() } else { Said::Nothing })
            .await;
    let ttl = 3 * SECOND;
    let began = Instant::now();
    let guard = stub.client().lock("l").ttl(ttl).await.unwrap();
    sleep(ttl / 2).await;
    answers.store(false, Ordering::Relaxed);
    timeout(3 * ttl, guard.lost()).await.unwrap();
    // The first renewal, after a third of its life, is the last that was answered.
    let lasted = began.elapsed();
    assert!(lasted >= ttl + ttl / RENEWALS && lasted < 2 * ttl, "{lasted:?}");
}
