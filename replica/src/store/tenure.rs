//! The leases, and the claims on locks: all of them are loaded at the start, and what
//! executing changes is written. What is read of them for clients is in [`read`].

pub(super) mod read;

use std::sync::LazyLock;

use futures::TryStreamExt;
use shared::ids::{Accessor, LeaseId, Revision};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::error::StoreError;
use super::multi_row::MultiRow;
use super::record::counter;
use super::statements::{Bound, Statements};
use super::sum::{self, Sum};
use crate::machine::leases::{Lease, LeaseRows, Leases};
use crate::machine::locks::{Claim, LockRows, Locks};

const LEASES: &str = "SELECT id, ttl_ms, expires_ms, has_keys, sum, owner FROM leases ORDER BY id";
const CLAIMS: &str = "SELECT name, since, lease, fence, sum FROM claims ORDER BY name, since";

static PUT_LEASES: LazyLock<MultiRow> = LazyLock::new(|| {
    const HEAD: &str = "REPLACE INTO leases(id, ttl_ms, expires_ms, has_keys, sum, owner) VALUES ";
    MultiRow::new(HEAD, "(?,?,?,?,?,?)", "")
});

static DELETE_LEASES: LazyLock<MultiRow> =
    LazyLock::new(|| MultiRow::new("DELETE FROM leases WHERE id IN (", "?", ")"));

static PUT_CLAIMS: LazyLock<MultiRow> = LazyLock::new(|| {
    const HEAD: &str = "REPLACE INTO claims(name, since, lease, fence, sum) VALUES ";
    MultiRow::new(HEAD, "(?,?,?,?,?)", "")
});

static DELETE_CLAIMS: LazyLock<MultiRow> = LazyLock::new(|| {
    MultiRow::new("DELETE FROM claims WHERE (name, since) IN (VALUES ", "(?,?)", ")")
});

/// Reads all of them.
pub(super) async fn load(connection: &mut SqliteConnection) -> Result<(Leases, Locks), StoreError> {
    let mut leases = Vec::new();
    {
        let mut rows = sqlx::query(LEASES).persistent(false).fetch(&mut *connection);
        while let Some(row) = rows.try_next().await? {
            leases.push(lease_of(&row)?);
        }
    }
    let mut claims = Vec::new();
    let mut rows = sqlx::query(CLAIMS).persistent(false).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        claims.push(claim_of(&row)?);
    }
    Ok((Leases::of(leases), Locks::of(claims)))
}

fn lease_of(row: &SqliteRow) -> Result<(LeaseId, Lease), StoreError> {
    let id = LeaseId(counter(row, 0)?);
    let has_keys = counter(row, 3)? != 0;
    let owner: Option<i64> = row.try_get(5)?;
    let lease = Lease {
        ttl_ms: counter(row, 1)?,
        expires_ms: counter(row, 2)?,
        has_keys,
        owner: owner.map(|owner| Accessor(owner.cast_unsigned())),
    };
    if row.try_get::<&[u8], _>(4)? != sum_of_lease(id, &lease) {
        return Err(StoreError::Damaged(format!("lease {id} does not match its checksum")));
    }
    Ok((id, lease))
}

fn sum_of_lease(id: LeaseId, lease: &Lease) -> Sum {
    let Lease { ttl_ms, expires_ms, has_keys, owner } = *lease;
    let numbers = [id.0, ttl_ms, expires_ms, u64::from(has_keys)];
    // There was none before version 12.
    let owner = owner.map(|owner| owner.0);
    sum::of_columns(&numbers.into_iter().chain(owner).collect::<Vec<_>>(), &[])
}

fn claim_of(row: &SqliteRow) -> Result<(String, Revision, Claim), StoreError> {
    let name: &[u8] = row.try_get(0)?;
    let since = Revision(counter(row, 1)?);
    let fence: Option<i64> = row.try_get(3)?;
    let claim = Claim {
        lease: LeaseId(counter(row, 2)?),
        fence: fence.map(|fence| Revision(fence.cast_unsigned())),
    };
    let damaged = || {
        let name = String::from_utf8_lossy(name);
        StoreError::Damaged(format!("a claim on lock {name:?} does not match its checksum"))
    };
    if row.try_get::<&[u8], _>(4)? != sum_of_claim(name, since, claim) {
        return Err(damaged());
    }
    let name = str::from_utf8(name).map_err(|_| damaged())?;
    Ok((name.to_owned(), since, claim))
}

