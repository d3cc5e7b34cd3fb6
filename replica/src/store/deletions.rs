//! Deletions of many keys at once that are not yet changes of keys: of prefixes, and of the
//! keys of leases that ended.
//!
//! Executing one writes one row, however many keys it deletes. At revision N, a version of a
//! key is *hidden* when a deletion covers it whose revision is above the version's and not
//! above N; whatever reads `versions` or `live` applies that (`not_hidden!`). *Sweeping* then
//! turns the deletions into tombstones in `versions`, a bounded number of keys in each
//! transaction, and takes them away. So the state that can be read, at whatever revision, is
//! the same however far a replica has swept, and once it has swept everything its tables are
//! the same as every other's.
//!
//! The tombstone of a key is at the revision of the first deletion after its version,
//! whichever is swept first. A key that is written while it is hidden gets its tombstone
//! from the writing transaction, before the new version.

mod ended;
mod ranges;

use std::collections::{BTreeMap, VecDeque};

use shared::ids::{LeaseId, Revision};
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use self::ended::Ended;
use self::ranges::Range;
use super::authors;
use super::bounds::lowest_above;
use super::error::StoreError;
use super::record::{Checked, Item, item_of};
use super::statements::Statements;
use super::versions;
use crate::machine::keys::{Deletion, KeyRows, LeaseTombstone, VersionRow};
use crate::replica::event::Unswept;

/// The most keys that one transaction sweeps: some milliseconds, which is how long
/// whatever is to be executed then has to wait.
const SWEPT_AT_ONCE: usize = 512;

/// SQL: whether no deletion hides the row `$row` of `versions` or `live` at the revision
/// `$at`. The tables are nearly always empty.
macro_rules! not_hidden {
    ($row:literal, $at:literal) => {
        concat!(
            "NOT EXISTS (SELECT 1 FROM range_tombstones t WHERE t.revision > ",
            $row,
            ".revision AND t.revision <= ",
            $at,
            " AND t.first <= ",
            $row,
            ".key AND t.below > ",
            $row,
            ".key) AND NOT EXISTS (SELECT 1 FROM ended_leases e WHERE e.lease = ",
            $row,
            ".lease AND e.revision <= ",
            $at,
            ")"
        )
    };
}
pub(crate) use not_hidden;

/// SQL: the live records that `$of` says.
macro_rules! live {
    ($of:literal) => {
        concat!(
            "SELECT v.key, v.revision, v.created_revision, v.version, v.lease, v.sum, \
             v.content_type, CASE WHEN v.value IS NULL THEN NULL ELSE x'' END \
             FROM live l LEFT JOIN versions v ON v.key = l.key AND v.revision = l.revision \
             WHERE ",
            $of
        )
    };
}

/// Which deletions are to be swept, as the tables have them.
#[derive(Clone, Debug)]
pub(super) struct Deletions {
    /// Of prefixes, the oldest first.
    ranges: VecDeque<Range>,
    /// Of the keys of leases …
    ended: BTreeMap<LeaseId, Ended>,
    /// … the oldest first.
    order: VecDeque<LeaseId>,
    /// The most keys that are swept in one transaction.
    at_once: usize,
}

impl Deletions {
    /// Reads them.
    pub(super) async fn load(connection: &mut SqliteConnection) -> Result<Self, StoreError> {
        let mut deletions = Self {
            ranges: ranges::load(&mut *connection).await?.into(),
            ended: BTreeMap::new(),
            order: VecDeque::new(),
            at_once: SWEPT_AT_ONCE,
        };
        deletions.add_ended(ended::load(connection).await?);
        Ok(deletions)
    }

    fn add_ended(&mut self, ended: Vec<Ended>) {
        for ended in ended {
            let lease = ended.tombstone.lease;
            self.order.push_back(lease);
            self.ended.insert(lease, ended);
        }
    }

    /// How many there are.
    pub(super) fn unswept(&self) -> Unswept {
        Unswept { prefixes: self.ranges.len(), leases: self.order.len(), revisions: 0 }
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.unswept().is_empty()
    }

    /// Has fewer keys swept in one transaction.
    #[cfg(test)]
    pub(super) fn sweep_at_once(&mut self, keys: usize) {
        self.at_once = keys;
    }

    /// The first deletion that hides the version of a key, if one does.
    pub(super) fn hidden_by(
        &self,
        key: &[u8],
        version: Revision,
        lease: Option<LeaseId>,
    ) -> Option<Deletion> {
        let by_range = self.ranges.iter().find(|range| range.hides(key, version));
        let by_range = by_range.map(|range| Deletion { revision: range.revision, expired: None });
        let by_lease = lease.and_then(|lease| self.ended.get(&lease));
        let by_lease = by_lease.map(|ended| ended.tombstone.deletion());
        by_range.into_iter().chain(by_lease).min()
    }

    /// Adds new ones, in the transaction at hand, and sweeps some keys: a deletion of a
    /// few is done with at once.
    pub(super) async fn add(
        &mut self,
        statements: &mut Statements<'_>,
        new: &KeyRows,
    ) -> Result<(), StoreError> {
        if new.ranges.is_empty() && new.leases.is_empty() {
            return Ok(());
        }
        let new_ranges: Vec<Range> = new.ranges.iter().map(Range::from).collect();
        let new_ended: Vec<Ended> = new.leases.iter().copied().map(Ended::new).collect();
        ranges::write(statements, &new_ranges).await?;
        ended::write(statements, &new_ended).await?;
        self.ranges.extend(new_ranges);
        self.add_ended(new_ended);
        self.sweep(statements.run().await?).await
    }

