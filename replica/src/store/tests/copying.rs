//! A WAL that is damaged in what was copied of it is refused; one that a process or a machine
//! left behind that ended at any moment is not.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::super::checkpoint::copying::{self, Extent, note_of};
use super::super::checkpoint::wal::HEADER_BYTES;
use super::*;

const WAL: &str = "state.sqlite-wal";
const INDEX: &str = "state.sqlite-shm";
const NOTE: &str = "state.sqlite-copying";
const FRAME_BYTES: usize = 24 + 4_096;

/// What a process leaves that is killed: the index of the WAL is of no use to anybody else.
#[derive(Clone)]
struct Left(BTreeMap<&'static str, Vec<u8>>);

impl Left {
    fn of(dir: &Path) -> Self {
        let files = [FILE, WAL, NOTE].map(|name| Some((name, fs::read(dir.join(name)).ok()?)));
        Self(files.into_iter().flatten().collect())
    }

    fn file(&self, name: &str) -> &[u8] {
        &self.0[name]
    }

    /// The same with another file in the place of one.
    fn with(&self, name: &'static str, bytes: &[u8]) -> Self {
        let mut files = self.0.clone();
        files.insert(name, bytes.to_owned());
        Self(files)
    }

    fn without(&self, name: &str) -> Self {
        let mut files = self.0.clone();
        files.remove(name);
        Self(files)
    }

    fn with_flip(&self, name: &'static str, at: usize, bit: u8) -> Self {
        let mut bytes = self.file(name).to_owned();
        bytes[at] ^= 1 << bit;
        self.with(name, &bytes)
    }

    fn put(&self) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in &self.0 {
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        dir
    }

    async fn is_refused(&self, word: &str) {
        let dir = self.put();
        let error = inspect(dir.path(), &name()).await.expect_err(word);
        assert!(
            matches!(&error, OpenError::Damaged { path, what } if path.ends_with(WAL)
                && what.contains(word)),
            "{word}: {error}"
        );
    }

    /// Opened with so many slots; and once more, as it was left the first time.
    async fn has(&self, slots: u64, when: &str) {
        let dir = self.put();
        let store = open(dir.path(), &name(), 1).await;
        let mut store = store.unwrap_or_else(|error| panic!("{when}: {error}"));
        assert_eq!(store.writer.meta().executed_below, Slot(slots), "{when}");
        let again = Self::of(dir.path()).put();
        let found = inspect(again.path(), &name()).await;
        let found = found.unwrap_or_else(|error| panic!("{when}, again: {error}"));
        assert_eq!(found.unwrap().meta.executed_below, Slot(slots), "{when}, again");
        assert!(!again.path().join(NOTE).exists(), "{when}: it was closed");

        execute_and_store(&mut store.writer, vec![entry(slots, &Value::Noop)]).await.unwrap();
        let later = Self::of(dir.path()).put();
        let found = inspect(later.path(), &name()).await;
        let found = found.unwrap_or_else(|error| panic!("{when}, and later: {error}"));
        assert_eq!(found.unwrap().meta.executed_below, Slot(slots + 1), "{when}, and later");
        store.writer.close().await.unwrap();
    }
}

/// A state while it is copied, with four slots in its WAL.
struct Copying {
    /// Nothing is noted of this WAL.
    before: Left,
    /// Two slots are copied, and two are not; so many frames are noted.
    part: Left,
    frames: u32,
    /// Another slot was written behind them.
    longer: Left,
    /// All is copied, and that is noted.
    whole: Left,
    /// The WAL has started over with a sixth slot.
    over: Left,
}

impl Copying {
    async fn carry_out() -> Self {
        let (dir, mut store) = open_new().await;
        // Whoever connects writes something.
        store.checkpointer.copy().await.unwrap();
        let ops = || vec![put("a", &[b'x'; 9_000]), put("b", b"1")];
        let puts = |slot| batch(slot, slot - 1, ops());
        execute_and_store(&mut store.writer, vec![view(0, 1)]).await.unwrap();
        execute_and_store(&mut store.writer, vec![puts(1)]).await.unwrap();
        let mut reader = schema::reader_options(&dir.path().join(FILE)).connect().await.unwrap();
        sqlx::raw_sql("BEGIN; SELECT * FROM meta").execute(&mut reader).await.unwrap();
        execute_and_store(&mut store.writer, vec![puts(2)]).await.unwrap();
        execute_and_store(&mut store.writer, vec![puts(3)]).await.unwrap();
        let before = Left::of(dir.path());
        let copied = store.checkpointer.copy().await.unwrap();
        assert!(matches!(copied, Copied::Part { .. }), "{copied:?}");
        let part = Left::of(dir.path());
        assert_ne!(before.file(FILE), part.file(FILE), "something is copied");
        let (_, noted) = copying::read(&note_of(&dir.path().join(FILE))).unwrap().unwrap();
        assert_eq!(noted.extent, Extent::Part);
        execute_and_store(&mut store.writer, vec![puts(4)]).await.unwrap();
        let longer = Left::of(dir.path());
        reader.close().await.unwrap();
        let copied = store.checkpointer.copy().await.unwrap();
        assert!(matches!(copied, Copied::All { .. }), "{copied:?}");
        let whole = Left::of(dir.path());
        execute_and_store(&mut store.writer, vec![puts(5)]).await.unwrap();
        let over = Left::of(dir.path());
        let header = |left: &Left| left.file(WAL)[..HEADER_BYTES].to_owned();
        assert!(header(&before) == header(&whole) && header(&whole) != header(&over));
        Self { before, part, frames: noted.frames, longer, whole, over }
    }

    /// Where a frame starts, the first of which is 1.
    fn start_of(frame: u32) -> usize {
        HEADER_BYTES + (frame as usize - 1) * FRAME_BYTES
    }
}

#[tokio::test]
async fn a_bit_that_flips_in_a_wal_of_which_something_is_copied_is_refused_by_name() {
    let it = Copying::carry_out().await;
    for frame in 1..=it.frames {
        let start = Copying::start_of(frame);
        // The page's number, the salts, the sum, and the page.
        for (at, bit) in [(3, 0), (9, 7), (20, 3), (24, 1), (24 + 4_095, 5)] {
            let named = format!("frame {frame} ");
            it.part.with_flip(WAL, start + at, bit).is_refused(&named).await;
            it.longer.with_flip(WAL, start + at, bit).is_refused(&named).await;
            // Older pages in the WAL would hide newer ones in the database.
            it.whole.with_flip(WAL, start + at, bit).is_refused(&named).await;
        }
        let cut = &it.part.file(WAL)[..start + 4_000];
        it.part.with(WAL, cut).is_refused(&format!("frame {frame} ")).await;
    }
    for at in 0..HEADER_BYTES {
        let damaged = it.part.with_flip(WAL, at, (at % 8) as u8);
        damaged.is_refused("its header is not what was written").await;
        it.part.with(WAL, &it.part.file(WAL)[..at]).is_refused("its header").await;
    }
    it.part.without(WAL).with(INDEX, b"").is_refused("it is gone").await;
}

#[tokio::test]
async fn what_is_wrong_with_a_wal_is_told_by_a_start_and_without_one_and_stays() {
    let it = Copying::carry_out().await;
    let dir = it.part.with_flip(WAL, Copying::start_of(2) + 100, 0).put();
    let before = Left::of(dir.path()).0;
    for _ in 0..2 {
        let error = open(dir.path(), &name(), 1).await.unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }) && !error.is_misconfiguration());
        let faults = audit(dir.path()).await.unwrap().unwrap().faults;
        assert_eq!(faults[0], error.to_string());
        assert!(faults[0].contains(WAL) && faults[0].contains("frame 2 "), "{faults:?}");
    }
    assert_eq!(Left::of(dir.path()).0, before, "nothing was changed");
}

