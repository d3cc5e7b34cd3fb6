//! The replicated state: the meta data, and a part for each kind of thing that it holds.
//!
//! What a command looks at is loaded from SQLite before it is executed, in *rounds*: what
//! a part lacks for it goes into [`Needs`], whoever has the database loads that, and
//! [`ReplicatedState::load`] takes it in; what it leads to may lack more. A partial state
//! knows what was loaded, so that "not loaded" is never taken for "does not exist": that
//! would be two replicas with different states, and is a panic instead. What executing
//! changed ([`Rows`]) is written back in the same transaction as the meta data.
//!
//! What has a limit that fits into memory is kept there as a [`Whole`], and never lacks.
//! The simulation keeps one *complete* state, which lacks nothing.
//!
//! A part is a file here, a field of each struct below, and a table of the store.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::ids::{BatchNumber, Epoch, LogFormat, Name, Revision, Slot};
use shared::message::View;

use crate::machine::access::{Access, AccessMeta, AccessPart, AccessRows};
use crate::machine::answers::{AnswerNeeds, AnswerRows, Answers, DueAnswers, LoadedAnswers};
use crate::machine::chain::ChainHash;
use crate::machine::change::Change;
use crate::machine::command::{AnswerRetention, Command, Op};
use crate::machine::identity::{IdempotencyKey, RequestDigest, RequestIdentity};
use crate::machine::keys::{KeyNeeds, KeyRows, Keys, LoadedKeys};
use crate::machine::leases::{LeaseRows, Leases};
use crate::machine::locks::{LockRows, Locks};
use crate::machine::outcome::CommandOutcome;
use crate::machine::txn::evaluate::{Evaluated, evaluate};

/// What the state is as a whole: written back with every transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Every slot below is executed.
    pub executed_below: Slot,
    /// How many mutations were executed.
    pub revision: Revision,
    /// The hash of the slot before `executed_below`.
    pub hash: ChainHash,
    /// The view executed last; none in epoch 0.
    pub view: Option<View>,
    /// The number that the next batch of this epoch must have.
    pub next_batch: BatchNumber,
    /// Replicated time, in milliseconds: how long primaries have counted since the log
    /// began, by their monotonic clocks. It says nothing of the day.
    pub time_ms: u64,
    /// How many first answers are kept.
    pub answers: u64,
    /// How many leases there are.
    pub leases: u64,
    /// How many claims on locks there are.
    pub claims: u64,
    /// Whether tokens are required, and how many tokens and policies there are.
    pub access: AccessMeta,
    /// The state of every revision from this one on can be read. Of the revisions below,
    /// the store drops what the state at this one does not have, in its own time.
    pub compacted_below: Revision,
    /// The replicas that were taken out for good, the latest last, each once: the newest
    /// [`limits::REMOVALS`](crate::machine::command::limits::REMOVALS).
    pub removed: Arc<Vec<RemovedReplica>>,
}

/// A replica that was taken out of the view for good.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RemovedReplica {
    /// Its name.
    pub replica: Name,
    /// Where that was chosen: a database that joined the cluster before is out. One that
    /// joined later, under the same name, is another one.
    pub slot: Slot,
    /// The epoch that began with it.
    pub epoch: Epoch,
}

impl Meta {
    /// The epoch of the view executed last.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.view.as_ref().map_or(Epoch(0), |view| view.epoch)
    }

    /// Where a replica was taken out of the view for good, if it was and that is remembered.
    #[must_use]
    pub fn removal_of(&self, replica: &Name) -> Option<&RemovedReplica> {
        self.removed.iter().find(|removed| removed.replica == *replica)
    }

    /// The format that the log has now.
    #[must_use]
    pub fn format(&self) -> LogFormat {
        self.view.as_ref().map_or(LogFormat::FIRST, |view| view.format)
    }
}

/// What commands look at that is not loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Of the keys.
    pub keys: KeyNeeds,
    /// These first answers.
    pub answers: AnswerNeeds,
}

impl Needs {
    fn of_keys(keys: KeyNeeds) -> Self {
        Self { keys, ..Self::default() }
    }

