//! Which acceptors have followed those of the flags, and their names, kept over a restart: a
//! file beside the state, which is read before anybody is asked.
//!
//! It only says whom to ask. What counts is what acceptors answer. Where those in the file
//! have been followed by others while this replica was down, one of them says so, or one of
//! the flags, or one of the other services, which are kept in the file for that alone.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::bounded;
use shared::config::BaseUrl;
use shared::discovery::Acceptors;
use shared::ids::{ClusterId, Name};
use shared::message::{Member, Service, Succession};
use shared::wire::Encoding;
use tokio::sync::watch;

/// Its name in the data directory.
const FILE: &str = "acceptors.json";
/// While it is written.
const PART: &str = "acceptors.json.part";
/// The longest one that is read: two rosters with their addresses, and other services.
/// Bytes.
const MAX_BYTES: u64 = 64 << 10;
/// The most services whose addresses are kept, and the longest address. Bytes.
const MAX_SERVICES: usize = 32;
const MAX_URL_BYTES: usize = 512;
/// After this time a file that could not be written is written again.
const WRITE_AGAIN: Duration = Duration::from_secs(1);

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Followed {
    /// Whose.
    cluster: ClusterId,
    /// What made the present acceptors that, unless they formed the cluster.
    succession: Option<Succession>,
    /// Where coordinators and other replicas were heard from last.
    #[serde(deserialize_with = "bounded::list")]
    services: Vec<String>,
    /// The names of the acceptors, by their addresses. Older programs wrote none.
    #[serde(default)]
    names: BTreeMap<String, Name>,
}

/// The acceptors to ask at the start: those that were found last, if they are of the cluster
/// of the state, or else those of the flags.
pub(crate) fn remembered(dir: &Path, own: Option<ClusterId>, flags: Acceptors) -> Acceptors {
    let path = dir.join(FILE);
    let followed = match read(&path) {
        Ok(None) => return flags,
        Ok(Some(followed)) => followed,
        Err(error) => {
            tracing::warn!(file = %path.display(), %error, "is not read: the acceptors of the flags are asked");
            return flags;
        }
    };
    if own != Some(followed.cluster) {
        return flags;
    }
    let services = followed.services.iter().filter_map(|url| url.parse().ok());
    let present = followed.succession.and_then(|succession| flags.succeeded_by(&succession));
    let Some(present) = present else {
        return Acceptors { beside: services.collect(), ..flags }.named(followed.names);
    };
    let urls = |acceptors: &Acceptors| -> Vec<BaseUrl> {
        acceptors.clients.iter().map(|client| client.url().clone()).collect()
    };
    let (kept, of_flags) = (urls(&present), urls(&flags));
    if of_flags.iter().any(|url| !kept.contains(url)) {
        tracing::warn!(
            file = %path.display(),
            generation = %present.generation(),
            acceptors = kept.iter().map(BaseUrl::as_str).collect::<Vec<_>>().join(","),
            "other acceptors have followed those of --acceptors: these are asked, and \
             --acceptors should name them"
        );
    }
    let left = of_flags.into_iter().filter(|url| !kept.contains(url));
    Acceptors { beside: left.chain(services).collect(), ..present }.named(followed.names)
}

fn read(path: &Path) -> io::Result<Option<Followed>> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
        Ok(found) if found.len() > MAX_BYTES => {
            return Err(io::Error::other(format!("it has more than {MAX_BYTES} bytes")));
        }
        Ok(_) => {}
    }
    let bytes = fs::read(path)?;
    let decoded = Encoding::Json.decode::<Followed>(&bytes);
    decoded.map(Some).map_err(|error| io::Error::other(error.to_string()))
}

/// Keeps the file as new as what is found.
pub(crate) async fn remember(
    dir: PathBuf,
    mut cluster: watch::Receiver<Option<ClusterId>>,
    mut acceptors: watch::Receiver<Acceptors>,
    mut members: watch::Receiver<Vec<Member>>,
) -> Infallible {
    let (mut written, mut has_failed) = (None, false);
    loop {
        tokio::select! {
            Ok(()) = cluster.changed() => {}
            Ok(()) = acceptors.changed() => {}
            Ok(()) = members.changed() => {}
            () = tokio::time::sleep(WRITE_AGAIN), if has_failed => {}
            else => std::future::pending().await,
        }
        let Some(cluster) = *cluster.borrow_and_update() else { continue };
        let Acceptors { succession, names, .. } = acceptors.borrow_and_update().clone();
        let services = services_of(&members.borrow_and_update());
        let followed = Some(Followed { cluster, succession, services, names });
        if followed == written {
            continue;
        }
        let (dir, file) = (dir.clone(), followed.clone());
        let kept =
            tokio::task::spawn_blocking(move || file.map_or(Ok(()), |file| write(&dir, &file)));
        let kept = kept.await.map_err(io::Error::other).flatten();
        match kept {
            Ok(()) => (written, has_failed) = (followed, false),
            // Until it is written, the next life asks those of the flags.
            Err(error) => {
                if !has_failed {
                    tracing::warn!(%error, "which acceptors have followed is not kept over a restart");
                }
                has_failed = true;
            }
        }
    }
}

