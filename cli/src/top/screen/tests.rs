use std::collections::BTreeMap;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::{Value, json};

use super::super::measures::Measures;
use super::super::seen::Look;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn cluster(requests: u64) -> Value {
    let coordinator = |number: u64, phase: &str| {
        json!({
            "id": format!("coordinator-{number}"), "url": "http://c", "healthy": true,
            "coordinator": format!("c{number}"), "phase": phase, "requests": requests,
            "ballot": {"round": 3, "coordinator": "c1"}, "next_slot": 12_346,
            "in_flight_slots": 4,
        })
    };
    let acceptor = |number: u64| {
        json!({
            "id": format!("acceptor-{number}"), "url": "http://a", "healthy": number < 3,
            "promised": {"round": 3, "coordinator": "c1"}, "voted_below": 12_350, "votes": 77,
        })
    };
    let replica = |number: u64, role: &str| {
        json!({
            "id": format!("replica-{number}"), "url": "http://r", "healthy": true, "role": role,
            "storage": "writable", "executed_slot": 12_345, "lag_slots": number - 1,
            "revision": 9_876, "queued_mutations": 0, "requests": requests * number,
        })
    };
    let endpoint = |number: u64| json!({"id": format!("replica-{number}"), "healthy": true, "requests": requests * number});
    json!({
        "cluster_id": "00000000000000aa", "revision": 9_876,
        "leader": {"coordinator": "coordinator-1", "ballot": {"round": 3, "coordinator": "c1"}},
        "view": {"epoch": 7, "primary": "replica-1"},
        "coordinators": [coordinator(1, "phase2"), coordinator(2, "inactive")],
        "acceptors": [acceptor(1), acceptor(2), acceptor(3)],
        "replicas": [replica(1, "primary"), replica(2, "backup"), replica(3, "backup")],
        "balancers": [{"id": "balancer-1", "url": "http://b", "healthy": true, "waiting": 0,
            "primary": "replica-1", "endpoints": [endpoint(1), endpoint(2), endpoint(3)]}],
    })
}

fn measures(requests: u64) -> BTreeMap<String, Measures> {
    let syncs = format!(
        "synod_acceptor_sync_duration_seconds_bucket{{le=\"0.001\"}} {requests}\n\
         synod_acceptor_sync_duration_seconds_bucket{{le=\"+Inf\"}} {requests}\n"
    );
    let bucket = "synod_balancer_forward_duration_seconds_bucket";
    let forwarded = format!(
        "{bucket}{{intent=\"read\",le=\"0.01\"}} {requests}\n\
         {bucket}{{intent=\"read\",le=\"+Inf\"}} {requests}\n\
         {bucket}{{intent=\"mutation\",le=\"0.1\"}} {requests}\n\
         {bucket}{{intent=\"mutation\",le=\"+Inf\"}} {requests}\n"
    );
    BTreeMap::from([
        ("acceptor-1".to_owned(), Measures::of(&syncs)),
        ("balancer-1".to_owned(), Measures::of(&forwarded)),
    ])
}

/// After two answers, a second apart.
fn state(change: impl Fn(&mut Value)) -> State {
    let mut state = State::default();
    for (requests, at) in [(100, SECOND), (220, SECOND * 2)] {
        let mut said = cluster(requests);
        change(&mut said);
        let cluster = serde_json::from_value(said).unwrap();
        state.answered(Look { cluster, measures: measures(requests) }, at);
    }
    state
}

fn drawn(state: &State, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let url = "http://127.0.0.1:8000";
    terminal.draw(|frame| draw(frame, state, SECOND * 5, Tones::Plain, url)).unwrap();
    let buffer = terminal.backend().buffer();
    let rows = buffer.content.chunks(usize::from(width));
    rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>())
        .map(|row| row.trim_end().to_owned())
        .collect()
}

