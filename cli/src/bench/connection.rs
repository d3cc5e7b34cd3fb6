//! One client's connection: HTTP/1.1, kept alive, opened again when it broke. Hyper
//! itself, as every microsecond spent here is taken from a cluster on the same cores.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use reqwest::Url;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The longest wait for an answer: above the services' own deadline (10 s).
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// A client with at most one request under way.
pub(crate) struct Connection {
    authority: String,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// Opens nothing yet.
    pub(crate) fn new(url: &Url) -> anyhow::Result<Self> {
        let host = url.host_str().context("the URL names no host")?;
        let port = url.port_or_known_default().context("the URL has no port")?;
        Ok(Self { authority: format!("{host}:{port}"), sender: None })
    }

    /// What the `Host` header says.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Sends a request and takes the whole answer.
    pub(crate) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> anyhow::Result<StatusCode> {
        timeout(ANSWER_TIMEOUT, self.exchange(request)).await.context("no answer in time")?
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<StatusCode> {
        let mut sender = match self.sender.take() {
            Some(sender) if !sender.is_closed() => sender,
            Some(_) | None => self.open().await.context("cannot connect")?,
        };
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            frame?;
        }
        self.sender = Some(sender);
        Ok(status)
    }

    async fn open(&self) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(&self.authority).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends with its sender, or by an error that the sender reports.
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }
}
