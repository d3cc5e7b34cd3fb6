//! What clients are shown of leases and locks: pages, each of one state.

use bytes::Bytes;
use shared::ids::{LeaseId, Revision};
use shared::page::PageLimits;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::super::bounds::{above_prefix, lowest_above};
use super::super::deletions::not_hidden;
use super::super::error::{ReadError, StoreError};
use super::super::record::counter;
use super::super::transaction::in_transaction;
use super::{claim_of, lease_of};
use crate::machine::leases::Lease;
use crate::machine::locks::{Claim, Holder};

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) enum TenureQuery {
    /// Leases above an id.
    Leases { after: LeaseId, page: PageLimits },
    /// One lease, and those of its keys that are above one.
    Lease { id: LeaseId, after: Bytes, page: PageLimits },
    /// Locks whose names begin so and are above one.
    Locks { prefix: String, after: Option<String>, page: PageLimits },
    /// One lock, and the claim of a lease on it.
    Lock { name: String, claim_of: Option<LeaseId> },
}

/// What is there of it.
#[derive(Debug)]
pub(crate) struct TenurePage {
    /// The revision of the state.
    pub(crate) revision: Revision,
    /// Replicated time, in milliseconds.
    pub(crate) time_ms: u64,
    /// The leases, by id.
    pub(crate) leases: Vec<(LeaseId, Lease)>,
    /// Of one lease its keys, in byte order.
    pub(crate) keys: Vec<Bytes>,
    /// The locks, by name.
    pub(crate) locks: Vec<LockState>,
    /// The claim that was asked for.
    pub(crate) claim: Option<(Revision, Claim)>,
    /// Whether there are more.
    pub(crate) has_more: bool,
}

/// A lock that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LockState {
    /// Which.
    pub(crate) name: String,
    /// By whom.
    pub(crate) holder: Holder,
    /// How many wait for it.
    pub(crate) waiters: u64,
}

/// Reads it, in one read transaction.
pub(in super::super) async fn page(
    connection: &mut SqliteConnection,
    query: &TenureQuery,
) -> Result<TenurePage, ReadError> {
    in_transaction(connection, async |connection| Ok(in_state(connection, query).await?)).await
}

async fn in_state(
    connection: &mut SqliteConnection,
    query: &TenureQuery,
) -> Result<TenurePage, StoreError> {
    let row = sqlx::query("SELECT revision, time_ms FROM meta").fetch_one(&mut *connection).await?;
    let mut page = TenurePage {
        revision: Revision(counter(&row, 0)?),
        time_ms: counter(&row, 1)?,
        leases: Vec::new(),
        keys: Vec::new(),
        locks: Vec::new(),
        claim: None,
        has_more: false,
    };
    match query {
        TenureQuery::Leases { after, page: limits } => {
            leases(connection, *after, *limits, &mut page).await?;
        }
        TenureQuery::Lease { id, after, page: limits } => {
            lease(connection, *id, (after, *limits), &mut page).await?;
        }
        TenureQuery::Locks { prefix, after, page: limits } => {
            let first = Bytes::copy_from_slice(prefix.as_bytes());
            let first = match after {
                Some(after) => first.max(lowest_above(after.as_bytes())),
                None => first,
            };
            let below = above_prefix(prefix.as_bytes());
            locks(connection, (first, below), *limits, &mut page).await?;
        }
        TenureQuery::Lock { name, claim_of: of } => {
            let first = Bytes::copy_from_slice(name.as_bytes());
            let range = (first.clone(), lowest_above(&first));
            locks(connection, range, PageLimits { items: 1, bytes: 0 }, &mut page).await?;
            if let Some(lease) = of {
                page.claim = claim(connection, name, *lease).await?;
            }
        }
    }
    Ok(page)
}

/// One more row than a page holds says whether there is more.
fn rows_of(limits: PageLimits) -> i64 {
    i64::try_from(limits.items).unwrap_or(i64::MAX).saturating_add(1)
}