    /// How many things are to be looked up.
    #[must_use]
    pub fn len(&self) -> usize {
        let Self { keys, answers } = self;
        keys.len() + answers.len()
    }

    /// Whether nothing is lacking.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What was found of what was needed, as it is in the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Of the keys.
    pub keys: LoadedKeys,
    /// The first answers that were asked for.
    pub answers: LoadedAnswers,
}

/// What executing changed: what has to be written, all of it in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// Of the keys.
    pub keys: KeyRows,
    /// Of the first answers.
    pub answers: AnswerRows,
    /// Of the leases.
    pub leases: LeaseRows,
    /// Of the locks.
    pub locks: LockRows,
    /// Of tokens and policies.
    pub access: AccessRows,
}

/// The parts of a state that are never loaded in parts.
#[derive(Clone, Debug, Default)]
pub struct Whole {
    /// All leases.
    pub leases: Leases,
    /// All locks.
    pub locks: Locks,
    /// All tokens and policies.
    pub(super) access: AccessPart,
}

impl Whole {
    /// What a store has kept.
    #[must_use]
    pub fn of(leases: Leases, locks: Locks, access: Access) -> Self {
        Self { leases, locks, access: AccessPart::of(access) }
    }
}

/// The state that a run of slots is executed on.
#[derive(Clone, Debug)]
pub struct ReplicatedState {
    meta: Meta,
    pub(super) keys: Keys,
    answers: Answers,
    pub(super) whole: Whole,
}

impl ReplicatedState {
    /// The whole state of a replica that has executed nothing.
    #[must_use]
    pub fn complete() -> Self {
        let (keys, answers) = (Keys::complete(), Answers::complete());
        Self { meta: Meta::default(), keys, answers, whole: Whole::default() }
    }

    /// A state of which nothing is loaded but the meta data and what is never loaded in
    /// parts.
    #[must_use]
    pub fn partial(meta: Meta, whole: Whole) -> Self {
        Self { meta, keys: Keys::partial(), answers: Answers::partial(), whole }
    }

    /// Forgets what was loaded, once what was changed is written back.
    ///
    /// # Panics
    /// When it is not, or the state is complete.
    pub fn forget_loaded(&mut self) {
        assert!(!self.keys.is_complete(), "a complete state has nothing to load");
        let rows = self.take_rows();
        assert_eq!(rows, Rows::default(), "invariant: what is forgotten is written back");
        (self.keys, self.answers) = (Keys::partial(), Answers::partial());
    }

    /// The meta data.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    pub(super) fn meta_mut(&mut self) -> &mut Meta {
        &mut self.meta
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The leases.
    #[must_use]
    pub fn leases(&self) -> &Leases {
        &self.whole.leases
    }

    /// The locks.
    #[must_use]
    pub fn locks(&self) -> &Locks {
        &self.whole.locks
    }

    /// The tokens and policies. Whoever keeps them has them as they are now.
    #[must_use]
    pub fn access(&self) -> &Arc<Access> {
        self.whole.access.now()
    }

    /// Notes in the meta data what is to stand there of tokens and policies.
    pub(super) fn note_access(&mut self) {
        self.meta.access = self.access().meta();
    }

    /// When the next lease or token ends, unless it is renewed. Milliseconds of replicated
    /// time.
    #[must_use]
    pub fn next_expiry_ms(&self) -> Option<u64> {
        let ends = [self.leases().next_expiry_ms(), self.access().next_expiry_ms()];
        ends.into_iter().flatten().min()
    }

