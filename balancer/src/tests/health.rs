//! How checks and discovery change who is asked.

use http::Method;
use shared::ids::{ClusterId, Instance};
use shared::message::Member;
use tokio::sync::mpsc;

use super::fake::{Fake, Reply, Seen};
use super::harness::{BRIEFLY, Setup, problem};
use crate::pool::{Intent, Pool, To};

/// The number of the primary, 0 for none.
fn primary(pool: &Pool) -> u64 {
    pool.primary().and_then(|id| pool.endpoint(id)).map_or(0, |endpoint| endpoint.member.instance.0)
}

#[tokio::test]
async fn mutations_follow_the_primary_of_the_higher_epoch() {
    let (one, two) =
        (Fake::start(1, |_| Reply::ok("one")).await, Fake::start(2, |_| Reply::ok("two")).await);
    let balancer = Setup::with_patient_checks().start(&[&one, &two]).await;
    assert_eq!(balancer.put("/v1/kv/k", "value").await.body, "one");
    two.set_role("primary", 2);
    balancer.until(|pool| primary(pool) == 2).await;
    assert_eq!(balancer.put("/v1/kv/k", "value").await.body, "two");
}

#[tokio::test]
async fn a_replica_cut_off_from_the_acceptors_gets_local_reads_and_nobody_waits_for_it() {
    let script = |seen: &Seen| match seen.line() {
        "GET /v1/kv/k HTTP/1.1" => Reply::Hang,
        _ => Reply::ok("cut off"),
    };
    let (one, two) = (Fake::start(1, |_| Reply::ok("one")).await, Fake::start(2, script).await);
    let balancer = Setup::with_patient_checks().start(&[&one, &two]).await;
    let cut_off = async {
        while two.seen().is_empty() {
            tokio::task::yield_now().await;
        }
        two.set_quorum_answers(false);
    };
    // One of these waits at the replica that is being cut off.
    let (first, second, ()) =
        tokio::join!(balancer.get("/v1/kv/k"), balancer.get("/v1/kv/k"), cut_off);
    assert_eq!([first.body, second.body], ["one", "one"]);
    for _ in 0..4 {
        assert_eq!(balancer.get("/v1/kv/k").await.body, "one");
    }
    let mut local = [(); 2].map(|()| String::new());
    for body in &mut local {
        *body = balancer.get("/v1/kv/k?consistency=local").await.body;
    }
    local.sort_unstable();
    assert_eq!(local, ["cut off", "one"]);
    two.set_quorum_answers(true);
    balancer.until(|pool| pool.able(Intent::Read, To::Take) == 2).await;
}

#[tokio::test]
async fn where_no_replica_has_a_quorum_reads_are_refused_in_time_and_local_ones_answered() {
    let one = Fake::start(1, |_| Reply::ok("one")).await;
    let balancer = Setup::with_patient_checks().start(&[&one]).await;
    one.set_quorum_answers(false);
    balancer.until(|pool| pool.able(Intent::Read, To::Take) == 0).await;
    let answer = balancer.send(Method::GET, "/v1/kv/k", &BRIEFLY, "").await;
    assert_eq!(answer.problem(), problem("no-quorum", 503, None));
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(balancer.get("/v1/kv/k?consistency=local").await.body, "one");
    assert_eq!(balancer.get("/v1/cluster").await.body, "one");
    assert_eq!(balancer.put("/v1/kv/k", "value").await.body, "one");
}

#[tokio::test]
async fn a_replica_of_another_cluster_at_the_address_of_ours_gets_no_requests() {
    let (one, two) =
        (Fake::start(1, |_| Reply::ok("one")).await, Fake::start(2, |_| Reply::ok("two")).await);
    let balancer = Setup::with_patient_checks().start(&[&one, &two]).await;
    balancer.cluster.send_replace(Some(ClusterId(1)));
    one.set_cluster(ClusterId(1));
    two.set_cluster(ClusterId(2));
    two.set_role("primary", 7);
    balancer.until(|pool| pool.healthy() == 1).await;
    for _ in 0..4 {
        assert_eq!(balancer.get("/v1/kv/k").await.body, "one");
        assert_eq!(balancer.put("/v1/kv/k", "value").await.body, "one");
        assert_eq!(balancer.get("/v1/kv/k?consistency=local").await.body, "one");
    }
    two.set_cluster(ClusterId(1));
    balancer.until(|pool| pool.healthy() == 2 && primary(pool) == 2).await;
    assert_eq!(balancer.put("/v1/kv/k", "value").await.body, "two");
}

