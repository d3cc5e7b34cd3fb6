//! Opening a connection, and the task that moves its bytes.

#![expect(clippy::disallowed_methods, reason = "a shell: it reads the clock and starts a task")]

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{self, Connection};
use rustls::InvalidMessage;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::{TlsConnector, TlsStream};

use crate::tls::{self, Transport};

use super::pool::{Connections, SendError, root_cause};
use super::sender::Sender;
use super::stream::Stream;

/// How long TLS may take to begin once there is a connection: cryptography on both sides, on
/// machines that may be busy.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);

/// So many addresses of a name are tried.
const MAX_ADDRESSES: usize = 8;

/// Opens a connection. Its task ends with it.
pub(super) async fn open(connections: &Arc<Connections>) -> Result<Sender, SendError> {
    let (transport, ends) = reach(connections).await?;
    let stream = Stream::new(transport);
    let (sender, connection) =
        http1::handshake(stream).await.map_err(|error| SendError::NeverSent(root_cause(&error)))?;
    tokio::spawn(run(connection, Arc::clone(connections)));
    Ok(Sender::new(sender, ends))
}

/// Connects, and says until when that may be used.
pub(super) async fn reach(
    connections: &Connections,
) -> Result<(Transport, Option<i64>), SendError> {
    // Whoever cannot be called is not bothered.
    connections.tls().map_err(|reason| SendError::NeverSent(reason.to_owned()))?;
    let (authority, timeout) = (connections.authority(), connections.limits().connect_timeout);
    let tcp = connect(authority, timeout)
        .await
        .map_err(|error| SendError::NeverSent(error.to_string()))?;
    secure(tcp, connections).await.map_err(SendError::NeverSent)
}

/// Brings a connection to TLS, where its URL says so, and says until when it may be used; in
/// words what is in the way.
async fn secure(
    tcp: TcpStream,
    connections: &Connections,
) -> Result<(Transport, Option<i64>), String> {
    let Some((trust, name)) = connections.tls()? else { return Ok((Transport::Plain(tcp), None)) };
    let with = trust.present();
    let connector = TlsConnector::from(Arc::clone(&with.config));
    let connecting = Box::pin(connector.connect(name.clone(), tcp));
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, connecting).await {
        Ok(Ok(stream)) => {
            let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            trust.check(shown, connections.called())?;
            let ends = used_until(shown.and_then(tls::ends_of), with.ends);
            Ok((Transport::Tls(Box::new(TlsStream::Client(stream))), ends))
        }
        Ok(Err(error)) if is_plain(&error) => {
            Err(String::from("it does not speak TLS: its URL may have to begin with http://"))
        }
        Ok(Err(error)) => Err(format!("TLS failed: {error}")),
        Err(_late) => Err(format!("TLS took more than {} ms", HANDSHAKE_TIMEOUT.as_millis())),
    }
}

/// Until when a connection is used whose two ends have shown certificates that count so long:
/// the other end closes it with ours, and nothing is to be on its way just then.
fn used_until(theirs: Option<i64>, ours: Option<i64>) -> Option<i64> {
    const BEFORE_S: i64 = 1;
    theirs.into_iter().chain(ours).min().map(|ends| ends.saturating_sub(BEFORE_S))
}

/// Whether what was answered is no TLS.
fn is_plain(error: &io::Error) -> bool {
    let reason = error.get_ref().and_then(|reason| reason.downcast_ref::<rustls::Error>());
    matches!(reason, Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)))
}

/// Connects to a host and port: its name is looked up and its addresses are tried, all within
/// the time.
pub(crate) async fn connect(authority: &str, timeout: Duration) -> io::Result<TcpStream> {
    let end = Instant::now() + timeout;
    let too_slow = || {
        let waited = format!("no connection within {} ms", timeout.as_millis());
        io::Error::new(io::ErrorKind::TimedOut, waited)
    };
    let looked_up = tokio::net::lookup_host(authority);
    let found = tokio::time::timeout_at(end, looked_up).await.map_err(|_| too_slow())??;
    let addresses: Vec<SocketAddr> = found.take(MAX_ADDRESSES).collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    for (at, address) in addresses.iter().enumerate() {
        // One that hangs leaves time for those after it.
        let left = u32::try_from(addresses.len() - at).expect("at most the limit");
        let share = end.saturating_duration_since(Instant::now()) / left;
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => {
                tcp.set_nodelay(true)?;
                return Ok(tcp);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = too_slow(),
        }
    }
    Err(last)
}

/// Moves a connection's bytes until it is closed, by whichever side, and looks after those
/// that are idle meanwhile.
async fn run(connection: Connection<Stream, Full<Bytes>>, connections: Arc<Connections>) {
    {
        let mut connection = pin!(connection);
        let mut look_at = Instant::now() + connections.limits().idle_timeout;
        loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        let peer = connections.authority();
                        tracing::trace!(peer, %error, "a connection ended");
                    }
                    break;
                }
                () = tokio::time::sleep_until(look_at) => look_at = connections.sweep(),
            }
        }
    }
    // It is known to be closed only once it is dropped.
    connections.sweep();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_used_until_a_second_before_the_first_certificate_ends() {
        assert_eq!(used_until(Some(90), Some(70)), Some(69));
        assert_eq!(used_until(Some(60), Some(70)), Some(59));
        assert_eq!(used_until(Some(60), None), Some(59));
        assert_eq!(used_until(None, Some(70)), Some(69));
        assert_eq!(used_until(None, None), None);
    }
}
