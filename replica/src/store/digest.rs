//! A digest of the replicated state: the same on two replicas exactly when executing the log
//! has come to the same on both.
//!
//! It is read in one read transaction, of one state, row by row. So it takes little memory,
//! nobody waits for it, and only the WAL grows meanwhile; whoever reads says after each piece
//! whether that may go on. Every row is held against its checksum on the way.
//!
//! What a replica has done with its tables by itself must not show: how far it has swept
//! deletions of many keys ([`deletions`](super::deletions)) and compacted history
//! ([`compaction`](super::compaction)), and in which order rows were written. So what counts
//! of `versions` is what sweeping all of it would leave:
//!
//! - of the revisions up to `compacted_below`, the newest version of each key, where it is no
//!   deletion;
//! - all versions after that;
//! - a deletion for each live key that a deletion of many hides.
//!
//! Rows of `versions` are read as they lie in the file, which is many times faster than by
//! key, and their digests added up: a sum does not depend on the order. That is enough against
//! accidents, for which all of this is.
//!
//! | table | in the digest |
//! | --- | --- |
//! | `meta` | as `meta`, but for what is of one replica (its name, `joined_at`, where its log begins, how far it has swept, the sum) and for the cluster, which is compared before |
//! | `log` | by the hash of its last slot, which binds all before |
//! | `versions` | as `keys` |
//! | `live` | as `live`, but for keys that a deletion of many hides |
//! | `range_tombstones`, `ended_leases` | by what they hide in `keys` and `live` |
//! | `answers`, `leases`, `claims` | as `answers`, `leases`, `locks` |
//! | `tokens`, `policies` | as `meta`, once tokens are required |

use std::path::Path;

use futures::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use shared::chain::ChainHash;
use shared::ids::{Revision, Slot};
use shared::message::View;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{ConnectOptions as _, Row as _};

use super::access;
use super::answers;
use super::deletions::{Deletions, not_hidden};
use super::error::StoreError;
use super::meta::{self, MetaRow};
use super::record::{Checked, Item, counter, item_of, lease_of};
use super::schema;
use super::sum::VersionFields;
use super::tenure;
use super::versions;
use crate::machine::access::{AccessMeta, Requirement};
use crate::machine::state::{Meta, RemovedReplica};

/// How a digest is made: only those that were made alike can be compared. Whoever adds
/// something to the state adds it to the digest where it is there, so that states without it
/// keep theirs: programs of two releases compare theirs while a cluster is upgraded, and whoever
/// differs ends. Where that cannot be, this number is raised.
pub(crate) const FORMAT: u32 = 1;

/// So many rows are read before it is asked whether to go on …
const PIECE_ROWS: u32 = 256;
/// … or so many bytes of keys and values.
const PIECE_BYTES: usize = 1 << 20;

/// A digest of a state, and of which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StateDigest {
    /// How it was made.
    pub(crate) format: u32,
    /// Every slot below is executed in the state, and no other.
    pub(crate) executed_below: Slot,
    /// The hash of the log up to there.
    pub(crate) log: ChainHash,
    /// The digests of the parts.
    pub(crate) parts: StateParts,
}

/// The digests of the parts of a state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StateParts {
    /// How far the state has come, the view, who was taken out, and who may do what.
    pub(crate) meta: ChainHash,
    /// The versions of all keys.
    pub(crate) keys: ChainHash,
    /// Which keys exist.
    pub(crate) live: ChainHash,
    /// The first answers to requests with an `Idempotency-Key`.
    pub(crate) answers: ChainHash,
    /// The leases.
    pub(crate) leases: ChainHash,
    /// The lines for locks.
    pub(crate) locks: ChainHash,
}

impl StateParts {
    pub(super) fn named(&self) -> [(&'static str, ChainHash); 6] {
        let Self { meta, keys, live, answers, leases, locks } = *self;
        [
            ("meta", meta),
            ("keys", keys),
            ("live", live),
            ("answers", answers),
            ("leases", leases),
            ("locks", locks),
        ]
    }
}

impl StateDigest {
    /// One for the contract, and for tests: of a state below slot 42 with these keys.
    pub(crate) fn example(keys: u8) -> Self {
        let parts = StateParts { keys: ChainHash([keys; 32]), ..StateParts::default() };
        Self { format: FORMAT, executed_below: Slot(42), log: ChainHash([0xaa; 32]), parts }
    }

