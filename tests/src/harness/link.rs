//! One connection through a proxy of the [`network`](super::network).

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::network::{Fault, Link};

/// The connection is over, and both ends are told by a reset.
struct Broken;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Requests,
    Answers,
}

/// Of an answer that is to be cut.
#[derive(Clone, Copy)]
struct Allowed {
    /// How many more bytes of it pass.
    bytes: usize,
    /// What it says, once its first piece is here.
    status: Option<u16>,
}

/// What passes of the answers; none: all.
type Allowance = Mutex<Option<Allowed>>;

/// Carries bytes between the client's end and the service until one of them, or a fault,
/// ends it.
pub(super) async fn carry(mut client: TcpStream, target: SocketAddr, link: Link) {
    // Whatever ends a connection here ends it by a reset, unless both ends have said that
    // they are done.
    let _reset_on_drop = client.set_zero_linger();
    let Ok(mut service) = TcpStream::connect(target).await else { return };
    let _reset_on_drop = service.set_zero_linger();
    let _no_delay = (client.set_nodelay(true), service.set_nodelay(true));
    let allowance = Allowance::default();
    let finished = {
        let (from_client, to_client) = client.split();
        let (from_service, to_service) = service.split();
        tokio::try_join!(
            pump(from_client, to_service, link.clone(), Way::Requests, &allowance),
            pump(from_service, to_client, link, Way::Answers, &allowance),
        )
    };
    if finished.is_ok() {
        let keep_what_was_sent = Some(Duration::from_secs(1));
        // Deprecated only because it may block on drop, which it does not when everything
        // is acknowledged.
        let _done =
            (set_linger(&client, keep_what_was_sent), set_linger(&service, keep_what_was_sent));
    }
}

fn set_linger(stream: &TcpStream, linger: Option<Duration>) -> std::io::Result<()> {
    rustix::net::sockopt::set_socket_linger(stream, linger).map_err(Into::into)
}

async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut link: Link,
    way: Way,
    allowance: &Allowance,
) -> Result<(), Broken> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read.map_err(|_| Broken)?,
            Broken = until_cut(link.clone()) => {
                link.disturb();
                return Err(Broken);
            }
        };
        let piece = &buffer[..read];
        passes(&mut link, way).await?;
        if way == Way::Requests
            && let Some(Fault::AnswerCut { request, after }) = link.fault().await
            && piece.starts_with(request.as_bytes())
        {
            *allowance.lock().expect("no panic under the lock") =
                Some(Allowed { bytes: after, status: None });
        }
        if piece.is_empty() {
            return to.shutdown().await.map_err(|_| Broken);
        }
        let allowed = if way == Way::Answers {
            take(allowance, piece)
        } else {
            Allowed { bytes: piece.len(), status: None }
        };
        to.write_all(&piece[..allowed.bytes]).await.map_err(|_| Broken)?;
        if allowed.bytes < piece.len() {
            link.cut(allowed.status);
            return Err(Broken);
        }
    }
}

/// How many bytes of a piece of an answer may pass, and what the answer says.
fn take(allowance: &Allowance, piece: &[u8]) -> Allowed {
    let mut left = allowance.lock().expect("no panic under the lock");
    let Some(left) = left.as_mut() else { return Allowed { bytes: piece.len(), status: None } };
    left.status = left.status.or_else(|| status_of(piece));
    let taken = piece.len().min(left.bytes);
    left.bytes -= taken;
    Allowed { bytes: taken, status: left.status }
}

/// The status of an answer that starts here: `HTTP/1.1 201 Created`.
fn status_of(piece: &[u8]) -> Option<u16> {
    let digits = piece.strip_prefix(b"HTTP/1.1 ")?.first_chunk::<3>()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

async fn until_cut(mut link: Link) -> Broken {
    while link.fault().await != Some(Fault::Cut) {
        if link.rules.changed().await.is_err() {
            return Broken;
        }
    }
    Broken
}

/// Waits until a piece may go on.
async fn passes(link: &mut Link, way: Way) -> Result<(), Broken> {
    loop {
        let is_held = match link.fault().await {
            None | Some(Fault::AnswerCut { .. }) => false,
            Some(Fault::Cut) => return Err(Broken),
            Some(Fault::Silent) => true,
            Some(Fault::RequestsLost) => way == Way::Requests,
            Some(Fault::AnswersLost) => way == Way::Answers,
            Some(Fault::Delayed(least, most)) => {
                link.disturb();
                tokio::time::sleep(least + most.saturating_sub(least) * part() / 256).await;
                false
            }
        };
        if !is_held {
            return Ok(());
        }
        link.disturb();
        link.rules.changed().await.map_err(|_| Broken)?;
    }
}

/// Numbers from 0 to 255 that look random enough to reorder what goes over different
/// connections.
fn part() -> u32 {
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    let drawn = DRAWN.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    u32::try_from((drawn ^ drawn >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 56)
        .expect("the upper 8 of 64 bits")
}
