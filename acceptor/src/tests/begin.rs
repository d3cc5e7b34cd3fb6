//! Logs that begin in the middle, and logs that are only looked at.

use std::collections::BTreeMap;

use shared::message::Marks;

use super::*;
use crate::{begin_at, inspect};

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        (path.clone(), fs::read(&path).unwrap())
    };
    fs::read_dir(folder).unwrap().map(read).collect()
}

#[test]
fn a_log_that_begins_in_the_middle_is_of_a_new_acceptor_that_has_trimmed_all_below() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("log");
    begin_at(&folder, Slot(7)).unwrap();
    let (log, acceptor) = Log::open(Disk::default(), &folder, SMALL, Limits::default()).unwrap();
    let marks = Marks { voted_below: Slot(7), chosen_below: Slot(7), trimmed_below: Slot(7) };
    assert_eq!(acceptor.marks(), marks);
    assert_eq!((acceptor.roster(), acceptor.promised(), acceptor.vote_count()), (None, None, 0));
    log.close().unwrap();
    let other = temp.path().join("other");
    begin_at(&other, Slot(7)).unwrap();
    let drawn = |folder| {
        let acceptor = inspect(folder, Limits::default()).unwrap().unwrap();
        (acceptor.id(), acceptor.draw())
    };
    assert_ne!(drawn(&folder), drawn(&other), "each is an acceptor of its own");
}

#[test]
#[should_panic(expected = "there is a log in")]
fn no_log_begins_where_there_is_one() {
    let temp = tempfile::tempdir().unwrap();
    begin_at(temp.path(), Slot(7)).unwrap();
    begin_at(temp.path(), Slot(8)).unwrap();
}

#[test]
fn a_look_at_a_log_sees_what_a_start_does_and_changes_no_byte() {
    let mut log = Fixture::new(SMALL);
    for slot in 0..30 {
        log.vote(slot, 900);
    }
    let before = files(&log.folder);
    assert!(before.len() > 3, "{:?}", before.keys());
    let seen = inspect(&log.folder, Limits::default()).unwrap().unwrap();
    assert_eq!(files(&log.folder), before);
    assert_eq!(state(&seen), log.state());
    assert!(inspect(&log.folder.join("none"), Limits::default()).unwrap().is_none());
}

#[test]
fn a_look_at_a_damaged_log_says_where_it_is_damaged_and_changes_no_byte() {
    let mut log = Fixture::new(SMALL);
    for slot in 0..30 {
        log.vote(slot, 900);
    }
    let (path, mut bytes) = files(&log.folder).into_iter().next().unwrap();
    bytes[2_000] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let before = files(&log.folder);
    let error = inspect(&log.folder, Limits::default()).unwrap_err();
    assert!(matches!(&error, LogError::Damaged { file, .. } if *file == path), "{error}");
    assert_eq!(files(&log.folder), before);
}
