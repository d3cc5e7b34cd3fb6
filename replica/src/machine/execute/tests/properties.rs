//! Logs at random: whatever is chosen in whatever order and however often, replicas
//! agree, and each batch is executed at most once.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use shared::ids::{LeaseId, LogFormat};

use super::drawn::{any_commands, any_log, any_op, as_read_up_to};
use super::*;
use crate::machine::access::policy::{Policy, PolicyName};
use crate::machine::access::{Access, Token};
use crate::machine::answers::{AnswerNeeds, DueAnswers, FirstAnswer, LoadedAnswers};
use crate::machine::identity::IdempotencyKey;
use crate::machine::keys::{KeyNeeds, KeyScan};
use crate::machine::leases::{Lease, LeaseEnd, Leases};
use crate::machine::locks::{Claim, Locks};
use crate::machine::state::{Rows, Whole};

/// A database that keeps what a shell would write: executed by partial sets, a run at a
/// time.
#[derive(Default)]
pub(super) struct Database {
    meta: Meta,
    records: BTreeMap<String, Record>,
    answers: BTreeMap<IdempotencyKey, FirstAnswer>,
    leases: BTreeMap<LeaseId, Lease>,
    claims: BTreeMap<(String, Revision), Claim>,
    tokens: BTreeMap<Accessor, Token>,
    policies: BTreeMap<PolicyName, Policy>,
    round_lookups: usize,
}

impl Database {
    fn load(&self, needs: &Needs) -> Loaded {
        Loaded { keys: self.load_keys(&needs.keys), answers: self.load_answers(&needs.answers) }
    }

    fn load_keys(&self, needs: &KeyNeeds) -> LoadedKeys {
        let head = |(key, record): (&String, &Record)| {
            (key.clone(), Record { content: None, ..record.clone() })
        };
        let heads = self.records.iter().filter(|(key, _)| needs.heads.contains(*key));
        let content = |(key, bytes): (&String, &usize)| {
            let Content { value, content_type } = self.records[key].content.clone().unwrap();
            let value = value.slice(..value.len().min(*bytes));
            (key.clone(), Content { value, content_type })
        };
        let scan = |scan: &KeyScan| {
            let is_in = |(key, record): &(&String, &Record)| {
                let is_passed_over = record.lease.is_some_and(|it| scan.but_for.contains(&it));
                *key.as_bytes() >= *scan.from && *key.as_bytes() < *scan.below && !is_passed_over
            };
            let found = self.records.iter().filter(is_in);
            found.take(scan.at_most).map(head).collect()
        };
        LoadedKeys {
            heads: heads.map(head).collect(),
            contents: needs.contents.iter().map(content).collect(),
            scans: needs.scans.iter().map(scan).collect(),
            // Those of a real file are the store's tests.
            rollback: None,
        }
    }

    fn load_answers(&self, needs: &AnswerNeeds) -> LoadedAnswers {
        let answer = |key: &IdempotencyKey| Some((*key, self.answers.get(key)?.clone()));
        let of_keys = needs.keys.iter().filter_map(answer).collect();
        let mut due = Vec::new();
        if let Some(DueAnswers { by_ms, at_most }) = needs.due {
            due.extend(self.answers.iter().map(|(key, answer)| (*key, answer.clone())));
            due.retain(|(_, answer)| answer.expires_ms <= by_ms);
            due.sort_by_key(|(key, answer)| (answer.expires_ms, *key));
            due.truncate(at_most);
        }
        LoadedAnswers { of_keys, due }
    }

    /// Has so many things looked up in a round.
    pub(super) fn new(round_lookups: usize) -> Self {
        Self { round_lookups, ..Self::default() }
    }

    pub(super) fn meta(&self) -> &Meta {
        &self.meta
    }

    pub(super) fn records(&self) -> &BTreeMap<String, Record> {
        &self.records
    }

    pub(super) fn answers(&self) -> BTreeMap<IdempotencyKey, FirstAnswer> {
        self.answers.clone()
    }

    pub(super) fn execute(&mut self, entries: &[ChosenEntry]) -> ExecutionReport {
        let mut run = Run::new(entries.to_vec()).round_lookups(self.round_lookups);
        let mut state = ReplicatedState::partial(self.meta.clone(), self.whole());
        let report = loop {
            match run.advance(&mut state) {
                RunStep::Done(report) => break report,
                RunStep::Lacks(needs) => {
                    let loaded = self.load(&needs);
                    state.load(needs, loaded);
                }
            }
        };
        let rows = state.take_rows();
        let Rows { keys, answers, leases, locks, access } = rows;
        let KeyRows { versions, ranges, leases: ended, restored: _, authors: _ } = keys;
        write(&mut self.leases, leases);
        write(&mut self.claims, locks);
        write(&mut self.tokens, access.tokens);
        write(&mut self.policies, access.policies);
        self.answers.retain(|key, _| !answers.forgotten.contains(key));
        self.answers.extend(answers.kept);
        for row in versions {
            let VersionRow { key, revision, created_revision, version, lease, content } = row;
            match content {
                Some(content) => {
                    let content_bytes = content.bytes();
                    let content = Some(content);
                    self.records.insert(
                        key,
                        Record {
                            revision,
                            created_revision,
                            version,
                            lease,
                            content_bytes,
                            content,
                        },
                    );
                }
                None => {
                    self.records.remove(&key);
                }
            }
        }
        for RangeTombstone { prefix, revision } in ranges {
            self.records
                .retain(|key, record| !key.starts_with(&prefix) || record.revision >= revision);
        }
        let is_gone = |lease| ended.iter().any(|ended| Some(ended.lease) == lease);
        self.records.retain(|_, record| record.lease.is_none() || !is_gone(record.lease));
        self.meta = report.meta.clone();
        report
    }