#[tokio::test]
async fn a_process_that_ends_at_any_step_of_copying_goes_on_where_it_was() {
    const PAGE: usize = 4_096;
    let it = Copying::carry_out().await;
    it.before.has(4, "before anything is noted").await;
    it.before.with(NOTE, it.part.file(NOTE)).has(4, "before anything is copied").await;
    it.before.with(NOTE, b"").has(4, "while the note is made").await;
    it.before.without(NOTE).has(4, "without a note").await;
    // Pages are copied in their order; the disk has them in any.
    let (old, new) = (it.before.file(FILE), it.whole.file(FILE));
    for copied in 0..new.len() / PAGE {
        for is_rest in [false, true] {
            let mut mixed = old.to_owned();
            mixed.resize(new.len().max(old.len()), 0);
            let first = ..copied * PAGE;
            let rest = copied * PAGE..new.len();
            if is_rest {
                mixed[rest.clone()].copy_from_slice(&new[rest]);
            } else {
                mixed[first].copy_from_slice(&new[first]);
            }
            let when = format!("with {copied} pages copied, {is_rest}");
            let part = it.whole.with(FILE, &mixed);
            let note = it.longer.file(NOTE);
            part.with(NOTE, note).has(5, &when).await;
        }
    }
    it.part.has(4, "with some of it copied").await;
    it.longer.has(5, "with frames behind the note").await;
    it.whole.with(NOTE, it.longer.file(NOTE)).has(5, "before it is noted that all is").await;
    it.whole.has(5, "once all is copied").await;
}

#[tokio::test]
async fn a_wal_that_is_lost_behind_what_was_copied_is_shorter_and_not_refused() {
    let it = Copying::carry_out().await;
    let end = Copying::start_of(it.frames + 1);
    let wal = it.longer.file(WAL);
    for cut in [0, 10, 24, 4_000, FRAME_BYTES] {
        it.longer.with(WAL, &wal[..end + cut]).has(4, &format!("cut {cut} bytes behind it")).await;
        let mut garbage = wal.to_owned();
        garbage[end + cut..][..200].fill(0xa5);
        it.longer.with(WAL, &garbage).has(4, &format!("garbage {cut} bytes behind it")).await;
    }
}

