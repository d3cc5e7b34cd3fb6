use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::timeout;

use super::*;
use crate::stub::{ReceivedRequest, Said, Stub};

const SECOND: Duration = Duration::from_secs(1);
/// So long that a busy machine comes to renew it in time, and no longer.
const TTL: Duration = Duration::from_secs(9);

/// A server that has a lease, and a lock for it; renewals are answered so.
async fn server(renewed: impl Fn() -> Said + Send + Sync + 'static) -> Stub {
    Stub::start(move |asked: &ReceivedRequest, _| {
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
    let guard = stub.client().lock("l").ttl(TTL).await.unwrap();
    assert_eq!((guard.fence().to_string(), guard.lease()), ("l=3".to_owned(), 7));
    let asked = stub.asked();
    let asked = asked.iter().find(|asked| asked.line.starts_with("PUT ")).unwrap();
    assert_eq!(asked.header("idempotency-key"), None, "its answer is that of the moment");
    // The last of them is sent when the lease would be long over, had none been answered.
    let renewals = async {
        let is_renewal = |asked: &&ReceivedRequest| asked.line.contains("/renew ");
        while stub.asked().iter().filter(is_renewal).count() <= RENEWALS as usize {
            sleep(SECOND / 20).await;
        }
    };
    tokio::select! {
        () = guard.lost() => panic!("it was renewed all the while"),
        () = renewals => {}
    }
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
    let guard = server(gone).await.client().lock("l").ttl(TTL).await.unwrap();
    // It is asked after a third of its life.
    timeout(TTL * 2 / 3, guard.lost()).await.unwrap();
    assert!(guard.is_lost());
}

#[tokio::test]
async fn a_lock_may_be_lost_once_nothing_was_heard_for_as_long_as_the_lease_lasts() {
    let renewals = AtomicUsize::new(0);
    let is_first = move || renewals.fetch_add(1, Ordering::Relaxed) == 0;
    let stub = server(move || if is_first() { renewed() } else { Said::Nothing }).await;
    let began = Instant::now();
    let guard = stub.client().lock("l").ttl(TTL).await.unwrap();
    // None that is not answered makes it last longer.
    timeout(5 * TTL, guard.lost()).await.unwrap();
    // The first renewal, after a third of its life, is the last that was answered.
    let lasted = began.elapsed();
    assert!(lasted >= TTL + TTL / RENEWALS, "{lasted:?}");
}

#[test]
fn the_end_of_a_lease_is_not_slept_over() {
    assert_eq!(pause(9 * SECOND, 9 * SECOND), 3 * SECOND);
    assert_eq!(pause(9 * SECOND, SECOND), SECOND);
    assert_eq!(pause(9 * SECOND, Duration::ZERO), Duration::ZERO);
}
