use bytes::Bytes;
use proptest::prelude::*;
use shared::ids::Revision;

use super::*;
use crate::machine::access::policy::{ClusterRights, Policy, Rule};
use crate::machine::access::rights::Flag;
use crate::machine::command::Condition;
use crate::machine::locks::{Fence, Fenced, Otherwise};
use crate::machine::txn::{Comparison, TxnGuard, TxnPut};

const ME: Accessor = Accessor(1);
const OTHER: Accessor = Accessor(2);
const MINE: LeaseId = LeaseId(1);
const ANOTHERS: LeaseId = LeaseId(2);
const NOBODYS: LeaseId = LeaseId(3);
const GONE: LeaseId = LeaseId(4);

fn owner_of(lease: LeaseId) -> LeaseOwner {
    match lease {
        MINE => LeaseOwner::Token(ME),
        ANOTHERS => LeaseOwner::Token(OTHER),
        NOBODYS => LeaseOwner::Nobody,
        _ => LeaseOwner::Gone,
    }
}

fn rule(prefix: &str, rights: &[Right]) -> Rule {
    Rule { prefix: prefix.to_owned(), rights: Rights::of(rights) }
}

fn granted(rules: &[(&str, &[Right])], cluster: &[ClusterRight]) -> Granted {
    let rules = rules.iter().map(|(prefix, rights)| rule(prefix, rights)).collect();
    Granted::of([&Policy { rules, cluster: ClusterRights::of(cluster) }])
}

fn of(granted: &Granted, op: &Op) -> Result<(), Denied> {
    of_op(granted, &ME, op, &owner_of)
}

fn put(key: &str) -> Op {
    let (value, content_type, condition) = (Bytes::new(), None, Condition::Always);
    Op::Put { key: key.to_owned(), value, content_type, condition }
}

fn leased_put(lease: LeaseId, key: &str) -> Op {
    let (value, content_type, condition) = (Bytes::new(), None, Condition::Always);
    Op::LeasedPut { lease, key: key.to_owned(), value, content_type, condition }
}

fn txn(guards: &[&str], then: Vec<TxnOp>, otherwise: Vec<TxnOp>) -> Op {
    let guard =
        |key: &&str| TxnGuard { key: (*key).to_owned(), comparison: Comparison::Exists(true) };
    Op::Txn(Box::new(Txn { guards: guards.iter().map(guard).collect(), then, otherwise }))
}

fn txn_put(key: &str) -> Box<TxnPut> {
    Box::new(TxnPut { key: key.to_owned(), value: Bytes::new(), content_type: None })
}

fn get(key: &str) -> TxnOp {
    TxnOp::Get { key: key.to_owned() }
}

fn acquire(name: &str, lease: LeaseId) -> Op {
    let (name, otherwise) = (name.to_owned(), Otherwise::Leave);
    Op::Lock(LockOp::Acquire { name, lease, otherwise })
}

fn fenced(name: &str, op: Op) -> Op {
    let fence = Fence { name: name.to_owned(), revision: Revision(1) };
    Op::Fenced(Box::new(Fenced { fence, op }))
}

/// Operations on what starts with `a/`, each with the rights there that it needs, all of
/// them.
fn needs() -> Vec<(Op, Vec<Right>)> {
    use Right::{History, List, Lock, Read, Write};
    let prefix = || "a/".to_owned();
    let delete = Op::Delete { key: "a/k".to_owned(), condition: Condition::IfMatchAny };
    vec![
        (put("a/k"), vec![Write]),
        (delete, vec![Write]),
        (Op::DeletePrefix { prefix: prefix() }, vec![Write]),
        (Op::Rollback { prefix: prefix(), revision: Revision(1) }, vec![History, Read, Write]),
        (leased_put(MINE, "a/k"), vec![Write]),
        (acquire("a/k", MINE), vec![Lock]),
        (Op::Lock(LockOp::Release { name: "a/k".to_owned(), lease: MINE }), vec![Lock]),
        (fenced("a/l", put("a/k")), vec![Lock, Write]),
        (fenced("a/l", fenced_inside()), vec![Lock, Read]),
        (txn(&["a/k"], vec![], vec![]), vec![Read]),
        (txn(&[], vec![TxnOp::Put(txn_put("a/k"))], vec![]), vec![Write]),
        (txn(&[], vec![], vec![TxnOp::LeasedPut(MINE, txn_put("a/k"))]), vec![Write]),
        (txn(&[], vec![], vec![TxnOp::Delete { key: "a/k".to_owned() }]), vec![Write]),
        (txn(&[], vec![TxnOp::DeletePrefix { prefix: prefix() }], vec![]), vec![Write]),
        (txn(&[], vec![get("a/k")], vec![]), vec![Read]),
        (txn(&[], vec![], vec![TxnOp::GetPrefix { prefix: prefix(), limit: 1 }]), vec![List, Read]),
        (txn(&["a/g"], vec![get("a/k")], vec![TxnOp::Put(txn_put("a/k"))]), vec![Read, Write]),
    ]
}