    /// The leases and locks, tokens and policies, as a store would load them.
    pub(super) fn whole(&self) -> Whole {
        let claim =
            |((name, since), claim): (&(String, Revision), &Claim)| (name.clone(), *since, *claim);
        let policy = |(name, policy): (&PolicyName, &Policy)| (name.clone(), policy.clone());
        let policies = self.policies.iter().map(policy);
        Whole::of(
            Leases::of(self.leases.iter().map(|(id, lease)| (*id, *lease))),
            Locks::of(self.claims.iter().map(claim)),
            Access::of(self.meta.access.requirement, self.tokens.values().cloned(), policies),
        )
    }
}

fn write<K: Ord, V>(table: &mut BTreeMap<K, V>, rows: BTreeMap<K, Option<V>>) {
    for (key, value) in rows {
        match value {
            Some(value) => table.insert(key, value),
            None => table.remove(&key),
        };
    }
}

/// Whether it may come of something that takes a revision.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others are told by what they are")]
fn may_take(outcome: &CommandOutcome) -> bool {
    match outcome {
        CommandOutcome::PreconditionFailed { .. }
        | CommandOutcome::KeyReused { .. }
        | CommandOutcome::TxnTooLarge { .. }
        | CommandOutcome::NoSuchLease { .. }
        | CommandOutcome::LockNotHeld { .. }
        | CommandOutcome::FenceFailed { .. } => false,
        outcome => !outcome.is_for_now(),
    }
}

/// Whether it may come of something that takes none.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others are told by what they are")]
fn may_leave(outcome: &CommandOutcome) -> bool {
    match outcome {
        // Their own tests say when they write.
        CommandOutcome::Txn(_)
        | CommandOutcome::LockHeld { .. }
        | CommandOutcome::LockAwaited { .. }
        | CommandOutcome::LockBusy { .. } => true,
        outcome => !may_take(outcome),
    }
}

fn execute_all(log: &[ChosenEntry]) -> (ReplicatedState, ExecutionReport) {
    let mut state = ReplicatedState::complete();
    let report = Run::new(log.to_vec()).apply(&mut state);
    (state, report)
}

