//! Each a sentence of what may be sent again.

use http::{HeaderName, HeaderValue};
use shared::ids::Revision;

use super::*;

const BOTH: [Repeat; 2] = [Repeat::Harmless, Repeat::Harmful];

fn never_sent() -> Failure {
    Failure::NeverSent("connection refused".to_owned())
}

fn broken() -> Failure {
    Failure::Broken("connection reset".to_owned())
}

#[test]
fn who_asks_for_a_lock_may_wait_for_it_beyond_the_time_of_a_request() {
    let wait = |method: Method, path: &str, headers: &HeaderMap, body: &str| {
        lock_wait(&method, &path.parse().unwrap(), headers, body.as_bytes())
    };
    let none = HeaderMap::new();
    let body = "{\"lease\": 7, \"wait_ms\": 30000}";
    let asked = |path| wait(Method::PUT, path, &none, body);
    assert_eq!(asked("/v1/locks/l"), Duration::from_secs(30));
    assert_eq!(asked("/v1/kv/l"), Duration::ZERO);
    assert_eq!(wait(Method::GET, "/v1/locks/l", &none, body), Duration::ZERO);
    let bounded = HeaderMap::from_iter([(
        HeaderName::from_static(deadline::HEADER),
        HeaderValue::from_static("2s"),
    )]);
    assert_eq!(wait(Method::PUT, "/v1/locks/l", &bounded, body), Duration::ZERO);
    let longest = "{\"wait_ms\": 18446744073709551615}";
    assert_eq!(wait(Method::PUT, "/v1/locks/l", &none, longest), LONGEST_LOCK_WAIT);
    assert_eq!(wait(Method::PUT, "/v1/locks/l", &none, "no JSON"), Duration::ZERO);
}

#[test]
fn a_request_that_makes_a_token_gets_no_name_to_be_sent_again_by() {
    for path in ["/v1/tokens", "/v1/tokens/bootstrap"] {
        assert!(!may_be_named(&Method::POST, path), "{path}");
    }
    assert!(may_be_named(&Method::DELETE, "/v1/tokens/00000000000000aa"));
    assert!(may_be_named(&Method::POST, "/v1/txn") && may_be_named(&Method::POST, "/v1/tokensx"));
}

#[test]
fn safe_methods_read_and_all_others_mutate() {
    let uri = Uri::from_static("/v1/kv/k?consistency=local");
    for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
        assert_eq!(intent_of(&method, &uri), Intent::LocalRead, "{method}");
    }
    let unheard_of = Method::from_bytes(b"FROB").unwrap();
    for method in [Method::PUT, Method::POST, Method::DELETE, Method::PATCH, unheard_of] {
        assert_eq!(intent_of(&method, &uri), Intent::Mutation, "{method}");
    }
}

#[test]
fn a_query_reads_once_though_it_is_posted() {
    let of = |method, uri| intent_of(&method, &Uri::from_static(uri));
    assert_eq!(of(Method::POST, "/v1/sql"), Intent::Read);
    assert_eq!(of(Method::POST, "/v1/sql?consistency=local"), Intent::LocalRead);
    assert_eq!(of(Method::PUT, "/v1/sql"), Intent::Mutation);
    assert_eq!(of(Method::POST, "/v1/kv/v1/sql"), Intent::Mutation);
    for dry in ["dry_run", "dry_run=1", "dry_run=true"] {
        let of = |more: &str| {
            intent_of(&Method::POST, &format!("/v1/rollback?{dry}{more}").parse().unwrap())
        };
        assert_eq!((of(""), of("&consistency=local")), (Intent::Read, Intent::LocalRead), "{dry}");
    }
    for wet in ["", "?dry_run=false", "?dry_run=0", "?dry_run=maybe", "?all&x=dry_run"] {
        let uri = format!("/v1/rollback{wet}").parse().unwrap();
        assert_eq!(intent_of(&Method::POST, &uri), Intent::Mutation, "{wet}");
    }
    assert_eq!(of(Method::POST, "/v1/txn?dry_run=true"), Intent::Mutation);
    assert!(may_be_asked_twice(Intent::Read, &Method::GET));
    assert!(!may_be_asked_twice(Intent::Read, &Method::POST));
    let too_long = Problem::timeout("").with_retryable(Retryable::No);
    assert!(!is_not_now(Intent::Read, Repeat::Harmless, Some(too_long.body())));
    let late = Problem::timeout("");
    assert!(is_not_now(Intent::Read, Repeat::Harmless, Some(late.body())));
}

#[test]
fn a_read_needs_a_quorum_unless_it_says_local_or_asks_of_the_cluster() {
    for (uri, intent) in [
        ("/v1/kv/k", Intent::Read),
        ("/v1/kv/consistency=local", Intent::Read),
        ("/v1/kv?prefix=a&consistency=linearizable", Intent::Read),
        ("/v1/log?from=3", Intent::Read),
        ("/v1/kv?prefix=a&consistency=local", Intent::LocalRead),
        ("/v1/cluster", Intent::LocalRead),
    ] {
        assert_eq!(intent_of(&Method::GET, &uri.parse().unwrap()), intent, "{uri}");
    }
}

