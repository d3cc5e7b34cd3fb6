//! The first answers of requests that came with an `Idempotency-Key`, each kept for a time
//! of the log: who sends the same request again gets the same answer, whatever replica
//! executes it.
//!
//! How long and how many are kept is said by each batch, since both decide outcomes. An
//! answer is never forgotten before its time: where there are too many, further requests
//! with a key are refused. Those whose time is over are taken out by the batches that come
//! after it, the oldest first, each a bounded number of them; until then they count.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::machine::command::{AnswerRetention, limits};
use crate::machine::identity::{IdempotencyKey, RequestDigest};
use crate::machine::outcome::CommandOutcome;
use crate::machine::state::Meta;

/// What a key was used for, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstAnswer {
    /// What was asked for.
    pub request: RequestDigest,
    /// What came of it.
    pub outcome: CommandOutcome,
    /// It is kept at least until then. Milliseconds of replicated time.
    pub expires_ms: u64,
}

/// Which answers executing looks at that are not loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnswerNeeds {
    /// Those of these keys.
    pub keys: BTreeSet<IdempotencyKey>,
    /// Those whose time is over.
    pub due: Option<DueAnswers>,
}

/// The answers that expire at `by_ms` or before, in the order of when they do and of their
/// keys: the first `at_most` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueAnswers {
    /// Milliseconds of replicated time.
    pub by_ms: u64,
    /// How many.
    pub at_most: usize,
}

impl AnswerNeeds {
    /// How many things are to be looked up.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len() + self.due.map_or(0, |due| due.at_most)
    }

    /// Whether nothing is lacking.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What was found of [`AnswerNeeds`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadedAnswers {
    /// Those of the keys that have one.
    pub of_keys: Vec<(IdempotencyKey, FirstAnswer)>,
    /// Those that are due.
    pub due: Vec<(IdempotencyKey, FirstAnswer)>,
}

/// What executing changed of the answers: what has to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnswerRows {
    /// These are gone …
    pub forgotten: BTreeSet<IdempotencyKey>,
    /// … and these are there, even where they are among those.
    pub kept: BTreeMap<IdempotencyKey, FirstAnswer>,
}

#[derive(Clone, Debug)]
enum Coverage {
    Complete,
    /// The first of those that are due are loaded as well.
    Partial(Option<LoadedDue>),
}

#[derive(Clone, Copy, Debug)]
struct LoadedDue {
    by_ms: u64,
    /// So many of them are left; none: all that there are.
    left: Option<usize>,
}

/// The answers, or those of them that were loaded.
#[derive(Clone, Debug)]
pub struct Answers {
    /// None: there is none by this key.
    known: BTreeMap<IdempotencyKey, Option<FirstAnswer>>,
    /// Those that are known, by when they expire.
    by_expiry: BTreeSet<(u64, IdempotencyKey)>,
    coverage: Coverage,
    rows: AnswerRows,
}

impl Answers {
    /// All answers of a replica that has executed nothing.
    pub(super) fn complete() -> Self {
        Self::with(Coverage::Complete)
    }

    /// None is loaded.
    pub(super) fn partial() -> Self {
        Self::with(Coverage::Partial(None))
    }

    fn with(coverage: Coverage) -> Self {
        let (known, by_expiry) = (BTreeMap::new(), BTreeSet::new());
        Self { known, by_expiry, coverage, rows: AnswerRows::default() }
    }

    fn is_loaded(&self, key: IdempotencyKey) -> bool {
        matches!(self.coverage, Coverage::Complete) || self.known.contains_key(&key)
    }

    /// Adds the key where its answer is not loaded.
    pub(super) fn add_lacking(&self, key: IdempotencyKey, lacking: &mut AnswerNeeds) {
        if !self.is_loaded(key) {
            lacking.keys.insert(key);
        }
    }

