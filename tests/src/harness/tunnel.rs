//! Connections of the tests' clients, which speak without TLS, carried to services that take
//! TLS: bytes in, the same bytes out, in a connection of its own for each.
//!
//! They are an operator's, who may also read the log as replicas do. Whoever cannot be
//! connected is told so in HTTP, since the client's own connection is made by then: see
//! [`NEVER_SENT`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::pki::Pki;

/// The field of an answer by which a tunnel says that there was no connection to the service:
/// no byte of the request was sent.
pub const NEVER_SENT: &str = "synod-never-sent";

/// Under this name clients have a certificate.
pub const OPERATOR: &str = "harness";

/// As long as a client waits at most.
const CONNECT: Duration = Duration::from_secs(5);

/// All tunnels of a cluster. They end when this is dropped.
#[derive(Debug)]
pub(super) struct Tunnels {
    connector: Arc<ClientConfig>,
    running: JoinSet<()>,
}

impl Tunnels {
    pub(super) fn new(pki: &Pki) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(pki.authority())?)?;
        let chain = CertificateDer::pem_file_iter(pki.certificate(OPERATOR))?;
        let chain = chain.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_file(pki.key(OPERATOR))?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        Ok(Self { connector: Arc::new(config), running: JoinSet::new() })
    }

    /// The URL of a new one, which leads there.
    pub(super) async fn open(&mut self, target: SocketAddr) -> Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a tunnel")?;
        let url = format!("http://{}", listener.local_addr()?);
        let connector = TlsConnector::from(Arc::clone(&self.connector));
        self.running.spawn(serve(listener, target, connector));
        Ok(url)
    }
}

async fn serve(listener: TcpListener, target: SocketAddr, connector: TlsConnector) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                connections.spawn(carry(client, target, connector.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn carry(mut client: TcpStream, target: SocketAddr, connector: TlsConnector) {
    let _best_effort = client.set_nodelay(true);
    match tokio::time::timeout(CONNECT, connect(target, connector)).await {
        Ok(Ok(mut service)) => {
            // Whatever breaks one of the two ends breaks the other.
            let _broken = copy_bidirectional(&mut client, &mut service).await;
        }
        Ok(Err(_)) | Err(_) => {
            let _gone = say_that_nothing_was_sent(&mut client).await;
        }
    }
}

async fn connect(
    target: SocketAddr,
    connector: TlsConnector,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(target).await?;
    stream.set_nodelay(true)?;
    connector.connect(ServerName::IpAddress(target.ip().into()), stream).await
}

/// Answers the request that the client sends, and takes what it sends until it closes: one that
/// is closed with bytes unread is reset, and the answer may be lost.
async fn say_that_nothing_was_sent(client: &mut TcpStream) -> std::io::Result<()> {
    let mut taken = vec![0; 16 << 10];
    if client.read(&mut taken).await? == 0 {
        return Ok(());
    }
    let answer = format!(
        "HTTP/1.1 502 Bad Gateway\r\n{NEVER_SENT}: 1\r\nconnection: close\r\n\
         content-type: text/plain\r\ncontent-length: 0\r\n\r\n"
    );
    client.write_all(answer.as_bytes()).await?;
    client.shutdown().await?;
    while client.read(&mut taken).await? > 0 {}
    Ok(())
}
