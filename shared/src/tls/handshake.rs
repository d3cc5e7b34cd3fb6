//! A connection comes to TLS, or is told why not.

use std::io;
use std::sync::Arc;

use rustls::ServerConnection;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::counts::Failure;
use super::load::ends_of;
use super::{Caller, HANDSHAKES, ServiceId, Tls, Transport};
use crate::server::Limits;
use crate::telemetry::Seldom;

/// What TLS begins with: a record of a handshake (RFC 8446, section 5.1).
pub(crate) const HANDSHAKE: u8 = 22;

/// What came of a connection.
pub(crate) enum Begun {
    /// It goes on in TLS.
    Secured(Transport, Caller),
    /// It speaks without TLS.
    Plain(TcpStream),
    /// It has ended.
    Ended,
}

impl Tls {
    /// Brings a connection to TLS. It may stay without a word as long as one may that waits
    /// for its first request: whoever wants to hear of this process' end has one such. From
    /// its first byte on a handshake may take as long as a head may.
    pub(crate) async fn begin(&self, stream: TcpStream, limits: &Limits) -> Begun {
        let mut first = [0];
        let peeked = tokio::time::timeout(limits.idle_timeout, stream.peek(&mut first)).await;
        let Ok(Ok(1)) = peeked else { return Begun::Ended };
        if first[0] != HANDSHAKE {
            self.failed(Failure::Plain, "it speaks without TLS");
            return Begun::Plain(stream);
        }
        let Ok(_place) = self.handshakes.try_acquire() else {
            self.failed(Failure::Limit, format_args!("{HANDSHAKES} are under way, the limit"));
            return Begun::Ended;
        };
        let accepting = TlsAcceptor::from(self.server()).accept(stream);
        match tokio::time::timeout(limits.header_timeout, accepting).await {
            Ok(Ok(stream)) => {
                let caller = self.caller(stream.get_ref().1);
                let stream = Box::new(TlsStream::Server(stream));
                Begun::Secured(Transport::Tls(stream), caller)
            }
            // It went away in the middle, as scanners and health checks do.
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Begun::Ended,
            Ok(Err(error)) => {
                self.failed(Failure::Refused, error);
                Begun::Ended
            }
            Err(_late) => {
                let limit = limits.header_timeout;
                self.failed(Failure::Timeout, format_args!("it took more than {limit:?}"));
                Begun::Ended
            }
        }
    }

    /// Who is at the other end, as the certificate says that was checked.
    fn caller(&self, connection: &ServerConnection) -> Caller {
        let Some(domain) = self.domain() else { return Caller::default() };
        let shown = connection.peer_certificates().and_then(|chain| chain.first());
        let id = shown.and_then(|certificate| ServiceId::of(certificate));
        let ends = shown.and_then(ends_of);
        // An authority may be one of several clusters.
        Caller::known(id.filter(|id| id.domain == domain), Arc::clone(&self.counts), ends)
    }

    fn failed(&self, failure: Failure, reason: impl std::fmt::Display) {
        static SAID: Seldom = Seldom::new();
        self.counts.failed(failure);
        if let Some(left_out) = SAID.may() {
            tracing::warn!(left_out, "a connection did not come to TLS: {reason}");
        }
    }
}
