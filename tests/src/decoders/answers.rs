//! What clients read: problems, pages and statuses, from whoever listens on the port.

use balancer::status::report_of;
use client::{Page, problem as problems};
use http::StatusCode;
use replica::machine::state::Meta;
use shared::ids::{ClusterId, Name};
use shared::problem::{Body, Problem};

use super::{choose, chosen, short};

/// By the first byte: a problem, a page of a listing, a replica's status, or the state's
/// meta data in JSON.
pub(super) fn decode(bytes: &[u8]) {
    let Some((choice, rest)) = choose(bytes) else { return };
    match choice % 4 {
        0 => problem(rest),
        1 => {
            let Ok(page) = serde_json::from_slice::<Page>(rest) else { return };
            assert!(
                page.items.len() <= rest.len(),
                "{} bytes hold {} items",
                rest.len(),
                page.items.len()
            );
        }
        2 => {
            let Ok(status) = serde_json::from_slice(rest) else { return };
            let name: Name = "replica-1".parse().expect("a name");
            let _report = report_of(&status, &name, Some(ClusterId(1)));
        }
        _ => {
            let Ok(meta) = serde_json::from_slice::<Meta>(rest) else { return };
            let again = serde_json::to_vec(&meta).expect("plain JSON");
            assert_eq!(
                serde_json::from_slice::<Meta>(&again).expect("what is written is read"),
                meta
            );
        }
    }
}

fn problem(bytes: &[u8]) {
    let line = problems::read(StatusCode::BAD_GATEWAY, bytes).to_string();
    assert!(line.chars().all(|shown| !shown.is_control()), "a terminal obeys {line:?}");
    short(&line);
    let Ok(body) = serde_json::from_slice::<Body>(bytes) else { return };
    let again = serde_json::to_vec(&body).expect("plain JSON");
    assert_eq!(serde_json::from_slice::<Body>(&again).expect("what is written is read"), body);
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let problem = Problem::unavailable("no quorum of acceptors answered")
        .with_revision(shared::ids::Revision(7));
    let page = r#"{"items":[{"key":"a","value":"eA==","content_type":null,"revision":1,"created_revision":1,"version":1,"lease":null}],
        "revision":1,"next":"AQ"}"#;
    let status =
        r#"{"service":"replica","id":"replica-1","role":"primary","epoch":1,"executed_slot":7}"#;
    let meta = serde_json::to_vec(&Meta { view: Some(super::messages::view()), ..Meta::default() })
        .expect("plain JSON");
    vec![
        chosen(0, problem.to_http().body()),
        chosen(0, b"<html>\nnginx"),
        chosen(1, page),
        chosen(2, status),
        chosen(2, r#"{"service":"acceptor","id":"acceptor-1","epoch":0,"executed_slot":null}"#),
        chosen(3, meta),
    ]
}
