//! One client's connection: HTTP/1.1, kept alive, opened again when it broke. Written by
//! hand, as every microsecond spent here is taken from what is measured on the same
//! cores: one write for a request, and reads until its answer is whole.

use std::net::SocketAddr;

use anyhow::{Context, bail, ensure};
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// More headers than any of the services sends.
const MAX_HEADERS: usize = 64;

/// A client with at most one request under way.
pub(crate) struct Connection {
    address: SocketAddr,
    /// None before the first request, and after one that did not end well.
    stream: Option<TcpStream>,
    request: Vec<u8>,
    answer: BytesMut,
}

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Of the head itself.
    bytes: usize,
    body_bytes: usize,
    closes: bool,
}

impl Connection {
    /// Opens nothing yet.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, stream: None, request: Vec::new(), answer: BytesMut::new() }
    }

    /// Sends a request and takes the whole answer, which must be a success. Each of the
    /// headers ends its line.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &str,
        body: &[u8],
    ) -> anyhow::Result<BytesMut> {
        use std::io::Write as _;
        self.request.clear();
        write!(self.request, "{method} {target} HTTP/1.1\r\nhost: {}\r\n{headers}", self.address)?;
        if method == "GET" {
            self.request.extend_from_slice(b"\r\n");
        } else {
            write!(self.request, "content-length: {}\r\n\r\n", body.len())?;
            self.request.extend_from_slice(body);
        }
        // Given back only when the exchange has ended well, so that one that was given up
        // halfway is not gone on with.
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.open().await.context("cannot connect")?,
        };
        stream.write_all(&self.request).await?;
        self.answer.clear();
        let head = loop {
            ensure!(stream.read_buf(&mut self.answer).await? > 0, "the connection was closed");
            if let Some(head) = Head::parse(&self.answer)? {
                break head;
            }
        };
        let length = head.bytes + head.body_bytes;
        self.answer.reserve(length.saturating_sub(self.answer.len()));
        while self.answer.len() < length {
            ensure!(stream.read_buf(&mut self.answer).await? > 0, "the connection was closed");
        }
        if !head.closes {
            self.stream = Some(stream);
        }
        let mut body = self.answer.split_to(length);
        body.advance(head.bytes);
        match head.status {
            200..300 => Ok(body),
            status => bail!("{status}"),
        }
    }

    async fn open(&self) -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl Head {
    /// None where more has to come.
    fn parse(bytes: &[u8]) -> anyhow::Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(length) = response.parse(bytes)? else { return Ok(None) };
        let find = |name: &str| {
            let found = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
            found.and_then(|field| std::str::from_utf8(field.value).ok())
        };
        let body_bytes = find("content-length").context("an answer without its length")?.parse()?;
        let closes = find("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let status = response.code.context("an answer without a status")?;
        Ok(Some(Self { status, bytes: length, body_bytes, closes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let answer = b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\nconnection: close\r\n\r\nhel";
        assert_eq!(Head::parse(&answer[..40]).unwrap(), None);
        let head = Head { status: 201, bytes: answer.len() - 3, body_bytes: 5, closes: true };
        assert_eq!(Head::parse(answer).unwrap(), Some(head));
    }
}