#[test]
fn what_was_never_sent_may_be_sent_elsewhere() {
    assert!(BOTH.iter().all(|repeat| may_go_elsewhere(*repeat, &never_sent())));
}

#[test]
fn a_mutation_that_may_have_arrived_is_never_sent_again() {
    let not_taken = Failure::NotTaken("broken pipe".to_owned());
    for failure in [broken(), not_taken, Failure::TimedOut(Duration::from_secs(1))] {
        assert!(!may_go_elsewhere(Repeat::Harmful, &failure), "{failure:?}");
        let problem = give_up(Intent::Mutation, "replica-1", &failure);
        assert_eq!(problem.body().outcome, Some(Outcome::Unknown), "{failure:?}");
    }
}

#[test]
fn a_read_is_sent_again_until_its_time_is_up() {
    assert!(may_go_elsewhere(Repeat::Harmless, &broken()));
    assert!(may_go_elsewhere(Repeat::Harmless, &Failure::NotTaken(String::new())));
    assert!(!may_go_elsewhere(Repeat::Harmless, &Failure::TimedOut(Duration::from_secs(1))));
}

#[test]
fn a_mutation_that_cannot_have_happened_is_answered_so() {
    let problem = give_up(Intent::Mutation, "replica-1", &never_sent());
    assert_eq!(
        (problem.status(), problem.body().outcome),
        (StatusCode::SERVICE_UNAVAILABLE, Some(Outcome::NotApplied))
    );
    let problem = nobody_able(Intent::Mutation, &empty());
    assert_eq!(
        (problem.status(), problem.body().outcome),
        (StatusCode::SERVICE_UNAVAILABLE, Some(Outcome::NotApplied))
    );
}

#[test]
fn the_outcome_is_said_of_mutations_only() {
    for failure in [never_sent(), broken(), Failure::TimedOut(Duration::from_secs(1))] {
        assert_eq!(give_up(Intent::Read, "replica-1", &failure).body().outcome, None);
    }
    assert_eq!(nobody_able(Intent::Read, &empty()).body().outcome, None);
}

#[test]
fn a_mutation_answered_503_goes_elsewhere_only_if_the_answer_says_not_applied() {
    let is_not_now = |problem: Problem| {
        is_doubtful(Repeat::Harmful, problem.status())
            && is_not_now(Intent::Mutation, Repeat::Harmful, Some(problem.body()))
    };
    assert!(is_not_now(
        Problem::unavailable("no primary is known").with_outcome(Outcome::NotApplied)
    ));
    assert!(!is_not_now(Problem::unavailable("").with_outcome(Outcome::Unknown)));
    assert!(!is_not_now(Problem::unavailable("")));
    assert!(!is_not_now(Problem::overloaded("queue").with_outcome(Outcome::NotApplied)));
    assert!(!is_not_now(Problem::timeout("").with_outcome(Outcome::NotApplied)));
    assert!(!is_not_now(Problem::no_quorum("").with_outcome(Outcome::NotApplied)));
    assert!(!is_not_now(Problem::internal("").with_outcome(Outcome::NotApplied)));
    assert!(!super::is_not_now(Intent::Mutation, Repeat::Harmful, None));
}

#[test]
fn reads_and_mutations_with_a_key_may_be_sent_twice() {
    let with_key = HeaderMap::from_iter([(
        HeaderName::from_static("idempotency-key"),
        HeaderValue::from_static("k"),
    )]);
    for (intent, without) in [
        (Intent::Read, Repeat::Harmless),
        (Intent::LocalRead, Repeat::Harmless),
        (Intent::Mutation, Repeat::Harmful),
    ] {
        assert_eq!(repeat_of(intent, &HeaderMap::new()), without, "{intent:?}");
        assert_eq!(repeat_of(intent, &with_key), Repeat::Harmless, "{intent:?}");
    }
}

#[test]
fn a_mutation_with_a_key_goes_elsewhere_while_its_outcome_is_unknown() {
    let is_not_now = |problem: Problem| {
        is_doubtful(Repeat::Harmless, problem.status())
            && is_not_now(Intent::Mutation, Repeat::Harmless, Some(problem.body()))
    };
    for problem in [Problem::timeout(""), Problem::bad_gateway("")] {
        assert!(is_not_now(problem.clone().with_outcome(Outcome::Unknown)), "{problem}");
        assert!(!is_not_now(problem.clone().with_outcome(Outcome::Applied)), "{problem}");
        assert!(!is_not_now(problem.clone().with_outcome(Outcome::NotApplied)), "{problem}");
    }
    assert!(!is_not_now(Problem::overloaded("keys").with_outcome(Outcome::NotApplied)));
}

