//! Which processes have ended, as their connections show.
//!
//! However a process ends, its kernel closes its connections at once. So whoever wants to
//! hear of it keeps a connection open to each member, on which nothing is said. When that
//! breaks, and nobody takes another one at the same address, that life of the process is
//! over. A process that only hangs keeps its connections, and its kernel takes new ones.
//!
//! It is a hint, for those who would otherwise wait for a silence to grow long: a network
//! may break connections, too, and a process that ended behind a proxy is not seen.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::base_url::BaseUrl;
use crate::client::{CONNECT_TIMEOUT, connect};
use crate::ids::{Instance, Name};
use crate::message::Member;

/// A connection is replaced after so long: sooner than the other side would give up one on
/// which no request comes.
const RENEWED_AFTER: Duration = Duration::from_secs(5);
/// After one broke, so long is tried whether anybody takes another. A kernel does within a
/// round trip, be its processes as slow as they may …
const AGAIN_WITHIN: Duration = Duration::from_millis(100);
/// … but what it is sent may be lost, or its queue be full: so often.
const ATTEMPTS: u32 = 3;
/// Before the next attempt where none can be had, or several broke right after they were
/// made.
const PAUSE: Duration = Duration::from_secs(1);
/// So many.
const BRIEF_IN_A_ROW: u32 = 3;
/// Members that are followed at most.
const FOLLOWED: usize = 128;

/// Ends of processes that wait to be taken up.
const TOLD: usize = FOLLOWED;

/// Follows all members that `wanted` names, until `shutdown`, and tells which lives of them
/// are over: each once.
pub fn follow(
    members: watch::Receiver<Vec<Member>>,
    wanted: impl Fn(&Member) -> bool + Send + 'static,
    shutdown: CancellationToken,
) -> mpsc::Receiver<Instance> {
    let (sender, ended) = mpsc::channel(TOLD);
    tokio::spawn(async move {
        shutdown.run_until_cancelled(follow_all(members, wanted, sender)).await;
    });
    ended
}

/// Those that are followed; none of them is when this goes.
#[derive(Debug, Default)]
struct Followers(BTreeMap<(Name, Instance), AbortHandle>);

impl Drop for Followers {
    fn drop(&mut self) {
        self.0.values().for_each(AbortHandle::abort);
    }
}

async fn follow_all(
    mut members: watch::Receiver<Vec<Member>>,
    wanted: impl Fn(&Member) -> bool,
    ended: mpsc::Sender<Instance>,
) {
    let mut followers = Followers::default();
    loop {
        let present: BTreeMap<(Name, Instance), String> = members
            .borrow_and_update()
            .iter()
            .filter(|member| wanted(member))
            .map(|member| ((member.name.clone(), member.instance), member.url.clone()))
            .collect();
        followers.0.retain(|life, follower| {
            let stays = present.contains_key(life);
            if !stays {
                follower.abort();
            }
            stays
        });
        for ((name, instance), url) in present {
            let life = (name, instance);
            if followers.0.len() >= FOLLOWED || followers.0.contains_key(&life) {
                continue;
            }
            let Ok(url) = url.parse::<BaseUrl>() else { continue };
            let (ended, followed) = (ended.clone(), life.clone());
            let task = tokio::spawn(async move {
                until_ended(&url).await;
                tracing::info!("{} at {url} has ended", life.0);
                // Where nobody listens any more, nobody needs to know.
                let _ = ended.send(instance).await;
            });
            followers.0.insert(followed, task.abort_handle());
        }
        if members.changed().await.is_err() {
            return;
        }
    }
}

/// Returns when a process that was there is no longer.
async fn until_ended(url: &BaseUrl) {
    let mut connected: Option<(TcpStream, SocketAddr)> = None;
    let mut brief = 0;
    loop {
        let Some((mut stream, address)) = connected.take() else {
            match first(url).await {
                Ok(first) => connected = Some(first),
                Err(_) => sleep(PAUSE).await,
            }
            continue;
        };
        let since = Instant::now();
        if timeout(RENEWED_AFTER, closed(&mut stream)).await.is_err() {
            // It lasts: another one takes its place, or else it stays.
            let next = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
            let stream = next.ok().and_then(Result::ok).unwrap_or(stream);
            connected = Some((stream, address));
            continue;
        }
        match again(address).await {
            Again::Taken(stream) => connected = Some((stream, address)),
            Again::Unknown => sleep(PAUSE).await,
            Again::NobodyThere => return,
        }
        // A process that ends closes one after the other: what it was listening on, too.
        brief = if since.elapsed() < PAUSE { brief + 1 } else { 0 };
        if brief > BRIEF_IN_A_ROW {
            sleep(PAUSE).await;
        }
    }
}

