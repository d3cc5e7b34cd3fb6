//! The side that asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use shared::client::{AnswerBody, Connections, Pool, PoolLimits, SendError};
use shared::mux::{self, Frame, PREFACE};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::by_hand::ByHand;
use crate::{PATIENCE, until};

/// A service that answers HTTP by `alone`, and hands out connections of the other kind.
struct Service {
    connections: Arc<Connections>,
    greeted: mpsc::UnboundedReceiver<ByHand>,
    /// How many requests came as HTTP.
    alone: Arc<AtomicUsize>,
    /// How often it was asked whether it knows how.
    asked: Arc<AtomicUsize>,
}

impl Service {
    async fn start(knows: bool) -> Self {
        Self::with(knows, PoolLimits::default()).await
    }

    async fn with(knows: bool, limits: PoolLimits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (greet, greeted) = mpsc::unbounded_channel();
        let (alone, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counts = (Arc::clone(&alone), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, knows, greet.clone(), counts.clone()));
            }
        });
        let connections = Pool::new(limits).to(&url).unwrap();
        Self { connections, greeted, alone, asked }
    }

    fn alone(&self) -> usize {
        self.alone.load(Ordering::SeqCst)
    }

    /// The connection of the other kind: the first request goes without.
    async fn lane(&mut self) -> ByHand {
        assert_eq!(self.ask("/first").await.unwrap(), "alone");
        let lane = tokio::time::timeout(PATIENCE, self.greeted.recv()).await;
        lane.expect("none is opened").unwrap()
    }

    async fn ask(&self, path: &str) -> Result<String, SendError> {
        ask(&self.connections, path).await
    }

    fn asks(&self, path: &str) -> JoinHandle<Result<String, SendError>> {
        let (connections, path) = (Arc::clone(&self.connections), path.to_owned());
        tokio::spawn(async move { ask(&connections, &path).await })
    }
}

async fn ask(connections: &Arc<Connections>, path: &str) -> Result<String, SendError> {
    let request = Request::put(path).body(Bytes::from_static(b"value")).unwrap();
    let sent = tokio::time::timeout(PATIENCE, connections.send_short(request));
    let answer: Response<AnswerBody> = sent.await.expect("no answer in time")?;
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

async fn serve(
    mut stream: TcpStream,
    knows: bool,
    greet: mpsc::UnboundedSender<ByHand>,
    (alone, asked): (Arc<AtomicUsize>, Arc<AtomicUsize>),
) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { return };
            head.push(byte);
        }
        if head == PREFACE {
            asked.fetch_add(1, Ordering::SeqCst);
            let answer = if knows { PREFACE } else { b"HTTP/1.1 400 Bad Request\r\n\r\n" };
            stream.write_all(answer).await.unwrap();
            if knows {
                let _over = greet.send(ByHand::greeted(stream));
            }
            return;
        }
        let mut body = [0; 5];
        stream.read_exact(&mut body).await.unwrap();
        alone.fetch_add(1, Ordering::SeqCst);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nalone").await.unwrap();
    }
}

#[tokio::test]
async fn each_request_gets_its_own_answer_in_whatever_order_they_come() {
    let mut service = Service::start(true).await;
    let mut lane = service.lane().await;
    let asked = ["/a", "/b", "/c"].map(|path| service.asks(path));
    let mut heard = Vec::new();
    for _ in 0..3 {
        let (id, request) = lane.hear_request().await;
        assert_eq!(request.body(), "value");
        assert!(request.headers().contains_key("host"));
        heard.push((id, request.uri().path().to_owned()));
    }
    for (id, path) in heard.into_iter().rev() {
        lane.answer(id, &format!("of {path}")).await;
    }
    for (asked, expected) in asked.into_iter().zip(["of /a", "of /b", "of /c"]) {
        assert_eq!(asked.await.unwrap().unwrap(), expected);
    }
    assert_eq!(service.alone(), 1);
}

#[tokio::test]
async fn who_waits_no_more_says_so() {
    let mut service = Service::start(true).await;
    let mut lane = service.lane().await;
    let (left, stays) = (service.asks("/left"), service.asks("/stays"));
    let ids = [lane.hear_request().await, lane.hear_request().await];
    left.abort();
    let Some(Frame::Cancel(id)) = lane.hear().await else { panic!("nothing is cancelled") };
    let of = |path: &str| ids.iter().find(|(_, it)| it.uri().path() == path).unwrap().0;
    assert_eq!(id, of("/left"));
    // Too late, and not taken for another's.
    lane.answer(id, "late").await;
    lane.answer(of("/stays"), "in time").await;
    assert_eq!(stays.await.unwrap().unwrap(), "in time");
}