    /// One for all of it.
    pub(crate) fn whole(&self) -> ChainHash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.format.to_le_bytes()).update(&self.executed_below.0.to_le_bytes());
        hasher.update(&self.log.0);
        for (_, part) in self.parts.named() {
            hasher.update(&part.0);
        }
        finished(&hasher)
    }

    /// In which parts another one differs.
    pub(crate) fn differs_in(&self, other: &Self) -> Vec<&'static str> {
        let log = (self.log != other.log).then_some("log");
        let pairs = self.parts.named().into_iter().zip(other.parts.named());
        log.into_iter()
            .chain(pairs.filter(|(own, theirs)| own != theirs).map(|(own, _)| own.0))
            .collect()
    }
}

/// A state that stays as it is while it is read, whatever is written meanwhile.
#[derive(Debug)]
pub(crate) struct PinnedState {
    connection: SqliteConnection,
    row: MetaRow,
}

/// Opens a connection that only reads.
pub(crate) async fn connect(path: &Path) -> Result<SqliteConnection, StoreError> {
    Ok(schema::reader_options(path).connect().await?)
}

impl PinnedState {
    /// Begins to read the state as it is now.
    pub(crate) async fn begin(mut connection: SqliteConnection) -> Result<Self, StoreError> {
        // It ends with the connection.
        sqlx::query("BEGIN").execute(&mut connection).await?;
        let row = meta::load(&mut connection).await?;
        Ok(Self { connection, row })
    }

    /// Every slot below is executed in it.
    pub(crate) fn executed_below(&self) -> Slot {
        self.row.meta.executed_below
    }

    /// Reads all of it, for as long as `may_go_on` says so.
    pub(crate) async fn digest<E: From<StoreError>>(
        mut self,
        may_go_on: &mut impl FnMut() -> Result<(), E>,
    ) -> Result<StateDigest, E> {
        let mut reading = Reading { connection: &mut self.connection, pace: Pace::new(may_go_on) };
        let deletions = Deletions::load(reading.connection).await?;
        // Those are held in memory as a whole anyhow: so they are checked before they are read
        // one by one.
        let _checked = tenure::load(reading.connection).await?;
        let _checked = access::load(reading.connection, &self.row.meta.access).await?;
        let keys = reading.keys(&self.row, &deletions).await?;
        let parts = StateParts {
            meta: reading.meta(&self.row).await?,
            keys,
            live: reading.live(self.row.meta.revision).await?,
            answers: reading.answers().await?,
            leases: reading.sums("SELECT sum FROM leases ORDER BY id").await?,
            locks: reading.sums("SELECT sum FROM claims ORDER BY name, since").await?,
        };
        let (executed_below, log) = (self.row.meta.executed_below, self.row.meta.hash);
        Ok(StateDigest { format: FORMAT, executed_below, log, parts })
    }
}

/// Field by field: what is encoded here stays as it is when the types grow.
fn meta_of(row: &MetaRow) -> Counted {
    let MetaRow { meta, cluster: _, joined_at: _, retained: _ } = row;
    let Meta {
        executed_below,
        revision,
        hash,
        view,
        next_batch,
        time_ms,
        answers,
        leases,
        claims,
        access,
        compacted_below,
        removed,
    } = meta;
    let mut hasher = Counted::default();
    for number in [
        executed_below.0,
        revision.0,
        next_batch.0,
        *time_ms,
        *answers,
        *leases,
        *claims,
        compacted_below.0,
    ] {
        hasher.row(&number.to_le_bytes());
    }
    hasher.row(&hash.0);
    hasher.row(&[u8::from(view.is_some())]);
    if let Some(View { epoch, primary, primary_instance, backups, format }) = view {
        let rest = [&primary_instance.0.to_le_bytes()[..], &format.0.to_le_bytes()].concat();
        hasher.row(&encoded(primary.as_str().as_bytes(), epoch.0, &rest));
        backups.iter().for_each(|backup| hasher.row(backup.as_str().as_bytes()));
    }
    for RemovedReplica { replica, slot, epoch } in removed.iter() {
        let name = replica.as_str().as_bytes();
        hasher.row(&encoded(name, slot.0, &epoch.0.to_le_bytes()));
    }
    match access.requirement {
        Requirement::Open => {}
        Requirement::Tokens { since } => {
            let counts = [access.tokens.to_le_bytes(), access.policies.to_le_bytes()].concat();
            hasher.row(&encoded(b"access", since.0, &counts));
        }
    }
    hasher
}

/// Asks after each piece whether to go on.
struct Pace<'a, F> {
    may_go_on: &'a mut F,
    rows: u32,
    bytes: usize,
}

