//! What stands behind the proxies: three replicas that are none. They announce themselves
//! to acceptors as replicas do, say in their status that they can answer everything, and
//! answer every other request with the same value at once, so that what is measured is the
//! proxy.
//!
//! They run in a thread of their own, which ends with this process.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::http::Connection;
use crate::workload::Operation;

const REPLICAS: usize = 3;
/// How often they announce themselves.
const ANNOUNCEMENT_PAUSE: Duration = Duration::from_millis(500);
/// More headers than any proxy sends.
const MAX_HEADERS: usize = 64;

/// Starts them; where they listen.
pub(super) fn start(acceptors: Vec<SocketAddr>) -> anyhow::Result<Vec<SocketAddr>> {
    let listeners = (0..REPLICAS).map(|_| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    let listeners = listeners.collect::<io::Result<Vec<_>>>()?;
    let addresses =
        listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let replicas: Vec<Replica> = addresses.iter().copied().zip(1..).map(Replica::new).collect();
    std::thread::Builder::new().name("backend".to_owned()).spawn(move || {
        runtime.block_on(async move {
            for (listener, replica) in listeners.into_iter().zip(&replicas) {
                tokio::spawn(accept(listener, replica.clone()));
            }
            announce(&replicas, &acceptors).await
        })
    })?;
    Ok(addresses)
}

#[derive(Clone)]
struct Replica {
    name: String,
    address: SocketAddr,
    instance: u64,
    status: Vec<u8>,
    value: Vec<u8>,
}

impl Replica {
    fn new((address, number): (SocketAddr, usize)) -> Self {
        let name = format!("replica-{number}");
        let status = json!({
            "service": "replica", "id": name, "role": "backup", "epoch": 1, "executed_slot": 1,
            "quorum_answers": true, "storage": "writable", "lag_ms": 0,
        });
        let status = answer("application/json", status.to_string().as_bytes());
        let value = answer("application/octet-stream", &Operation::Get.value());
        Self { name, address, instance: fastrand::u64(..), status, value }
    }

    fn announcement(&self) -> String {
        let member = json!({
            "name": self.name, "service": "replica", "url": format!("http://{}", self.address),
            "instance": format!("{:016x}", self.instance),
        });
        json!({ "cluster": null, "member": member }).to_string()
    }
}

fn answer(content_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Never ends; an acceptor that is not there yet, or not any more, hears nothing.
async fn announce(replicas: &[Replica], acceptors: &[SocketAddr]) {
    loop {
        for acceptor in acceptors {
            let mut connection = Connection::new(*acceptor);
            for replica in replicas {
                let target = format!("/v1/members/{}", replica.name);
                let (headers, body) =
                    ("content-type: application/json\r\n", replica.announcement());
                let _not_now = connection.send("PUT", &target, headers, body.as_bytes()).await;
            }
        }
        sleep(ANNOUNCEMENT_PAUSE).await;
    }
}

async fn accept(listener: TcpListener, replica: Replica) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let replica = replica.clone();
        tokio::spawn(async move { serve(stream, &replica).await });
    }
}

/// Answers one request after the other, until the connection ends.
async fn serve(mut stream: TcpStream, replica: &Replica) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut received = BytesMut::new();
    while stream.read_buf(&mut received).await? > 0 {
        while let Some((length, is_status)) = request(&received)? {
            received.advance(length);
            stream.write_all(if is_status { &replica.status } else { &replica.value }).await?;
        }
    }
    Ok(())
}

/// The length of a whole request, none of which has a body, and whether it asks for the
/// status.
fn request(bytes: &[u8]) -> io::Result<Option<(usize, bool)>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => {
            Ok(Some((length, request.path == Some("/v1/status"))))
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Err(error) => Err(io::Error::new(ErrorKind::InvalidData, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_for_the_status_is_told_from_others() {
        let get = |path| format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\nGET");
        let (status, other) = (get("/v1/status"), get("/v1/kv/k"));
        let length = |text: &str| text.len() - "GET".len();
        assert_eq!(request(status.as_bytes()).unwrap(), Some((length(&status), true)));
        assert_eq!(request(other.as_bytes()).unwrap(), Some((length(&other), false)));
        assert_eq!(request(&other.as_bytes()[..9]).unwrap(), None);
    }
}
