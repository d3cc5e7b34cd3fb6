//! Replicas that are gone, break off, hang or refuse: who is asked next, and what the
//! client hears.
#![expect(clippy::disallowed_methods, reason = "a test of a deadline reads the clock")]

use std::time::{Duration, Instant};

use http::Method;
use shared::problem::{Outcome, Problem};

use super::fake::{Fake, Reply, Seen};
use super::harness::{BRIEFLY, Balancer, Setup, problem, thresholds};
use crate::proxy::BodyLimits;

#[tokio::test]
async fn a_refused_connection_is_retried_elsewhere_also_for_a_mutation() {
    let (mut one, two) =
        (Fake::start(1, |_| Reply::ok("one")).await, Fake::start(2, |_| Reply::ok("two")).await);
    let balancer = Setup::default().start(&[&one, &two]).await;
    one.kill().await;
    assert_eq!(balancer.put("/v1/kv/k", "value").await.body, "two");
    for _ in 0..4 {
        assert_eq!(balancer.get("/v1/kv/k").await.body, "two");
    }
    let mutation = &two.seen()[0];
    assert_eq!((mutation.line(), mutation.body.as_str()), ("PUT /v1/kv/k HTTP/1.1", "value"));
}

#[tokio::test]
async fn a_mutation_cut_off_after_it_was_sent_is_unknown_and_not_sent_again() {
    let (one, two) =
        (Fake::start(1, |_| Reply::Cut).await, Fake::start(2, |_| Reply::ok("")).await);
    let balancer = Setup::default().start(&[&one, &two]).await;
    for method in [Method::PUT, Method::POST, Method::DELETE, Method::PATCH] {
        let answer = balancer.send(method.clone(), "/v1/kv/k", &[], "value").await;
        assert_eq!(answer.problem(), problem("bad-gateway", 502, Some("unknown")), "{method}");
    }
    assert_eq!([one.seen().len(), two.seen().len()], [4, 0]);
}

#[tokio::test]
async fn a_mutation_with_a_key_is_sent_again_until_its_outcome_is_known() {
    let key = [("idempotency-key", "k1")];
    let unknown: fn() -> Reply =
        || Reply::problem(&Problem::timeout("").with_outcome(Outcome::Unknown));
    for first in [|| Reply::Cut, unknown] {
        let one = Fake::start(1, move |_| first()).await;
        let two = Fake::start(2, |_| Reply::ok("two")).await;
        let balancer = Setup::default().start(&[&one, &two]).await;
        let answer = balancer.send(Method::PUT, "/v1/kv/k", &key, "value").await;
        assert_eq!(answer.body, "two");
        assert_eq!(two.seen()[0].field("idempotency-key"), ["k1"]);
    }
}

#[tokio::test]
async fn a_mutation_that_one_replica_may_have_executed_is_not_said_not_to_be() {
    let refused = || Problem::unavailable("no primary").with_outcome(Outcome::NotApplied);
    let one = Fake::start(1, |_| Reply::Cut).await;
    let two = Fake::start(2, move |_| Reply::problem(&refused())).await;
    let balancer = Setup::default().start(&[&one, &two]).await;
    let fields = [("idempotency-key", "k1"), ("synod-timeout", "5ms")];
    let answer = balancer.send(Method::PUT, "/v1/kv/k", &fields, "value").await;
    assert_eq!(answer.status.as_u16() / 100, 5, "{answer:?}");
    assert_eq!(answer.problem().2.as_deref(), Some("unknown"), "{answer:?}");
}

#[tokio::test]
async fn a_read_cut_off_before_its_answer_is_sent_again() {
    let (one, two) =
        (Fake::start(1, |_| Reply::Cut).await, Fake::start(2, |_| Reply::ok("two")).await);
    let balancer = Setup::default().start(&[&one, &two]).await;
    for _ in 0..4 {
        assert_eq!(balancer.get("/v1/kv/k").await.body, "two");
    }
    assert!(!one.seen().is_empty(), "none came to the one that cuts");
}

#[tokio::test]
async fn an_answer_that_is_not_http_leaves_a_mutation_unknown() {
    let one = Fake::start(1, |_| Reply::Bytes("220 smtp.example ESMTP\r\n\r\n".to_owned())).await;
    let balancer = Setup::default().start(&[&one]).await;
    assert_eq!(
        balancer.put("/v1/kv/k", "value").await.problem(),
        problem("bad-gateway", 502, Some("unknown"))
    );
}