#[test]
fn a_refusal_after_an_attempt_that_was_left_open_settles_nothing() {
    let unknown = Problem::timeout("").with_outcome(Outcome::Unknown);
    let refused = Problem::unavailable("").with_outcome(Outcome::NotApplied);
    assert!(leaves_open(Intent::Mutation, Some(unknown.body())));
    assert!(leaves_open(Intent::Mutation, None));
    assert!(!leaves_open(Intent::Mutation, Some(refused.body())));
    assert!(!leaves_open(Intent::Read, None));
    let problem = |status, revision| {
        let problem = Problem::new(status, "kind", "title", "");
        if revision { problem.with_revision(Revision(7)) } else { problem }
    };
    for (status, is_settled) in [(412, true), (422, true)]
        .into_iter()
        .chain([400, 413, 429, 503, 504, 507].map(|status| (status, false)))
    {
        let status = StatusCode::from_u16(status).unwrap();
        let refused = problem(status, false);
        for waits_in_line in [false, true] {
            let settles = settles(status, Some(refused.body()), waits_in_line);
            assert_eq!(settles, is_settled, "{status}");
        }
    }
    // What executing refused names the revision; what is for now, or says who may, does not
    // tell what became of it before.
    for (status, is_settled) in [(404, true), (409, true), (410, true), (400, true)]
        .into_iter()
        .chain([401, 403, 503, 507].map(|status| (status, false)))
    {
        let status = StatusCode::from_u16(status).unwrap();
        let executed = problem(status, true);
        assert_eq!(settles(status, Some(executed.body()), false), is_settled, "{status}");
        let in_line = settles(status, Some(executed.body()), true);
        assert!(!in_line, "{status}: the line was left besides");
    }
    let applied = problem(StatusCode::BAD_REQUEST, false).with_outcome(Outcome::Applied);
    assert!(settles(StatusCode::BAD_REQUEST, Some(applied.body()), true));
    let said = left_open(StatusCode::SERVICE_UNAVAILABLE, "no primary");
    assert_eq!(said.body().outcome, Some(Outcome::Unknown));
}

#[test]
fn a_read_that_fails_goes_elsewhere_unless_that_would_add_to_an_overload() {
    let is_not_now = |problem: Problem| {
        is_doubtful(Repeat::Harmless, problem.status())
            && is_not_now(Intent::Read, Repeat::Harmless, Some(problem.body()))
    };
    for problem in [
        Problem::unavailable("catching up"),
        Problem::no_quorum("cut off"),
        Problem::bad_gateway(""),
        Problem::timeout(""),
        Problem::internal("a damaged page"),
    ] {
        assert!(is_not_now(problem.clone()), "{problem}");
    }
    assert!(!is_not_now(Problem::overloaded("queue")));
    assert!(!is_not_now(Problem::not_found("no such key")));
    assert!(super::is_not_now(Intent::Read, Repeat::Harmless, None));
}

#[test]
fn who_waits_asks_again_ever_more_rarely_and_never_without_a_pause() {
    let pauses: Vec<u128> = (0..6).map(|rounds| pause(rounds).as_millis()).collect();
    assert_eq!(pauses, [10, 20, 40, 80, 100, 100]);
    assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
}

#[test]
fn what_is_refused_for_now_or_broke_off_may_pass() {
    let passes = |problem: Problem| may_pass(problem.status());
    assert!(passes(Problem::unavailable("no primary is known")));
    assert!(passes(Problem::no_quorum("cut off")));
    assert!(passes(Problem::bad_gateway("the primary broke off")));
    assert!(!passes(Problem::internal("a damaged page")));
    assert!(!passes(Problem::timeout("10 s")));
    let passes = |intent, failure, before| failure_may_pass(intent, &failure, before);
    let not_taken = || Failure::NotTaken("reset".to_owned());
    for (intent, twice) in [(Intent::Read, false), (Intent::Mutation, true)] {
        assert!(passes(intent, never_sent(), true));
        assert!(passes(intent, broken(), false));
        assert_eq!(passes(intent, broken(), true), twice);
        assert!(!passes(intent, Failure::TimedOut(Duration::from_secs(1)), false));
        assert!(!passes(intent, not_taken(), false), "it may be the request's fault");
    }
}

#[test]
fn one_too_many_that_waits_is_told_the_limit_and_that_nothing_happened() {
    let problem = too_many_wait(Intent::Mutation, 7);
    let body = problem.body();
    assert_eq!((body.status, body.outcome), (503, Some(Outcome::NotApplied)));
    assert_eq!(
        body.detail,
        "too much at once: 7 requests wait for a replica that can answer (--max-waiting)"
    );
    assert_eq!(too_many_wait(Intent::Read, 7).body().outcome, None);
}

fn empty() -> Pool {
    Pool::new(crate::pool::Rules {
        thresholds: crate::pool::Thresholds {
            unhealthy_after: 1,
            healthy_after: 1,
            behind_after: Duration::from_secs(5),
            slow_start: Duration::ZERO,
            max_in_flight: 1,
        },
        zone: None,
        policy: crate::pool::Policy::RoundRobin,
        retry_percent: 20,
        hedge_percent: 5,
    })
}
