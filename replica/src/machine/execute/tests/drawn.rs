//! Logs at random: what is drawn for the properties.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use shared::ids::{LeaseId, LogFormat};

use super::*;
use crate::machine::identity::IdempotencyKey;
use crate::machine::leases::LeaseOp;
use crate::machine::locks::{Fence, Fenced, LockOp, Otherwise};
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

pub(super) fn any_commands() -> impl Strategy<Value = Commands> {
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
        executed: None,
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
pub(super) fn as_read_up_to(highest: LogFormat, entry: &ChosenEntry) -> ChosenEntry {
    let value = match Value::format_of(&entry.value) {
        Ok((format, _)) if format > highest => {
            Bytes::from(postcard::to_allocvec(&(format, "unheard of")).unwrap())
        }
        Ok(_) | Err(_) => entry.value.clone(),
    };
    ChosenEntry { value, ..entry.clone() }
}

pub(super) fn any_log() -> impl Strategy<Value = Vec<ChosenEntry>> {
    vec(any_value(), 0..40).prop_map(|values| {
        let first = Value::View(view(1)).encode();
        let slots = std::iter::once(first).chain(values).enumerate();
        slots.map(|(slot, value)| entry(slot as u64, value)).collect()
    })
}
