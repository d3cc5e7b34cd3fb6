use shared::ids::Instance;
use shared::message::Service;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::driver::command;
use crate::machine::command::{Condition, Op};

fn message() -> ForwardedCommand {
    let op = Op::Delete { key: "a".into(), condition: Condition::Always };
    ForwardedCommand { cluster: ClusterId(7), min_revision: None, command: command(op, None, None) }
}

fn at(listener: &TcpListener) -> Member {
    Member {
        name: "replica-1".parse().unwrap(),
        service: Service::Replica,
        url: format!("http://{}", listener.local_addr().unwrap()),
        instance: Instance(1),
    }
}

/// Takes a request and says this; gives back the request's head.
async fn say(listener: &TcpListener, said: &str) -> String {
    let (mut connection, _) = listener.accept().await.unwrap();
    let mut taken = vec![0; 4_096];
    let length = connection.read(&mut taken).await.unwrap();
    assert!(length > 0);
    connection.write_all(said.as_bytes()).await.unwrap();
    String::from_utf8_lossy(&taken[..length]).into_owned()
}

fn problem(status: &str, problem: &Problem) -> String {
    let body = serde_json::to_string(problem.body()).unwrap();
    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn only_a_primary_that_took_nothing_has_certainly_done_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (primary, message) = (at(&listener), message());
    let put = || forward(&primary, &message, None, Deadline::after(Duration::from_secs(10)));

    let unavailable = problem("503", &Problem::unavailable("not yet"));
    let unknown = Problem::unavailable("ended").with_outcome(shared::problem::Outcome::Unknown);
    for said in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nnot",
        "HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n",
        &problem("503", &unknown),
    ] {
        let (answer, _) = tokio::join!(put(), say(&listener, said));
        assert!(matches!(answer, Err(Refused::PrimaryBroke { .. })), "{said:?}: {answer:?}");
    }

    let overloaded = problem("503", &Problem::overloaded("1024 requests"));
    for (said, is_overload) in [
        (unavailable.as_str(), false),
        ("HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n", false),
        (overloaded.as_str(), true),
    ] {
        let (answer, _) = tokio::join!(put(), say(&listener, said));
        let as_told = match &answer {
            Err(Refused::PrimaryOverloaded { .. }) => is_overload,
            Err(Refused::PrimaryTurnedAway { .. }) => !is_overload,
            _ => false,
        };
        assert!(as_told, "{said:?}: {answer:?}");
    }

    let soon = Deadline::after(Duration::from_millis(50));
    let silent = forward(&primary, &message, None, soon).await;
    assert!(matches!(silent, Err(Refused::PrimarySilent { .. })));

    drop(listener);
    assert!(matches!(put().await, Err(Refused::PrimaryUnreachable { .. })));
}

#[tokio::test]
async fn the_primary_is_granted_what_is_left_less_the_time_for_its_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (primary, message) = (at(&listener), message());
    let deadline = Deadline::after(Duration::from_secs(10));
    let (_, head) = tokio::join!(forward(&primary, &message, None, deadline), say(&listener, ""));
    let granted = head.lines().find_map(|line| line.strip_prefix("synod-timeout: ")).unwrap();
    let granted: u64 = granted.strip_suffix("ms").unwrap().parse().unwrap();
    assert!((1..=9_800).contains(&granted), "{granted} ms of 10 s");
    for (left, granted) in [(10_000, 9_800), (800, 600), (400, 300), (0, 0)] {
        let [left, granted] = [left, granted].map(Duration::from_millis);
        assert_eq!(granted_of(left), granted, "of {left:?}");
    }
}
