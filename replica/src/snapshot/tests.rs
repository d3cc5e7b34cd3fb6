//! How many snapshots there are at once.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use shared::ids::Name;
use tempfile::TempDir;

use super::*;
use crate::store::{FILE, execute};

fn name() -> Name {
    "replica-1".parse().unwrap()
}

/// A shelf beside an empty state.
async fn shelf() -> (TempDir, Arc<Shelf>) {
    let dir = tempfile::tempdir().unwrap();
    execute(dir.path(), &name(), Vec::new()).await.unwrap();
    let shelf = Shelf::new(&name(), dir.path(), &dir.path().join(FILE));
    (dir, shelf)
}

fn files(dir: &Path) -> usize {
    fs::read_dir(dir.join("snapshots")).map_or(0, Iterator::count)
}

#[tokio::test]
async fn whoever_asks_while_nothing_has_changed_gets_the_one_that_is_there() {
    let (dir, shelf) = shelf().await;
    let first = shelf.of(shared::ids::Slot(0), shared::ids::Revision(0)).await.unwrap();
    let second = shelf.of(shared::ids::Slot(0), shared::ids::Revision(0)).await.unwrap();
    assert_eq!(first.tag, second.tag);
    assert_eq!(shelf.tagged(&first.tag).map(|kept| kept.tag.clone()), Some(first.tag.clone()));
    let other = Tag::read("\"replica-1.0000000000000001\"").unwrap();
    assert!(shelf.tagged(&other).is_none());
    assert_eq!(files(dir.path()), 1);
}

#[tokio::test]
async fn one_is_made_at_once_and_two_are_there_at_once() {
    let (dir, shelf) = shelf().await;
    // Of a slot that is not there yet: what is there is always too old.
    let later = shared::ids::Slot(1);
    let (one, other) = tokio::join!(
        shelf.of(later, shared::ids::Revision(0)),
        shelf.of(later, shared::ids::Revision(0))
    );
    let mut outcomes = [one, other].map(|outcome| outcome.map(|kept| kept.path.clone()));
    outcomes.sort_by_key(Result::is_err);
    assert!(matches!(outcomes[1], Err(NoSnapshot::BeingMade)), "{outcomes:?}");

    let held = [
        shelf.of(later, shared::ids::Revision(0)).await.unwrap(),
        shelf.of(later, shared::ids::Revision(0)).await.unwrap(),
    ];
    assert_eq!(files(dir.path()), 2, "the one that nobody holds has gone");
    let refused = shelf.of(later, shared::ids::Revision(0)).await.unwrap_err();
    assert!(matches!(refused, NoSnapshot::AllSent), "{refused}");
    assert_eq!(refused.to_string(), "2 snapshots are kept at once, and all are being sent");
    drop(held);
    shelf.of(later, shared::ids::Revision(0)).await.expect("nobody is sent one any more");
    assert_eq!(files(dir.path()), 2);
}

#[tokio::test]
async fn what_a_former_life_left_is_removed() {
    let (dir, shelf) = shelf().await;
    let kept = shelf.of(shared::ids::Slot(0), shared::ids::Revision(0)).await.unwrap();
    fs::write(dir.path().join("snapshots/half.snapshot-journal"), "").unwrap();
    let _next_life = Shelf::new(&name(), dir.path(), &dir.path().join(FILE));
    assert!(!kept.path.exists());
    assert_eq!(files(dir.path()), 0);
}

#[tokio::test]
async fn one_that_cannot_be_made_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(FILE), "rubbish").unwrap();
    let shelf = Shelf::new(&name(), dir.path(), &dir.path().join(FILE));
    let refused = shelf.of(shared::ids::Slot(0), shared::ids::Revision(0)).await.unwrap_err();
    assert!(matches!(refused, NoSnapshot::NotMade(MakeError::Failed(_))), "{refused}");
    assert_eq!(files(dir.path()), 0);
}

#[test]
fn a_tag_is_an_entity_tag_that_names_the_replica() {
    let etag = "\"replica-1.29f1591862a121fd\"";
    let tag = Tag::read(etag).unwrap();
    assert_eq!((tag.replica.as_str(), tag.etag().as_str()), ("replica-1", etag));
    for other in [
        "",
        "\"\"",
        "\"42\"",
        "\"replica-1.29F1591862A121FD\"",
        "\"replica-1.9\"",
        "\"No Name.29f1591862a121fd\"",
        "W/\"replica-1.29f1591862a121fd\"",
        "replica-1.29f1591862a121fd",
    ] {
        assert_eq!(Tag::read(other), None, "{other}");
    }
}
