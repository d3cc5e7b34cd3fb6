//! History that is dropped: what the state at the revision `Meta::compacted_below` does not
//! have, of the revisions before it.
//!
//! Executing a compaction raises that number, and storing it raises with it from where on
//! the log is kept ([`kept`]); a bound on the log may raise that further
//! ([`forget_log`]). Every reader refuses what is before them, so that what can be read
//! never depends on how far the rows themselves have gone. *Sweeping* takes those away
//! between batches, a bounded number of rows and bytes in each transaction: first the
//! slots, since they leave out what versions have (`left_out`), and then the versions.
//!
//! Versions are visited over the index of revisions: each takes away the one before it of
//! its key, and a deletion itself. So the work is by what changed since the last compaction
//! and not by how many keys there are, and up to where it has come there is one version of
//! a key at most, one that exists. That holds only once deletions of many have become
//! deletions of keys: those are swept before (`deletions`).

use std::collections::BTreeSet;
use std::sync::LazyLock;

use shared::ids::{Revision, Slot};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::authors;
use super::bounds::lowest_above;
use super::error::StoreError;
use super::meta::{self, MetaRow, Retained};
use super::multi_row::MultiRow;
use super::record::{counter, hash_of};
use super::statements::{Bound, Statements};
use crate::machine::chain::ChainHash;

/// The most rows that one transaction visits: about a millisecond, which is how long
/// whatever is to be executed then has to wait.
const VISITED_AT_ONCE: usize = 256;
/// The most bytes of values that it takes away; one value more, where that is longer.
const BYTES_AT_ONCE: usize = 256 << 10;

/// The first slots of the log that are to go, with their lengths.
const SLOTS: &str = "SELECT slot, length(value) FROM log WHERE slot < ?1 ORDER BY slot LIMIT ?2";

/// The versions from a revision and key on, up to the revision `?3`; whether each is a
/// deletion; and the version before it of its key, with the length of what that holds,
/// and its revision.
const VERSIONS: &str = "SELECT s.id, s.revision, s.key, s.value IS NULL, p.id, \
    coalesce(length(p.value), 0), p.revision FROM versions s LEFT JOIN versions p ON p.id = \
    (SELECT id FROM versions WHERE key = s.key AND revision < s.revision \
    ORDER BY revision DESC LIMIT 1) \
    WHERE (s.revision, s.key) >= (?1, ?2) AND s.revision <= ?3 \
    ORDER BY s.revision, s.key LIMIT ?4";

static DELETE: LazyLock<MultiRow> =
    LazyLock::new(|| MultiRow::new("DELETE FROM versions WHERE id IN (", "?", ")"));

/// How far sweeping is in this life of the process.
#[derive(Clone, Debug)]
pub(super) struct Sweeping {
    /// Of a revision the keys below this are swept, and all revisions before it.
    within: (Revision, Vec<u8>),
    /// The most rows that one transaction visits.
    at_once: usize,
    /// Whether slots are left that are to go.
    has_slots: bool,
}

/// From where on the log is kept once more is dropped: from the first slot on that leaves
/// out nothing which is.
pub(super) async fn kept(
    connection: &mut SqliteConnection,
    row: &MetaRow,
) -> Result<Retained, StoreError> {
    let below = row.meta.compacted_below;
    // The first slot after which the state is at the revision before, or newer: what the next
    // one wrote is not replaced at the revision. The last slot is such a one, for no compaction
    // is ahead of its state.
    let (mut low, mut high) = (row.retained.log_start.0, row.meta.executed_below.0);
    while low < high {
        let middle = low.midpoint(high);
        let (revision, _) = slot_of(connection, Slot(middle)).await?;
        if revision.next() < below { low = middle + 1 } else { high = middle }
    }
    let (_, log_start_hash) = slot_of(connection, Slot(low)).await?;
    Ok(Retained { log_start: Slot(low).next(), log_start_hash, ..row.retained.clone() })
}