#[tokio::test]
async fn what_is_not_taken_goes_another_way() {
    let mut service = Service::start(true).await;
    let mut lane = service.lane().await;
    let asked = service.asks("/a");
    let (id, _) = lane.hear_request().await;
    lane.say(|out| mux::push_not_taken(out, id)).await;
    assert_eq!(asked.await.unwrap().unwrap(), "alone");
    assert_eq!(service.alone(), 2);
}

#[tokio::test]
async fn of_what_was_sent_nobody_knows_once_the_connection_breaks() {
    for garbage in [&b""[..], b"HTTP/1.1 200 OK\r\n\r\n", &[0, 0, 0, 5, 9, 0, 0, 0, 0]] {
        let mut service = Service::start(true).await;
        let mut lane = service.lane().await;
        let asked = service.asks("/a");
        lane.hear_request().await;
        lane.stream.write_all(garbage).await.unwrap();
        if garbage.is_empty() {
            drop(lane);
        }
        let failed = asked.await.unwrap().unwrap_err();
        assert!(matches!(failed, SendError::Broken(_)), "{failed}");
        assert_eq!(service.alone(), 1, "it is not sent again");
        // The next one is not sent where nothing is read any more.
        assert_eq!(service.ask("/b").await.unwrap(), "alone");
    }
}

#[tokio::test]
async fn who_is_going_away_answers_what_it_has_and_is_sent_nothing_more() {
    let mut service = Service::start(true).await;
    let mut lane = service.lane().await;
    let asked = service.asks("/a");
    let (id, _) = lane.hear_request().await;
    lane.say(mux::push_going_away).await;
    // Until that is heard.
    loop {
        let before = service.alone();
        let asked = service.asks("/b");
        tokio::select! {
            answer = asked => {
                assert_eq!(answer.unwrap().unwrap(), "alone");
                assert!(service.alone() > before);
                break;
            }
            (id, _) = lane.hear_request() => {
                lane.say(|out| mux::push_not_taken(out, id)).await;
            }
        }
    }
    lane.answer(id, "at last").await;
    assert_eq!(asked.await.unwrap().unwrap(), "at last");
    assert!(lane.hear().await.is_none(), "it is not closed");
}

#[tokio::test]
async fn who_speaks_http_alone_is_not_asked_each_time() {
    let service = Service::start(false).await;
    for _ in 0..20 {
        assert_eq!(service.ask("/a").await.unwrap(), "alone");
    }
    until("it was asked", async || service.asked.load(Ordering::SeqCst) == 1).await;
    for _ in 0..20 {
        assert_eq!(service.ask("/a").await.unwrap(), "alone");
    }
    assert_eq!(service.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_on_which_nothing_is_under_way_is_closed() {
    let limits = PoolLimits { idle_timeout: Duration::from_millis(100), ..PoolLimits::default() };
    let mut service = Service::with(true, limits).await;
    let mut lane = service.lane().await;
    assert!(lane.hear().await.is_none());
    let again = tokio::time::timeout(PATIENCE, service.lane()).await;
    assert!(again.is_ok(), "and opened again");
}

#[tokio::test]
async fn more_than_may_be_under_way_go_another_way() {
    let mut service = Service::start(true).await;
    let mut lane = service.lane().await;
    let asked: Vec<_> = (0..mux::IN_FLIGHT).map(|at| service.asks(&format!("/{at}"))).collect();
    let mut ids = Vec::new();
    for _ in 0..mux::IN_FLIGHT {
        ids.push(lane.hear_request().await.0);
    }
    assert_eq!(service.ask("/more").await.unwrap(), "alone");
    for id in ids {
        lane.answer(id, "together").await;
    }
    for asked in asked {
        assert_eq!(asked.await.unwrap().unwrap(), "together");
    }
}

#[tokio::test]
async fn a_connection_that_is_used_now_and_then_stays() {
    let limits = PoolLimits { idle_timeout: Duration::from_millis(1_500), ..PoolLimits::default() };
    let mut service = Service::with(true, limits).await;
    let mut lane = service.lane().await;
    let until = Instant::now() + Duration::from_secs(4);
    while Instant::now() < until {
        let asked = service.asks("/a");
        let (id, _) = lane.hear_request().await;
        lane.answer(id, "together").await;
        assert_eq!(asked.await.unwrap().unwrap(), "together");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
