//! Executing is what is said of tokens and policies, in other words: key by key, with
//! nothing joined, sorted or kept.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::properties::Database;
use super::*;

/// The secrets of tokens, and the names of policies.
const NAMES: [&str; 5] = ["1", "2", "3", "4", "5"];

/// Every key that some prefix of these rules tells from another, and some that no prefix
/// speaks of.
fn keys() -> Vec<String> {
    let letters = ["a", "b", "c"];
    let longer = |keys: &[String]| {
        let each = |key: &String| letters.map(|letter| format!("{key}{letter}"));
        keys.iter().flat_map(each).collect::<Vec<_>>()
    };
    let one: Vec<String> = letters.map(str::to_owned).to_vec();
    let two = longer(&one);
    [longer(&two), two, one].concat()
}

fn any_prefix() -> impl Strategy<Value = String> {
    select(vec!["", "a", "b", "aa", "ab", "ba"]).prop_map(str::to_owned)
}

fn any_name() -> impl Strategy<Value = &'static str> {
    select(NAMES.to_vec())
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let rights = vec(select(vec![Right::Write, Right::Lock, Right::Read]), 0..3);
    let rules = vec((any_prefix(), rights), 0..4);
    let cluster = vec(select(vec![ClusterRight::Operate, ClusterRight::Read]), 0..2);
    (rules, cluster).prop_map(|(rules, cluster)| Policy {
        rules: rules.iter().map(|(prefix, rights)| rule(prefix, rights)).collect(),
        cluster: ClusterRights::of(&cluster),
    })
}

fn any_policies() -> impl Strategy<Value = Vec<&'static str>> {
    let names = vec(select(vec!["1", "2", "3", "root"]), 0..3);
    names.prop_map(|mut names| {
        names.sort_unstable();
        names.dedup();
        names
    })
}

fn any_access_op() -> impl Strategy<Value = Op> {
    let ttl = proptest::option::of(1_000..4_000_u64);
    let force = || select(vec![Force::Unforced, Force::Unforced, Force::Forced]);
    prop_oneof![
        1 => any_name().prop_map(bootstrap),
        4 => (any_name(), any_policies(), ttl)
            .prop_map(|(text, policies, ttl_ms)| create(text, &policies, ttl_ms)),
        2 => (any_name(), force()).prop_map(|(text, force)| delete(text, force)),
        4 => (any_name(), any_policy(), force())
            .prop_map(|(name, policy, force)| put_policy(name, policy, force)),
        1 => (any_name(), force()).prop_map(|(name, force)| delete_policy(name, force)),
    ]
}

fn any_asked() -> impl Strategy<Value = Op> {
    let lease = || (1..30_u64).prop_map(LeaseId);
    let other = prop_oneof![
        3 => select(keys()).prop_map(|key| put(&key, "v")),
        1 => any_prefix().prop_map(|prefix| Op::DeletePrefix { prefix }),
        1 => Just(Op::Append { value: Bytes::new(), content_type: None }),
        1 => Just(Op::Compact { below: Revision(0) }),
        2 => Just(Op::Lease(LeaseOp::Grant { ttl_ms: 600_000 })),
        2 => lease().prop_map(|lease| Op::Lease(LeaseOp::Renew { lease })),
    ];
    let op = prop_oneof![2 => any_access_op(), 3 => other];
    let by = proptest::option::weighted(0.9, any_name());
    (by, op).prop_map(|(by, op)| op.attributed(by.map(accessor)))
}

