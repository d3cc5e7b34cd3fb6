//! Connections beyond the limit: each is told so, and closed. But whoever asks whether this process
//! is alive hears that it is: however many others hold connections, it need not be ended for that.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::Limits;
use crate::problem::Problem;
use crate::telemetry::RequestTrace;
use crate::tls::{Begun, Tls, Transport};

/// Connections that are being told at once; beyond it they are closed without a word.
const AT_ONCE: usize = 64;

/// How long that may take, and how many bytes the client may send meanwhile: without
/// taking them, the connection would be reset and the client never hear why.
const TIME: Duration = Duration::from_secs(1);
const BYTES: u64 = 64 << 10;

/// How the question begins that is answered all the same …
const ALIVE: &[u8] = b"GET /livez ";
/// … if it comes within this time.
const QUESTION: Duration = Duration::from_millis(500);

/// Those who are being told.
#[derive(Debug)]
pub(super) struct TurnedAway {
    limits: Limits,
    places: Arc<Semaphore>,
}

impl TurnedAway {
    pub(super) fn new(limits: Limits) -> Self {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        Self { limits, places }
    }

    /// Says 503 and closes, if there is a place to wait for the client to hear it.
    pub(super) fn answer(
        &self,
        stream: TcpStream,
        tls: Option<Arc<Tls>>,
    ) -> Option<impl Future<Output = ()> + use<>> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let limits = self.limits;
        let most = limits.connections;
        Some(async move {
            let problem = Problem::overloaded(format!(
                "{most} connections are open, the limit of this server"
            ));
            let saying = async {
                let transport = match tls {
                    None => Transport::Plain(stream),
                    Some(tls) => match tls.begin(stream, &limits).await {
                        Begun::Secured(transport, _caller) => transport,
                        Begun::Plain(stream) => Transport::Plain(stream),
                        Begun::Ended => return Ok(()),
                    },
                };
                say_or_be_alive(transport, &problem).await
            };
            let _gone = tokio::time::timeout(TIME, saying).await;
            drop(place);
        })
    }
}

/// Says why a connection is closed, and closes it.
pub(super) async fn say_within_its_time(stream: Transport, problem: &Problem) {
    let _gone = tokio::time::timeout(TIME, say(stream, problem)).await;
}

async fn say_or_be_alive(mut stream: Transport, problem: &Problem) -> std::io::Result<()> {
    let mut first = [0; ALIVE.len()];
    match tokio::time::timeout(QUESTION, stream.read_exact(&mut first)).await {
        Ok(Ok(_)) if first == ALIVE => answer(stream, Response::new("ok\n".into())).await,
        Ok(_) | Err(_) => say(stream, problem).await,
    }
}

async fn say(stream: Transport, problem: &Problem) -> std::io::Result<()> {
    answer(stream, problem.to_http()).await
}

async fn answer(mut stream: Transport, mut response: Response<Bytes>) -> std::io::Result<()> {
    let trace = RequestTrace::unsampled();
    trace.finish(response.status(), response.headers_mut());
    stream.write_all(&bytes_of(&response)).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(BYTES), &mut tokio::io::sink()).await?;
    Ok(())
}

fn bytes_of(response: &Response<Bytes>) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {}\r\n", response.status()).into_bytes();
    for (name, value) in response.headers() {
        bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    let length = response.body().len();
    bytes.extend(format!("connection: close\r\ncontent-length: {length}\r\n\r\n").bytes());
    bytes.extend(response.body());
    bytes
}
