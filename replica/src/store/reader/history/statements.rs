//! The statements of the history of changes.
//!
//! A row of a change is a record, and the revision that had written what was there before,
//! where something was. The version before one is never hidden by a range: a key that is
//! written while it is hidden gets its tombstone first (`ranges`).

use crate::store::deletions::not_hidden;

/// SQL: the rows of `versions` that `$of` says, as changes.
macro_rules! written {
    ($of:literal) => {
        concat!(
            "SELECT v.key, v.revision, v.created_revision, v.version, v.lease, v.sum, v.content_type, \
             v.value, (SELECT CASE WHEN p.value IS NULL THEN NULL ELSE p.revision END \
             FROM versions p WHERE p.key = v.key AND p.revision < v.revision \
             ORDER BY p.revision DESC LIMIT 1) FROM versions v WHERE ",
            $of
        )
    };
}

/// The first deletion of many keys after a revision that is to be swept: of prefixes, and of
/// the keys of a lease, and which.
pub(super) const NEXT_DELETION: &str = "SELECT \
    (SELECT min(revision) FROM range_tombstones WHERE revision > ?1), e.revision, e.lease \
    FROM meta LEFT JOIN ended_leases e ON e.revision = \
    (SELECT min(revision) FROM ended_leases WHERE revision > ?1)";

/// The row that is so many behind the first, of those from one position up to another.
pub(super) const WRITTEN_END: &str = "SELECT revision, key FROM versions \
    WHERE (revision, key) >= (?1, ?2) AND (revision, key) < (?3, ?4) \
    ORDER BY revision, key LIMIT 1 OFFSET ?5";

/// From one position up to another, the keys from `?5` up to `?6`.
pub(super) const WRITTEN: &str = written!(
    "(v.revision, v.key) >= (?1, ?2) AND (v.revision, v.key) < (?3, ?4) \
     AND v.key >= ?5 AND v.key < ?6 ORDER BY v.revision, v.key"
);

/// Of revision `?1` the keys from `?2` up to `?3`.
pub(super) const WRITTEN_AT: &str =
    written!("v.revision = ?1 AND v.key >= ?2 AND v.key < ?3 ORDER BY v.key LIMIT ?4");

/// Of the same the records that the deletions of revision `?1` have deleted and that are
/// not swept. A live key that has no version is damage, so it gives a row all the same.
pub(super) const UNSWEPT_AT: &str = concat!(
    "SELECT v.key, v.revision, v.created_revision, v.version, v.lease, v.sum, v.content_type, \
     CASE WHEN v.value IS NULL THEN NULL ELSE x'' END, 0 \
     FROM live l LEFT JOIN versions v ON v.key = l.key AND v.revision = l.revision \
     WHERE l.key >= ?2 AND l.key < ?3 AND l.revision < ?1 \
     AND EXISTS (SELECT 1 FROM range_tombstones r WHERE r.revision = ?1 AND r.first <= l.key \
     AND r.below > l.key) AND ",
    not_hidden!("l", "(?1 - 1)"),
    " ORDER BY l.key LIMIT ?4"
);

/// The same of the records that went with lease `?5` at revision `?1`.
pub(super) const UNSWEPT_OF_LEASE: &str = concat!(
    "SELECT v.key, v.revision, v.created_revision, v.version, v.lease, v.sum, v.content_type, \
     CASE WHEN v.value IS NULL THEN NULL ELSE x'' END, e.expired \
     FROM ended_leases e CROSS JOIN live l \
     LEFT JOIN versions v ON v.key = l.key AND v.revision = l.revision \
     WHERE e.lease = ?5 AND l.lease = ?5 AND l.key >= ?2 AND l.key < ?3 AND l.revision < ?1 AND ",
    not_hidden!("l", "(?1 - 1)"),
    " ORDER BY l.key LIMIT ?4"
);

/// As [`DELETION_END`], of lease `?5`.
pub(super) const LEASE_END: &str = "SELECT \
    (SELECT key FROM versions WHERE revision = ?1 AND key >= ?2 AND key < ?3 \
     ORDER BY key LIMIT 1 OFFSET ?4), \
    (SELECT key FROM live WHERE lease = ?5 AND key >= ?2 AND key < ?3 \
     ORDER BY key LIMIT 1 OFFSET ?4)";

/// Where there are more than `?4` keys from `?2` up to `?3` that a deletion of revision
/// `?1` may have to do with, the first that is left for the next time: of those that have
/// a row, and of those that are live.
pub(super) const DELETION_END: &str = "SELECT \
    (SELECT key FROM versions WHERE revision = ?1 AND key >= ?2 AND key < ?3 \
     ORDER BY key LIMIT 1 OFFSET ?4), \
    (SELECT key FROM live WHERE key >= max(?2, (SELECT min(first) FROM range_tombstones \
     WHERE revision = ?1)) AND key < min(?3, (SELECT max(below) FROM range_tombstones \
     WHERE revision = ?1)) ORDER BY key LIMIT 1 OFFSET ?4)";

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqliteConnection;
    use sqlx::{AssertSqlSafe, Connection as _, Row as _};

    use super::*;
    use crate::store::schema::STEPS;

    #[tokio::test]
    async fn every_statement_searches_an_index_and_sorts_nothing() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        for step in STEPS {
            sqlx::raw_sql(step.sql).execute(&mut connection).await.unwrap();
        }
        for sql in [
            NEXT_DELETION,
            WRITTEN_END,
            WRITTEN,
            WRITTEN_AT,
            UNSWEPT_AT,
            UNSWEPT_OF_LEASE,
            DELETION_END,
            LEASE_END,
        ] {
            let plan = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
            let rows = sqlx::query(plan).fetch_all(&mut connection).await.unwrap();
            let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
            assert!(plan.iter().any(|step| step.starts_with("SEARCH")), "{sql}: {plan:?}");
            for costly in ["TEMP B-TREE", "SCAN v", "SCAN l", "SCAN p"] {
                assert!(!plan.iter().any(|step| step.contains(costly)), "{sql}: {plan:?}");
            }
        }
    }
}