    /// Whether there may be so many that are due by then and not loaded.
    pub(super) fn lacks_due(&self, due: DueAnswers) -> bool {
        match self.coverage {
            Coverage::Complete => false,
            Coverage::Partial(None) => true,
            Coverage::Partial(Some(loaded)) => {
                loaded.by_ms < due.by_ms || loaded.left.is_some_and(|left| left < due.at_most)
            }
        }
    }

    /// What is to be loaded for that: those that are gone are still in the database.
    pub(super) fn due_to_load(&self, due: DueAnswers) -> DueAnswers {
        DueAnswers { at_most: due.at_most + self.rows.forgotten.len(), ..due }
    }

    /// Takes what was found of what was asked for, as it was before this execution.
    pub(super) fn load(&mut self, asked: AnswerNeeds, found: LoadedAnswers) {
        let is_all = asked.due.is_some_and(|due| found.due.len() < due.at_most);
        let due: Vec<IdempotencyKey> = found.due.iter().map(|(key, _)| *key).collect();
        for (key, answer) in found.of_keys.into_iter().chain(found.due) {
            self.known.entry(key).or_insert_with(|| {
                self.by_expiry.insert((answer.expires_ms, key));
                Some(answer)
            });
        }
        for key in asked.keys {
            self.known.entry(key).or_insert(None);
        }
        if let Some(DueAnswers { by_ms, .. }) = asked.due {
            let is_left = |key: &&IdempotencyKey| !self.rows.forgotten.contains(key);
            let left = (!is_all).then(|| due.iter().filter(is_left).count());
            self.coverage = Coverage::Partial(Some(LoadedDue { by_ms, left }));
        }
    }

    /// The first answer to a request with this key, if one is kept.
    ///
    /// # Panics
    /// When it was not loaded.
    #[must_use]
    pub fn get(&self, key: IdempotencyKey) -> Option<&FirstAnswer> {
        assert!(self.is_loaded(key), "executing looks at answer {key}, which was not loaded");
        self.known.get(&key).and_then(Option::as_ref)
    }

    /// Keeps the first answer to a request.
    pub(super) fn keep(
        &mut self,
        meta: &mut Meta,
        retention: AnswerRetention,
        key: IdempotencyKey,
        (request, outcome): (RequestDigest, CommandOutcome),
    ) {
        let expires_ms = meta.time_ms.saturating_add(retention.keep_ms).min(limits::TIME_MS);
        let answer = FirstAnswer { request, outcome, expires_ms };
        let before = self.known.insert(key, Some(answer.clone())).flatten();
        assert_eq!(before, None, "invariant: the first answer by key {key} stays the first");
        self.by_expiry.insert((expires_ms, key));
        self.rows.kept.insert(key, answer);
        meta.answers += 1;
    }

    /// Forgets those whose time is over, the oldest first, at most so many.
    pub(super) fn expire(&mut self, meta: &mut Meta, at_most: usize) {
        for _ in 0..at_most {
            let due = self.by_expiry.first().copied();
            let Some((expires_ms, key)) = due.filter(|(at, _)| *at <= meta.time_ms) else { return };
            self.by_expiry.remove(&(expires_ms, key));
            self.known.insert(key, None);
            self.rows.kept.remove(&key);
            self.rows.forgotten.insert(key);
            meta.answers -= 1;
            if let Coverage::Partial(Some(LoadedDue { left: Some(left), .. })) = &mut self.coverage
            {
                *left = left.saturating_sub(1);
            }
        }
    }

    pub(super) fn take_rows(&mut self) -> AnswerRows {
        std::mem::take(&mut self.rows)
    }

    /// All that are here, by key: of a complete state all answers.
    pub fn iter(&self) -> impl Iterator<Item = (IdempotencyKey, &FirstAnswer)> {
        self.known.iter().filter_map(|(key, answer)| Some((*key, answer.as_ref()?)))
    }

    /// Adds all of them to a digest.
    pub(super) fn digest(&self, field: &mut impl FnMut(&[u8])) {
        for answer in self.iter() {
            field(&postcard::to_allocvec(&answer).expect("encoding into memory does not fail"));
        }
    }
}