async fn leases(
    connection: &mut SqliteConnection,
    after: LeaseId,
    limits: PageLimits,
    page: &mut TenurePage,
) -> Result<(), StoreError> {
    const SQL: &str = "SELECT id, ttl_ms, expires_ms, has_keys, sum, owner FROM leases WHERE id > ? \
        ORDER BY id LIMIT ?";
    let rows = sqlx::query(SQL)
        .bind(after.0.cast_signed())
        .bind(rows_of(limits))
        .fetch_all(connection)
        .await?;
    page.leases = rows.iter().map(lease_of).collect::<Result<_, _>>()?;
    page.has_more = page.leases.len() > limits.items;
    page.leases.truncate(limits.items);
    Ok(())
}

async fn lease(
    connection: &mut SqliteConnection,
    id: LeaseId,
    (after, limits): (&Bytes, PageLimits),
    page: &mut TenurePage,
) -> Result<(), StoreError> {
    const LEASE: &str =
        "SELECT id, ttl_ms, expires_ms, has_keys, sum, owner FROM leases WHERE id = ?";
    const KEYS: &str = concat!(
        "SELECT l.key FROM live l WHERE l.lease = ?1 AND l.key > ?2 AND ",
        not_hidden!("l", "?3"),
        " ORDER BY l.key LIMIT ?4"
    );
    let row = sqlx::query(LEASE).bind(id.0.cast_signed()).fetch_optional(&mut *connection).await?;
    let Some(row) = row else { return Ok(()) };
    page.leases.push(lease_of(&row)?);
    let rows = sqlx::query(KEYS)
        .bind(id.0.cast_signed())
        .bind(after.to_vec())
        .bind(page.revision.0.cast_signed())
        .bind(rows_of(limits))
        .fetch_all(connection)
        .await?;
    let mut room = limits.begin();
    for row in &rows {
        let key: Vec<u8> = row.try_get(0)?;
        if !room.takes(key.len()) {
            page.has_more = true;
            return Ok(());
        }
        page.keys.push(Bytes::from(key));
    }
    Ok(())
}

async fn locks(
    connection: &mut SqliteConnection,
    (first, below): (Bytes, Bytes),
    limits: PageLimits,
    page: &mut TenurePage,
) -> Result<(), StoreError> {
    const SQL: &str = "SELECT name, since, lease, fence, sum, \
        (SELECT count(*) - 1 FROM claims o WHERE o.name = c.name) \
        FROM claims c WHERE name >= ? AND name < ? AND fence IS NOT NULL \
        ORDER BY name, since LIMIT ?";
    let rows = sqlx::query(SQL)
        .bind(first.to_vec())
        .bind(below.to_vec())
        .bind(rows_of(limits))
        .fetch_all(connection)
        .await?;
    page.locks = rows.iter().map(lock_of).collect::<Result<_, _>>()?;
    page.has_more = page.locks.len() > limits.items;
    page.locks.truncate(limits.items);
    Ok(())
}

fn lock_of(row: &SqliteRow) -> Result<LockState, StoreError> {
    let (name, _since, claim) = claim_of(row)?;
    let fence = claim.fence.ok_or_else(|| StoreError::Damaged("a holder waits".to_owned()))?;
    let holder = Holder { lease: claim.lease, fence };
    Ok(LockState { name, holder, waiters: counter(row, 5)? })
}

async fn claim(
    connection: &mut SqliteConnection,
    name: &str,
    lease: LeaseId,
) -> Result<Option<(Revision, Claim)>, StoreError> {
    const SQL: &str =
        "SELECT name, since, lease, fence, sum FROM claims WHERE name = ? AND lease = ?";
    let row = sqlx::query(SQL)
        .bind(name.as_bytes().to_vec())
        .bind(lease.0.cast_signed())
        .fetch_optional(connection)
        .await?;
    let claim = row.as_ref().map(claim_of).transpose()?;
    Ok(claim.map(|(_name, since, claim)| (since, claim)))
}