fn services_of(members: &[Member]) -> Vec<String> {
    let knows = |member: &&Member| {
        matches!(member.service, Service::Coordinator | Service::Replica)
            && member.url.len() <= MAX_URL_BYTES
    };
    members.iter().filter(knows).map(|member| member.url.clone()).take(MAX_SERVICES).collect()
}

fn write(dir: &Path, followed: &Followed) -> io::Result<()> {
    let part = dir.join(PART);
    let mut file = File::create(&part)?;
    file.write_all(&Encoding::Json.encode(followed))?;
    file.sync_all()?;
    fs::rename(&part, dir.join(FILE))?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use shared::client::AcceptorClient;
    use shared::ids::{AcceptorId, Generation, Slot};
    use shared::message::{Roster, Seated};

    use super::*;

    fn seated(generation: u64, ids: &[u64]) -> Seated {
        let acceptors = ids.iter().copied().map(AcceptorId).collect();
        Seated {
            roster: Roster::new(ClusterId(7), Generation(generation), acceptors).unwrap(),
            urls: ids.iter().map(|id| format!("http://127.0.0.1:{id}")).collect(),
        }
    }

    #[tokio::test]
    async fn what_could_not_be_written_is_written_once_it_can_be() {
        let above = tempfile::tempdir().unwrap();
        let dir = above.path().join("data");
        let (_cluster, cluster) = watch::channel(Some(ClusterId(7)));
        let (_acceptors, acceptors) = watch::channel(Acceptors::configured(&[]));
        let (listed, members) = watch::channel(Vec::new());
        let remembers = remember(dir.clone(), cluster, acceptors, members);
        listed.send_replace(Vec::new());
        // There is no folder yet, as on a disk that is full.
        let is_written = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            fs::create_dir(&dir).unwrap();
            while read(&dir.join(FILE)).unwrap().is_none() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            never = remembers => match never {},
            written = tokio::time::timeout(10 * WRITE_AGAIN, is_written) => written.unwrap(),
        }
    }

    #[test]
    fn the_next_life_asks_those_that_followed_and_beside_them_those_who_may_know_better() {
        let dir = tempfile::tempdir().unwrap();
        let client =
            |port: u64| AcceptorClient::new(format!("http://127.0.0.1:{port}").parse().unwrap());
        let flags = Acceptors::configured(&[client(1), client(2), client(3)]);
        let asked = |own| {
            let found = remembered(dir.path(), own, flags.clone());
            let clients = found.clients.iter().map(|client| client.url().authority().to_owned());
            let beside = found.beside.iter().map(|url| url.authority().to_owned());
            (clients.collect::<Vec<_>>(), beside.collect::<Vec<_>>(), found.generation().0)
        };
        let of = |ports: &[u64]| -> Vec<String> {
            ports.iter().map(|port| format!("127.0.0.1:{port}")).collect()
        };
        let flags_only = (of(&[1, 2, 3]), of(&[]), 0);
        assert_eq!(asked(Some(ClusterId(7))), flags_only);
        let succession =
            Succession::new(seated(0, &[1, 2, 3]), seated(1, &[1, 2, 4]), Slot(9)).unwrap();
        let services = vec!["http://127.0.0.1:9".to_owned()];
        let names = [2, 3, 4].map(|port| {
            (format!("http://127.0.0.1:{port}"), format!("acceptor-{port}").parse().unwrap())
        });
        let names = BTreeMap::from(names);
        let first = Followed { cluster: ClusterId(7), succession: None, services, names };
        write(dir.path(), &first).unwrap();
        assert_eq!(asked(Some(ClusterId(7))), (of(&[1, 2, 3]), of(&[9]), 0));
        write(dir.path(), &Followed { succession: Some(succession), ..first }).unwrap();
        assert_eq!(asked(Some(ClusterId(7))), (of(&[1, 2, 4]), of(&[3, 9]), 1));
        let found = remembered(dir.path(), Some(ClusterId(7)), flags.clone());
        let named: Vec<&str> = found.names.values().map(Name::as_str).collect();
        assert_eq!(named, ["acceptor-2", "acceptor-4"], "3 is none of them any more");
        let text = fs::read_to_string(dir.path().join(FILE)).unwrap();
        let (older, _) = text.split_once(",\"names\"").unwrap();
        fs::write(dir.path().join(FILE), format!("{older}}}")).unwrap();
        assert_eq!(asked(Some(ClusterId(7))), (of(&[1, 2, 4]), of(&[3, 9]), 1), "an older one");
        assert_eq!(asked(Some(ClusterId(8))), flags_only, "they are of another cluster");
        assert_eq!(asked(None), flags_only);
        fs::write(dir.path().join(FILE), "{").unwrap();
        assert_eq!(asked(Some(ClusterId(7))), flags_only);
    }
}
