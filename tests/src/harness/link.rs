//! One connection through a proxy of the [`network`](super::network).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use shared::mux;
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
pub(super) struct Allowed {
    /// How many more bytes of it pass.
    pub(super) bytes: usize,
    /// What it says, once its first piece is here.
    pub(super) status: Option<u16>,
}

/// Which answers are to be cut.
#[derive(Default)]
pub(super) struct Cuts {
    /// The next one, where requests and answers come one after another.
    next: Option<Allowed>,
    /// Where many are under way at once: after how many bytes each.
    frames: BTreeMap<mux::Id, usize>,
    /// Whether many are, from the greeting on.
    is_mux: bool,
}

pub(super) type Allowance = Mutex<Cuts>;

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
    // What of a frame is there already, where there are any.
    let mut frames = BytesMut::new();
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
        if way == Way::Requests {
            look(&link.fault().await, piece, &mut frames, allowance);
        }
        if piece.is_empty() {
            return to.shutdown().await.map_err(|_| Broken);
        }
        let allowed = match way {
            Way::Answers => take(allowance, piece, &mut frames),
            Way::Requests => Allowed { bytes: piece.len(), status: None },
        };
        to.write_all(&piece[..allowed.bytes]).await.map_err(|_| Broken)?;
        if allowed.bytes < piece.len() {
            link.cut(allowed.status);
            return Err(Broken);
        }
    }
}

/// Notes the requests in a piece whose answers are to be cut.
pub(super) fn look(
    fault: &Option<Fault>,
    piece: &[u8],
    frames: &mut BytesMut,
    allowance: &Allowance,
) {
    let mut cuts = allowance.lock().expect("no panic under the lock");
    let wanted = match *fault {
        Some(Fault::AnswerCut { request, after }) => Some((request, after)),
        _ => None,
    };
    if cuts.is_mux {
        frames.extend_from_slice(piece);
        while let Ok(Some(frame)) = mux::take(frames) {
            if let (mux::Frame::Request(id, asked), Some((request, after))) = (frame, wanted)
                && format!("{} {}", asked.method(), asked.uri()).starts_with(request)
            {
                cuts.frames.insert(id, after);
            }
        }
    } else if let Some((request, bytes)) = wanted
        && piece.starts_with(request.as_bytes())
    {
        cuts.next = Some(Allowed { bytes, status: None });
    }
    cuts.is_mux |= piece == mux::PREFACE;
}

/// How many bytes of a piece of answers may pass, and what the answer says that is cut.
pub(super) fn take(allowance: &Allowance, piece: &[u8], frames: &mut BytesMut) -> Allowed {
    let mut cuts = allowance.lock().expect("no panic under the lock");
    if cuts.is_mux && piece != mux::PREFACE {
        return take_frames(&cuts.frames, piece, frames);
    }
    let Some(left) = cuts.next.as_mut() else {
        return Allowed { bytes: piece.len(), status: None };
    };
    left.status = left.status.or_else(|| status_of(piece));
    let taken = piece.len().min(left.bytes);
    left.bytes -= taken;
    Allowed { bytes: taken, status: left.status }
}

/// The same, where many are under way. What comes in several pieces is cut in the last of them,
/// if its cut lies before it.
fn take_frames(cuts: &BTreeMap<mux::Id, usize>, piece: &[u8], frames: &mut BytesMut) -> Allowed {
    let passed = frames.len();
    frames.extend_from_slice(piece);
    let mut position = 0;
    loop {
        let before = frames.len();
        let Ok(Some(frame)) = mux::take(frames) else {
            return Allowed { bytes: piece.len(), status: None };
        };
        let length = before - frames.len();
        if let mux::Frame::Answer(id, answer) = frame
            && let Some(after) = cuts.get(&id)
            && *after < length
        {
            let bytes = (position + after).saturating_sub(passed).min(piece.len() - 1);
            return Allowed { bytes, status: Some(answer.status().as_u16()) };
        }
        position += length;
    }
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
