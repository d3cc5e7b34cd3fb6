//! Snapshots of a real state: what is refused, what is restored, and what is found on disk.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use super::*;
use crate::snapshot::file::{SnapshotError, check};
use crate::snapshot::make;

/// A state with two versions of a key and a value that fills pages; and a snapshot of it,
/// made while it is open.
async fn snapped() -> (TempDir, PathBuf, Meta) {
    let (dir, mut store) = open_new().await;
    let ops = vec![put("a", b"1"), put("p/b", &[b'x'; 9_000]), put("a", b"2")];
    let entries = vec![view(0, 1), batch(1, 0, ops), batch(2, 1, vec![put("c", b"")])];
    execute_and_store(&mut store.writer, entries).await.unwrap();
    store.writer.join(ClusterId(7), Slot(0)).await.unwrap();
    let file = dir.path().join("one.snapshot");
    let made = make(&dir.path().join(FILE), &name(), &file).unwrap();
    let meta = store.writer.meta().clone();
    assert_eq!((made.revision, made.executed_below), (meta.revision, meta.executed_below));
    assert_eq!(made.bytes, fs::metadata(&file).unwrap().len());
    store.writer.close().await.unwrap();
    (dir, file, meta)
}

/// The same, with these bytes in place of it.
fn with(dir: &Path, bytes: &[u8]) -> PathBuf {
    let path = dir.join("other.snapshot");
    fs::write(&path, bytes).unwrap();
    path
}

#[tokio::test]
async fn a_snapshot_says_what_it_is_of() {
    let (_dir, file, meta) = snapped().await;
    let contents = check(&file).unwrap();
    assert_eq!(contents.cluster.as_deref(), Some("0000000000000007"));
    assert_eq!(contents.replica, "replica-1");
    assert_eq!((contents.revision, contents.executed_below), (meta.revision, meta.executed_below));
    assert_eq!((contents.epoch, contents.hash), (meta.epoch(), meta.hash.to_string()));
}

