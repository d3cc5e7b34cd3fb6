//! Which acceptors have followed those of the flags, kept over a restart: a file beside the
//! state, which is read before anybody is asked.
//!
//! It only says whom to ask. What counts is what acceptors answer. Where those in the file
//! have been followed by others while this replica was down, one of them says so, or one of
//! the flags, or one of the other services, which are kept in the file for that alone.
//!
//! A file of its own ([`Known`]) has what nothing follows from: so older programs read the
//! first one, which take none with a field that they do not know.

mod known;

use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shared::bounded;
use shared::config::BaseUrl;
use shared::discovery::Acceptors;
use shared::ids::ClusterId;
use shared::message::{Member, Service, Succession};
use shared::wire::Encoding;
use tokio::sync::watch;

pub(crate) use self::known::Addresses;
use self::known::Known;

/// Its name in the data directory.
const FILE: &str = "acceptors.json";
/// The longest file that is read: two rosters with their addresses, and other services.
/// Bytes.
const MAX_BYTES: u64 = 64 << 10;
/// The most services whose addresses are kept, and the longest address. Bytes.
const MAX_SERVICES: usize = 32;
const MAX_URL_BYTES: usize = 512;
/// After this time a file that could not be written is written again.
const WRITE_AGAIN: Duration = Duration::from_secs(1);

/// What the file says. Fields that newer programs may add mean nothing here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Followed {
    /// Whose.
    cluster: ClusterId,
    /// What made the present acceptors that, unless they formed the cluster.
    succession: Option<Succession>,
    /// Where coordinators and other replicas were heard from last.
    #[serde(deserialize_with = "bounded::list")]
    services: Vec<String>,
}

/// What is remembered of a former life.
#[derive(Debug)]
pub(crate) struct Remembered {
    /// The acceptors to ask.
    pub(crate) acceptors: Acceptors,
    /// Where the replicas were heard of last.
    pub(crate) addresses: Addresses,
}

/// What is known from a former life of the cluster of the state, if that has one.
pub(crate) fn remembered(dir: &Path, own: Option<ClusterId>, flags: Acceptors) -> Remembered {
    let known = Known::read(dir, own);
    let acceptors = followed(dir, own, flags).named(known.acceptors);
    Remembered { acceptors, addresses: known.replicas }
}

/// The acceptors to ask at the start: those that were found last, if they are of the cluster
/// of the state, or else those of the flags.
fn followed(dir: &Path, own: Option<ClusterId>, flags: Acceptors) -> Acceptors {
    let path = dir.join(FILE);
    let followed = match read::<Followed>(&path) {
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
        return Acceptors { beside: services.collect(), ..flags };
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
    Acceptors { beside: left.chain(services).collect(), ..present }
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
        Ok(found) if found.len() > MAX_BYTES => {
            return Err(io::Error::other(format!("it has more than {MAX_BYTES} bytes")));
        }
        Ok(_) => {}
    }
    let bytes = fs::read(path)?;
    let decoded = Encoding::Json.decode::<T>(&bytes);
    decoded.map(Some).map_err(|error| io::Error::other(error.to_string()))
}

