//! Leases, and whose they are.

use super::*;

#[test]
fn a_lease_is_its_token_s_own_and_whoever_operates_may_do_with_it_what_it_likes() {
    let lease_of = |revision: u64| LeaseId(revision);
    let writer =
        Policy { rules: vec![rule("", &[Right::Write, Right::Lock])], ..Policy::default() };
    let grant = || Op::Lease(LeaseOp::Grant { ttl_ms: 600_000 });
    let mut state = state_after(vec![
        grant(),
        bootstrap("root"),
        by("root", put_policy("writer", writer, Force::Unforced)),
        by("root", create("one", &["writer"], None)),
        by("root", create("two", &["writer"], None)),
        by("one", grant()),
    ]);
    let owner = |state: &ReplicatedState, id| state.leases().get(lease_of(id)).unwrap().owner;
    assert_eq!([owner(&state, 1), owner(&state, 6)], [None, Some(accessor("one"))]);
    let renew = |id| Op::Lease(LeaseOp::Renew { lease: lease_of(id) });
    let renewed = |revision| {
        let ttl_ms = 600_000;
        CommandOutcome::LeaseRenewed { revision: Revision(revision), ttl_ms }
    };
    let not_its = |revision, id| denied(revision, Denied::Lease { lease: lease_of(id) });
    assert_eq!(outcome_of(&mut state, by("one", renew(6))), renewed(7));
    assert_eq!(outcome_of(&mut state, by("two", renew(6))), not_its(7, 6));
    assert_eq!(outcome_of(&mut state, by("one", renew(1))), not_its(7, 1));
    assert_eq!(outcome_of(&mut state, by("root", renew(6))), renewed(8));
    assert_eq!(outcome_of(&mut state, by("root", renew(1))), renewed(9));
    assert_eq!(owner(&state, 6), Some(accessor("one")), "whoever renews it");
    let lease = lease_of(99);
    let none = CommandOutcome::NoSuchLease { revision: Revision(9), lease };
    assert_eq!(outcome_of(&mut state, by("two", renew(99))), none);
}

#[test]
fn a_lease_is_renewed_no_longer_than_its_token_could_have_one_and_given_up_all_the_same() {
    let mut state = bootstrapped(vec![
        put_policy("writer", writes("a/"), Force::Unforced),
        create("one", &["writer"], None),
    ]);
    outcome_of(&mut state, by("one", Op::Lease(LeaseOp::Grant { ttl_ms: 600_000 })));
    let lease = LeaseId(4);
    let renew = || by("one", Op::Lease(LeaseOp::Renew { lease }));
    let renewed = CommandOutcome::LeaseRenewed { revision: Revision(5), ttl_ms: 600_000 };
    assert_eq!(outcome_of(&mut state, renew()), renewed);
    outcome_of(&mut state, by("root", delete_policy("writer", Force::Unforced)));
    let rights = Rights::of(&[Right::Write]);
    let nowhere = Denied::NowhereUnder { rights, prefix: String::new() };
    assert_eq!(outcome_of(&mut state, renew()), denied(6, nowhere));
    let revoked = CommandOutcome::LeaseRevoked { revision: Revision(7) };
    let revoke = Op::Lease(LeaseOp::Revoke { lease });
    assert_eq!(outcome_of(&mut state, by("one", revoke)), revoked);
}