    /// Looks at what a command is going to look at: what a transaction comes to, where it is
    /// to be executed.
    ///
    /// # Errors
    /// What is not loaded.
    pub(super) fn look(
        &self,
        command: &Command,
        room: usize,
    ) -> Result<Option<Evaluated>, Box<Needs>> {
        let mut lacking = Needs::default();
        self.add_named(command, &mut lacking);
        if !lacking.is_empty() {
            return Err(Box::new(lacking));
        }
        match command.op.bare() {
            Op::Txn(txn) if !self.is_repeat(command) => {
                let (before, revision) = ((&self.keys, self.leases()), self.meta.revision.next());
                let evaluated = evaluate(before, txn, revision, room);
                evaluated.map(Some).map_err(|keys| Box::new(Needs::of_keys(keys)))
            }
            Op::Rollback { prefix, revision }
                if *revision <= self.meta.revision && !self.is_repeat(command) =>
            {
                let oldest = self.meta.compacted_below;
                match self.keys.lacking_for_rollback(prefix, *revision, oldest) {
                    Some(keys) => Err(Box::new(Needs::of_keys(keys))),
                    None => Ok(None),
                }
            }
            Op::Put { .. }
            | Op::LeasedPut { .. }
            | Op::Delete { .. }
            | Op::DeletePrefix { .. }
            | Op::Txn(_)
            | Op::Append { .. }
            | Op::Rollback { .. }
            | Op::Lease(_)
            | Op::Lock(_)
            | Op::Fenced(_)
            | Op::Compact { .. }
            | Op::Access(_)
            | Op::Attributed { .. }
            | Op::Issued { .. }
            | Op::Certified { .. } => Ok(None),
        }
    }

    fn is_repeat(&self, command: &Command) -> bool {
        match command.request {
            RequestIdentity::Drawn(_) => false,
            RequestIdentity::Keyed(key) => self.answers.get(key).is_some(),
        }
    }

    /// Adds what a command names and is not loaded.
    pub(super) fn add_named(&self, command: &Command, lacking: &mut Needs) {
        self.keys.add_named(&command.op, &mut lacking.keys);
        match command.request {
            RequestIdentity::Drawn(_) => {}
            RequestIdentity::Keyed(key) => self.answers.add_lacking(key, &mut lacking.answers),
        }
    }

    /// Forgets what was loaded for the command that was executed last, and for no other.
    pub(super) fn forget_looked_at(&mut self) {
        self.keys.forget_looked_at();
    }

    /// What is to be loaded so that these answers are there to be forgotten, where it is.
    pub(super) fn lacking_due(&self, due: DueAnswers, ahead: DueAnswers) -> Option<DueAnswers> {
        let lacks = self.meta.answers > 0 && self.answers.lacks_due(due);
        lacks.then(|| self.answers.due_to_load(ahead))
    }

    /// Forgets answers whose time is over, at most so many.
    pub(super) fn expire_answers(&mut self, at_most: usize) {
        self.answers.expire(&mut self.meta, at_most);
    }

    /// Keeps the first answer to a request.
    pub(super) fn keep_answer(
        &mut self,
        retention: AnswerRetention,
        key: IdempotencyKey,
        answer: (RequestDigest, CommandOutcome),
    ) {
        self.answers.keep(&mut self.meta, retention, key, answer);
    }

    /// The first answers.
    #[must_use]
    pub fn answers(&self) -> &Answers {
        &self.answers
    }

    /// Takes what was found of what was asked for.
    pub fn load(&mut self, asked: Needs, found: Loaded) {
        self.keys.load(asked.keys, found.keys);
        self.answers.load(asked.answers, found.answers);
    }

    /// What was changed since the last call.
    #[must_use]
    pub fn take_rows(&mut self) -> Rows {
        Rows {
            keys: self.keys.take_rows(),
            answers: self.answers.take_rows(),
            leases: self.whole.leases.take_rows(),
            locks: self.whole.locks.take_rows(),
            access: self.whole.access.take_rows(),
        }
    }

    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        self.keys.take_changes()
    }

    /// A digest of a whole state: equal on two replicas exactly when their states are.
    ///
    /// # Panics
    /// When the state is partial: its digest would say nothing.
    #[must_use]
    pub fn digest(&self) -> ChainHash {
        assert!(self.keys.is_complete(), "a digest of a part of the state was asked for");
        let mut hasher = blake3::Hasher::new();
        let mut field = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        };
        field(&postcard::to_allocvec(&self.meta).expect("encoding into memory does not fail"));
        self.keys.digest(&mut field);
        self.answers.digest(&mut field);
        self.whole.leases.digest(&mut field);
        self.whole.locks.digest(&mut field);
        self.whole.access.digest(&mut field);
        ChainHash(*hasher.finalize().as_bytes())
    }
}