#[tokio::test]
async fn when_no_replica_is_left_to_try_the_client_hears_of_the_last() {
    let (mut one, mut two) =
        (Fake::start(1, |_| Reply::ok("")).await, Fake::start(2, |_| Reply::ok("")).await);
    let balancer = Setup::default().start(&[&one, &two]).await;
    one.kill().await;
    two.kill().await;
    let answer = balancer.send(Method::PUT, "/v1/kv/k", &BRIEFLY, "value").await;
    assert_eq!(answer.problem(), problem("unavailable", 503, Some("not_applied")));
    assert_eq!(answer.headers["retry-after"], "1");
    let answer = balancer.send(Method::GET, "/v1/kv/k", &BRIEFLY, "").await;
    assert_eq!(answer.problem(), problem("unavailable", 503, None));
}

#[tokio::test]
async fn a_mutation_that_a_replica_says_was_not_applied_is_tried_at_the_others_once_each() {
    let no_primary = || {
        Reply::problem(
            &Problem::unavailable("no primary is known").with_outcome(Outcome::NotApplied),
        )
    };
    let (one, two) =
        (Fake::start(1, move |_| no_primary()).await, Fake::start(2, |_| Reply::ok("two")).await);
    let balancer = Setup::default().start(&[&one, &two]).await;
    assert_eq!(balancer.put("/v1/kv/k", "value").await.body, "two");
    assert_eq!([one.seen().len(), two.seen().len()], [1, 1]);

    let three = Fake::start(1, move |_| no_primary()).await;
    let balancer = Setup::default().start(&[&three]).await;
    let answer = balancer.send(Method::PUT, "/v1/kv/k", &BRIEFLY, "value").await;
    assert_eq!(answer.problem(), problem("unavailable", 503, Some("not_applied")));
    assert_eq!(answer.headers["retry-after"], "7", "it is the replica's own answer");
}

#[tokio::test]
async fn an_answer_that_leaves_a_mutation_open_goes_to_the_client_as_it_is() {
    let answers = [
        Problem::unavailable("no quorum").with_outcome(Outcome::Unknown),
        Problem::overloaded("the queue").with_outcome(Outcome::NotApplied),
        Problem::timeout("10 s").with_outcome(Outcome::Unknown),
    ];
    for given in answers {
        let expected = serde_json::to_string(given.body()).unwrap();
        let one = Fake::start(1, move |_| Reply::problem(&given)).await;
        let two = Fake::start(2, |_| Reply::ok("two")).await;
        let balancer = Setup::default().start(&[&one, &two]).await;
        assert_eq!(balancer.put("/v1/kv/k", "value").await.body, expected);
        assert_eq!(two.seen().len(), 0);
    }
}

#[tokio::test]
async fn a_read_goes_on_from_a_replica_that_is_not_ready() {
    let one = Fake::start(1, |_| Reply::problem(&Problem::unavailable("catching up"))).await;
    let two = Fake::start(2, |_| Reply::ok("two")).await;
    let balancer = Setup::default().start(&[&one, &two]).await;
    for _ in 0..4 {
        assert_eq!(balancer.get("/v1/kv/k").await.body, "two");
    }
}

#[tokio::test]
async fn the_clients_deadline_bounds_the_wait_and_leaves_a_mutation_unknown() {
    let one = Fake::start(1, |_| Reply::Hang).await;
    let balancer = Setup::default().start(&[&one]).await;
    let began = Instant::now();
    let timeout = [("synod-timeout", "50ms")];
    let answer = balancer.send(Method::PUT, "/v1/kv/k", &timeout, "value").await;
    assert_eq!(answer.problem(), problem("timeout", 504, Some("unknown")));
    let answer = balancer.send(Method::GET, "/v1/kv/k", &timeout, "").await;
    assert_eq!(answer.problem(), problem("timeout", 504, None));
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "two waits of 50 ms took {:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn past_the_deadline_nobody_else_is_asked() {
    let late = |_: &Seen| {
        Reply::problem(&Problem::unavailable("no quorum")).late(Duration::from_millis(100))
    };
    let (one, two) = (Fake::start(1, late).await, Fake::start(2, late).await);
    let balancer = Setup::default().start(&[&one, &two]).await;
    let answer = balancer.send(Method::GET, "/v1/kv/k", &[("synod-timeout", "20ms")], "").await;
    assert!(answer.status.is_server_error(), "{answer:?}");
    assert_eq!(one.seen().len() + two.seen().len(), 1);
}