/// Keeps the files as new as what is found, and says where the replicas were heard of last.
pub(crate) async fn remember(
    dir: PathBuf,
    mut cluster: watch::Receiver<Option<ClusterId>>,
    mut acceptors: watch::Receiver<Acceptors>,
    mut members: watch::Receiver<Vec<Member>>,
    addresses: watch::Sender<Addresses>,
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
        let members = members.borrow_and_update().clone();
        let replicas = known::addresses_of(&members, &addresses.borrow());
        addresses.send_replace(replicas.clone());
        let followed = Followed { cluster, succession, services: services_of(&members) };
        let files = Some((followed, Known { cluster, acceptors: names, replicas }));
        if files == written {
            continue;
        }
        let (dir, to_write) = (dir.clone(), files.clone());
        let kept = tokio::task::spawn_blocking(move || {
            to_write.map_or(Ok(()), |(followed, known)| {
                write(&dir, FILE, &followed)?;
                write(&dir, known::FILE, &known)
            })
        });
        let kept = kept.await.map_err(io::Error::other).flatten();
        match kept {
            Ok(()) => (written, has_failed) = (files, false),
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

fn write<T: Serialize>(dir: &Path, name: &str, content: &T) -> io::Result<()> {
    let part = dir.join(format!("{name}.part"));
    let mut file = File::create(&part)?;
    file.write_all(&Encoding::Json.encode(content))?;
    file.sync_all()?;
    fs::rename(&part, dir.join(name))?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use shared::client::AcceptorClient;
    use shared::ids::Name;
    use shared::ids::{AcceptorId, Generation, Instance, Slot};
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
        let (addresses, told) = watch::channel(Addresses::new());
        let remembers = remember(dir.clone(), cluster, acceptors, members, addresses);
        let listed_once = Member {
            name: "replica-3".parse().unwrap(),
            service: Service::Replica,
            url: "http://127.0.0.1:3".to_owned(),
            instance: Instance(1),
        };
        let gone = BTreeMap::from([(listed_once.name.clone(), listed_once.url.clone())]);
        listed.send_replace(vec![listed_once]);
        // There is no folder yet, as on a disk that is full.
        let is_written = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            fs::create_dir(&dir).unwrap();
            let kept = || Known::read(&dir, Some(ClusterId(7))).replicas;
            while kept() != gone || read::<Followed>(&dir.join(FILE)).unwrap().is_none() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            // It is listed no more.
            listed.send_replace(Vec::new());
            fs::remove_file(dir.join(FILE)).unwrap();
            while read::<Followed>(&dir.join(FILE)).unwrap().is_none() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert_eq!((kept(), told.borrow().clone()), (gone.clone(), gone.clone()));
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
            let found = remembered(dir.path(), own, flags.clone()).acceptors;
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
        let (cluster, acceptors) = (ClusterId(7), BTreeMap::from(names));
        let first = Followed { cluster, succession: None, services };
        write(dir.path(), FILE, &first).unwrap();
        assert_eq!(asked(Some(cluster)), (of(&[1, 2, 3]), of(&[9]), 0));
        write(dir.path(), FILE, &Followed { succession: Some(succession), ..first }).unwrap();
        assert_eq!(asked(Some(cluster)), (of(&[1, 2, 4]), of(&[3, 9]), 1));
        let replicas = BTreeMap::from([("replica-3".parse().unwrap(), "http://a:1".to_owned())]);
        let known = Known { cluster, acceptors, replicas: replicas.clone() };
        write(dir.path(), known::FILE, &known).unwrap();
        let found = remembered(dir.path(), Some(cluster), flags.clone());
        let named: Vec<&str> = found.acceptors.names.values().map(Name::as_str).collect();
        assert_eq!(named, ["acceptor-2", "acceptor-4"], "3 is none of them any more");
        assert_eq!(found.addresses, replicas);
        let text = fs::read_to_string(dir.path().join(FILE)).unwrap();
        let fields: Vec<String> =
            serde_json::from_str::<BTreeMap<String, serde_json::Value>>(&text)
                .unwrap()
                .into_keys()
                .collect();
        assert_eq!(fields, ["cluster", "services", "succession"], "older programs take no other");
        let newer = text.replacen('{', "{\"later\":1,", 1);
        fs::write(dir.path().join(FILE), newer).unwrap();
        assert_eq!(asked(Some(cluster)), (of(&[1, 2, 4]), of(&[3, 9]), 1), "of a newer one");
        assert_eq!(asked(Some(ClusterId(8))), flags_only, "they are of another cluster");
        assert_eq!(asked(None), flags_only);
        fs::write(dir.path().join(FILE), "{").unwrap();
        assert_eq!(asked(Some(ClusterId(7))), flags_only);
    }
}