/// Forgets the log below a slot that is not the last: every reader refuses it from now on.
pub(super) async fn forget_log(
    connection: &mut SqliteConnection,
    row: &MetaRow,
    below: Slot,
) -> Result<Retained, StoreError> {
    let last_forgotten = Slot(below.0.saturating_sub(1));
    let (_, log_start_hash) = slot_of(connection, last_forgotten).await?;
    let retained = Retained { log_start: below, log_start_hash, ..row.retained.clone() };
    meta::save(connection, &MetaRow { retained: retained.clone(), ..row.clone() }).await?;
    Ok(retained)
}

async fn slot_of(
    connection: &mut SqliteConnection,
    slot: Slot,
) -> Result<(Revision, ChainHash), StoreError> {
    const SQL: &str = "SELECT revision, hash FROM log WHERE slot = ?";
    let row = sqlx::query(SQL).bind(slot.0.cast_signed()).fetch_optional(connection).await?;
    let row = row.ok_or_else(|| StoreError::Damaged(format!("slot {slot} is gone")))?;
    Ok((Revision(counter(&row, 0)?), ChainHash(hash_of(&row, 1)?)))
}

impl Sweeping {
    /// How far it is at the start: an earlier life may have left slots that are to go.
    pub(super) fn begin(row: &MetaRow) -> Self {
        let has_slots = row.retained.log_start > Slot(0);
        Self { within: (Revision(0), Vec::new()), at_once: VISITED_AT_ONCE, has_slots }
    }

    /// Whether something is to be swept that this row says is dropped.
    pub(super) fn is_due(&self, row: &MetaRow) -> bool {
        self.has_slots || row.retained.swept_through < row.meta.compacted_below
    }

    /// More is dropped than before.
    pub(super) fn more(&mut self) {
        self.has_slots = true;
    }

    /// Has fewer rows swept in one transaction.
    #[cfg(test)]
    pub(super) fn at_once(&mut self, rows: usize) {
        self.at_once = rows;
    }

    /// Sweeps some rows, in a transaction, and says what is kept then. No deletion of many
    /// may be left to be swept.
    pub(super) async fn sweep(
        &mut self,
        connection: &mut SqliteConnection,
        row: &MetaRow,
    ) -> Result<Retained, StoreError> {
        if self.has_slots && self.sweep_slots(connection, row.retained.log_start).await? > 0 {
            return Ok(row.retained.clone());
        }
        self.sweep_versions(connection, row).await
    }

    /// Says how many it took away.
    async fn sweep_slots(
        &mut self,
        connection: &mut SqliteConnection,
        log_start: Slot,
    ) -> Result<usize, StoreError> {
        const DELETE_SLOTS: &str = "DELETE FROM log WHERE slot <= ?";
        let rows = sqlx::query(SLOTS)
            .bind(log_start.0.cast_signed())
            .bind(i64::try_from(self.at_once).unwrap_or(i64::MAX))
            .fetch_all(&mut *connection)
            .await?;
        let mut swept = Swept::default();
        let mut last = None;
        for row in &rows {
            last = Some(counter(row, 0)?);
            swept.add(counter(row, 1)?);
            if swept.is_enough() {
                break;
            }
        }
        if let Some(last) = last {
            let delete = sqlx::query(DELETE_SLOTS).bind(last.cast_signed());
            delete.execute(connection).await?;
        }
        self.has_slots = last.is_some_and(|last| Slot(last).next() < log_start);
        Ok(swept.rows)
    }