proptest! {
    #[test]
    fn replicas_that_execute_one_log_in_different_runs_are_the_same(log in any_log(), runs in vec(1..6_usize, 1..40), round_lookups in 1..4_usize) {
        let (complete, at_once) = execute_all(&log);
        let mut database = Database::new(round_lookups);
        let mut slots = Vec::new();
        let mut rest = &log[..];
        for length in runs.into_iter().cycle() {
            let (run, later) = rest.split_at(length.min(rest.len()));
            slots.extend(database.execute(run).slots);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(&slots, &at_once.slots);
        prop_assert_eq!(&database.meta, complete.meta());
        prop_assert_eq!(&database.records, complete.keys().records());
        let answers: BTreeMap<_, _> = complete.answers().iter().map(|(key, answer)| (key, answer.clone())).collect();
        prop_assert_eq!(&database.answers, &answers);
        complete.locks().invariant_lines_are_in_order();
        let line = |locks: &Locks| locks.iter().map(|(name, line)| (name.to_owned(), line.clone())).collect::<Vec<_>>();
        let lease = |leases: &Leases| leases.iter().map(|(id, lease)| (id, *lease)).collect::<Vec<_>>();
        prop_assert_eq!(line(&database.whole().locks), line(complete.locks()));
        prop_assert_eq!(lease(&database.whole().leases), lease(complete.leases()));
        prop_assert_eq!(complete.meta().claims, complete.locks().claims() as u64);
        prop_assert_eq!(complete.meta().leases, complete.leases().len() as u64);
    }

    #[test]
    fn batches_in_any_order_and_number_are_executed_at_most_once_and_in_their_order(
        batches in vec(any_commands(), 1..5),
        order in vec(0..5_usize, 0..40),
    ) {
        let chosen: Vec<usize> = order.into_iter().filter(|number| *number < batches.len()).collect();
        let value = |number: usize| raw_batch(1, number as u64, batches[number].encode());
        let log = |numbers: &[usize]| {
            let values = std::iter::once(Value::View(view(1)).encode()).chain(numbers.iter().map(|number| value(*number)));
            values.enumerate().map(|(slot, value)| entry(slot as u64, value)).collect::<Vec<_>>()
        };
        let (shuffled, report) = execute_all(&log(&chosen));
        let executed: Vec<u64> = report.slots.iter().filter_map(|slot| match &slot.outcome {
            SlotOutcome::Batch { number, .. } => Some(number.0),
            SlotOutcome::Noop | SlotOutcome::View(_) | SlotOutcome::Void(_) => None,
        }).collect();
        // 0, 1, 2 … as far as each was chosen somewhere after the one before it.
        let due = chosen.iter().fold(0, |due, number| due + usize::from(*number == due));
        prop_assert_eq!(executed, (0..due as u64).collect::<Vec<_>>());
        let (in_order, _) = execute_all(&log(&(0..due).collect::<Vec<_>>()));
        prop_assert_eq!(shuffled.keys().records(), in_order.keys().records());
        prop_assert_eq!(shuffled.meta().revision, in_order.meta().revision);
        prop_assert_eq!(shuffled.meta().time_ms, in_order.meta().time_ms);
    }

    #[test]
    fn programs_of_different_formats_agree_for_as_long_as_the_older_one_goes_on(log in any_log(), highest in 1..4_u16) {
        let highest = LogFormat(highest);
        let (mut newer, mut older) = (ReplicatedState::complete(), ReplicatedState::complete());
        for entry in &log {
            let expected = apply(&mut newer, entry).outcome;
            let outcome = apply(&mut older, &as_read_up_to(highest, entry)).outcome;
            if format::check(older.meta(), highest).is_err() {
                prop_assert!(newer.meta().format() > highest, "it stops for nothing");
                break;
            }
            prop_assert_eq!(outcome, expected);
            prop_assert_eq!(older.keys().records(), newer.keys().records());
            prop_assert_eq!(older.meta().format(), newer.meta().format());
        }
    }

    #[test]
    fn hashes_are_equal_exactly_when_histories_are(one in any_log(), other in any_log()) {
        let values = |log: &[ChosenEntry]| log.iter().map(|entry| entry.value.clone()).collect::<Vec<_>>();
        let same_history = values(&one) == values(&other);
        prop_assert_eq!(execute_all(&one).0.meta().hash == execute_all(&other).0.meta().hash, same_history);
        let reballoted: Vec<_> = one.iter().map(|entry| {
            ChosenEntry { ballot: Ballot { round: 9, coordinator: CoordinatorId(9) }, ..entry.clone() }
        }).collect();
        prop_assert_eq!(execute_all(&one).0.digest(), execute_all(&reballoted).0.digest());
    }

    #[test]
    fn a_revision_is_taken_by_each_command_that_passes_its_guard(log in any_log()) {
        let (state, report) = execute_all(&log);
        let mut revision = Revision(0);
        for slot in &report.slots {
            let SlotOutcome::Batch { commands, .. } = &slot.outcome else { continue };
            for command in commands.iter().filter(|command| command.delivery == Delivery::First) {
                let taken = command.outcome.revision();
                prop_assert!(taken == revision || taken == revision.next(), "{command:?} after {revision}");
                prop_assert!(may_take(&command.outcome) || taken == revision, "{command:?}");
                prop_assert!(may_leave(&command.outcome) || taken > revision, "{command:?}");
                revision = taken;
            }
            // Leases end after the commands.
            let is_end = |change: &&Change| matches!(change, Change::Lease { end: LeaseEnd::Expired, .. });
            revision.0 += slot.changes.iter().filter(is_end).count() as u64;
        }
        prop_assert_eq!(state.meta().revision, revision);
    }

    #[test]
    fn commands_read_back_as_they_were_written(written in any_commands()) {
        prop_assert_eq!(Commands::decode(&written.encode()), Ok(written));
    }

    #[test]
    fn no_bytes_make_decoding_panic(bytes in vec(any::<u8>(), 0..64)) {
        let _ = Decoded::new(&bytes);
        let _ = Commands::decode(&bytes);
        let _ = crate::machine::describe::describe(&bytes);
    }

    #[test]
    fn a_command_takes_no_more_than_it_says(op in any_op(), key_length in 1..limits::KEY_BYTES) {
        let trace = Some(crate::machine::command::TraceContext { trace_id: [9; 16], span_id: [9; 8], flags: 9 });
        let delete = delete_if(&"k".repeat(key_length), Condition::IfMatch(vec![Revision(u64::MAX); limits::GUARD_REVISIONS]));
        for op in [op, delete] {
            let size = op.size();
            let encoded = postcard::to_allocvec(&Command { op, trace, request: RequestIdentity::Drawn([255; 16]) }).unwrap();
            prop_assert!(encoded.len() <= size, "{} bytes, said to be {size}", encoded.len());
        }
    }
}
