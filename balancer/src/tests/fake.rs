//! A replica that answers `GET /v1/status` and otherwise does what the test says, down to
//! the bytes on the wire. It speaks HTTP alone.
#![expect(clippy::disallowed_methods, reason = "a fake is a shell: it starts tasks")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use shared::ids::{ClusterId, Instance};
use shared::message::{Member, Service};
use shared::mux::PREFACE;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

/// What a fake does with a request.
pub(super) enum Reply {
    /// Writes these bytes, and keeps the connection.
    Bytes(String),
    /// Writes these bytes after a while, and keeps the connection.
    Late(Duration, String),
    /// Writes these bytes and closes.
    Broken(String),
    /// Closes the connection without a word.
    Cut,
    /// Never answers.
    Hang,
    /// Writes each piece as it comes, and closes at the end.
    Pieces(mpsc::Receiver<String>),
}

impl Reply {
    /// An answer with a body.
    pub(super) fn with(status: &str, fields: &str, body: &str) -> Self {
        Self::Bytes(format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\n{fields}\r\n{body}",
            body.len()
        ))
    }

    pub(super) fn ok(body: &str) -> Self {
        Self::with("200 OK", "", body)
    }

    /// The same, after a while.
    pub(super) fn late(self, after: Duration) -> Self {
        match self {
            Self::Bytes(bytes) => Self::Late(after, bytes),
            Self::Late(..) | Self::Broken(_) | Self::Cut | Self::Hang | Self::Pieces(_) => {
                panic!("only bytes come late")
            }
        }
    }

    /// A replica's problem, as `shared::problem` writes it.
    pub(super) fn problem(problem: &shared::problem::Problem) -> Self {
        let body = serde_json::to_string(problem.body()).unwrap();
        Self::with(
            problem.status().as_str(),
            "content-type: application/problem+json\r\nretry-after: 7\r\n",
            &body,
        )
    }
}

/// A request as it came over the wire.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Request line and fields, without the empty line.
    pub(super) head: String,
    pub(super) body: String,
}

impl Seen {
    pub(super) fn line(&self) -> &str {
        self.head.lines().next().unwrap()
    }

    /// The length of the body, as announced.
    fn length(&self) -> usize {
        self.field("content-length").first().map_or(0, |length| length.parse().unwrap())
    }

    /// All values of a field, in lower-case names.
    pub(super) fn field(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.filter(|(field, _)| *field == name).map(|(_, value)| value).collect()
    }
}

type Script = Box<dyn Fn(&Seen) -> Reply + Send + Sync>;

struct State {
    number: u64,
    role: Mutex<(&'static str, u64)>,
    /// Whether a quorum of acceptors answers it, as it says.
    quorum_answers: AtomicBool,
    /// Whether it knows requests by name, as it says.
    knows_names: AtomicBool,
    /// Of which cluster it is, as it says.
    cluster: Mutex<Option<ClusterId>>,
    script: Script,
    /// Of a longer body nothing is read: the answer comes first, and then it closes.
    longest_body: AtomicUsize,
    seen: Mutex<Vec<Seen>>,
    /// While set, nothing is answered, not even `GET /v1/status`.
    stopped: tokio::sync::watch::Sender<bool>,
}

pub(super) struct Fake {
    pub(super) url: String,
    state: Arc<State>,
    serving: JoinHandle<()>,
}

impl Fake {
    /// Starts `replica-{number}`; the first is primary in epoch 1.
    pub(super) async fn start(
        number: u64,
        script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let role = Mutex::new((if number == 1 { "primary" } else { "backup" }, 1));
        let (stopped, _) = tokio::sync::watch::channel(false);
        let state = Arc::new(State {
            number,
            role,
            quorum_answers: AtomicBool::new(true),
            knows_names: AtomicBool::new(false),
            cluster: Mutex::default(),
            script: Box::new(script),
            longest_body: AtomicUsize::new(usize::MAX),
            seen: Mutex::default(),
            stopped,
        });
        let serving = tokio::task::spawn(serve(listener, Arc::clone(&state)));
        Self { url, state, serving }
    }

