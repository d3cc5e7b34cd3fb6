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
//! | `authors` | not at all: replicas know of more or of fewer |
//! | `tokens`, `policies` | as `meta`, once tokens are required |

mod hashed;
mod reading;

use std::path::Path;

use serde::{Deserialize, Serialize};
use shared::chain::ChainHash;
use shared::ids::Slot;
use shared::message::View;
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnection;

use self::hashed::{Counted, encoded, finished};
use self::reading::Reading;
use super::access;
use super::deletions::Deletions;
use super::error::StoreError;
use super::meta::{self, MetaRow};
use super::schema;
use super::tenure;
use crate::machine::access::Requirement;
use crate::machine::state::{Meta, RemovedReplica};

/// How a digest is made: only those that were made alike can be compared. Whoever adds
/// something to the state adds it to the digest where it is there, so that states without it
/// keep theirs: programs of two releases compare theirs while a cluster is upgraded, and whoever
/// differs ends. Where that cannot be, this number is raised.
pub(crate) const FORMAT: u32 = 1;

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
        let mut reading = Reading::new(&mut self.connection, may_go_on);
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