#[tokio::test]
async fn a_snapshot_that_is_cut_short_is_refused() {
    let (dir, file, _) = snapped().await;
    let whole = fs::read(&file).unwrap();
    for bytes in [0, 1, 16, 99, 100, 4_096, whole.len() / 2, whole.len() - 4_096, whole.len() - 1] {
        let error = check(&with(dir.path(), &whole[..bytes])).unwrap_err();
        assert!(matches!(error, SnapshotError::Damaged { .. }), "{bytes} bytes: {error}");
    }
    let longer = [&whole[..], b"\0"].concat();
    let error = check(&with(dir.path(), &longer)).unwrap_err();
    assert!(matches!(error, SnapshotError::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn a_snapshot_with_one_byte_changed_is_refused_wherever_it_is() {
    let (dir, file, _) = snapped().await;
    let whole = fs::read(&file).unwrap();
    let every = (0..whole.len()).step_by(211).chain(whole.len() - 4_096..whole.len() - 3_980);
    let changed = with(dir.path(), &whole);
    let open = fs::File::options().write(true).open(&changed).unwrap();
    for at in every {
        open.write_all_at(&[whole[at] ^ 0x01], at as u64).unwrap();
        let refused = check(&changed);
        assert!(refused.is_err(), "byte {at}: {refused:?}");
        open.write_all_at(&[whole[at]], at as u64).unwrap();
    }
    check(&changed).expect("it is what it was");
}

#[tokio::test]
async fn what_never_was_a_snapshot_is_refused_as_such() {
    let (dir, file, _) = snapped().await;
    let other = dir.path().join("other.sqlite");
    let connection = rusqlite::Connection::open(&other).unwrap();
    connection.execute_batch("CREATE TABLE snapshot(format INTEGER)").unwrap();
    drop(connection);
    let text =
        with(dir.path(), b"-- a text that is long enough to be something\n".repeat(99).as_slice());
    for (path, word) in [
        (text, "is no SQLite file"),
        (other, "of something else (application_id 0x00000000"),
        (dir.path().join(FILE), "of something else (application_id 0x53796e72"),
    ] {
        let error = check(&path).unwrap_err();
        let is_foreign = matches!(error, SnapshotError::Foreign { .. });
        assert!(is_foreign && error.to_string().contains(word), "{error}");
    }
    let missing = check(&dir.path().join("missing")).unwrap_err();
    assert!(matches!(missing, SnapshotError::Io { action: "open", .. }), "{missing}");
    let mut future = fs::read(&file).unwrap();
    let at = future.len() - 4_096 + "synod-snapshot ".len();
    future[at] = b'9';
    let error = check(&with(dir.path(), &future)).unwrap_err();
    assert!(matches!(error, SnapshotError::Format { found: 9, .. }), "{error}");
}

#[tokio::test]
async fn a_restored_state_is_that_of_the_snapshot_without_its_cluster() {
    let (dir, file, meta) = snapped().await;
    assert!(audit_snapshot(&file, &name()).await.unwrap().is_empty());
    let before = inspect(dir.path(), &name()).await.unwrap().unwrap();
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    for folder in [&first, &second] {
        fs::create_dir(folder).unwrap();
    }
    let replicas: [Name; 2] = ["replica-4", "replica-5"].map(|name| name.parse().unwrap());
    assert_eq!(restore(&file, &first, &replicas[0]).await.unwrap(), meta);
    restore_again(&first, &second, &replicas[1]).await.unwrap();
    for (folder, replica) in [&first, &second].into_iter().zip(&replicas) {
        let restored = inspect(folder, replica).await.unwrap().unwrap();
        assert_eq!(restored, Inspected { cluster: None, ..before.clone() });
        let store = open(folder, replica, 1).await.unwrap();
        assert_eq!(value_at(&store, "a", None).await, Some(Bytes::from_static(b"2")));
        assert_eq!(value_at(&store, "a", Some(1)).await, Some(Bytes::from_static(b"1")));
        store.writer.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_snapshot_of_a_damaged_state_is_not_restored() {
    let (dir, mut store) = open_new().await;
    let entries = vec![view(0, 1), batch(1, 0, vec![put("a", b"1")])];
    execute_and_store(&mut store.writer, entries).await.unwrap();
    store.writer.close().await.unwrap();
    damage::alter(dir.path(), "UPDATE versions SET value = x'32'").await;
    let file = dir.path().join("one.snapshot");
    make(&dir.path().join(FILE), &name(), &file).unwrap();
    check(&file).expect("it is what was made");
    let folder = dir.path().join("first");
    fs::create_dir(&folder).unwrap();
    let error = restore(&file, &folder, &name()).await.unwrap_err();
    let damage = "the record of \"a\" at revision 1";
    assert!(error.to_string().contains(damage), "{error}");
    let faults = audit_snapshot(&file, &name()).await.unwrap();
    assert!(matches!(&faults[..], [fault] if fault.contains(damage)), "{faults:?}");
}

/// Every file of a folder, with its content and when it was changed.
fn everything(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        let changed = fs::metadata(&path).unwrap().modified().unwrap();
        (path.clone(), (fs::read(&path).unwrap(), changed))
    };
    fs::read_dir(dir).unwrap().map(read).collect()
}

#[tokio::test]
async fn an_audit_finds_nothing_in_a_whole_state_and_changes_nothing() {
    let (dir, _, meta) = snapped().await;
    let before = everything(dir.path());
    let whole = Audit { meta: Some(meta), cluster: Some(ClusterId(7)), faults: Vec::new() };
    assert_eq!(audit(dir.path()).await.unwrap(), Some(whole));
    assert_eq!(execute_again(dir.path()).await.unwrap(), Some(Vec::new()));
    assert_eq!(everything(dir.path()), before);
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(audit(empty.path()).await.unwrap(), None);
}

#[tokio::test]
async fn an_audit_sees_what_is_only_in_the_wal_and_leaves_it_there() {
    let (dir, mut store) = open_new().await;
    let entries = vec![view(0, 1), batch(1, 0, vec![put("a", b"1")])];
    execute_and_store(&mut store.writer, entries).await.unwrap();
    // As a process leaves it that is killed.
    let killed = tempfile::tempdir().unwrap();
    for suffix in ["", "-wal"] {
        let file = format!("{FILE}{suffix}");
        fs::copy(dir.path().join(&file), killed.path().join(&file)).unwrap();
    }
    let before = everything(killed.path());
    let found = audit(killed.path()).await.unwrap().unwrap();
    assert_eq!((found.meta.as_ref(), found.faults.len()), (Some(store.writer.meta()), 0));
    assert_eq!(everything(killed.path()), before);
}

#[tokio::test]
async fn an_audit_names_everything_that_is_wrong() {
    let (dir, _, _) = snapped().await;
    damage::alter(dir.path(), "UPDATE versions SET value = x'32' WHERE key = x'63'").await;
    damage::alter(dir.path(), "UPDATE log SET revision = 9 WHERE slot = 1").await;
    damage::alter(dir.path(), "UPDATE meta SET revision = 3").await;
    let faults = audit(dir.path()).await.unwrap().unwrap().faults;
    for word in [
        "meta does not match its checksum",
        "the record of \"c\" at revision 4 does not match its checksum",
    ] {
        assert!(faults.iter().any(|fault| fault.contains(word)), "{word}: {faults:?}");
    }
}

#[tokio::test]
async fn executing_again_finds_a_state_that_the_log_does_not_lead_to() {
    let (dir, mut store) = open_new().await;
    let entries = vec![view(0, 1), batch(1, 0, vec![put("a", b"1"), put("b", b"1")])];
    execute_and_store(&mut store.writer, entries).await.unwrap();
    store.writer.close().await.unwrap();
    // Whole by every checksum, and later than any batch says.
    let mut connection = schema::writer_options(&dir.path().join(FILE)).connect().await.unwrap();
    let mut row = meta::load(&mut connection).await.unwrap();
    row.meta.time_ms += 1;
    meta::save(&mut connection, &row).await.unwrap();
    connection.close().await.unwrap();
    let found = audit(dir.path()).await.unwrap().unwrap();
    assert_eq!(found.faults, [""; 0]);
    let faults = execute_again(dir.path()).await.unwrap().unwrap();
    assert!(faults[0].starts_with("meta says"), "{faults:?}");
}
