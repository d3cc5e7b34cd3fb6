//! The first answers of requests with an `Idempotency-Key`: what executing loads of them,
//! and what it writes.

use std::sync::LazyLock;

use futures::TryStreamExt;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row};

use super::error::StoreError;
use super::multi_row::MultiRow;
use super::record::counter;
use super::statements::{Bound, Statements};
use super::sum::{self, Sum};
use crate::machine::answers::{AnswerNeeds, AnswerRows, FirstAnswer, LoadedAnswers};
use crate::machine::identity::{IdempotencyKey, RequestDigest};

static SELECT: LazyLock<MultiRow> = LazyLock::new(|| {
    const HEAD: &str = "SELECT key, expires_ms, request, outcome, sum FROM answers WHERE key IN (";
    MultiRow::new(HEAD, "?", ")")
});

static INSERT: LazyLock<MultiRow> = LazyLock::new(|| {
    const HEAD: &str =
        "INSERT OR ROLLBACK INTO answers(key, expires_ms, request, outcome, sum) VALUES ";
    MultiRow::new(HEAD, "(?,?,?,?,?)", "")
});

static DELETE: LazyLock<MultiRow> =
    LazyLock::new(|| MultiRow::new("DELETE FROM answers WHERE key IN (", "?", ")"));

/// Loads what was asked for.
pub(super) async fn load(
    connection: &mut SqliteConnection,
    needs: &AnswerNeeds,
) -> Result<LoadedAnswers, StoreError> {
    const DUE: &str = "SELECT key, expires_ms, request, outcome, sum FROM answers \
        WHERE expires_ms <= ? ORDER BY expires_ms, key LIMIT ?";
    let mut loaded = LoadedAnswers::default();
    let keys: Vec<IdempotencyKey> = needs.keys.iter().copied().collect();
    for (sql, piece) in SELECT.pieces(&keys) {
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for key in piece {
            query = query.bind(key.0.to_vec());
        }
        for row in query.fetch_all(&mut *connection).await? {
            loaded.of_keys.push(answer_of(&row)?);
        }
    }
    if let Some(due) = needs.due {
        let rows = sqlx::query(DUE)
            .bind(i64::try_from(due.by_ms).unwrap_or(i64::MAX))
            .bind(i64::try_from(due.at_most).unwrap_or(i64::MAX))
            .fetch_all(&mut *connection)
            .await?;
        loaded.due = rows.iter().map(answer_of).collect::<Result<_, StoreError>>()?;
    }
    Ok(loaded)
}

pub(super) fn answer_of(row: &SqliteRow) -> Result<(IdempotencyKey, FirstAnswer), StoreError> {
    let bytes = |column| -> Result<&[u8], StoreError> { Ok(row.try_get(column)?) };
    let (key, expires_ms, request, outcome) = (bytes(0)?, counter(row, 1)?, bytes(2)?, bytes(3)?);
    let damaged = || StoreError::Damaged("a row of answers does not match its checksum".to_owned());
    if bytes(4)? != sum_of(key, expires_ms, request, outcome) {
        return Err(damaged());
    }
    let key = IdempotencyKey(key.try_into().map_err(|_| damaged())?);
    let request = RequestDigest(request.try_into().map_err(|_| damaged())?);
    let outcome = postcard::from_bytes(outcome).map_err(|_| damaged())?;
    Ok((key, FirstAnswer { request, outcome, expires_ms }))
}

fn sum_of(key: &[u8], expires_ms: u64, request: &[u8], outcome: &[u8]) -> Sum {
    sum::of_columns(&[expires_ms], &[Some(key), Some(request), Some(outcome)])
}

/// Writes what changed.
pub(super) async fn write(
    statements: &mut Statements<'_>,
    rows: AnswerRows,
) -> Result<(), StoreError> {
    let forgotten: Vec<IdempotencyKey> = rows.forgotten.into_iter().collect();
    let delete = |bound: &mut Bound, key: &IdempotencyKey| {
        bound.bind(key.0.to_vec());
    };
    statements.add_rows(&DELETE, &forgotten, delete).await?;
    let kept: Vec<(IdempotencyKey, FirstAnswer)> = rows.kept.into_iter().collect();
    statements
        .add_rows(&INSERT, &kept, |bound, (key, answer)| {
            let FirstAnswer { request, outcome, expires_ms } = answer;
            let outcome =
                postcard::to_allocvec(outcome).expect("encoding into memory does not fail");
            let sum = sum_of(&key.0, *expires_ms, &request.0, &outcome);
            bound
                .bind(key.0.to_vec())
                .bind(expires_ms.cast_signed())
                .bind(request.0.to_vec())
                .bind(outcome)
                .bind(sum.to_vec());
        })
        .await
}

/// Reads all of them, and holds their number against what `meta` says.
pub(super) async fn verify(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    const SQL: &str = "SELECT key, expires_ms, request, outcome, sum FROM answers";
    let said: i64 =
        sqlx::query_scalar("SELECT answers FROM meta").fetch_one(&mut *connection).await?;
    let mut rows = sqlx::query(SQL).persistent(false).fetch(connection);
    let mut found = 0;
    while let Some(row) = rows.try_next().await? {
        let _answer = answer_of(&row)?;
        found += 1;
    }
    if found == said {
        return Ok(());
    }
    Err(StoreError::Damaged(format!("there are {found} answers, but meta says {said}")))
}

/// Adds all of them to a digest.
pub(super) async fn digest(
    connection: &mut SqliteConnection,
    hasher: &mut blake3::Hasher,
) -> Result<(), StoreError> {
    const SQL: &str = "SELECT sum FROM answers ORDER BY key";
    let mut rows = sqlx::query(SQL).persistent(false).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        hasher.update(row.try_get(0)?);
    }
    Ok(())
}
