//! Logs at random: whatever is chosen in whatever order and however often, replicas
//! agree, and each batch is executed at most once.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use shared::ids::{LeaseId, LogFormat};

use super::*;
use crate::machine::access::policy::{Policy, PolicyName};
use crate::machine::access::{Access, Token};
use crate::machine::answers::{AnswerNeeds, DueAnswers, FirstAnswer, LoadedAnswers};
use crate::machine::identity::IdempotencyKey;
use crate::machine::keys::{KeyNeeds, KeyScan};
use crate::machine::leases::{Lease, LeaseEnd, LeaseOp, Leases};
use crate::machine::locks::{Claim, Fence, Fenced, LockOp, Locks, Otherwise};
use crate::machine::state::{Rows, Whole};
use crate::machine::txn::{Comparison, Relation, Txn, TxnGuard, TxnOp, TxnPut};

const KEYS: [&str; 5] = ["a", "a/1", "a/2", "b", "b/1"];

fn any_key() -> impl Strategy<Value = String> {
    proptest::sample::select(&KEYS[..]).prop_map(str::to_owned)
}

fn any_condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        4 => Just(Condition::Always),
        1 => vec((0..20_u64).prop_map(Revision), 0..3).prop_map(Condition::IfMatch),
        1 => Just(Condition::IfMatchAny),
        1 => Just(Condition::IfNoneMatchAny),
    ]
}

fn any_value_bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..4).prop_map(Bytes::from)
}

fn any_prefix() -> impl Strategy<Value = String> {
    proptest::sample::select(vec!["", "a", "a/", "a/1", "b/", "c"]).prop_map(str::to_owned)
}

fn any_guard() -> impl Strategy<Value = TxnGuard> {
    let relation = || {
        proptest::sample::select(vec![
            Relation::Equal,
            Relation::NotEqual,
            Relation::Less,
            Relation::Greater,
        ])
    };
    let comparison = prop_oneof![
        any::<bool>().prop_map(Comparison::Exists),
        (relation(), 0..20_u64).prop_map(|(of, number)| Comparison::Revision(of, Revision(number))),
        (relation(), 0..4_u64).prop_map(|(of, number)| Comparison::Version(of, number)),
        (relation(), any_value_bytes()).prop_map(|(of, value)| Comparison::Value(of, value)),
    ];
    (any_key(), comparison).prop_map(|(key, comparison)| TxnGuard { key, comparison })
}

fn any_txn_op() -> impl Strategy<Value = TxnOp> {
    let content_type = proptest::option::of(Just("text/plain".to_owned()));
    let put =
        |(key, value, content_type)| TxnOp::Put(Box::new(TxnPut { key, value, content_type }));
    let leased = (any_lease(), any_key(), any_value_bytes()).prop_map(|(lease, key, value)| {
        TxnOp::LeasedPut(lease, Box::new(TxnPut { key, value, content_type: None }))
    });
    prop_oneof![
        4 => (any_key(), any_value_bytes(), content_type).prop_map(put),
        1 => leased,
        2 => any_key().prop_map(|key| TxnOp::Delete { key }),
        2 => any_prefix().prop_map(|prefix| TxnOp::DeletePrefix { prefix }),
        2 => any_key().prop_map(|key| TxnOp::Get { key }),
        2 => (any_prefix(), 0..4_u32).prop_map(|(prefix, limit)| TxnOp::GetPrefix { prefix, limit }),
    ]
}

pub(super) fn any_txn() -> impl Strategy<Value = Txn> {
    let ops = || vec(any_txn_op(), 0..8);
    (vec(any_guard(), 0..3), ops(), ops()).prop_map(|(guards, then, otherwise)| Txn {
        guards,
        then,
        otherwise,
    })
}

/// Among the revisions of a short log.
fn any_lease() -> impl Strategy<Value = LeaseId> {
    (1..20_u64).prop_map(LeaseId)
}

fn any_lease_op() -> impl Strategy<Value = LeaseOp> {
    prop_oneof![
        6 => (100..500_u64).prop_map(|ttl_ms| LeaseOp::Grant { ttl_ms }),
        1 => any_lease().prop_map(|lease| LeaseOp::Renew { lease }),
        1 => any_lease().prop_map(|lease| LeaseOp::Revoke { lease }),
    ]
}

fn any_lock() -> impl Strategy<Value = String> {
    proptest::sample::select(vec!["l", "m"]).prop_map(str::to_owned)
}

fn any_lock_op() -> impl Strategy<Value = LockOp> {
    let otherwise = proptest::sample::select(vec![Otherwise::Leave, Otherwise::Wait]);
    prop_oneof![
        4 => (any_lock(), any_lease(), otherwise)
            .prop_map(|(name, lease, otherwise)| LockOp::Acquire { name, lease, otherwise }),
        1 => (any_lock(), any_lease()).prop_map(|(name, lease)| LockOp::Release { name, lease }),
        1 => (any_lock(), any_lease(), 1..40_u64).prop_map(|(name, lease, since)| LockOp::Leave {
            name,
            lease,
            since: Revision(since),
        }),
    ]
}

