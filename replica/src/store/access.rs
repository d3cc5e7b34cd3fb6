//! The tokens and policies: all of them are loaded at the start, and what executing changes is
//! written. Of a token's secret there is its digest, as in the log.

use std::sync::LazyLock;

use futures::TryStreamExt as _;
use serde::de::DeserializeOwned;
use shared::ids::{Accessor, Revision};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::error::StoreError;
use super::multi_row::MultiRow;
use super::record::counter;
use super::statements::{Bound, Statements};
use super::sum::{self, Sum};
use crate::machine::access::policy::{Policy, PolicyName};
use crate::machine::access::{Access, AccessMeta, AccessRows, SecretHash, Token};

const TOKENS: &str = "SELECT accessor, secret, policies, description, expires_ms, \
    created_revision, created_by, sum FROM tokens ORDER BY accessor";
const POLICIES: &str = "SELECT name, policy, sum FROM policies ORDER BY name";

/// The sums of all rows, which bind the rest of them.
pub(super) const SUMS: [&str; 2] =
    ["SELECT sum FROM policies ORDER BY name", "SELECT sum FROM tokens ORDER BY accessor"];

static PUT_TOKENS: LazyLock<MultiRow> = LazyLock::new(|| {
    const HEAD: &str = "REPLACE INTO tokens(accessor, secret, policies, description, expires_ms, \
        created_revision, created_by, sum) VALUES ";
    MultiRow::new(HEAD, "(?,?,?,?,?,?,?,?)", "")
});

static DELETE_TOKENS: LazyLock<MultiRow> =
    LazyLock::new(|| MultiRow::new("DELETE FROM tokens WHERE accessor IN (", "?", ")"));

static PUT_POLICIES: LazyLock<MultiRow> = LazyLock::new(|| {
    MultiRow::new("REPLACE INTO policies(name, policy, sum) VALUES ", "(?,?,?)", "")
});

static DELETE_POLICIES: LazyLock<MultiRow> =
    LazyLock::new(|| MultiRow::new("DELETE FROM policies WHERE name IN (", "?", ")"));

/// Reads all of them. How many there are is held against what `meta` says.
pub(super) async fn load(
    connection: &mut SqliteConnection,
    meta: &AccessMeta,
) -> Result<Access, StoreError> {
    let mut policies = Vec::new();
    {
        let mut rows = sqlx::query(POLICIES).persistent(false).fetch(&mut *connection);
        while let Some(row) = rows.try_next().await? {
            policies.push(policy_of(&row)?);
        }
    }
    let mut tokens = Vec::new();
    let mut rows = sqlx::query(TOKENS).persistent(false).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        tokens.push(token_of(&row)?);
    }
    let access = Access::of(meta.requirement, tokens, policies);
    let found = access.meta();
    if found == *meta {
        Ok(access)
    } else {
        Err(StoreError::Damaged(format!(
            "there are {} tokens and {} policies, but meta says {} and {}",
            found.tokens, found.policies, meta.tokens, meta.policies
        )))
    }
}

fn token_of(row: &SqliteRow) -> Result<Token, StoreError> {
    let accessor = Accessor(counter(row, 0)?);
    let damaged = || StoreError::Damaged(format!("token {accessor} does not match its checksum"));
    let (policies, description): (&str, &str) = (row.try_get(2)?, row.try_get(3)?);
    let optional = |column| row.try_get::<Option<i64>, _>(column);
    let secret = <[u8; 32]>::try_from(row.try_get::<&[u8], _>(1)?).map_err(|_| damaged())?;
    let token = Token {
        secret: SecretHash(secret),
        policies: parsed(policies).ok_or_else(damaged)?,
        description: description.to_owned(),
        expires_ms: optional(4)?.map(i64::cast_unsigned),
        created_revision: Revision(counter(row, 5)?),
        created_by: optional(6)?.map(|by| Accessor(by.cast_unsigned())),
    };
    let is_right = row.try_get::<&[u8], _>(7)? == sum_of_token(&token, policies);
    if is_right && token.accessor() == accessor { Ok(token) } else { Err(damaged()) }
}

/// The policies are given as they are stored.
fn sum_of_token(token: &Token, policies: &str) -> Sum {
    let Token { secret, policies: _, description, expires_ms, created_revision, created_by } =
        token;
    let expires = expires_ms.map(u64::to_le_bytes);
    let by = created_by.map(|by| by.0.to_le_bytes());
    let fields = [
        Some(secret.0.as_slice()),
        Some(policies.as_bytes()),
        Some(description.as_bytes()),
        expires.as_ref().map(<[u8; 8]>::as_slice),
        by.as_ref().map(<[u8; 8]>::as_slice),
    ];
    sum::of_columns(&[token.accessor().0, created_revision.0], &fields)
}