#[tokio::test]
async fn a_wal_that_starts_over_or_is_gone_once_all_is_copied_is_not_refused() {
    let it = Copying::carry_out().await;
    for note in [it.whole.file(NOTE), it.longer.file(NOTE)] {
        it.over.with(NOTE, note).has(6, "a WAL that has started over").await;
        // The header is synced before any frame is written.
        let mut begun = it.whole.file(WAL).to_owned();
        begun[..HEADER_BYTES].copy_from_slice(&it.over.file(WAL)[..HEADER_BYTES]);
        it.whole.with(WAL, &begun).with(NOTE, note).has(5, "only its header").await;
        it.whole.without(WAL).with(NOTE, note).has(5, "closed by the last one").await;
    }
    for at in (0..HEADER_BYTES).step_by(3) {
        let mut torn = it.whole.file(WAL).to_owned();
        torn[..at].copy_from_slice(&it.over.file(WAL)[..at]);
        it.whole.with(WAL, &torn).has(5, &format!("{at} bytes of the next header")).await;
        let flipped = it.whole.with_flip(WAL, at, 0);
        flipped.has(5, &format!("a bit of byte {at} of its header flipped")).await;
        let short = &it.over.file(WAL)[..at];
        it.whole.with(WAL, short).has(5, &format!("{at} bytes of the first header")).await;
    }
}

#[tokio::test]
async fn a_note_that_rots_refuses_nothing() {
    let it = Copying::carry_out().await;
    let length = it.longer.file(NOTE).len();
    for at in (0..length).step_by(293) {
        let rotten = it.longer.with_flip(NOTE, at, 2);
        rotten.has(5, &format!("a bit of byte {at} of the note flipped")).await;
        let cut = it.longer.with(NOTE, &it.longer.file(NOTE)[..at]);
        cut.has(5, &format!("a note of {at} bytes")).await;
    }
}

#[tokio::test]
async fn no_more_is_ever_copied_than_is_noted_however_much_is_written_meanwhile() {
    let (dir, mut store) = open_new().await;
    let path = dir.path().join(FILE);
    execute_and_store(&mut store.writer, vec![view(0, 1)]).await.unwrap();
    let mut looks = schema::writer_options(&path).connect().await.unwrap();
    for n in 0..60 {
        let run = vec![batch(n + 1, n, vec![put("a", &vec![b'x'; 1_000 << (n % 9)])])];
        let (executed, copied) =
            tokio::join!(execute_and_store(&mut store.writer, run), store.checkpointer.copy());
        executed.unwrap();
        // Nobody else reads. Whoever looks while a writer is about to change the header of the
        // WAL's index is told to come again, and has copied nothing.
        let is_well = matches!(copied, Ok(Copied::All { .. }) | Err(StoreError::Busy(_)));
        assert!(is_well, "{copied:?}");
        let row = sqlx::query("PRAGMA wal_checkpoint(NOOP)").fetch_one(&mut looks).await.unwrap();
        let copied: i64 = row.get(2);
        let (_, noted) = copying::read(&note_of(&path)).unwrap().unwrap();
        let wal: PathBuf = dir.path().join(WAL);
        let is_of_it = fs::read(wal).unwrap().starts_with(noted.wal.bytes());
        assert!(
            copied == 0 || (is_of_it && i64::from(noted.frames) >= copied),
            "{copied} frames are copied, and noted is {noted:?}"
        );
    }
}

#[tokio::test]
async fn what_was_adopted_takes_the_place_of_a_state_whose_wal_is_damaged() {
    let it = Copying::carry_out().await;
    let whole = it.before.put();
    inspect(whole.path(), &name()).await.unwrap();
    let damaged = it.longer.with_flip(WAL, Copying::start_of(1) + 100, 0).put();
    fs::copy(whole.path().join(FILE), damaged.path().join("next.sqlite")).unwrap();
    let store = open(damaged.path(), &name(), 1).await.unwrap();
    assert_eq!(store.writer.meta().executed_below, Slot(4));
    store.writer.close().await.unwrap();
    // And not that of one that has come further, of which nothing is copied by looking.
    let further = it.longer.put();
    fs::copy(whole.path().join(FILE), further.path().join("next.sqlite")).unwrap();
    let before = Left::of(further.path());
    assert!(!install::finish(further.path()).unwrap());
    assert_eq!(Left::of(further.path()).0, before.0);
    assert!(!further.path().join("next.sqlite-wal").exists());
    let kept = inspect(further.path(), &name()).await.unwrap().unwrap();
    assert_eq!(kept.meta.executed_below, Slot(5));
}