fn fenced_inside() -> Op {
    txn(&[], vec![get("a/k")], vec![])
}

proptest! {
    #[test]
    fn an_operation_is_allowed_by_exactly_the_rights_that_it_needs(
        held in proptest::collection::vec(proptest::sample::select(Right::ALL.to_vec()), 0..6),
    ) {
        for (op, needed) in needs() {
            let is_allowed = of(&granted(&[("a/", &held)], &[]), &op).is_ok();
            let has_all = needed.iter().all(|right| held.contains(right));
            prop_assert_eq!(is_allowed, has_all, "{:?} with {:?}", op, held);
        }
    }
}

#[test]
fn rights_elsewhere_and_in_the_cluster_allow_nothing_here() {
    let everything = Rights::all().iter().collect::<Vec<_>>();
    for (op, _) in needs() {
        for elsewhere in ["b/", "a", "a/k/"] {
            let rules = [(elsewhere, everything.as_slice()), ("a/", &[])];
            let granted = granted(&rules, ClusterRight::ALL);
            assert!(of(&granted, &op).is_err(), "{op:?} with rights at {elsewhere:?}");
        }
        assert_eq!(of(&Granted::root(), &op), Ok(()), "{op:?}");
    }
}

#[test]
fn a_refusal_names_the_right_and_where_it_is_lacking() {
    let granted = granted(&[("a/", &[Right::Read, Right::Write]), ("a/hidden/", &[])], &[]);
    let prefix = "a/".to_owned();
    let whole = Denied::WholePrefix { right: Right::Write, prefix: prefix.clone() };
    assert_eq!(of(&granted, &Op::DeletePrefix { prefix }), Err(whole.clone()));
    assert_eq!(
        whole.to_string(),
        r#"the token lacks the right write at some keys that start with "a/""#
    );
    let key = "b/k".to_owned();
    assert_eq!(of(&granted, &put("b/k")), Err(Denied::Key { right: Right::Write, key }));
    let all = Denied::WholePrefix { right: Right::Write, prefix: String::new() };
    let append = Op::Append { value: Bytes::new(), content_type: None };
    assert_eq!(of(&granted, &append), Err(all));
    let operate = Denied::Cluster { right: ClusterRight::Operate };
    assert_eq!(of(&granted, &Op::Compact { below: Revision(1) }), Err(operate));
}

#[test]
fn one_key_that_may_not_be_seen_denies_the_whole_transaction() {
    let granted = granted(&[("a/", &[Right::Read, Right::Write])], &[]);
    for secret in [
        txn(&["b"], vec![get("a/k")], vec![]),
        txn(&["a/k"], vec![get("a/k"), get("b")], vec![]),
        txn(&["a/k"], vec![], vec![get("b")]),
        txn(&["a/k"], vec![TxnOp::GetPrefix { prefix: String::new(), limit: 1 }], vec![]),
    ] {
        assert!(of(&granted, &secret).is_err(), "{secret:?}");
    }
}

#[test]
fn a_lease_is_its_owners_and_the_operators() {
    let user = granted(&[("a/", &[Right::Write, Right::Lock])], &[]);
    let operator = granted(&[("a/", &[Right::Write, Right::Lock])], &[ClusterRight::Operate]);
    let uses = |lease| {
        [
            Op::Lease(LeaseOp::Renew { lease }),
            Op::Lease(LeaseOp::Revoke { lease }),
            leased_put(lease, "a/k"),
            acquire("a/k", lease),
            fenced("a/l", Op::Lease(LeaseOp::Renew { lease })),
            txn(&[], vec![TxnOp::LeasedPut(lease, txn_put("a/k"))], vec![]),
        ]
    };
    for lease in [MINE, ANOTHERS, NOBODYS, GONE] {
        let is_denied = lease == ANOTHERS || lease == NOBODYS;
        for op in uses(lease) {
            let expected = if is_denied { Err(Denied::Lease { lease }) } else { Ok(()) };
            assert_eq!(of(&user, &op), expected, "{op:?}");
            assert_eq!(of(&operator, &op), Ok(()), "{op:?}");
        }
    }
}

#[test]
fn who_may_write_or_lock_somewhere_may_have_a_lease() {
    let grant = Op::Lease(LeaseOp::Grant { ttl_ms: 1_000 });
    for right in Rights::all().iter() {
        let is_enough = matches!(right, Right::Write | Right::Lock);
        let granted = granted(&[("a/", &[right])], ClusterRight::ALL);
        assert_eq!(of(&granted, &grant).is_ok(), is_enough, "{right}");
    }
}