#[tokio::test]
async fn what_is_sent_on_names_the_cluster_that_is_served_and_no_other() {
    let one = Fake::start(1, |_| Reply::ok("one")).await;
    let balancer = Setup::default().start(&[&one]).await;
    let clients = [("synod-cluster", "00000000000000ff")];
    balancer.send(Method::GET, "/v1/kv/k", &clients, "").await;
    balancer.cluster.send_replace(Some(ClusterId(0xa)));
    balancer.send(Method::PUT, "/v1/kv/k", &clients, "value").await;
    let named: Vec<Vec<String>> = one
        .seen()
        .iter()
        .map(|seen| seen.field("synod-cluster").into_iter().map(str::to_owned).collect())
        .collect();
    assert_eq!(named, [vec![], vec!["000000000000000a".to_owned()]]);
}

#[tokio::test]
async fn a_killed_replica_gets_no_requests_and_a_restarted_one_does() {
    let (mut one, two) =
        (Fake::start(1, |_| Reply::ok("one")).await, Fake::start(2, |_| Reply::ok("two")).await);
    let balancer = Setup::with_patient_checks().start(&[&one, &two]).await;
    one.kill().await;
    balancer.until(|pool| pool.healthy() == 1 && primary(pool) == 0).await;
    assert_eq!(balancer.put("/v1/kv/k", "value").await.body, "two");

    let again = Fake::start(1, |_| Reply::ok("one again")).await;
    balancer
        .members
        .send_replace(vec![Member { instance: Instance(11), ..again.member() }, two.member()]);
    balancer.until(|pool| primary(pool) == 11).await;
    assert_eq!(balancer.put("/v1/kv/k", "value").await.body, "one again");
}

#[tokio::test]
async fn a_read_that_waits_for_a_replica_that_stopped_is_answered_by_another() {
    // The first is the primary; of a backup that stops, a read must hear as well.
    for [hanging, other] in [[1, 2], [2, 1]] {
        let (stopped, well) = (
            Fake::start(hanging, |_| Reply::Hang).await,
            Fake::start(other, |_| Reply::ok("well")).await,
        );
        let balancer = Setup::with_checks().start(&[&stopped, &well]).await;
        let stop = async {
            while stopped.seen().is_empty() {
                tokio::task::yield_now().await;
            }
            stopped.stop(true);
        };
        let (first, second, ()) =
            tokio::join!(balancer.get("/v1/kv/k"), balancer.get("/v1/kv/k"), stop);
        assert_eq!([first.body, second.body], ["well", "well"]);
        assert_eq!(stopped.seen().len(), 1);
    }
}

#[tokio::test]
async fn a_mutation_waits_for_the_answer_of_a_primary_that_stopped_since_nobody_else_knows_it() {
    let (pieces, receiver) = mpsc::channel(1);
    let receiver = std::sync::Mutex::new(Some(receiver));
    let one =
        Fake::start(1, move |_| Reply::Pieces(receiver.lock().unwrap().take().unwrap())).await;
    let balancer = Setup::with_checks().start(&[&one]).await;
    let stop = async {
        while one.seen().is_empty() {
            tokio::task::yield_now().await;
        }
        one.stop(true);
        balancer.until(|pool| pool.healthy() == 0).await;
        pieces.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone".to_owned()).await.unwrap();
    };
    let (answer, ()) = tokio::join!(balancer.put("/v1/kv/k", "value"), stop);
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "done"));
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
    let (one, two) =
        (Fake::start(1, |_| Reply::ok("one")).await, Fake::start(2, |_| Reply::ok("two")).await);
    let balancer = Setup::with_patient_checks().start(&[&one]).await;
    let impostor = Member { url: two.url.clone(), instance: Instance(3), ..one.member() };
    let nowhere =
        Member { name: "replica-9".parse().unwrap(), url: "not a url".to_owned(), ..one.member() };
    balancer.members.send_replace(vec![impostor, nowhere]);
    balancer
        .until(|pool| pool.endpoints().any(|endpoint| endpoint.counts.check_failures > 3))
        .await;
    balancer.until(|pool| pool.healthy() == 0 && pool.endpoints().count() == 1).await;
    let answer = balancer.send(Method::GET, "/v1/kv/k", &BRIEFLY, "").await;
    assert_eq!(answer.problem(), problem("unavailable", 503, None));
}