#[test]
fn a_cluster_at_a_glance_fits_on_the_smallest_usual_terminal() {
    let expected = [
        "cluster 00000000000000aa, revision 9,876, 0 fail-overs, 0 elections",
        "leader  coordinator-1 (ballot 3)  primary replica-1 (epoch 7)",
        "writes  120/s (p50 50.0 ms, p99 99.0 ms)  reads 120/s (p50 5.0 ms, p99 9.9 ms)",
        "",
        "coordinator    is         ballot           next slot  in flight  requests",
        "coordinator-1  leads      3 coordinator-1     12,346          4     120/s",
        "coordinator-2  stands by  3 coordinator-1     12,346          4     120/s",
        "",
        "acceptor    is         promised         voted below  votes  sync p50     p99",
        "acceptor-1  votes      3 coordinator-1       12,350     77    0.5 ms  1.0 ms",
        "acceptor-2  votes      3 coordinator-1       12,350     77         -       -",
        "acceptor-3  no answer  3 coordinator-1       12,350     77         -       -",
        "",
        "replica    is         slot  lag  revision  queued  requests",
        "replica-1  primary  12,345    0     9,876       0     120/s",
        "replica-2  backup   12,345    1     9,876       0     240/s",
        "replica-3  backup   12,345    2     9,876       0     360/s",
        "",
        "balancer    is        waiting  requests a second to",
        "balancer-1  forwards        0  replica-1* 120  replica-2 240  replica-3 360",
        "",
        "q ends",
        "",
        "",
    ];
    assert_eq!(drawn(&state(|_| {}), 80, 24), expected);
}

#[test]
fn names_are_text_whatever_is_in_them() {
    let hostile = "\u{1b}[2J\u{202e}evil\n\u{7}";
    let state = state(|said| {
        said["replicas"][2]["id"] = json!(hostile);
        said["replicas"][1]["role"] = json!("x".repeat(500));
        said["view"]["primary"] = json!(hostile);
        said["mixups"] = json!([hostile]);
        said["coordinators"][1]["phase"] = json!(hostile);
    });
    let lines = drawn(&state, 200, 40);
    let written = "\\u{1b}[2J\\u{202e}evil\\n\\u{7}";
    assert_eq!(lines.iter().filter(|line| line.contains(written)).count(), 4, "{lines:#?}");
    assert!(lines.iter().all(|line| line.chars().all(|c| c == '…' || !c.is_control())));
    let cut = format!("{}…", "x".repeat(MOST_CHARS - 1));
    assert!(lines.iter().any(|line| line.contains(&cut)), "{lines:#?}");
}

#[test]
fn a_low_terminal_says_how_much_is_left_out_and_a_tiny_one_breaks_nothing() {
    let state = state(|_| {});
    let lines = drawn(&state, 80, 10);
    assert_eq!(lines[9], "… 13 lines more: the terminal is too low");
    for (width, height) in [(1, 1), (3, 2), (200, 1), (1, 50)] {
        let lines = drawn(&state, width, height);
        assert_eq!(lines.len(), usize::from(height));
    }
}

#[test]
fn what_is_old_says_so_and_nothing_is_shown_before_there_was_an_answer() {
    let mut state = state(|_| {});
    state.failed("nobody listens".to_owned());
    let said = "no answer of http://127.0.0.1:8000: nobody listens (what stands here is 3 s old)";
    assert_eq!(drawn(&state, 100, 30)[3], said);
    let mut nothing = State::default();
    assert_eq!(drawn(&nothing, 80, 3)[0], "asking http://127.0.0.1:8000 …");
    nothing.failed("nobody listens".to_owned());
    assert_eq!(drawn(&nothing, 80, 3)[0], "no answer of http://127.0.0.1:8000: nobody listens");
}

#[test]
fn without_colour_nothing_is_coloured_and_what_is_bad_is_still_set_off() {
    for (tones, is_coloured) in [(Tones::Plain, false), (Tones::Coloured, true)] {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        let state = state(|_| {});
        terminal.draw(|frame| draw(frame, &state, SECOND * 5, tones, "http://x")).unwrap();
        let cells = &terminal.backend().buffer().content;
        assert_eq!(cells.iter().any(|cell| cell.fg != Color::Reset), is_coloured);
        assert!(is_coloured || cells.iter().any(|it| it.modifier.contains(Modifier::REVERSED)));
    }
}