fn sum_of_claim(name: &[u8], since: Revision, claim: Claim) -> Sum {
    let fence = claim.fence.map(|fence| fence.0.to_le_bytes());
    let fence = fence.as_ref().map(<[u8; 8]>::as_slice);
    sum::of_columns(&[since.0, claim.lease.0], &[Some(name), fence])
}

/// Writes what changed.
pub(super) async fn write(
    statements: &mut Statements<'_>,
    leases: LeaseRows,
    locks: LockRows,
) -> Result<(), StoreError> {
    write_leases(statements, leases).await?;
    write_claims(statements, locks).await
}

async fn write_leases(statements: &mut Statements<'_>, rows: LeaseRows) -> Result<(), StoreError> {
    let (mut there, mut gone) = (Vec::new(), Vec::new());
    for (id, lease) in rows {
        match lease {
            Some(lease) => there.push((id, lease)),
            None => gone.push(id),
        }
    }
    let delete = |bound: &mut Bound, id: &LeaseId| {
        bound.bind(id.0.cast_signed());
    };
    statements.add_rows(&DELETE_LEASES, &gone, delete).await?;
    let put = |bound: &mut Bound, (id, lease): &(LeaseId, Lease)| {
        bound
            .bind(id.0.cast_signed())
            .bind(lease.ttl_ms.cast_signed())
            .bind(lease.expires_ms.cast_signed())
            .bind(lease.has_keys)
            .bind(sum_of_lease(*id, lease).to_vec())
            .bind(lease.owner.map(|owner| owner.0.cast_signed()));
    };
    statements.add_rows(&PUT_LEASES, &there, put).await
}

async fn write_claims(statements: &mut Statements<'_>, rows: LockRows) -> Result<(), StoreError> {
    let (mut there, mut gone) = (Vec::new(), Vec::new());
    for ((name, since), claim) in rows {
        match claim {
            Some(claim) => there.push((name, since, claim)),
            None => gone.push((name, since)),
        }
    }
    let delete = |bound: &mut Bound, (name, since): &(String, Revision)| {
        bound.bind(name.as_bytes().to_vec()).bind(since.0.cast_signed());
    };
    statements.add_rows(&DELETE_CLAIMS, &gone, delete).await?;
    let put = |bound: &mut Bound, (name, since, claim): &(String, Revision, Claim)| {
        bound
            .bind(name.as_bytes().to_vec())
            .bind(since.0.cast_signed())
            .bind(claim.lease.0.cast_signed())
            .bind(claim.fence.map(|fence| fence.0.cast_signed()))
            .bind(sum_of_claim(name.as_bytes(), *since, *claim).to_vec());
    };
    statements.add_rows(&PUT_CLAIMS, &there, put).await
}

/// Reads all of them, and holds their numbers against what `meta` says, and the claims
/// against the leases.
pub(super) async fn verify(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let (leases, locks) = load(&mut *connection).await?;
    let said = sqlx::query("SELECT leases, claims FROM meta").fetch_one(connection).await?;
    let said = (counter(&said, 0)?, counter(&said, 1)?);
    let found = (leases.len() as u64, locks.claims() as u64);
    if found != said {
        return Err(StoreError::Damaged(format!(
            "there are {found:?} leases and claims, but meta says {said:?}"
        )));
    }
    for (name, line) in locks.iter() {
        for (place, claim) in line.values().enumerate() {
            if leases.get(claim.lease).is_none() || claim.fence.is_some() != (place == 0) {
                return Err(StoreError::Damaged(format!("claim {place} of lock {name:?} is none")));
            }
        }
    }
    Ok(())
}

/// Adds all of them to a digest.
pub(super) async fn digest(
    connection: &mut SqliteConnection,
    hasher: &mut blake3::Hasher,
) -> Result<(), StoreError> {
    const SUMS: [&str; 2] =
        ["SELECT sum FROM leases ORDER BY id", "SELECT sum FROM claims ORDER BY name, since"];
    for sql in SUMS {
        let mut rows = sqlx::query(sql).persistent(false).fetch(&mut *connection);
        while let Some(row) = rows.try_next().await? {
            hasher.update(row.try_get(0)?);
        }
    }
    Ok(())
}
