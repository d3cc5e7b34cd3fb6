//! A connection that looks for an answer when it cannot write.
//!
//! A service may answer before it has read a request whole (it is too long, or asks for
//! what is not supported) and close. What is still to be written then fails, but the
//! answer has arrived and can be read. hyper gives a connection up at the first failed
//! write; so this one keeps such a failure to itself, drops what was to be written, and
//! lets the reading find out: an answer, or the end without one. The socket is closed by
//! then, so reading ends at once, and no other request is sent on it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;

use crate::tls::Transport;

/// Bytes read at once of an answer that is found so: enough for most problems.
const PIECE: usize = 4096;

/// The other side closed before it had taken the request whole, and without an answer.
#[derive(Debug, thiserror::Error)]
#[error("it closed before it took the whole request: {0}")]
pub(super) struct NotTaken(io::ErrorKind);

impl NotTaken {
    fn error(kind: io::ErrorKind) -> io::Error {
        io::Error::new(kind, Self(kind))
    }
}

/// How far writing has come.
#[derive(Clone, Copy, Debug)]
enum Writing {
    /// All was taken that there was to write.
    Done,
    /// There is more than the other side takes.
    Blocked,
    /// It failed so. Nothing is written any more.
    Failed(io::ErrorKind),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Stream {
    transport: TokioIo<Transport>,
    writing: Writing,
}

impl Stream {
    pub(super) fn new(transport: Transport) -> Self {
        let transport = TokioIo::new(transport);
        Self { transport, writing: Writing::Done }
    }

    /// Writes, or drops, what is `len` bytes long.
    fn write(
        &mut self,
        len: usize,
        write: impl FnOnce(Pin<&mut TokioIo<Transport>>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Writing::Failed(_) = self.writing {
            return Poll::Ready(Ok(len));
        }
        let written = write(Pin::new(&mut self.transport));
        self.writing = match &written {
            Poll::Ready(Ok(_)) => Writing::Done,
            Poll::Pending => Writing::Blocked,
            Poll::Ready(Err(error)) => Writing::Failed(error.kind()),
        };
        match written {
            Poll::Ready(Err(_)) => Poll::Ready(Ok(len)),
            Poll::Ready(Ok(_)) | Poll::Pending => written,
        }
    }

    /// Brings out what was taken: TLS writes no sooner, so it may be here that writing fails.
    fn finish(
        &mut self,
        finish: impl FnOnce(Pin<&mut TokioIo<Transport>>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        if let Writing::Failed(_) = self.writing {
            return Poll::Ready(Ok(()));
        }
        let finished = finish(Pin::new(&mut self.transport));
        if let Poll::Ready(Err(error)) = &finished {
            self.writing = Writing::Failed(error.kind());
            return Poll::Ready(Ok(()));
        }
        finished
    }

    /// Reads what came before the end, after writing has failed.
    fn poll_read_rest(
        &mut self,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
        failed: io::ErrorKind,
    ) -> Poll<io::Result<()>> {
        let mut bytes = [0; PIECE];
        let room = buffer.remaining().min(PIECE);
        let mut piece = ReadBuf::new(&mut bytes[..room]);
        let read = ready!(Pin::new(&mut self.transport).poll_read(context, piece.unfilled()));
        if read.is_err() || piece.filled().is_empty() {
            return Poll::Ready(Err(NotTaken::error(failed)));
        }
        buffer.put_slice(piece.filled());
        Poll::Ready(Ok(()))
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.writing {
            Writing::Done => Pin::new(&mut self.transport).poll_read(context, buffer),
            Writing::Blocked => Pin::new(&mut self.transport)
                .poll_read(context, buffer)
                .map_err(|error| NotTaken::error(error.kind())),
            Writing::Failed(kind) => self.poll_read_rest(context, buffer, kind),
        }
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(bytes.len(), |transport| transport.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = slices.iter().map(|slice| slice.len()).sum();
        self.write(len, |transport| transport.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish(|transport| transport.poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish(|transport| transport.poll_shutdown(context))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use std::sync::Arc;

    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::pki_types::PrivateKeyDer;
    use rustls::{ClientConfig, RootCertStore, ServerConfig};
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

    use super::*;

    async fn write(stream: &mut Stream) -> usize {
        poll_fn(|context| Pin::new(&mut *stream).poll_write(context, b"request")).await.unwrap()
    }

    async fn read(stream: &mut Stream) -> io::Result<Vec<u8>> {
        let mut bytes = [0; 64];
        let mut buffer = ReadBuf::new(&mut bytes);
        poll_fn(|context| Pin::new(&mut *stream).poll_read(context, buffer.unfilled())).await?;
        Ok(buffer.filled().to_vec())
    }

    async fn flush(stream: &mut Stream) {
        poll_fn(|context| Pin::new(&mut *stream).poll_flush(context)).await.unwrap();
    }

    /// Both ends of a connection.
    async fn plain() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    async fn in_tls((client, server): (TcpStream, TcpStream)) -> (Transport, Transport) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let ring = || Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let answering = ServerConfig::builder_with_provider(ring())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let calling = ClientConfig::builder_with_provider(ring())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(calling));
        let name = "localhost".try_into().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(answering));
        let (client, server) =
            tokio::try_join!(connector.connect(name, client), acceptor.accept(server)).unwrap();
        let client = Transport::Tls(Box::new(TlsStream::Client(client)));
        (client, Transport::Tls(Box::new(TlsStream::Server(server))))
    }

    fn tcp(transport: &Transport) -> &TcpStream {
        match transport {
            Transport::Plain(tcp) => tcp,
            Transport::Tls(tls) => tls.get_ref().0,
        }
    }

    #[tokio::test]
    async fn an_answer_is_read_though_the_request_cannot_be_written_any_more() {
        let (client, server) = plain().await;
        hears_an_early_answer(Transport::Plain(client), Transport::Plain(server)).await;
        let (client, server) = in_tls(plain().await).await;
        hears_an_early_answer(client, server).await;
    }

    async fn hears_an_early_answer(client: Transport, mut server: Transport) {
        let mut stream = Stream::new(client);
        assert_eq!(write(&mut stream).await, 7);
        flush(&mut stream).await;
        tcp(&server).readable().await.unwrap();
        server.write_all(b"no").await.unwrap();
        server.flush().await.unwrap();
        // What was not read makes this a reset.
        drop(server);
        while let Writing::Done | Writing::Blocked = stream.writing {
            assert_eq!(write(&mut stream).await, 7);
            flush(&mut stream).await;
        }
        flush(&mut stream).await;
        assert_eq!(read(&mut stream).await.unwrap(), b"no");
        let end = read(&mut stream).await.unwrap_err();
        assert!(end.get_ref().unwrap().is::<NotTaken>(), "{end:?}");
    }
}