/// Whether somebody is still there after a connection broke.
enum Again {
    /// Another one was taken.
    Taken(TcpStream),
    /// It was refused, or none could be had in several attempts.
    NobodyThere,
    /// It failed for want of something here.
    Unknown,
}

async fn again(address: SocketAddr) -> Again {
    for _ in 0..ATTEMPTS {
        match timeout(AGAIN_WITHIN, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Again::Taken(stream),
            Ok(Err(error)) if is_own(&error) => return Again::Unknown,
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => break,
            Ok(Err(_)) => sleep(AGAIN_WITHIN).await,
            Err(_late) => {}
        }
    }
    Again::NobodyThere
}

/// The first connection, and to where the next ones go.
async fn first(url: &BaseUrl) -> io::Result<(TcpStream, SocketAddr)> {
    let stream = connect(url.authority(), CONNECT_TIMEOUT).await?;
    let address = stream.peer_addr()?;
    Ok((stream, address))
}

/// Returns when the other side ends the connection, or says something: it was asked
/// nothing.
async fn closed(stream: &mut TcpStream) {
    let _ = stream.read(&mut [0; 1]).await;
}

/// Whether a connection failed for want of something here.
fn is_own(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let own = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::ADDRNOTAVAIL];
    own.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::message::Service;

    fn member(address: SocketAddr) -> Member {
        Member {
            name: "replica-1".parse().unwrap(),
            service: Service::Replica,
            url: format!("http://{address}"),
            instance: Instance(7),
        }
    }

    async fn listening() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// Follows that one member.
    fn following(
        address: SocketAddr,
    ) -> (mpsc::Receiver<Instance>, watch::Sender<Vec<Member>>, CancellationToken) {
        let (members, known) = watch::channel(vec![member(address)]);
        let shutdown = CancellationToken::new();
        (follow(known, |_| true, shutdown.clone()), members, shutdown)
    }

    #[tokio::test]
    async fn a_process_whose_connection_breaks_and_that_takes_none_has_ended() {
        let (listener, address) = listening().await;
        let (mut ended, _members, _shutdown) = following(address);
        let (stream, _) = listener.accept().await.unwrap();
        drop(listener);
        drop(stream);
        assert_eq!(ended.recv().await, Some(Instance(7)));
    }

    #[tokio::test]
    async fn a_process_that_ends_may_seem_to_take_another_connection() {
        let (listener, address) = listening().await;
        let (mut ended, _members, _shutdown) = following(address);
        drop(listener.accept().await.unwrap());
        let (stream, _) = listener.accept().await.unwrap();
        drop(listener);
        drop(stream);
        assert_eq!(timeout(PAUSE / 2, ended.recv()).await, Ok(Some(Instance(7))), "at once");
    }

    #[tokio::test]
    async fn a_process_that_takes_another_connection_goes_on() {
        let (listener, address) = listening().await;
        let (mut ended, _members, _shutdown) = following(address);
        for _ in 0..3 {
            drop(listener.accept().await.unwrap());
        }
        assert!(ended.try_recv().is_err());
    }

    #[tokio::test]
    async fn of_a_process_that_was_never_reached_nothing_is_said() {
        let (listener, address) = listening().await;
        drop(listener);
        let (mut ended, _members, shutdown) = following(address);
        assert!(timeout(2 * AGAIN_WITHIN, ended.recv()).await.is_err());
        shutdown.cancel();
        assert_eq!(ended.recv().await, None);
    }

    #[tokio::test]
    async fn who_is_no_member_any_more_is_not_followed() {
        let (listener, address) = listening().await;
        let (mut ended, members, _shutdown) = following(address);
        let (mut stream, _) = listener.accept().await.unwrap();
        members.send_replace(Vec::new());
        closed(&mut stream).await;
        drop((listener, stream));
        drop(members);
        assert_eq!(ended.recv().await, None);
    }
}