    pub(super) fn member(&self) -> Member {
        let number = self.state.number;
        let name = format!("replica-{number}").parse().unwrap();
        Member {
            name,
            service: Service::Replica,
            url: self.url.clone(),
            instance: Instance(number),
        }
    }

    /// The requests it got, checks left out.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// Waits until it was asked for something.
    pub(super) async fn until_asked(&self) {
        while self.seen().is_empty() {
            tokio::task::yield_now().await;
        }
    }

    pub(super) fn set_role(&self, role: &'static str, epoch: u64) {
        *self.state.role.lock().unwrap() = (role, epoch);
    }

    /// As a program does that keeps what became of requests.
    pub(super) fn know_names(self) -> Self {
        self.state.knows_names.store(true, Ordering::Relaxed);
        self
    }

    pub(super) fn set_cluster(&self, cluster: ClusterId) {
        *self.state.cluster.lock().unwrap() = Some(cluster);
    }

    pub(super) fn set_longest_body(&self, bytes: usize) {
        self.state.longest_body.store(bytes, Ordering::Relaxed);
    }

    /// As when it is cut off from the acceptors, and when it is no more.
    pub(super) fn set_quorum_answers(&self, quorum_answers: bool) {
        self.state.quorum_answers.store(quorum_answers, Ordering::Relaxed);
    }

    /// As `kill -9`: connections break, new ones are refused.
    pub(super) async fn kill(&mut self) {
        self.serving.abort();
        let _cancelled = (&mut self.serving).await;
    }

    /// As SIGSTOP and SIGCONT: connections stay, nothing moves.
    pub(super) fn stop(&self, stopped: bool) {
        self.state.stopped.send_replace(stopped);
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(connection(stream, Arc::clone(&state)));
    }
}

async fn connection(mut stream: TcpStream, state: Arc<State>) {
    while let Some(seen) = read_request(&mut stream, &state).await {
        if seen.head.as_bytes() == PREFACE.trim_ascii() {
            return stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        }
        state.stopped.subscribe().wait_for(|stopped| !stopped).await.unwrap();
        let reply = if seen.line().starts_with("GET /v1/status ") {
            status(&state)
        } else {
            state.seen.lock().unwrap().push(seen.clone());
            (state.script)(&seen)
        };
        match reply {
            Reply::Bytes(bytes) => {
                stream.write_all(bytes.as_bytes()).await.unwrap();
                if seen.length() != seen.body.len() {
                    return;
                }
            }
            Reply::Late(after, bytes) => {
                tokio::time::sleep(after).await;
                stream.write_all(bytes.as_bytes()).await.unwrap();
            }
            Reply::Broken(bytes) => return stream.write_all(bytes.as_bytes()).await.unwrap(),
            Reply::Cut => return,
            Reply::Hang => tokio::time::sleep(Duration::from_secs(3_600)).await,
            Reply::Pieces(mut pieces) => {
                while let Some(piece) = pieces.recv().await {
                    stream.write_all(piece.as_bytes()).await.unwrap();
                }
                return;
            }
        }
    }
}

fn status(state: &State) -> Reply {
    let (role, epoch) = *state.role.lock().unwrap();
    let id = format!("replica-{}", state.number);
    let quorum_answers = state.quorum_answers.load(Ordering::Relaxed);
    let status = json!({
        "service": "replica", "id": id, "role": role, "epoch": epoch, "executed_slot": 7,
        "quorum_answers": quorum_answers, "storage": "writable", "lag_ms": 1, "hash": "x",
        "cluster_id": *state.cluster.lock().unwrap(),
        "requests_from": state.knows_names.load(Ordering::Relaxed).then_some(3),
    });
    Reply::with("200 OK", "content-type: application/json\r\n", &status.to_string())
}

async fn read_request(stream: &mut TcpStream, state: &State) -> Option<Seen> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap().trim_end().to_owned();
    let mut seen = Seen { head, body: String::new() };
    if seen.length() > state.longest_body.load(Ordering::Relaxed) {
        return Some(seen);
    }
    let mut body = vec![0; seen.length()];
    stream.read_exact(&mut body).await.ok()?;
    seen.body = String::from_utf8(body).unwrap();
    Some(seen)
}
