//! How checks and discovery change who is asked.

use shared::ids::Instance;
use shared::message::Member;

use super::fake::{Fake, Reply};
use super::harness::Setup;
use crate::pool::Pool;

/// The number of the primary, 0 for none.
fn primary(pool: &Pool) -> u64 {
    pool.primary().and_then(|id| pool.endpoint(id)).map_or(0, |endpoint| endpoint.member.instance.0)
}

#[tokio::test]
async fn mutations_follow_the_primary_of_the_higher_epoch() {
    let (one, two) = (Fake::start(1, |_| Reply::ok("one")).await, Fake::start(2, |_| Reply::ok("two")).await);
    let balancer = Setup::with_checks().start(&[&one, &two]).await;
    assert_eq!(balancer.put("/v1/kv/k", "value").await.body, "one");
    two.set_role("primary", 2);
    balancer.until(|pool| primary(pool) == 2).await;
    assert_eq!(balancer.put("/v1/kv/k", "value").await.body, "two");
}

#[tokio::test]
async fn a_killed_replica_gets_no_requests_and_a_restarted_one_does() {
    let (mut one, two) = (Fake::start(1, |_| Reply::ok("one")).await, Fake::start(2, |_| Reply::ok("two")).await);
    let balancer = Setup::with_checks().start(&[&one, &two]).await;
    one.kill().await;
    balancer.until(|pool| pool.healthy() == 1 && primary(pool) == 0).await;
    assert_eq!(balancer.put("/v1/kv/k", "value").await.body, "two");

    let again = Fake::start(1, |_| Reply::ok("one again")).await;
    balancer.members.send_replace(vec![Member { instance: Instance(11), ..again.member() }, two.member()]);
    balancer.until(|pool| primary(pool) == 11).await;
    assert_eq!(balancer.put("/v1/kv/k", "value").await.body, "one again");
}

#[tokio::test]
async fn a_read_that_waits_for_a_replica_that_stopped_is_answered_by_another() {
    let (one, two) = (Fake::start(1, |_| Reply::ok("")).await, Fake::start(2, |_| Reply::ok("")).await);
    let balancer = Setup::with_checks().start(&[&one, &two]).await;
    one.stop(true);
    two.stop(true);
    let read = balancer.get("/v1/kv/k");
    let resume = async {
        balancer.until(|pool| pool.endpoints().any(|endpoint| endpoint.counts.in_flight == 1)).await;
        // Whichever of them has the read stays stopped.
        let has_it = balancer.holder().await;
        if has_it == 1 { two.stop(false) } else { one.stop(false) }
    };
    let (answer, ()) = tokio::join!(read, resume);
    assert!([200, 503].contains(&answer.status.as_u16()), "{answer:?}");
}

#[tokio::test]
async fn a_stopped_replica_is_asked_again_when_it_goes_on() {
    let one = Fake::start(1, |_| Reply::ok("one")).await;
    let balancer = Setup::with_checks().start(&[&one]).await;
    one.stop(true);
    balancer.until(|pool| pool.healthy() == 0).await;
    one.stop(false);
    balancer.until(|pool| pool.healthy() == 1).await;
    assert_eq!(balancer.get("/v1/kv/k").await.body, "one");
}

#[tokio::test]
async fn somebody_else_at_a_replicas_address_is_not_that_replica() {
    let (one, two) = (Fake::start(1, |_| Reply::ok("one")).await, Fake::start(2, |_| Reply::ok("two")).await);
    let balancer = Setup::with_checks().start(&[&one]).await;
    let impostor = Member { url: two.url.clone(), instance: Instance(3), ..one.member() };
    let nowhere = Member { name: "replica-9".parse().unwrap(), url: "not a url".to_owned(), ..one.member() };
    balancer.members.send_replace(vec![impostor, nowhere]);
    balancer.until(|pool| pool.endpoints().any(|endpoint| endpoint.counts.check_failures > 3)).await;
    balancer.until(|pool| pool.healthy() == 0 && pool.endpoints().count() == 1).await;
    assert_eq!(balancer.get("/v1/kv/k").await.status, 503);
}