impl<'a, F> Pace<'a, F> {
    fn new(may_go_on: &'a mut F) -> Self {
        Self { may_go_on, rows: 0, bytes: 0 }
    }

    fn row<E>(&mut self, bytes: usize) -> Result<(), E>
    where
        F: FnMut() -> Result<(), E>,
    {
        self.rows += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.rows < PIECE_ROWS && self.bytes < PIECE_BYTES {
            return Ok(());
        }
        (self.rows, self.bytes) = (0, 0);
        (self.may_go_on)()
    }
}

struct Reading<'a, F> {
    connection: &'a mut SqliteConnection,
    pace: Pace<'a, F>,
}

/// All versions, and whether sweeping would leave each: `?1` is up to where history is
/// dropped, `?2` whether all of that is swept.
const VERSIONS: &str = "SELECT key, revision, created_revision, version, lease, sum, \
    content_type, value, CASE WHEN revision > ?1 THEN 1 WHEN value IS NULL THEN 0 WHEN ?2 THEN 1 \
    ELSE NOT EXISTS (SELECT 1 FROM versions w WHERE w.key = v.key AND w.revision > v.revision \
    AND w.revision <= ?1) END FROM versions v ORDER BY id";

/// The live versions that a deletion of many hides.
const HIDDEN: &str = concat!(
    "SELECT v.key, v.revision, v.created_revision, v.version, v.lease, v.sum, v.content_type, \
     v.value FROM live l LEFT JOIN versions v ON v.key = l.key AND v.revision = l.revision \
     WHERE NOT (",
    not_hidden!("l", "?1"),
    ") ORDER BY l.key"
);

/// The keys that exist.
const LIVE: &str = concat!(
    "SELECT l.key, l.revision, l.lease FROM live l WHERE ",
    not_hidden!("l", "?1"),
    " ORDER BY l.key"
);

const ANSWERS: &str = "SELECT key, expires_ms, request, outcome, sum FROM answers ORDER BY key";

impl<F> Reading<'_, F> {
    /// Before tokens are required there is neither a token nor a policy, and nothing of them
    /// in the digest.
    async fn meta<E: From<StoreError>>(&mut self, row: &MetaRow) -> Result<ChainHash, E>
    where
        F: FnMut() -> Result<(), E>,
    {
        let mut hasher = meta_of(row);
        if row.meta.access != AccessMeta::default() {
            for sql in access::SUMS {
                self.add_sums(sql, &mut hasher).await?;
            }
        }
        Ok(hasher.finish())
    }

    async fn keys<E: From<StoreError>>(
        &mut self,
        row: &MetaRow,
        deletions: &Deletions,
    ) -> Result<ChainHash, E>
    where
        F: FnMut() -> Result<(), E>,
    {
        let compacted = row.meta.compacted_below;
        let is_swept = row.retained.swept_through >= compacted;
        let mut sum = RowSum::default();
        let query = sqlx::query(VERSIONS).bind(compacted.0.cast_signed()).bind(is_swept);
        let mut rows = query.persistent(false).fetch(&mut *self.connection);
        while let Some(row) = rows.try_next().await.map_err(StoreError::from)? {
            let item = item_of(&row, 0, Checked::Whole)?;
            if counter(&row, 8)? != 0 {
                sum.add(&row_of(&row)?);
            }
            self.pace.row(item.as_ref().map_or(0, Item::bytes))?;
        }
        drop(rows);
        if deletions.is_empty() {
            return Ok(sum.finish());
        }
        let query = sqlx::query(HIDDEN).bind(row.meta.revision.0.cast_signed());
        let mut rows = query.persistent(false).fetch(&mut *self.connection);
        while let Some(row) = rows.try_next().await.map_err(StoreError::from)? {
            let item = item_of(&row, 0, Checked::Whole)?.ok_or_else(versions::missing)?;
            let deletion = deletions.hidden_by(&item.key, item.revision, item.lease);
            let deletion = deletion.ok_or_else(versions::missing)?;
            if deletion.revision > compacted {
                let fields = VersionFields {
                    key: &item.key,
                    revision: deletion.revision.0,
                    created_revision: item.created_revision.0,
                    version: item.version,
                    lease: deletion.expired,
                    is_deleted: true,
                };
                sum.add(&encoded(&item.key, deletion.revision.0, &fields.sums(None, None)));
            } else {
                sum.remove(&row_of(&row)?);
            }
            self.pace.row(item.bytes())?;
        }
        Ok(sum.finish())
    }

    async fn live<E: From<StoreError>>(&mut self, present: Revision) -> Result<ChainHash, E>
    where
        F: FnMut() -> Result<(), E>,
    {
        let mut hasher = Counted::default();
        let query = sqlx::query(LIVE).bind(present.0.cast_signed());
        let mut rows = query.persistent(false).fetch(&mut *self.connection);
        while let Some(row) = rows.try_next().await.map_err(StoreError::from)? {
            let key: &[u8] = row.try_get(0).map_err(StoreError::from)?;
            let lease = lease_of(&row, 2)?.map_or(0, |lease| lease.0);
            hasher.row(&encoded(key, counter(&row, 1)?, &lease.to_le_bytes()));
            self.pace.row(key.len())?;
        }
        Ok(hasher.finish())
    }

    async fn answers<E: From<StoreError>>(&mut self) -> Result<ChainHash, E>
    where
        F: FnMut() -> Result<(), E>,
    {
        let mut hasher = Counted::default();
        let mut rows = sqlx::query(ANSWERS).persistent(false).fetch(&mut *self.connection);
        while let Some(row) = rows.try_next().await.map_err(StoreError::from)? {
            let _checked = answers::answer_of(&row)?;
            let column = |at| row.try_get::<&[u8], _>(at).map_err(StoreError::from);
            hasher.row(column(0)?);
            hasher.row(column(4)?);
            self.pace.row(column(3)?.len())?;
        }
        Ok(hasher.finish())
    }

    /// Of leases, or of claims, which are checked.
    async fn sums<E: From<StoreError>>(&mut self, sql: &'static str) -> Result<ChainHash, E>
    where
        F: FnMut() -> Result<(), E>,
    {
        let mut hasher = Counted::default();
        self.add_sums(sql, &mut hasher).await?;
        Ok(hasher.finish())
    }

    async fn add_sums<E: From<StoreError>>(
        &mut self,
        sql: &'static str,
        hasher: &mut Counted,
    ) -> Result<(), E>
    where
        F: FnMut() -> Result<(), E>,
    {
        let mut rows = sqlx::query(sql).persistent(false).fetch(&mut *self.connection);
        while let Some(row) = rows.try_next().await.map_err(StoreError::from)? {
            hasher.row(row.try_get(0).map_err(StoreError::from)?);
            self.pace.row(0)?;
        }
        Ok(())
    }
}