pub(super) fn any_op() -> impl Strategy<Value = Op> {
    let revision = (1..20_u64).prop_map(Revision);
    prop_oneof![
        7 => any_bare_op(),
        1 => (any_lock(), revision, any_bare_op()).prop_map(|(name, revision, op)| {
            Op::Fenced(Box::new(Fenced { fence: Fence { name, revision }, op }))
        }),
    ]
}

fn any_bare_op() -> impl Strategy<Value = Op> {
    let leased = (any_lease(), any_key(), any_value_bytes(), any_condition());
    let leased = leased.prop_map(|(lease, key, value, condition)| Op::LeasedPut {
        lease,
        key,
        value,
        content_type: None,
        condition,
    });
    let value = any_value_bytes();
    let content_type = proptest::option::of(Just("text/plain".to_owned()));
    let appended = (any_value_bytes(), content_type.clone());
    prop_oneof![
        1 => appended.prop_map(|(value, content_type)| Op::Append { value, content_type }),
        4 => any_lease_op().prop_map(Op::Lease),
        4 => any_lock_op().prop_map(Op::Lock),
        3 => leased,
        3 => any_txn().prop_map(|txn| Op::Txn(Box::new(txn))),
        4 => (any_key(), value, content_type, any_condition())
            .prop_map(|(key, value, content_type, condition)| Op::Put { key, value, content_type, condition }),
        2 => (any_key(), any_condition()).prop_map(|(key, condition)| Op::Delete { key, condition }),
        1 => proptest::sample::select(vec!["", "a", "a/", "b/"]).prop_map(|prefix| Op::DeletePrefix { prefix: prefix.to_owned() }),
    ]
}

fn any_commands() -> impl Strategy<Value = Commands> {
    let request = prop_oneof![
        1 => Just(RequestIdentity::Drawn([1; 16])),
        1 => (0..4_u8).prop_map(|key| RequestIdentity::Keyed(IdempotencyKey([key; 16]))),
    ];
    let command =
        (any_op(), request).prop_map(|(op, request)| Command { op, trace: None, request });
    let answers =
        (0..40_u64, 0..4_u64).prop_map(|(keep_ms, at_most)| AnswerRetention { keep_ms, at_most });
    (0..900_u64, answers, vec(command, 0..4)).prop_map(|(time_ms, answers, commands)| Commands {
        time_ms,
        wall_ms: 0,
        trace: None,
        answers,
        commands,
    })
}

/// Mostly the one that has everything.
fn any_format() -> impl Strategy<Value = LogFormat> {
    prop_oneof![3 => Just(3), 1 => 1..5_u16].prop_map(LogFormat)
}

/// Values of a few epochs and numbers, so that many are void and many are not.
fn any_value() -> impl Strategy<Value = EncodedValue> {
    let value = prop_oneof![
        1 => Just(Value::Noop),
        2 => (1..4_u64, any_format()).prop_map(|(epoch, format)| Value::View(View { format, ..view(epoch) })),
        8 => (1..3_u64, 0..4_u64, any_commands())
            .prop_map(|(epoch, number, commands)| batch_of(epoch, number, commands.encode())),
        1 => (1..3_u64, 0..4_u64, vec(any::<u8>(), 0..8))
            .prop_map(|(epoch, number, junk)| batch_of(epoch, number, Bytes::from(junk))),
    ];
    prop_oneof![
        12 => (any_format(), value).prop_map(|(format, value)| value.encode_in(format)),
        1 => vec(any::<u8>(), 0..8).prop_map(Bytes::from),
    ]
}

/// What a program that reads formats up to `highest` sees of an entry: of a higher format
/// no more than its number.
fn as_read_up_to(highest: LogFormat, entry: &ChosenEntry) -> ChosenEntry {
    let value = match Value::format_of(&entry.value) {
        Ok((format, _)) if format > highest => {
            Bytes::from(postcard::to_allocvec(&(format, "unheard of")).unwrap())
        }
        Ok(_) | Err(_) => entry.value.clone(),
    };
    ChosenEntry { value, ..entry.clone() }
}

fn any_log() -> impl Strategy<Value = Vec<ChosenEntry>> {
    vec(any_value(), 0..40).prop_map(|values| {
        let first = Value::View(view(1)).encode();
        let slots = std::iter::once(first).chain(values).enumerate();
        slots.map(|(slot, value)| entry(slot as u64, value)).collect()
    })
}

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
                Progress::Done(report) => break report,
                Progress::Lacks(needs) => {
                    let loaded = self.load(&needs);
                    state.load(needs, loaded);
                }
            }
        };
        let rows = state.take_rows();
        let Rows { keys, answers, leases, locks, access } = rows;
        let KeyRows { restored: _, versions, ranges, leases: ended } = keys;
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