    /// Sweeps all there is to sweep, in the transaction at hand.
    pub(super) async fn sweep_all(
        &mut self,
        connection: &mut SqliteConnection,
    ) -> Result<(), StoreError> {
        while !self.is_empty() {
            self.sweep_keys(connection, SWEPT_AT_ONCE).await?;
        }
        Ok(())
    }

    /// Sweeps some keys, in the transaction at hand.
    pub(super) async fn sweep(
        &mut self,
        connection: &mut SqliteConnection,
    ) -> Result<(), StoreError> {
        self.sweep_keys(connection, self.at_once).await
    }

    /// First of prefixes, since these have to be few.
    async fn sweep_keys(
        &mut self,
        connection: &mut SqliteConnection,
        most: usize,
    ) -> Result<(), StoreError> {
        let mut left = most;
        while let Some(range) = self.ranges.front().cloned().filter(|_| left > 0) {
            let (visited, next) = self.sweep_range(connection, &range, left).await?;
            match next.filter(|_| visited == left) {
                Some(first) => {
                    let range = Range { first, ..range };
                    ranges::update(connection, &range).await?;
                    self.ranges[0] = range;
                }
                None => {
                    ranges::delete(connection, &range).await?;
                    forget_author(connection, range.revision).await?;
                    self.ranges.pop_front();
                }
            }
            left -= visited;
        }
        while let Some(lease) = self.order.front().copied().filter(|_| left > 0) {
            let ended = self.ended[&lease].clone();
            let (visited, next) = self.sweep_lease(connection, &ended, left).await?;
            match next.filter(|_| visited == left) {
                Some(first) => {
                    let ended = Ended { first, ..ended };
                    ended::update(connection, &ended).await?;
                    self.ended.insert(lease, ended);
                }
                None => {
                    ended::delete(connection, &ended).await?;
                    forget_author(connection, ended.tombstone.revision).await?;
                    self.ended.remove(&lease);
                    self.order.pop_front();
                }
            }
            left -= visited;
        }
        Ok(())
    }

    /// Turns the first keys of a range into tombstones; says how many live keys it looked
    /// at, and from which key on others are left.
    async fn sweep_range(
        &self,
        connection: &mut SqliteConnection,
        range: &Range,
        most: usize,
    ) -> Result<(usize, Option<Vec<u8>>), StoreError> {
        const LIVE: &str = live!("l.key >= ?1 AND l.key < ?2 ORDER BY l.key LIMIT ?3");
        const DELETE: &str = "DELETE FROM live WHERE key >= ? AND key < ? AND revision < ?";
        let rows = sqlx::query(LIVE)
            .bind(range.first.clone())
            .bind(range.below.clone())
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .fetch_all(&mut *connection)
            .await?;
        let (tombstones, next) = self.tombstones(&rows, range.revision)?;
        let Some(next) = next else { return Ok((0, None)) };
        let mut statements = Statements::new(connection);
        versions::write(&mut statements, &tombstones).await?;
        statements.add(DELETE, |bound| {
            let revision = range.revision.0.cast_signed();
            bound.bind(range.first.clone()).bind(next.clone()).bind(revision);
        });
        statements.run().await?;
        Ok((rows.len(), Some(next)))
    }

    /// The same of the keys of a lease.
    async fn sweep_lease(
        &self,
        connection: &mut SqliteConnection,
        ended: &Ended,
        most: usize,
    ) -> Result<(usize, Option<Vec<u8>>), StoreError> {
        const LIVE: &str = live!("l.lease = ?1 AND l.key >= ?2 ORDER BY l.key LIMIT ?3");
        const DELETE: &str = "DELETE FROM live WHERE lease = ? AND key >= ? AND key < ?";
        let LeaseTombstone { lease, revision, end: _ } = ended.tombstone;
        let rows = sqlx::query(LIVE)
            .bind(lease.0.cast_signed())
            .bind(ended.first.clone())
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .fetch_all(&mut *connection)
            .await?;
        let (tombstones, next) = self.tombstones(&rows, revision)?;
        let Some(next) = next else { return Ok((0, None)) };
        let mut statements = Statements::new(connection);
        versions::write(&mut statements, &tombstones).await?;
        statements.add(DELETE, |bound| {
            bound.bind(lease.0.cast_signed()).bind(ended.first.clone()).bind(next.clone());
        });
        statements.run().await?;
        Ok((rows.len(), Some(next)))
    }

    /// The tombstones of live records that are older than a deletion of them, and the lowest
    /// key behind them all.
    fn tombstones(
        &self,
        rows: &[SqliteRow],
        deletion: Revision,
    ) -> Result<(Vec<VersionRow>, Option<Vec<u8>>), StoreError> {
        let mut tombstones = Vec::with_capacity(rows.len());
        let mut last = None;
        for row in rows {
            let item = item_of(row, 0, Checked::Head)?.ok_or_else(versions::missing)?;
            last = Some(lowest_above(&item.key).to_vec());
            if item.revision >= deletion {
                continue;
            }
            let key = versions::text_of(&item)?;
            let Item { key: bytes, created_revision, version, .. } = &item;
            let first = self.hidden_by(bytes, item.revision, item.lease);
            let Deletion { revision, expired: lease } =
                first.expect("what is swept is deleted by what is swept");
            let (created_revision, version) = (*created_revision, *version);
            let content = None;
            tombstones.push(VersionRow {
                key,
                revision,
                created_revision,
                version,
                lease,
                content,
            });
        }
        Ok((tombstones, last))
    }
}

/// Of a deletion that is swept, where it deleted nothing.
async fn forget_author(
    connection: &mut SqliteConnection,
    revision: Revision,
) -> Result<(), StoreError> {
    let mut statements = Statements::new(connection);
    authors::forget(&mut statements, &[revision]).await?;
    statements.run().await?;
    Ok(())
}
