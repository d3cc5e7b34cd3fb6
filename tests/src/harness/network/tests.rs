//! Every fault, on the connection of a service that answers each piece with itself.

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use shared::mux;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::link;
use super::*;

/// Longer than most things take that are not held up.
const LONG: Duration = Duration::from_millis(300);
/// Longer than anything takes that is not held up, on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A service that answers each piece with itself, behind a proxy.
async fn echo() -> (Network, SocketAddr) {
    let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = service.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = service.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 1_024];
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    stream.write_all(&buffer[..read]).await.unwrap();
                }
            });
        }
    });
    let mut network = Network::default();
    let any = "127.0.0.1:0".parse().unwrap();
    let listens = network.place("echo", any, target).await.unwrap();
    (network, listens)
}

/// Sends a piece and says what comes back of it: bytes, or the end.
async fn ask(stream: &mut TcpStream, piece: &[u8]) -> Result<Vec<u8>, ()> {
    stream.write_all(piece).await.map_err(drop)?;
    hear(stream).await
}

async fn hear(stream: &mut TcpStream) -> Result<Vec<u8>, ()> {
    let mut buffer = vec![0; 1_024];
    match tokio::time::timeout(PATIENCE, stream.read(&mut buffer)).await.expect("something to hear")
    {
        Ok(read @ 1..) => Ok(buffer[..read].to_vec()),
        Ok(0) | Err(_) => Err(()),
    }
}

/// Whose connection it is must be looked up first, which takes as long as it takes.
async fn until_it_meets_the_fault(network: &Network) {
    let met = async {
        while network.disturbed() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, met).await.expect("something meets the fault");
}

/// Whether there is nothing to hear for as long as [`LONG`].
async fn is_silent(stream: &TcpStream) -> bool {
    tokio::time::timeout(LONG, stream.peek(&mut [0])).await.is_err()
}

fn heard(text: &str) -> Result<Vec<u8>, ()> {
    Ok(text.as_bytes().to_vec())
}

#[tokio::test]
async fn what_is_held_up_arrives_when_the_fault_is_gone() {
    for fault in [Fault::Silent, Fault::RequestsLost, Fault::AnswersLost] {
        let (network, at) = echo().await;
        let mut stream = TcpStream::connect(at).await.unwrap();
        assert_eq!(ask(&mut stream, b"one").await, heard("one"));
        assert_eq!(network.disturbed(), 0);
        network.set(vec![Rule::between(CLIENT, "echo", fault.clone())]);
        stream.write_all(b"two").await.unwrap();
        until_it_meets_the_fault(&network).await;
        assert!(is_silent(&stream).await, "{fault:?}");
        network.heal();
        assert_eq!(hear(&mut stream).await, heard("two"), "{fault:?}");
    }
}

#[tokio::test]
async fn a_cut_resets_what_is_open_and_what_is_opened() {
    let (network, at) = echo().await;
    let mut stream = TcpStream::connect(at).await.unwrap();
    assert_eq!(ask(&mut stream, b"one").await, heard("one"));
    network.set(vec![Rule::to("echo", Fault::Cut)]);
    assert_eq!(hear(&mut stream).await, Err(()));
    let mut stream = TcpStream::connect(at).await.unwrap();
    assert_eq!(ask(&mut stream, b"two").await, Err(()));
    network.heal();
    let mut stream = TcpStream::connect(at).await.unwrap();
    assert_eq!(ask(&mut stream, b"three").await, heard("three"));
}

#[tokio::test]
async fn an_answer_is_cut_after_so_many_bytes_of_it_and_only_to_such_requests() {
    let (network, at) = echo().await;
    network.set(vec![Rule::to("echo", Fault::AnswerCut { request: "PUT", after: 2 })]);
    let mut stream = TcpStream::connect(at).await.unwrap();
    assert_eq!(ask(&mut stream, b"GET").await, heard("GET"));
    assert_eq!(ask(&mut stream, b"PUT").await, heard("PU"));
    assert_eq!(hear(&mut stream).await, Err(()));
    assert_eq!(network.take_cut_answers(), Vec::<u16>::new(), "an echo has no status");
    let mut stream = TcpStream::connect(at).await.unwrap();
    network.set(vec![Rule::to("echo", Fault::AnswerCut { request: "HTTP/1.1 201", after: 0 })]);
    assert_eq!(ask(&mut stream, b"HTTP/1.1 201 Created").await, Err(()));
    assert_eq!(network.take_cut_answers(), [201]);
}

/// Says who hears an echo what a server of many requests answers to each: its own bytes.
fn conversation() -> (Vec<u8>, Vec<u8>) {
    let (mut asked, mut cut) = (BytesMut::new(), BytesMut::new());
    let get = Request::get("/v1/kv/k").body("").unwrap();
    let put = Request::put("/v1/kv/cut/k").body("value").unwrap();
    mux::push_request(&mut asked, 1, &get).unwrap();
    mux::push_request(&mut asked, 2, &put).unwrap();
    let answer = Response::builder().status(201).body(Bytes::from_static(b"answer")).unwrap();
    mux::push_answer(&mut cut, 1, &answer).unwrap();
    mux::push_answer(&mut cut, 2, &answer).unwrap();
    (asked.to_vec(), cut.to_vec())
}

#[test]
fn of_many_answers_on_one_connection_the_right_one_is_cut() {
    let (asked, answered) = conversation();
    let fault = Some(Fault::AnswerCut { request: "PUT /v1/kv/cut/", after: 3 });
    let first = answered.len() / 2;
    for pieces in [answered.len(), 5, 1] {
        let cuts = link::Allowance::default();
        link::look(&fault, mux::PREFACE, &mut BytesMut::new(), &cuts);
        link::look(&fault, &asked, &mut BytesMut::new(), &cuts);
        let (mut frames, mut passed) = (BytesMut::new(), 0);
        assert_eq!(link::take(&cuts, mux::PREFACE, &mut frames).bytes, mux::PREFACE.len());
        for piece in answered.chunks(pieces) {
            let allowed = link::take(&cuts, piece, &mut frames);
            passed += allowed.bytes;
            if allowed.bytes < piece.len() {
                assert_eq!(allowed.status, Some(201));
                break;
            }
        }
        assert!((first + 3..answered.len()).contains(&passed), "{passed} in pieces of {pieces}");
    }
}

#[tokio::test]
async fn a_rule_about_another_link_changes_nothing() {
    let (network, at) = echo().await;
    let rules = [Rule::between("somebody", "echo", Fault::Cut), Rule::to("other", Fault::Cut)];
    network.set(rules.to_vec());
    let mut stream = TcpStream::connect(at).await.unwrap();
    assert_eq!(ask(&mut stream, b"one").await, heard("one"));
}