#[tokio::test]
async fn another_replica_is_given_only_the_time_that_is_left() {
    let not_now = || {
        Reply::problem(
            &Problem::unavailable("no primary is known").with_outcome(Outcome::NotApplied),
        )
    };
    let one = Fake::start(1, move |_| not_now().late(Duration::from_millis(100))).await;
    let two = Fake::start(2, |_| Reply::ok("two")).await;
    let balancer = Setup::default().start(&[&one, &two]).await;
    let answer = balancer.send(Method::PUT, "/v1/kv/k", &[("synod-timeout", "3s")], "value").await;
    assert_eq!(answer.body, "two");
    let left: u64 =
        two.seen()[0].field("synod-timeout")[0].strip_suffix("ms").unwrap().parse().unwrap();
    assert!(left <= 2_901, "{left} ms are left of 3 s after 100 ms");
}

#[tokio::test]
async fn a_503_that_breaks_off_says_nothing_of_a_mutation() {
    let half = || {
        Reply::Broken("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 100\r\n\r\n{".to_owned())
    };
    let (one, two) =
        (Fake::start(1, move |_| half()).await, Fake::start(2, |_| Reply::ok("two")).await);
    let balancer = Setup::default().start(&[&one, &two]).await;
    assert_eq!(
        balancer.put("/v1/kv/k", "value").await.problem(),
        problem("bad-gateway", 502, Some("unknown"))
    );
    assert_eq!(two.seen().len(), 0);
}

#[tokio::test]
async fn a_replica_is_given_up_for_failures_in_a_row_that_no_answer_forgave() {
    let script = |seen: &Seen| match seen.line() {
        "PUT /v1/kv/cut HTTP/1.1" => Reply::Cut,
        "GET /v1/kv/hang HTTP/1.1" => Reply::Hang,
        _ => Reply::ok(""),
    };
    let one = Fake::start(1, script).await;
    let balancer = Setup { thresholds: thresholds(2, 1), ..Setup::default() }.start(&[&one]).await;
    // Mutations without a name are sent once, and none waits: who waits has all checked.
    for path in ["/v1/kv/cut", "/v1/kv/ok", "/v1/kv/cut"] {
        balancer.put(path, "").await;
    }
    assert_eq!(balancer.get("/v1/kv/ok").await.status, 200, "two failures, but not in a row");
    balancer.put("/v1/kv/cut", "").await;
    balancer.send(Method::GET, "/v1/kv/hang", &[("synod-timeout", "20ms")], "").await;
    balancer.put("/v1/kv/cut", "").await;
    // No answer came between the two.
    balancer.until(|pool| pool.healthy() == 0).await;
}

#[tokio::test]
async fn where_nothing_is_healthy_the_client_hears_so_in_time() {
    let balancer = Setup::default().start(&[]).await;
    let answer = balancer.send(Method::PUT, "/v1/kv/k", &BRIEFLY, "value").await;
    assert_eq!(answer.problem(), problem("unavailable", 503, Some("not_applied")));
    assert_eq!(answer.headers["retry-after"], "1");
    let answer = balancer.send(Method::GET, "/v1/kv/k", &BRIEFLY, "").await;
    assert_eq!(answer.problem(), problem("unavailable", 503, None));
}

#[tokio::test]
async fn a_read_that_a_replica_cannot_answer_for_want_of_a_quorum_is_answered_by_another() {
    let one = Fake::start(1, |_| Reply::problem(&Problem::no_quorum("cut off"))).await;
    let two = Fake::start(2, |_| Reply::ok("two")).await;
    let balancer = Setup::default().start(&[&one, &two]).await;
    for _ in 0..4 {
        assert_eq!(balancer.get("/v1/kv/k").await.body, "two");
    }
    assert!(!one.seen().is_empty(), "none came to the one that is cut off");
}

#[tokio::test]
async fn a_slow_read_is_asked_elsewhere_meanwhile_and_a_slow_mutation_is_not() {
    let script = |seen: &Seen| match seen.line() {
        "PUT /v1/kv/k HTTP/1.1" => Reply::ok("put").late(Duration::from_millis(200)),
        _ => Reply::Hang,
    };
    let (one, two) = (Fake::start(1, script).await, Fake::start(2, |_| Reply::ok("two")).await);
    let setup = Setup { slow_read_after: Duration::from_millis(20), ..Setup::default() };
    let balancer = setup.start(&[&one, &two]).await;
    for _ in 0..4 {
        let answer = balancer.send(Method::GET, "/v1/kv/k", &[("synod-timeout", "5s")], "").await;
        assert_eq!(answer.body, "two");
    }
    assert_eq!(balancer.put("/v1/kv/k", "value").await.body, "put");
    assert_eq!(two.seen().len(), 4, "reads alone");
    assert!(one.seen().len() > 1, "none came to the one that hangs");
}