/// What of a version is added up: where it is, and its sums, which bind the rest of it.
fn row_of(row: &SqliteRow) -> Result<Vec<u8>, StoreError> {
    let (key, sums): (&[u8], &[u8]) = (row.try_get(0)?, row.try_get(5)?);
    Ok(encoded(key, counter(row, 1)?, sums))
}

fn encoded(key: &[u8], number: u64, rest: &[u8]) -> Vec<u8> {
    [&(key.len() as u64).to_le_bytes(), key, &number.to_le_bytes(), rest].concat()
}

fn finished(hasher: &blake3::Hasher) -> ChainHash {
    ChainHash(*hasher.finalize().as_bytes())
}

/// Rows in an order that they have everywhere, and how many they are.
#[derive(Default)]
struct Counted {
    hasher: blake3::Hasher,
    rows: u64,
}

impl Counted {
    fn row(&mut self, bytes: &[u8]) {
        self.hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        self.rows += 1;
    }

    fn finish(mut self) -> ChainHash {
        self.hasher.update(&self.rows.to_le_bytes());
        finished(&self.hasher)
    }
}

/// The sum of the digests of rows, and how many they are: the same in whatever order they
/// come, and what was added can be taken out again.
#[derive(Default)]
struct RowSum {
    lanes: [u64; 4],
    rows: u64,
}

impl RowSum {
    fn add(&mut self, row: &[u8]) {
        self.each(row, u64::wrapping_add);
        self.rows = self.rows.wrapping_add(1);
    }

    fn remove(&mut self, row: &[u8]) {
        self.each(row, u64::wrapping_sub);
        self.rows = self.rows.wrapping_sub(1);
    }

    fn each(&mut self, row: &[u8], change: fn(u64, u64) -> u64) {
        let digest = blake3::hash(row);
        let (words, _) = digest.as_bytes().as_chunks::<8>();
        for (lane, word) in self.lanes.iter_mut().zip(words) {
            *lane = change(*lane, u64::from_le_bytes(*word));
        }
    }

    fn finish(&self) -> ChainHash {
        let mut hasher = blake3::Hasher::new();
        for number in self.lanes.iter().chain([&self.rows]) {
            hasher.update(&number.to_le_bytes());
        }
        finished(&hasher)
    }
}
