//! How many bytes of the database are history: what goes once that is dropped.
//!
//! The versions are visited over the index of revisions, as sweeping will
//! (`compaction`): what a revision replaced goes with a compaction up to it, and so do the
//! deletions that it made. So what each stretch of revisions adds is known without looking at
//! what there is. Nobody weighs a database that is too small for it to matter; and it is done
//! a bounded number of rows at a time, behind what is stored.

use shared::ids::Revision;
use sqlx::Row as _;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection};

use super::bounds::lowest_above;
use super::error::StoreError;
use super::meta::MetaRow;
use super::record::counter;
use super::schema::{PAGE_BYTES, scalar};
use crate::replica::event::Weighed;

/// The most versions that are weighed at once: half a millisecond. For fewer new revisions it
/// is not begun.
const AT_ONCE: u64 = 256;

/// What is weighed at once is to be less than one of so many parts of what may be history
/// anyway, so that no more is dropped than has to be: fewer versions, where they are long.
const STRETCHES: u64 = 64;
/// It need not be less than this, in bytes.
const SHORT_STRETCH: u64 = 64 << 10;

/// The last of the versions that are weighed at once, where there are as many.
const LAST: &str = "SELECT revision, key FROM versions \
    WHERE (revision, key) >= (?1, ?2) AND revision <= ?3 \
    ORDER BY revision, key LIMIT 1 OFFSET ?4 - 1";

/// What goes by them. A version counts its value, and for its keys in four trees, its numbers
/// and its share of the log four times the key and 256 bytes, which is rather more than it is.
const WEIGHT: &str = "SELECT coalesce(sum(bytes), 0) FROM (SELECT \
    iif(s.value IS NULL, 256 + 4 * length(s.key), 0) + iif(p.value IS NULL, 0, \
    256 + 4 * length(s.key) + coalesce(octet_length(p.content_type), 0) + length(p.value)) \
    AS bytes FROM versions s LEFT JOIN versions p ON p.id = \
    (SELECT id FROM versions WHERE key = s.key AND revision < s.revision \
    ORDER BY revision DESC LIMIT 1) \
    WHERE (s.revision, s.key) >= (?1, ?2) AND s.revision <= ?3 \
    ORDER BY s.revision, s.key LIMIT ?4)";

/// How far it is, in this life of the process.
#[derive(Clone, Debug)]
pub(super) struct Weighing {
    /// Only while the database takes more bytes than this; none: never.
    above: Option<u64>,
    /// The first version that is not weighed.
    next: (Revision, Vec<u8>),
    /// The revision when it was last looked whether there is anything to do.
    looked_at: Revision,
    /// Whether to go on at once.
    is_under_way: bool,
    /// So many versions are weighed at once, …
    at_once: u64,
    /// … and at most so many.
    most_at_once: u64,
}

impl Weighing {
    pub(super) fn new(above: Option<u64>) -> Self {
        let next = (Revision(0), Vec::new());
        let (looked_at, is_under_way) = (Revision(0), true);
        Self { above, next, looked_at, is_under_way, at_once: AT_ONCE, most_at_once: AT_ONCE }
    }

    /// Whether something may be to be weighed of a state of this revision.
    pub(super) fn is_due(&self, revision: Revision) -> bool {
        let is_far = revision.0.saturating_sub(self.looked_at.0) >= self.at_once;
        self.above.is_some() && (self.is_under_way || is_far)
    }

    /// A revision may have made much history.
    pub(super) fn look_again(&mut self) {
        self.is_under_way = true;
    }

    /// Has fewer versions weighed at once.
    #[cfg(test)]
    pub(super) fn at_once(&mut self, versions: u64) {
        (self.at_once, self.most_at_once) = (versions, versions);
    }

    /// Weighs some versions, unless the database is too small. No deletion of many may be left
    /// to be swept.
    pub(super) async fn weigh(
        &mut self,
        connection: &mut SqliteConnection,
        row: &MetaRow,
    ) -> Result<Option<Weighed>, StoreError> {
        let newest = row.meta.revision;
        let database_bytes = used_bytes(connection).await?;
        self.looked_at = newest;
        let Some(above) = self.above.filter(|above| database_bytes > *above) else {
            self.is_under_way = false;
            return Ok(None);
        };
        // What is dropped already counts no more.
        let dropped = (row.meta.compacted_below.next(), Vec::new());
        self.next = std::mem::take(&mut self.next).max(dropped);
        let bytes = counter(&self.asked(WEIGHT, newest).fetch_one(&mut *connection).await?, 0)?;
        let stretch = (above / STRETCHES).max(SHORT_STRETCH);
        if bytes > stretch && self.at_once > 1 {
            self.at_once /= 2;
            self.is_under_way = true;
            return Ok(None);
        }
        let last = self.asked(LAST, newest).fetch_optional(connection).await?;
        let last =
            last.map(|row| Ok::<_, StoreError>((Revision(counter(&row, 0)?), row.try_get(1)?)));
        let through = self.follow(last.transpose()?, newest);
        if bytes < stretch / 4 {
            self.at_once = (2 * self.at_once).min(self.most_at_once);
        }
        Ok(Some(Weighed { through, bytes, database_bytes }))
    }

    fn asked(
        &self,
        sql: &'static str,
        newest: Revision,
    ) -> Query<'static, Sqlite, SqliteArguments> {
        let (revision, key) = self.next.clone();
        sqlx::query(sql)
            .bind(revision.0.cast_signed())
            .bind(key)
            .bind(newest.0.cast_signed())
            .bind(self.at_once.cast_signed())
    }

    /// Goes on behind the last one, or behind all of them; says the revision with which what
    /// was weighed is gone.
    fn follow(&mut self, last: Option<(Revision, Vec<u8>)>, newest: Revision) -> Revision {
        self.is_under_way = last.is_some();
        let (next, through) = match last {
            Some((revision, key)) => ((revision, lowest_above(&key).to_vec()), revision),
            None => ((newest.next(), Vec::new()), newest),
        };
        self.next = next;
        through
    }
}

/// The bytes of the pages that hold something.
async fn used_bytes(connection: &mut SqliteConnection) -> Result<u64, StoreError> {
    let pages: i64 = scalar(connection, "PRAGMA page_count").await?;
    let free: i64 = scalar(connection, "PRAGMA freelist_count").await?;
    Ok(pages.saturating_sub(free).cast_unsigned().saturating_mul(PAGE_BYTES))
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Connection as _};

    use super::super::schema::STEPS;
    use super::*;

    #[tokio::test]
    async fn every_statement_searches_an_index_and_sorts_nothing() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        for step in STEPS {
            sqlx::raw_sql(step.sql).execute(&mut connection).await.unwrap();
        }
        for sql in [LAST, WEIGHT] {
            let plan = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
            let rows = sqlx::query(plan).fetch_all(&mut connection).await.unwrap();
            let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
            assert!(plan.iter().any(|step| step.starts_with("SEARCH")), "{sql}: {plan:?}");
            let is_costly = |step: &String| {
                step.contains("TEMP B-TREE") || step.contains("SCAN") && !step.contains("subquery")
            };
            assert!(!plan.iter().any(is_costly), "{sql}: {plan:?}");
        }
    }
}
