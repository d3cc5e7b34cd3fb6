//! One end of a connection, by hand.

use bytes::{Bytes, BytesMut};
use http::{Method, Request, Response};
use shared::mux::{self, Frame, PREFACE};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::PATIENCE;

pub(crate) struct ByHand {
    pub(crate) stream: TcpStream,
    input: BytesMut,
}

impl ByHand {
    /// The end of a connection on which the other side has said that it knows how.
    pub(crate) fn greeted(stream: TcpStream) -> Self {
        Self { stream, input: BytesMut::new() }
    }

    /// Asks a server whether it knows how, which it has to.
    pub(crate) async fn connect(address: std::net::SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(PREFACE).await.unwrap();
        let mut heard = [0; PREFACE.len()];
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, PREFACE);
        Self::greeted(stream)
    }

    /// The next frame; none at the end of the connection.
    pub(crate) async fn hear(&mut self) -> Option<Frame> {
        let hearing = async {
            loop {
                if let Some(frame) = mux::take(&mut self.input).unwrap() {
                    return Some(frame);
                }
                if !matches!(self.stream.read_buf(&mut self.input).await, Ok(1..)) {
                    return None;
                }
            }
        };
        tokio::time::timeout(PATIENCE, hearing).await.expect("nothing is said")
    }

    pub(crate) async fn say(&mut self, push: impl FnOnce(&mut BytesMut)) {
        let mut bytes = BytesMut::new();
        push(&mut bytes);
        self.stream.write_all(&bytes).await.unwrap();
    }

    pub(crate) async fn ask(&mut self, id: u32, method: Method, path: &str, body: &str) {
        let request = Request::builder().method(method).uri(path).header("host", "h:1");
        let request = request.body(Bytes::from(body.to_owned())).unwrap();
        self.say(|out| mux::push_request(out, id, &request).unwrap()).await;
    }

    pub(crate) async fn answer(&mut self, id: u32, body: &str) {
        let answer = Response::new(Bytes::from(body.to_owned()));
        self.say(|out| mux::push_answer(out, id, &answer).unwrap()).await;
    }

    /// The next frame, which has to be an answer.
    pub(crate) async fn hear_answer(&mut self) -> (u32, u16, String) {
        match self.hear().await {
            Some(Frame::Answer(id, answer)) => {
                let body = String::from_utf8_lossy(answer.body()).into_owned();
                (id, answer.status().as_u16(), body)
            }
            other => panic!("no answer: {other:?}"),
        }
    }

    /// The next frame, which has to be a request.
    pub(crate) async fn hear_request(&mut self) -> (u32, Request<Bytes>) {
        match self.hear().await {
            Some(Frame::Request(id, request)) => (id, request),
            other => panic!("no request: {other:?}"),
        }
    }
}