    async fn sweep_versions(
        &mut self,
        connection: &mut SqliteConnection,
        row: &MetaRow,
    ) -> Result<Retained, StoreError> {
        let MetaRow { meta, retained, .. } = row;
        let next = retained.swept_through.next();
        let (within, below) = &self.within;
        // After a start, or an error, it is not known, and some keys are looked at again.
        let below = if *within == next { below.clone() } else { Vec::new() };
        let rows = sqlx::query(VERSIONS)
            .bind(next.0.cast_signed())
            .bind(below)
            .bind(meta.compacted_below.0.cast_signed())
            .bind(i64::try_from(self.at_once).unwrap_or(i64::MAX))
            .fetch_all(&mut *connection)
            .await?;
        let (mut gone, mut swept) = (Vec::new(), Swept::default());
        let mut last = None;
        for row in &rows {
            let visited = Visited::of(row)?;
            gone.extend(visited.gone);
            swept.add(visited.bytes);
            last = Some((visited.revision, visited.key));
            if swept.is_enough() {
                break;
            }
        }
        let is_whole = swept.rows == rows.len() && rows.len() < self.at_once;
        let within = match last.filter(|_| !is_whole) {
            Some((revision, key)) => (revision, lowest_above(&key).to_vec()),
            None => (meta.compacted_below.next(), Vec::new()),
        };
        let swept_through = Revision(within.0.0.saturating_sub(1));
        let retained = Retained { swept_through, ..retained.clone() };
        let kept = MetaRow { retained, ..row.clone() };
        let mut statements = Statements::new(connection);
        statements.add("BEGIN IMMEDIATE", |_| {});
        let bind = |bound: &mut Bound, (id, _): &(i64, Revision)| {
            bound.bind(*id);
        };
        statements.add_rows(&DELETE, &gone, bind).await?;
        let revisions: BTreeSet<Revision> = gone.iter().map(|(_, revision)| *revision).collect();
        authors::forget(&mut statements, &Vec::from_iter(revisions)).await?;
        meta::write(&mut statements, &kept);
        statements.add("COMMIT", |_| {});
        statements.run().await?;
        self.within = within;
        Ok(kept.retained)
    }
}

/// What a transaction has swept.
#[derive(Clone, Copy, Debug, Default)]
struct Swept {
    rows: usize,
    bytes: usize,
}

impl Swept {
    fn add(&mut self, bytes: u64) {
        self.rows += 1;
        self.bytes = self.bytes.saturating_add(usize::try_from(bytes).unwrap_or(usize::MAX));
    }

    fn is_enough(self) -> bool {
        self.bytes >= BYTES_AT_ONCE
    }
}

/// A version, and what goes by it.
struct Visited {
    revision: Revision,
    key: Vec<u8>,
    gone: Vec<(i64, Revision)>,
    /// Of the values that go.
    bytes: u64,
}

impl Visited {
    fn of(row: &SqliteRow) -> Result<Self, StoreError> {
        let (id, revision): (i64, Revision) = (row.try_get(0)?, Revision(counter(row, 1)?));
        let is_deletion: bool = row.try_get(3)?;
        let (previous, of): (Option<i64>, Option<i64>) = (row.try_get(4)?, row.try_get(6)?);
        let previous = previous.zip(of.map(|of| Revision(of.cast_unsigned())));
        Ok(Self {
            revision,
            key: row.try_get(2)?,
            gone: previous.into_iter().chain(is_deletion.then_some((id, revision))).collect(),
            bytes: counter(row, 5)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Connection as _, Row as _};

    use super::super::schema::STEPS;
    use super::*;

    #[tokio::test]
    async fn every_statement_searches_an_index_and_sorts_nothing() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        for step in STEPS {
            sqlx::raw_sql(step.sql).execute(&mut connection).await.unwrap();
        }
        for sql in [SLOTS, VERSIONS] {
            let plan = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
            let rows = sqlx::query(plan).fetch_all(&mut connection).await.unwrap();
            let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
            assert!(plan.iter().any(|step| step.starts_with("SEARCH")), "{sql}: {plan:?}");
            for costly in ["TEMP B-TREE", "SCAN"] {
                assert!(!plan.iter().any(|step| step.contains(costly)), "{sql}: {plan:?}");
            }
        }
    }
}
