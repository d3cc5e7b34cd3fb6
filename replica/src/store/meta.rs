//! The one row of `meta`.

use shared::ids::{BatchNumber, ClusterId, Name, Revision, Slot};
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;

use super::error::StoreError;
use super::record::{counter, hash_of};
use super::statements::Statements;
use super::sum::{self, Sum};
use crate::machine::access::{AccessMeta, Requirement};
use crate::machine::chain::ChainHash;
use crate::machine::state::Meta;

/// What it holds, but for whose it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MetaRow {
    /// How far the state has come.
    pub(super) meta: Meta,
    /// Of which cluster it is, where that is known.
    pub(super) cluster: Option<ClusterId>,
    /// A quorum of acceptors had voted below this slot when this database joined the
    /// cluster: what tells it from one of the same name that was taken out.
    pub(super) joined_at: Slot,
    pub(super) retained: Retained,
}

/// From where on the log is whole, and how far what is compacted is swept
/// ([`compaction`](super::compaction)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Retained {
    /// The first slot that the log has, or will have. What slots from here on leave out is
    /// in no version that sweeping takes away.
    pub(super) log_start: Slot,
    /// The hash of the log below it.
    pub(super) log_start_hash: ChainHash,
    /// Of every key there is one version at most of the revisions up to this, and it is no
    /// deletion. Never above what is compacted.
    pub(super) swept_through: Revision,
}

impl MetaRow {
    /// The row once the state has come so far.
    pub(super) fn at(&self, meta: Meta) -> Self {
        Self { meta, ..self.clone() }
    }

    /// The view and the removals are given as they are stored.
    fn sum(&self, view: Option<&str>, removed: Option<&str>) -> Sum {
        let Self { meta, cluster, joined_at, retained } = self;
        let Meta {
            executed_below,
            revision,
            hash,
            view: _,
            next_batch,
            time_ms,
            answers,
            leases,
            claims,
            access,
            compacted_below,
            removed: _,
        } = meta;
        let Retained { log_start, log_start_hash, swept_through } = retained;
        let numbers =
            [executed_below.0, revision.0, next_batch.0, *time_ms, compacted_below.0, log_start.0];
        // Of none there was nothing in the sum before version 7.
        let answers = (*answers > 0).then_some(*answers);
        // Nor of these before version 9.
        let tenure = [*leases, *claims];
        let tenure = (tenure != [0, 0]).then_some(tenure).into_iter().flatten();
        // Nor of this before version 10.
        let swept = (swept_through.0 > 0).then_some(swept_through.0);
        let numbers = numbers.into_iter().chain(answers).chain(tenure).chain(swept);
        // Nor of these before version 11.
        let joined_at = (joined_at.0 > 0).then_some(joined_at.0);
        // Nor of these before version 12.
        let access = match access.requirement {
            Requirement::Open => None,
            Requirement::Tokens { since } => Some([since.0, access.tokens, access.policies]),
        };
        let access = access.into_iter().flatten();
        let numbers: Vec<u64> = numbers.chain(joined_at).chain(access).collect();
        let cluster = cluster.map(|cluster| cluster.0.to_le_bytes());
        let cluster = cluster.as_ref().map(<[u8; 8]>::as_slice);
        let hashes = [Some(hash.0.as_slice()), Some(log_start_hash.0.as_slice())];
        let columns = [hashes[0], hashes[1], view.map(str::as_bytes), cluster];
        let removed = removed.map(|removed| Some(removed.as_bytes()));
        let columns: Vec<Option<&[u8]>> = columns.into_iter().chain(removed).collect();
        sum::of_columns(&numbers, &columns)
    }
}

/// Makes the row of a state that has executed nothing.
pub(super) async fn create(
    connection: &mut SqliteConnection,
    replica: &Name,
) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO meta(one, replica, executed_below, revision, hash, next_batch, \
        time_ms, compacted_below, log_start, log_start_hash, sum) \
        VALUES (1, ?, 0, 0, zeroblob(32), 0, 0, 0, 0, zeroblob(32), ?)";
    sqlx::query(SQL)
        .bind(replica.as_str())
        .bind(MetaRow::default().sum(None, None).to_vec())
        .execute(connection)
        .await?;
    Ok(())
}

/// Reads it, and holds it against its checksum.
pub(super) async fn load(connection: &mut SqliteConnection) -> Result<MetaRow, StoreError> {
    let Read { row, is_right } = read(connection).await?;
    if is_right {
        Ok(row)
    } else {
        Err(StoreError::Damaged(format!("meta does not match its checksum: {row:?}")))
    }
}

/// The row, and whether its checksum is right.
struct Read {
    row: MetaRow,
    is_right: bool,
}

/// Writes its checksum anew, of what is there.
#[cfg(test)]
pub(super) async fn mend(connection: &mut SqliteConnection) {
    let Read { row, .. } = read(&mut *connection).await.unwrap();
    save(connection, &row).await.unwrap();
}

