//! A server for tests of what needs one: it answers each request by itself.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::Client;

/// A request, as it was read.
#[derive(Clone, Debug)]
pub(crate) struct ReceivedRequest {
    /// The method and the path, with its query.
    pub(crate) line: String,
    /// The headers, as they came.
    pub(crate) headers: String,
}

/// What is answered.
pub(crate) enum Said {
    /// A status, and a body at whose end the connection is closed.
    Answer(u16, String),
    /// Nothing, and the connection stays.
    Nothing,
}

/// A server.
pub(crate) struct Stub {
    url: String,
    asked: Arc<Mutex<Vec<ReceivedRequest>>>,
}

impl ReceivedRequest {
    /// The value of a header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let named = |line: &str| line.to_ascii_lowercase().starts_with(&format!("{name}:"));
        let line = self.headers.lines().find(|line| named(line))?;
        line.split_once(':').map(|(_, value)| value.trim())
    }
}

impl Stub {
    /// Serves as long as the runtime lives.
    pub(crate) async fn start(
        answer: impl Fn(&ReceivedRequest, usize) -> Said + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, answer) = (Arc::<Mutex<Vec<ReceivedRequest>>>::default(), Arc::new(answer));
        let heard = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (heard, answer) = (Arc::clone(&heard), Arc::clone(&answer));
                tokio::spawn(async move {
                    let decide = |request: ReceivedRequest| {
                        let mut heard = heard.lock().unwrap();
                        heard.push(request.clone());
                        answer(&request, heard.len())
                    };
                    serve(stream, decide).await
                });
            }
        });
        Self { url, asked }
    }

    /// One that asks it.
    pub(crate) fn client(&self) -> Client {
        Client::new(&self.url).unwrap()
    }

    /// All requests, in order.
    pub(crate) fn asked(&self) -> Vec<ReceivedRequest> {
        self.asked.lock().unwrap().clone()
    }
}

/// Reads one request and answers it.
async fn serve(
    mut stream: TcpStream,
    decide: impl FnOnce(ReceivedRequest) -> Said,
) -> std::io::Result<()> {
    let mut read = Vec::new();
    let (head, length) = loop {
        if stream.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&read).into_owned();
        let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
        let (line, headers) = head.split_once("\r\n").unwrap_or((head, ""));
        let (line, headers) = (line.to_owned(), headers.to_owned());
        let asked = ReceivedRequest { line, headers };
        let body: usize = asked.header("content-length").map_or(0, |it| it.parse().unwrap());
        break (asked, head.len() + 4 + body);
    };
    while read.len() < length {
        if stream.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    }
    match decide(head) {
        Said::Answer(status, body) => {
            let head = "content-type: application/json\r\nconnection: close\r\nsynod-revision: 4";
            let answer = format!("HTTP/1.1 {status} Said\r\n{head}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await?;
            stream.shutdown().await
        }
        Said::Nothing => {
            // Until whoever asked hangs up.
            while stream.read_buf(&mut read).await? > 0 {}
            Ok(())
        }
    }
}