fn policy_of(row: &SqliteRow) -> Result<(PolicyName, Policy), StoreError> {
    let (name, policy): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
    let damaged = || StoreError::Damaged(format!("policy {name:?} does not match its checksum"));
    if row.try_get::<&[u8], _>(2)? != sum_of_policy(name, policy) {
        return Err(damaged());
    }
    let name = name.parse().map_err(|_| damaged())?;
    Ok((name, parsed(policy).ok_or_else(damaged)?))
}

fn sum_of_policy(name: &str, policy: &str) -> Sum {
    sum::of_columns(&[], &[Some(name.as_bytes()), Some(policy.as_bytes())])
}

fn parsed<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("names and rights are plain JSON")
}

/// Writes what changed.
pub(super) async fn write(
    statements: &mut Statements<'_>,
    rows: AccessRows,
) -> Result<(), StoreError> {
    let AccessRows { tokens, policies } = rows;
    let (mut there, mut gone) = (Vec::new(), Vec::new());
    for (accessor, token) in tokens {
        match token {
            Some(token) => there.push((json(&token.policies), token)),
            None => gone.push(accessor),
        }
    }
    let delete = |bound: &mut Bound, accessor: &Accessor| {
        bound.bind(accessor.0.cast_signed());
    };
    statements.add_rows(&DELETE_TOKENS, &gone, delete).await?;
    statements.add_rows(&PUT_TOKENS, &there, bind_token).await?;
    write_policies(statements, policies.into_iter()).await
}

fn bind_token(bound: &mut Bound, (policies, token): &(String, Token)) {
    bound
        .bind(token.accessor().0.cast_signed())
        .bind(token.secret.0.to_vec())
        .bind(policies.clone())
        .bind(token.description.clone())
        .bind(token.expires_ms.map(u64::cast_signed))
        .bind(token.created_revision.0.cast_signed())
        .bind(token.created_by.map(|by| by.0.cast_signed()))
        .bind(sum_of_token(token, policies).to_vec());
}

async fn write_policies(
    statements: &mut Statements<'_>,
    rows: impl Iterator<Item = (PolicyName, Option<Policy>)>,
) -> Result<(), StoreError> {
    let (mut there, mut gone) = (Vec::new(), Vec::new());
    for (name, policy) in rows {
        match policy {
            Some(policy) => there.push((name, json(&policy))),
            None => gone.push(name),
        }
    }
    let delete = |bound: &mut Bound, name: &PolicyName| {
        bound.bind(name.as_str().to_owned());
    };
    statements.add_rows(&DELETE_POLICIES, &gone, delete).await?;
    let put = |bound: &mut Bound, (name, policy): &(PolicyName, String)| {
        bound
            .bind(name.as_str().to_owned())
            .bind(policy.clone())
            .bind(sum_of_policy(name.as_str(), policy).to_vec());
    };
    statements.add_rows(&PUT_POLICIES, &there, put).await
}

/// Adds all of them to a digest.
pub(super) async fn digest(
    connection: &mut SqliteConnection,
    hasher: &mut blake3::Hasher,
) -> Result<(), StoreError> {
    for sql in SUMS {
        let mut rows = sqlx::query(sql).persistent(false).fetch(&mut *connection);
        while let Some(row) = rows.try_next().await? {
            hasher.update(row.try_get(0)?);
        }
    }
    Ok(())
}

/// Writes the checksums of all rows anew: of what is there.
#[cfg(test)]
pub(super) async fn mend(connection: &mut SqliteConnection) {
    let rows = sqlx::query(POLICIES).fetch_all(&mut *connection).await.unwrap();
    for row in rows {
        let (name, policy): (&str, &str) = (row.get(0), row.get(1));
        let update = sqlx::query("UPDATE policies SET sum = ? WHERE name = ?");
        let update = update.bind(sum_of_policy(name, policy).to_vec()).bind(name);
        update.execute(&mut *connection).await.unwrap();
    }
    let rows = sqlx::query(TOKENS).fetch_all(&mut *connection).await.unwrap();
    for row in rows {
        let policies: &str = row.get(2);
        let number = |column| row.get::<Option<i64>, _>(column).map(i64::cast_unsigned);
        let token = Token {
            secret: SecretHash(row.get::<&[u8], _>(1).try_into().unwrap()),
            policies: parsed(policies).unwrap(),
            description: row.get(3),
            expires_ms: number(4),
            created_revision: Revision(counter(&row, 5).unwrap()),
            created_by: number(6).map(Accessor),
        };
        let update = sqlx::query("UPDATE tokens SET sum = ? WHERE accessor = ?");
        let update = update.bind(sum_of_token(&token, policies).to_vec());
        update.bind(row.get::<i64, _>(0)).execute(&mut *connection).await.unwrap();
    }
}