async fn read(connection: &mut SqliteConnection) -> Result<Read, StoreError> {
    const SQL: &str = "SELECT executed_below, revision, hash, view, next_batch, time_ms, cluster, \
        compacted_below, log_start, log_start_hash, sum, answers, leases, claims, swept_through, \
        joined_at, removed, tokens_since, tokens, policies FROM meta";
    let row = sqlx::query(SQL).fetch_one(connection).await?;
    let text: Option<&str> = row.try_get(3)?;
    let view = text
        .map(serde_json::from_str)
        .transpose()
        .map_err(|error| StoreError::Damaged(format!("meta.view: {error}")))?;
    let removed_text: Option<&str> = row.try_get(16)?;
    let removed = removed_text
        .map(serde_json::from_str)
        .transpose()
        .map_err(|error| StoreError::Damaged(format!("meta.removed: {error}")))?
        .unwrap_or_default();
    let found = MetaRow {
        meta: Meta {
            executed_below: Slot(counter(&row, 0)?),
            revision: Revision(counter(&row, 1)?),
            hash: ChainHash(hash_of(&row, 2)?),
            view,
            next_batch: BatchNumber(counter(&row, 4)?),
            time_ms: counter(&row, 5)?,
            answers: counter(&row, 11)?,
            leases: counter(&row, 12)?,
            claims: counter(&row, 13)?,
            access: AccessMeta {
                requirement: match row.try_get::<Option<i64>, _>(17)? {
                    None => Requirement::Open,
                    Some(since) => Requirement::Tokens { since: Revision(since.cast_unsigned()) },
                },
                tokens: counter(&row, 18)?,
                policies: counter(&row, 19)?,
            },
            compacted_below: Revision(counter(&row, 7)?),
            removed,
        },
        cluster: row.try_get::<Option<i64>, _>(6)?.map(|id| ClusterId(id.cast_unsigned())),
        joined_at: Slot(counter(&row, 15)?),
        retained: Retained {
            log_start: Slot(counter(&row, 8)?),
            log_start_hash: ChainHash(hash_of(&row, 9)?),
            swept_through: Revision(counter(&row, 14)?),
        },
    };
    let is_right = row.try_get::<&[u8], _>(10)? == found.sum(text, removed_text);
    Ok(Read { row: found, is_right })
}

/// Writes it, in a transaction of its own.
pub(super) async fn save(
    connection: &mut SqliteConnection,
    row: &MetaRow,
) -> Result<(), StoreError> {
    let mut statements = Statements::new(connection);
    write(&mut statements, row);
    statements.run().await?;
    Ok(())
}

/// Writes it, with what else is to be written.
pub(super) fn write(statements: &mut Statements<'_>, row: &MetaRow) {
    const SQL: &str = "UPDATE meta SET executed_below = ?, revision = ?, hash = ?, view = ?, \
        next_batch = ?, time_ms = ?, cluster = ?, compacted_below = ?, log_start = ?, \
        log_start_hash = ?, answers = ?, leases = ?, claims = ?, swept_through = ?, joined_at = ?, \
        removed = ?, tokens_since = ?, tokens = ?, policies = ?, sum = ?";
    let MetaRow { meta, cluster, joined_at, retained } = row;
    let view =
        meta.view.as_ref().map(|view| serde_json::to_string(view).expect("a view is plain JSON"));
    let removed = (!meta.removed.is_empty())
        .then(|| serde_json::to_string(&meta.removed).expect("what is removed is plain JSON"));
    let tokens_since = match meta.access.requirement {
        Requirement::Open => None,
        Requirement::Tokens { since } => Some(since),
    };
    let sum = row.sum(view.as_deref(), removed.as_deref());
    statements.add(SQL, |bound| {
        bound
            .bind(meta.executed_below.0.cast_signed())
            .bind(meta.revision.0.cast_signed())
            .bind(meta.hash.0.to_vec())
            .bind(view)
            .bind(meta.next_batch.0.cast_signed())
            .bind(meta.time_ms.cast_signed())
            .bind(cluster.map(|cluster| cluster.0.cast_signed()))
            .bind(meta.compacted_below.0.cast_signed())
            .bind(retained.log_start.0.cast_signed())
            .bind(retained.log_start_hash.0.to_vec())
            .bind(meta.answers.cast_signed())
            .bind(meta.leases.cast_signed())
            .bind(meta.claims.cast_signed())
            .bind(retained.swept_through.0.cast_signed())
            .bind(joined_at.0.cast_signed())
            .bind(removed)
            .bind(tokens_since.map(|since| since.0.cast_signed()))
            .bind(meta.access.tokens.cast_signed())
            .bind(meta.access.policies.cast_signed())
            .bind(sum.to_vec());
    });
}