/// A log that begins with the first token, or soon has one.
fn any_batches() -> impl Strategy<Value = Vec<(u64, Vec<Op>)>> {
    let batch = (0..3_000_u64, vec(any_asked(), 0..12));
    let first = proptest::bool::weighted(0.8);
    (first, vec(batch, 1..8)).prop_map(|(has_first, mut batches)| {
        if has_first {
            batches[0].1.insert(0, bootstrap("1"));
        }
        batches
    })
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct PlainToken {
    policies: Vec<PolicyName>,
    expires_ms: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Plain {
    is_required: bool,
    tokens: BTreeMap<Accessor, PlainToken>,
    policies: BTreeMap<PolicyName, Policy>,
    owners: BTreeMap<LeaseId, Option<Accessor>>,
}

impl Plain {
    fn policies_of(&self, token: Accessor) -> Vec<Policy> {
        let Some(token) = self.tokens.get(&token) else { return Vec::new() };
        // Whatever else it has, it is everything.
        if token.policies.contains(&PolicyName::root()) {
            return vec![Policy::root()];
        }
        token.policies.iter().filter_map(|name| self.policies.get(name).cloned()).collect()
    }

    fn has(&self, token: Accessor, right: Right, key: &str) -> bool {
        let policies = self.policies_of(token);
        let rules = policies.iter().flat_map(|policy| &policy.rules);
        let matching: Vec<_> = rules.filter(|rule| key.starts_with(&rule.prefix)).collect();
        let longest = matching.iter().map(|rule| rule.prefix.len()).max();
        let of_longest = |rule: &&&Rule| Some(rule.prefix.len()) == longest;
        matching.iter().filter(of_longest).any(|rule| rule.rights.has(right))
    }

    fn operates(&self, token: Accessor) -> bool {
        let policies = self.policies_of(token);
        policies.iter().any(|policy| policy.cluster.has(ClusterRight::Operate))
    }

    fn may_use_leases(&self, token: Accessor) -> bool {
        let has_use =
            |key: &String| self.has(token, Right::Write, key) || self.has(token, Right::Lock, key);
        keys().iter().any(has_use)
    }

    fn has_operator(&self) -> bool {
        let is_one = |(accessor, token): (&Accessor, &PlainToken)| {
            token.expires_ms.is_none() && self.operates(*accessor)
        };
        self.tokens.iter().any(is_one)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are not drawn")]
    fn may(&self, op: &Op) -> bool {
        if !self.is_required || matches!(op, Op::Access(AccessOp::Bootstrap { .. })) {
            return true;
        }
        let Some(by) = op.by().filter(|by| self.tokens.contains_key(by)) else { return false };
        let every = |prefix: &str| {
            let mut keys = keys().into_iter().filter(|key| key.starts_with(prefix));
            keys.all(|key| self.has(by, Right::Write, &key))
        };
        match op.unattributed() {
            Op::Put { key, .. } => self.has(by, Right::Write, key),
            Op::DeletePrefix { prefix } => every(prefix),
            Op::Append { .. } => every(""),
            Op::Lease(LeaseOp::Grant { .. }) => self.may_use_leases(by),
            Op::Lease(LeaseOp::Renew { lease }) => {
                let owner = self.owners.get(lease);
                let is_its = owner.is_none_or(|owner| *owner == Some(by) || self.operates(by));
                is_its && self.may_use_leases(by)
            }
            Op::Compact { .. } | Op::Access(_) => self.operates(by),
            other => panic!("{other:?} is not drawn"),
        }
    }

    /// Executes what may be executed.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are not drawn")]
    fn execute(&mut self, op: &Op, time_ms: u64) {
        let before = self.clone();
        let (by, mut locks_out) = (op.by(), Force::Forced);
        match op.unattributed() {
            Op::Access(AccessOp::Bootstrap { secret }) if !self.is_required => {
                self.is_required = true;
                let token = PlainToken { policies: vec![PolicyName::root()], expires_ms: None };
                self.tokens.insert(secret.accessor(), token);
            }
            Op::Access(_) if !self.is_required => {}
            Op::Access(AccessOp::CreateToken { secret, policies, ttl_ms, .. }) => {
                let expires_ms = ttl_ms.map(|ttl_ms| time_ms + ttl_ms);
                let token = PlainToken { policies: policies.clone(), expires_ms };
                self.tokens.entry(secret.accessor()).or_insert(token);
            }
            Op::Access(AccessOp::DeleteToken { accessor, force }) => {
                self.tokens.remove(accessor);
                locks_out = *force;
            }
            Op::Access(AccessOp::PutPolicy { name, policy, force }) => {
                self.policies.insert(name.clone(), policy.clone());
                locks_out = *force;
            }
            Op::Access(AccessOp::DeletePolicy { name, force }) => {
                self.policies.remove(name);
                locks_out = *force;
            }
            _ => {}
        }
        let lost = |operates: &dyn Fn(&Self) -> bool| operates(&before) && !operates(self);
        let author = lost(&|state| by.is_some_and(|by| state.operates(by)));
        if locks_out == Force::Unforced && (author || lost(&Self::has_operator)) {
            *self = before;
        }
    }

    fn expire(&mut self, time_ms: u64) {
        self.tokens.retain(|_, token| token.expires_ms.is_none_or(|end| end >= time_ms));
    }
}

fn plain_of(state: &ReplicatedState) -> Plain {
    let access = state.access();
    let token = |token: &crate::machine::access::Token| PlainToken {
        policies: token.policies.clone(),
        expires_ms: token.expires_ms,
    };
    Plain {
        is_required: access.is_required(),
        tokens: access.tokens().map(|(accessor, it)| (accessor, token(it))).collect(),
        policies: access.policies().map(|(name, policy)| (name.clone(), policy.clone())).collect(),
        owners: state.leases().iter().map(|(id, lease)| (id, lease.owner)).collect(),
    }
}

fn log_of(batches: &[(u64, Vec<Op>)]) -> Vec<ChosenEntry> {
    let mut time_ms = 0;
    let mut log = vec![entry(0, Value::View(view(1)).encode())];
    for (number, (passed_ms, ops)) in (0..).zip(batches) {
        time_ms += passed_ms;
        let encoded = commands(time_ms, ops.clone()).encode();
        log.push(entry(number + 1, raw_batch(1, number, encoded)));
    }
    log
}

proptest! {
    #[test]
    fn who_may_do_what_is_what_policies_say_key_by_key(batches in any_batches()) {
        let (mut state, mut plain) = (ReplicatedState::complete(), Plain::default());
        let log = log_of(&batches);
        apply(&mut state, &log[0]);
        for (entry, (_, ops)) in log[1..].iter().zip(&batches) {
            let SlotOutcome::Batch { commands, .. } = apply(&mut state, entry).outcome else {
                panic!("a batch")
            };
            let time_ms = state.meta().time_ms;
            for (op, executed) in ops.iter().zip(commands) {
                let is_denied = matches!(executed.outcome, CommandOutcome::Denied { .. });
                prop_assert_eq!(!is_denied, plain.may(op), "{:?} in {:?}", op, plain);
                if is_denied {
                    continue;
                }
                plain.execute(op, time_ms);
                if let CommandOutcome::LeaseGranted { revision } = executed.outcome {
                    let owner = op.by().filter(|_| plain.is_required);
                    plain.owners.insert(LeaseId(revision.0), owner);
                }
            }
            plain.expire(time_ms);
            prop_assert_eq!(&plain_of(&state), &plain);
        }
    }

    #[test]
    fn replicas_that_write_it_and_load_it_again_are_the_same(batches in any_batches(), pieces in vec(1..3_usize, 1..9)) {
        let log = log_of(&batches);
        let mut complete = ReplicatedState::complete();
        let at_once = Run::new(log.clone()).apply(&mut complete);
        let (mut database, mut slots) = (Database::new(2), Vec::new());
        let (mut rest, mut lengths) = (&log[..], pieces.into_iter().cycle());
        while !rest.is_empty() {
            let (run, later) = rest.split_at(lengths.next().unwrap().min(rest.len()));
            slots.extend(database.execute(run).slots);
            rest = later;
        }
        prop_assert_eq!(&slots, &at_once.slots);
        prop_assert_eq!(database.meta(), complete.meta());
        let again = ReplicatedState::partial(database.meta().clone(), database.whole());
        prop_assert_eq!(plain_of(&again), plain_of(&complete));
        prop_assert_eq!(again.access().meta(), complete.meta().access);
        prop_assert_eq!(again.next_expiry_ms(), complete.next_expiry_ms());
    }
}
