//! Which snapshots there are: files in a folder of their own, made one at a time, few at
//! once, and each gone a while after it was last of use.
//!
//! A client costs a disk as much as the state is long, and can ask again and again. So
//! [`MAKING`] is made at once, [`KEPT`] are there at once, and whoever asks while nothing
//! has changed gets the one that is there.
#![expect(clippy::disallowed_methods, reason = "the shell starts tasks and reads clocks")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rustix::process::nice;
use shared::ids::{Name, Revision, Slot};
use shared::random;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

use super::file::beside;
use super::make::{Made, MakeError, make};

/// So many are made at once.
pub(crate) const MAKING: usize = 1;
/// So many files are there at once, those included that are still being sent.
pub(crate) const KEPT: usize = 2;
/// How long one is kept after somebody was last sent of it: who was cut off comes again
/// before.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(600);

/// The folder in the data directory.
const FOLDER: &str = "snapshots";
/// Whatever else is to be done goes first.
const NICENESS: i32 = 10;

/// Which snapshot: at which replica, and a number drawn for it. As an entity tag it is
/// `"NAME.NUMBER"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    /// The replica that has it.
    pub(crate) replica: Name,
    number: u64,
}

impl Tag {
    /// As an entity tag, in quotation marks.
    pub(crate) fn etag(&self) -> String {
        format!("\"{}.{:016x}\"", self.replica, self.number)
    }

    /// Of an entity tag that is one of ours.
    pub(crate) fn read(etag: &str) -> Option<Self> {
        let (replica, number) = etag.strip_prefix('"')?.strip_suffix('"')?.split_once('.')?;
        let tag =
            Self { replica: replica.parse().ok()?, number: u64::from_str_radix(number, 16).ok()? };
        (tag.etag() == etag).then_some(tag)
    }
}

