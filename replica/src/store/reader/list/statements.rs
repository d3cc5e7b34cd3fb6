//! The statements of lists and counts.
//!
//! Bound are the lowest key, the key above all, the revision and the most keys. A row of
//! a list is a key, how many were visited with it, and the version of it that is shown.

use super::query::{Order, Show};
use crate::store::deletions::not_hidden;

/// What exists now: `live` has no deleted keys. One that has no version is damage, so it
/// gives a row all the same.
macro_rules! present {
    ($order:literal, $value:literal) => {
        concat!(
            "SELECT l.key, 0, v.key, v.revision, v.created_revision, v.version, v.lease, v.sum, \
             v.content_type, ",
            $value,
            " FROM live l LEFT JOIN versions v ON v.key = l.key AND v.revision = l.revision ",
            "WHERE l.key >= ?1 AND l.key < ?2 AND ",
            not_hidden!("l", "?3"),
            " ORDER BY l.key ",
            $order,
            " LIMIT ?4"
        )
    };
}

/// From key to key, over the index of all versions.
macro_rules! hop {
    ($next:literal, $order:literal, $shown:expr) => {
        concat!(
            "WITH RECURSIVE hop(key, visited) AS (",
            "SELECT * FROM (SELECT key, 1 FROM versions WHERE key >= ?1 AND key < ?2 ORDER BY key ",
            $order,
            " LIMIT 1) ",
            "UNION ALL SELECT (SELECT key FROM versions WHERE ",
            $next,
            " ORDER BY key ",
            $order,
            " LIMIT 1), visited + 1 ",
            "FROM hop WHERE hop.key IS NOT NULL AND visited < ?4) SELECT ",
            $shown,
            " FROM hop LEFT JOIN versions v ON v.id = ",
            "(SELECT id FROM versions WHERE key = hop.key AND revision <= ?3 ORDER BY revision \
             DESC LIMIT 1) AND ",
            not_hidden!("v", "?3"),
            " WHERE hop.key IS NOT NULL"
        )
    };
}

macro_rules! past {
    ($next:literal, $order:literal, $value:literal) => {
        hop!(
            $next,
            $order,
            concat!(
                "hop.key, visited, v.key, v.revision, v.created_revision, v.version, v.lease, v.sum, \
                 v.content_type, ",
                $value
            )
        )
    };
}

/// What exists now.
pub(super) fn present(order: Order, show: Show) -> &'static str {
    match (order, show) {
        (Order::Ascending, Show::Values) => present!("ASC", "v.value"),
        (Order::Descending, Show::Values) => present!("DESC", "v.value"),
        (Order::Ascending, Show::KeysOnly) => {
            present!("ASC", "CASE WHEN v.value IS NULL THEN NULL ELSE x'' END")
        }
        (Order::Descending, Show::KeysOnly) => {
            present!("DESC", "CASE WHEN v.value IS NULL THEN NULL ELSE x'' END")
        }
    }
}

/// What existed at a revision; the keys that did not have no version.
pub(super) fn past(order: Order, show: Show) -> &'static str {
    match (order, show) {
        (Order::Ascending, Show::Values) => past!("key > hop.key AND key < ?2", "ASC", "v.value"),
        (Order::Descending, Show::Values) => {
            past!("key >= ?1 AND key < hop.key", "DESC", "v.value")
        }
        (Order::Ascending, Show::KeysOnly) => past!(
            "key > hop.key AND key < ?2",
            "ASC",
            "CASE WHEN v.value IS NULL THEN NULL ELSE x'' END"
        ),
        (Order::Descending, Show::KeysOnly) => past!(
            "key >= ?1 AND key < hop.key",
            "DESC",
            "CASE WHEN v.value IS NULL THEN NULL ELSE x'' END"
        ),
    }
}

/// Before counting what the deletion of revision `?3` deleted: below which revision
/// history is gone; and, where there are more than `?4` keys, the first that is left for
/// the next time, of those that are live and of those that are swept.
pub(super) const COUNT_STATE: &str = "SELECT compacted_below, \
    (SELECT key FROM live WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT 1 OFFSET ?4), \
    (SELECT key FROM versions WHERE revision = ?3 AND key >= ?1 AND key < ?2 \
     ORDER BY key LIMIT 1 OFFSET ?4) FROM meta";

/// How many keys the deletion of revision `?3` deleted: those that are swept, and those
/// that were live just before it.
pub(super) const COUNT: &str = concat!(
    "SELECT (SELECT count(*) FROM versions WHERE revision = ?3 AND key >= ?1 AND key < ?2) + ",
    "(SELECT count(*) FROM live l WHERE l.key >= ?1 AND l.key < ?2 AND l.revision < ?3 AND ",
    not_hidden!("l", "?3 - 1"),
    ")"
);

/// As [`COUNT_STATE`], of lease `?5`.
pub(super) const COUNT_STATE_OF_LEASE: &str = "SELECT compacted_below, \
    (SELECT key FROM live WHERE lease = ?5 AND key >= ?1 AND key < ?2 \
     ORDER BY key LIMIT 1 OFFSET ?4), \
    (SELECT key FROM versions WHERE revision = ?3 AND key >= ?1 AND key < ?2 \
     ORDER BY key LIMIT 1 OFFSET ?4) FROM meta";

/// As [`COUNT`], of lease `?5`.
pub(super) const COUNT_OF_LEASE: &str = concat!(
    "SELECT (SELECT count(*) FROM versions WHERE revision = ?3 AND key >= ?1 AND key < ?2) + ",
    "(SELECT count(*) FROM live l WHERE l.lease = ?5 AND l.key >= ?1 AND l.key < ?2 \
     AND l.revision < ?3 AND ",
    not_hidden!("l", "?3 - 1"),
    ")"
);

/// The live key that is so many behind the first.
pub(super) fn nth_live(order: Order) -> &'static str {
    match order {
        Order::Ascending => {
            "SELECT key FROM live WHERE key >= ? AND key < ? ORDER BY key LIMIT 1 OFFSET ?"
        }
        Order::Descending => {
            "SELECT key FROM live WHERE key >= ? AND key < ? ORDER BY key DESC LIMIT 1 OFFSET ?"
        }
    }
}
