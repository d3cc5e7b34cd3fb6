//! The state as a transaction sees it while it is evaluated: that before it, and over it
//! what its earlier operations did.

use std::collections::BTreeMap;

use shared::ids::{LeaseId, Revision};

use super::evaluate::or_lacking;
use super::result::{LeasedItem, TxnItem, TxnResult, counted_prefixes, outermost};
use super::{TxnOp, TxnPut};
use crate::machine::keys::{Content, KeyNeeds, KeyWrites, Keys, Record, WHOLE};

/// What an item takes of the room beside its bytes.
const ITEM_BYTES: usize = 64;

/// The state before a transaction, and what was done to it.
#[derive(Debug)]
pub(super) struct View<'a> {
    keys: &'a Keys,
    revision: Revision,
    /// Keys that were written or deleted one by one; none: deleted.
    written: BTreeMap<&'a str, Option<Record>>,
    /// Prefixes that were deleted, in order.
    deleted: Vec<&'a str>,
    read_bytes: usize,
    /// Values of what is read.
    lacking: KeyNeeds,
}

impl<'a> View<'a> {
    pub(super) fn new(keys: &'a Keys, revision: Revision) -> Self {
        Self {
            keys,
            revision,
            written: BTreeMap::new(),
            deleted: Vec::new(),
            read_bytes: 0,
            lacking: KeyNeeds::default(),
        }
    }

    /// How many bytes were read.
    pub(super) fn read_bytes(&self) -> usize {
        self.read_bytes
    }

    /// Executes the operation at `index` of a branch.
    ///
    /// # Errors
    /// What is lacking to go on.
    pub(super) fn execute(
        &mut self,
        branch: &'a [TxnOp],
        index: usize,
        op: &'a TxnOp,
    ) -> Result<TxnResult, KeyNeeds> {
        Ok(match op {
            TxnOp::Put(put) => self.put(None, put),
            TxnOp::LeasedPut(lease, put) => self.put(Some(*lease), put),
            TxnOp::Delete { key } => {
                let deleted = u64::from(self.get(key).is_some());
                self.written.insert(key, None);
                TxnResult::Deleted { deleted }
            }
            TxnOp::DeletePrefix { prefix } => self.delete_prefix(branch, index, prefix),
            TxnOp::Get { key } => {
                let item = self.get(key).cloned().map(|record| self.item(key, &record));
                TxnResult::got(item)
            }
            TxnOp::GetPrefix { prefix, limit } => {
                let limit = usize::try_from(*limit).unwrap_or(usize::MAX);
                self.first(prefix, limit)?
            }
        })
    }

    fn get<'b>(&'b self, key: &str) -> Option<&'b Record> {
        match self.written.get(key) {
            Some(record) => record.as_ref(),
            None if self.is_deleted(key) => None,
            None => self.keys.get(key),
        }
    }

    fn is_deleted(&self, key: &str) -> bool {
        self.deleted.iter().any(|prefix| key.starts_with(prefix))
    }

    fn put(&mut self, lease: Option<LeaseId>, put: &'a TxnPut) -> TxnResult {
        let TxnPut { key, value, content_type } = put;
        let content = Content { value: value.clone(), content_type: content_type.clone() };
        let record = Record::written(self.get(key), self.revision, content, lease);
        let Record { created_revision, version, .. } = record;
        self.written.insert(key, Some(record));
        TxnResult::Put { created_revision, version }
    }

    fn delete_prefix(&mut self, branch: &[TxnOp], index: usize, prefix: &'a str) -> TxnResult {
        let is_covered = self.deleted.iter().any(|earlier| prefix.starts_with(earlier));
        let but_for = counted_prefixes(branch, index).but_for;
        let (mut live, mut counted) = (0, 0);
        for (key, record) in &mut self.written {
            if !key.starts_with(prefix) {
                continue;
            }
            let is_gone_already = but_for.iter().any(|earlier| key.starts_with(earlier));
            counted += i64::from(!is_gone_already && self.keys.get(key).is_some());
            live += i64::from(record.take().is_some());
        }
        self.deleted.push(prefix);
        if is_covered {
            return TxnResult::Deleted { deleted: live.unsigned_abs() };
        }
        TxnResult::DeletedPrefix { besides: live - counted }
    }

    /// The first keys with a prefix: those of the state before, without what was touched
    /// since, and those that were written.
    fn first(&mut self, prefix: &str, limit: usize) -> Result<TxnResult, KeyNeeds> {
        // One more says whether there are more.
        let wanted = limit.saturating_add(1);
        let is_untouched = |key: &str| !self.written.contains_key(key);
        let untouched = self.keys.first(prefix, &self.deleted, wanted, is_untouched)?;
        let written = self.written.iter().filter(|(key, _)| key.starts_with(prefix));
        let mut found: BTreeMap<&str, Record> =
            written.filter_map(|(key, record)| Some((*key, record.clone()?))).collect();
        found.extend(untouched.into_iter().map(|(key, record)| (key, record.clone())));
        let has_more = found.len() > limit;
        let listed = found.iter().take(limit);
        let items = listed.map(|(key, record)| self.item(key, record)).collect();
        Ok(TxnResult::listed(items, has_more))
    }

    /// What is shown of a key. Where its value is lacking, nothing comes of it.
    fn item(&mut self, key: &str, record: &Record) -> LeasedItem {
        self.read_bytes = self
            .read_bytes
            .saturating_add(ITEM_BYTES + key.len())
            .saturating_add(record.content_bytes);
        let nothing = Content { value: bytes::Bytes::new(), content_type: None };
        let content = match &record.content {
            Some(content) => content.clone(),
            None => match self.keys.content(key, WHOLE) {
                Ok(content) => content.clone(),
                Err(lacking) => {
                    self.lacking.add(lacking);
                    nothing
                }
            },
        };
        let Record { revision, created_revision, version, lease, .. } = *record;
        let Content { value, content_type } = content;
        let key = key.to_owned();
        let item = TxnItem { key, value, content_type, revision, created_revision, version };
        LeasedItem { item, lease }
    }

    /// What is to be written. Completes the results that depend on all of it.
    ///
    /// # Errors
    /// Which values are lacking.
    pub(super) fn finish(
        self,
        branch: &[TxnOp],
        results: &mut [TxnResult],
    ) -> Result<KeyWrites, KeyNeeds> {
        let Self { keys, written, deleted, lacking, .. } = self;
        or_lacking(lacking)?;
        // Those that the transaction creates are counted with the state before it, for whoever
        // counts cannot tell them from others.
        let is_new =
            |(key, record): &(&&str, &Option<Record>)| record.is_some() && keys.get(key).is_none();
        let new: Vec<&str> = written.iter().filter(is_new).map(|(key, _)| *key).collect();
        let count = |prefix: &str| new.iter().filter(|key| key.starts_with(prefix)).count();
        for (index, result) in results.iter_mut().enumerate() {
            if let TxnResult::DeletedPrefix { besides } = result {
                let counted = counted_prefixes(branch, index);
                let but_for: usize = counted.but_for.iter().map(|prefix| count(prefix)).sum();
                let new = count(counted.all_of) - but_for;
                *besides -= i64::try_from(new).unwrap_or(i64::MAX);
            }
        }
        let owned = |(key, record): (&str, Option<Record>)| (key.to_owned(), record);
        Ok(KeyWrites {
            keys: written.into_iter().map(owned).collect(),
            prefixes: outermost(deleted.into_iter()).into_iter().map(str::to_owned).collect(),
        })
    }
}