#[tokio::test]
async fn a_read_that_is_slow_everywhere_is_answered_by_who_comes_first() {
    let late = |ms| move |_: &Seen| Reply::ok("late").late(Duration::from_millis(ms));
    let (one, two) = (Fake::start(1, late(150)).await, Fake::start(2, late(150)).await);
    let setup = Setup { slow_read_after: Duration::from_millis(20), ..Setup::default() };
    let balancer = setup.start(&[&one, &two]).await;
    assert_eq!(balancer.get("/v1/kv/k").await.body, "late");
    assert_eq!([one.seen().len(), two.seen().len()], [1, 1], "each is asked once");
}

#[tokio::test]
async fn a_snapshot_is_waited_for_beyond_the_deadline_and_made_by_one_replica_alone() {
    let late = |_: &Seen| Reply::ok("file").late(Duration::from_millis(600));
    let (one, two) = (Fake::start(1, late).await, Fake::start(2, late).await);
    let setup = Setup { slow_read_after: Duration::from_millis(20), ..Setup::default() };
    let balancer = setup.start(&[&one, &two]).await;
    let timeout = [("synod-timeout", "20ms")];
    let answer = balancer.send(Method::GET, "/v1/snapshot", &timeout, "").await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "file"));
    let seen: Vec<Seen> = one.seen().into_iter().chain(two.seen()).collect();
    assert_eq!(seen.len(), 1, "one is asked");
    assert_eq!(seen[0].field("synod-timeout"), ["20ms"]);
}

#[tokio::test]
async fn who_cannot_make_a_snapshot_is_not_asked_beyond_the_time_of_the_request() {
    let behind = |_: &Seen| Reply::problem(&Problem::unavailable("revision 88 did not come"));
    let (one, two) = (Fake::start(1, behind).await, Fake::start(2, behind).await);
    let balancer = Setup::default().start(&[&one, &two]).await;
    let (asked, timeout) = (Instant::now(), [("synod-timeout", "300ms")]);
    let answer = balancer.send(Method::GET, "/v1/snapshot", &timeout, "").await;
    assert_eq!(answer.problem(), problem("unavailable", 503, None));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    let seen = one.seen().into_iter().chain(two.seen());
    let granted: Vec<Vec<String>> = seen
        .map(|seen| seen.field("synod-timeout").iter().map(|it| it.to_string()).collect())
        .collect();
    let is_more = |it: &String| it.trim_end_matches("ms").parse::<u64>().unwrap() > 300;
    assert!(!granted.iter().flatten().any(is_more), "{granted:?}");
}

/// Longer than what sockets hold between two processes, so that writing it fails when the
/// other side closes.
const LONG: usize = 16 << 20;

/// One replica that takes no long bodies, behind a balancer that gives it up at its first
/// failure.
async fn with_long_bodies(one: &Fake) -> Balancer {
    one.set_longest_body(1_000);
    let bodies = BodyLimits { body_bytes: LONG, buffered_bytes: 4 * LONG };
    Setup { bodies, thresholds: thresholds(1, 1), ..Setup::default() }.start(&[one]).await
}

#[tokio::test]
async fn an_answer_before_the_body_was_taken_is_passed_on_and_held_against_nobody() {
    let one = Fake::start(1, |_| Reply::with("400 Bad Request", "", "unsupported")).await;
    let balancer = with_long_bodies(&one).await;
    let body = "x".repeat(LONG);
    for _ in 0..8 {
        let answer = balancer.put("/v1/kv/k", &body).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (400, "unsupported"));
    }
    assert_eq!(one.seen().len(), 8, "none was sent again");
}

#[tokio::test]
async fn a_replica_that_closes_under_a_long_body_is_not_called_unhealthy_for_it() {
    let script = |seen: &Seen| match seen.line() {
        "PUT /v1/kv/cut HTTP/1.1" => Reply::Cut,
        _ => Reply::ok("one"),
    };
    let one = Fake::start(1, script).await;
    let balancer = with_long_bodies(&one).await;
    let body = "x".repeat(LONG);
    for _ in 0..8 {
        let answer = balancer.put("/v1/kv/cut", &body).await;
        assert_eq!(answer.problem(), problem("bad-gateway", 502, Some("unknown")));
        assert_eq!(balancer.put("/v1/kv/k", "short").await.body, "one");
    }
}