/// A snapshot; its file is removed with the last who holds it.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) tag: Tag,
    pub(crate) path: PathBuf,
    pub(crate) made: Made,
    asked_for: Mutex<Instant>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Why there is none to be had.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum NoSnapshot {
    /// See [`MAKING`].
    #[error("{MAKING} snapshot is made at once, and one is being made")]
    BeingMade,
    /// See [`KEPT`].
    #[error("{KEPT} snapshots are kept at once, and all are being sent")]
    AllSent,
    /// It was tried.
    #[error(transparent)]
    NotMade(#[from] MakeError),
    /// The replica ends.
    #[error("the replica is shutting down")]
    Closed,
}

/// All snapshots of a replica.
#[derive(Debug)]
pub(crate) struct Shelf {
    replica: Name,
    state: PathBuf,
    folder: PathBuf,
    making: Arc<Semaphore>,
    files: Mutex<Files>,
}

#[derive(Debug, Default)]
struct Files {
    /// Those that may be asked for, oldest first.
    kept: Vec<Arc<Kept>>,
    /// All whose files are there.
    all: Vec<Weak<Kept>>,
}

impl Files {
    /// Makes room for one more: the oldest that nobody is being sent goes.
    fn make_room(&mut self) -> Result<(), NoSnapshot> {
        self.all.retain(|kept| kept.strong_count() > 0);
        while self.all.len() >= KEPT {
            let unused = self.kept.iter().position(|kept| Arc::strong_count(kept) == 1);
            let Some(unused) = unused else { return Err(NoSnapshot::AllSent) };
            self.kept.remove(unused);
            self.all.retain(|kept| kept.strong_count() > 0);
        }
        Ok(())
    }
}

impl Shelf {
    /// The shelf of a state in a data directory. What a former life left there is removed.
    pub(crate) fn new(replica: &Name, dir: &Path, state: &Path) -> Arc<Self> {
        let folder = dir.join(FOLDER);
        if let Err(error) = fs::remove_dir_all(&folder)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(folder = %folder.display(), %error, "old snapshots stay");
        }
        Arc::new(Self {
            replica: replica.clone(),
            state: state.to_owned(),
            folder,
            making: Arc::new(Semaphore::new(MAKING)),
            files: Mutex::default(),
        })
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one with this tag, if it is still there.
    pub(crate) fn tagged(&self, tag: &Tag) -> Option<Arc<Kept>> {
        let found = self.files().kept.iter().find(|kept| kept.tag == *tag).cloned();
        found.inspect(|kept| kept.touch())
    }

    /// One in which all slots below are executed, and what made the present revision: the
    /// newest, if it is such, or a new one.
    pub(crate) async fn of(
        self: &Arc<Self>,
        below: Slot,
        present: Revision,
    ) -> Result<Arc<Kept>, NoSnapshot> {
        let newest = self.files().kept.last().cloned();
        if let Some(kept) =
            newest.filter(|kept| kept.made.executed_below >= below && kept.made.revision >= present)
        {
            kept.touch();
            return Ok(kept);
        }
        let permit = Arc::clone(&self.making).try_acquire_owned();
        let permit = permit.map_err(|_| NoSnapshot::BeingMade)?;
        self.files().make_room()?;
        let (reply, made) = oneshot::channel();
        let (shelf, runtime) = (Arc::clone(self), tokio::runtime::Handle::current());
        // Not among the tasks that block: it takes long, and at a lower priority.
        let thread = std::thread::Builder::new().name("snapshot".to_owned());
        let spawned = thread.spawn(move || {
            let _enter = runtime.enter();
            // Whoever asked may have gone: it is kept for when they come again.
            let _gone = reply.send(shelf.make(permit));
        });
        spawned.map_err(MakeError::from)?;
        made.await.map_err(|_| NoSnapshot::Closed)?
    }

    fn make(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Result<Arc<Kept>, NoSnapshot> {
        if let Err(error) = nice(NICENESS) {
            tracing::debug!(%error, "a snapshot is made at the usual priority");
        }
        fs::create_dir_all(&self.folder).map_err(MakeError::from)?;
        let tag = Tag { replica: self.replica.clone(), number: random::nonce() };
        let path = self.folder.join(format!("{:016x}.snapshot", tag.number));
        let made = make(&self.state, &self.replica, &path).inspect_err(|_| remove(&path))?;
        tracing::info!(revision = %made.revision, bytes = made.bytes, "a snapshot is made");
        let kept = Arc::new(Kept { tag, path, made, asked_for: Mutex::new(Instant::now()) });
        let mut files = self.files();
        files.kept.push(Arc::clone(&kept));
        files.all.push(Arc::downgrade(&kept));
        drop(files);
        tokio::spawn(forget(Arc::downgrade(self), Arc::downgrade(&kept)));
        drop(permit);
        Ok(kept)
    }
}

impl Kept {
    /// Somebody asks for it, or is being sent it.
    pub(crate) fn touch(&self) {
        *self.asked_for.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn expires_at(&self) -> Instant {
        *self.asked_for.lock().unwrap_or_else(PoisonError::into_inner) + KEPT_FOR
    }
}

/// Takes one off the shelf once nobody has asked for it for long.
async fn forget(shelf: Weak<Shelf>, kept: Weak<Kept>) {
    while let Some(at) = kept.upgrade().map(|kept| kept.expires_at()) {
        if at > Instant::now() {
            tokio::time::sleep_until(at).await;
        } else if let (Some(shelf), Some(kept)) = (shelf.upgrade(), kept.upgrade()) {
            shelf.files().kept.retain(|other| other.tag != kept.tag);
            return;
        }
    }
}

fn remove(path: &Path) {
    // SQLite may have been about to write what it has beside it.
    for file in [path.to_owned()].into_iter().chain(beside(path)) {
        if let Err(error) = fs::remove_file(&file)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(file = %path.display(), %error, "a snapshot's file stays");
        }
    }
}
