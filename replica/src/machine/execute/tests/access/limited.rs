//! Of tokens, policies and leases of tokens there are so many, and no more.

use super::*;
use crate::machine::leases::Leases;

#[test]
fn there_is_an_end_to_tokens_policies_and_what_they_take() {
    let mut state = bootstrapped(vec![]);
    let tokens = (1..limits::TOKENS).map(|n| by("root", create(&format!("t{n}"), &[], None)));
    all_at(&mut state, 0, tokens.collect());
    assert_eq!(state.meta().access.tokens, limits::TOKENS as u64);
    let revision = state.meta().revision.0;
    let full = refused(revision, AccessRefused::TooManyTokens);
    assert_eq!(outcome_of(&mut state, by("root", create("more", &[], None))), full);

    let prefix = "p".repeat(limits::KEY_BYTES);
    let rules = vec![rule(&prefix, &[]); limits::POLICY_RULES];
    let large = || Policy { rules: rules.clone(), ..Policy::default() };
    let mut put = 0;
    let last = loop {
        let op = put_policy(&format!("p{put}"), large(), Force::Unforced);
        let outcome = outcome_of(&mut state, by("root", op));
        if !matches!(outcome, CommandOutcome::Access { .. }) {
            break outcome;
        }
        put += 1;
    };
    assert_eq!(last, refused(revision + put, AccessRefused::TooLarge));
    let bytes = state.access().bytes();
    assert!(bytes <= limits::ACCESS_BYTES && bytes + large().size() > limits::ACCESS_BYTES);
    let replaced = put_policy("p0", writes(""), Force::Unforced);
    let replaced = outcome_of(&mut state, by("root", replaced));
    assert_eq!(replaced, done(revision + put + 1, AccessDone::PolicyReplaced));

    let rest: Vec<Op> = (put..limits::POLICIES as u64)
        .map(|n| by("root", put_policy(&format!("p{n}"), Policy::default(), Force::Unforced)))
        .collect();
    all_at(&mut state, 0, rest);
    assert_eq!(state.meta().access.policies, limits::POLICIES as u64);
    let revision = state.meta().revision.0;
    let full = refused(revision, AccessRefused::TooManyPolicies);
    let more = put_policy("more", writes(""), Force::Unforced);
    assert_eq!(outcome_of(&mut state, by("root", more)), full);
}

#[test]
fn what_policies_come_to_together_has_a_limit_too() {
    let rules = |bytes: usize| Policy {
        rules: vec![rule(&"p".repeat(bytes), &[]); limits::POLICY_RULES],
        ..Policy::default()
    };
    let mut state = bootstrapped(vec![]);
    // Each has a set of its own, of which the policy is one.
    let tokens = (0..100).map(|n| {
        let own = format!("own-{n}");
        by("root", create(&format!("t{n}"), &["all", &own], None))
    });
    all_at(&mut state, 0, tokens.collect());
    let op = |bytes| by("root", put_policy("all", rules(bytes), Force::Forced));
    assert_eq!(outcome_of(&mut state, op(1_000)), done(102, AccessDone::PolicyCreated));
    let before = state.access().bytes();
    assert_eq!(outcome_of(&mut state, op(4_000)), refused(102, AccessRefused::TooLarge));
    // The rules of the policy would be joined for this token once more.
    let mut others = 0;
    let last = loop {
        let own = format!("other-{others}");
        let other = create(&format!("u{others}"), &["all", &own], None);
        let outcome = outcome_of(&mut state, by("root", other));
        if !matches!(outcome, CommandOutcome::Access { .. }) {
            break outcome;
        }
        others += 1;
    };
    assert_eq!(last, refused(102 + others, AccessRefused::TooLarge));
    assert!((100..200).contains(&others), "{others} of {before}");
    let same = create("same", &["all", "own-1"], None);
    let made = AccessDone::TokenCreated { accessor: accessor("same"), expires_ms: None };
    assert_eq!(outcome_of(&mut state, by("root", same)), done(103 + others, made));
}

#[test]
fn a_batch_of_too_many_changes_of_tokens_and_policies_is_void() {
    let ops = |count| (0..count).map(|n| by("root", create(&format!("t{n}"), &[], None)));
    let read = |count| Commands::decode(&commands(0, ops(count).collect()).encode());
    assert!(read(limits::BATCH_ACCESS).is_ok());
    let refused = read(limits::BATCH_ACCESS + 1).unwrap_err().to_string();
    let said = "the number of changes of tokens and policies is 17, above the limit of 16";
    assert_eq!(refused, said);
}

#[test]
fn a_token_has_a_limited_number_of_leases_at_once_and_others_have_their_own() {
    let writer = Policy { rules: vec![rule("", &[Right::Write])], ..Policy::default() };
    let mut state = bootstrapped(vec![
        put_policy("writer", writer, Force::Unforced),
        create("one", &["writer"], None),
        create("two", &["writer"], None),
    ]);
    let grant = |text: &str| by(text, Op::Lease(LeaseOp::Grant { ttl_ms: TTL_MS }));
    for _ in 0..limits::OWNED_LEASES / 1_000 {
        at(&mut state, 0, (0..1_000).map(|_| grant("one")).collect());
    }
    let revision = Revision(4 + limits::OWNED_LEASES as u64);
    assert_eq!(state.leases().owned_by(accessor("one")), limits::OWNED_LEASES);
    let full = CommandOutcome::TooManyOwnedLeases { revision };
    assert!(full.is_for_now());
    assert_eq!(outcome_of(&mut state, grant("one")), full);
    let granted = |revision| CommandOutcome::LeaseGranted { revision };
    assert_eq!(outcome_of(&mut state, grant("two")), granted(revision.next()));
    // It is the same of what a store has kept.
    let again = Leases::of(state.leases().iter().map(|(id, lease)| (id, *lease)));
    for (owner, count) in [("one", limits::OWNED_LEASES), ("two", 1), ("root", 0)] {
        assert_eq!(again.owned_by(accessor(owner)), count);
    }
    let renew = Op::Lease(LeaseOp::Renew { lease: LeaseId(5) });
    outcome_of(&mut state, by("one", renew));
    let revoke = Op::Lease(LeaseOp::Revoke { lease: LeaseId(5) });
    let revoked = CommandOutcome::LeaseRevoked { revision: Revision(revision.0 + 3) };
    assert_eq!(outcome_of(&mut state, by("root", revoke)), revoked);
    assert_eq!(outcome_of(&mut state, grant("one")), granted(Revision(revision.0 + 4)));
    at(&mut state, TTL_MS + 1, vec![]);
    let left = limits::OWNED_LEASES - limits::LEASES_ENDED;
    assert_eq!(state.leases().owned_by(accessor("one")), left);
}

#[test]
fn what_is_beyond_a_limit_is_void() {
    let long = "d".repeat(limits::TOKEN_DESCRIPTION_BYTES + 1);
    let described = |description: &str, policies: &[&str]| {
        Op::Access(AccessOp::CreateToken {
            secret: secret("t"),
            policies: policies.iter().map(|name| policy_name(name)).collect(),
            ttl_ms: None,
            description: description.to_owned(),
        })
    };
    let names: Vec<String> = (10..11 + limits::TOKEN_POLICIES).map(|n| format!("p{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let over = |what: &'static str, limit: usize| Unreadable::OverLimit {
        what: what.into(),
        actual: limit as u64 + 1,
        limit: limit as u64,
    };
    let (least, most) = (limits::LEAST_TOKEN_TTL_MS, limits::MOST_TOKEN_TTL_MS);
    let ttl = |ttl_ms| (create("t", &[], Some(ttl_ms)), Unreadable::TokenTimeToLive { ttl_ms });
    for (op, error) in [
        (described(&long, &[]), over("the description", limits::TOKEN_DESCRIPTION_BYTES)),
        (described("", &names), over("the number of a token's policies", limits::TOKEN_POLICIES)),
        (described("", &["b", "a"]), Unreadable::PoliciesOutOfOrder),
        (described("", &["a", "a"]), Unreadable::PoliciesOutOfOrder),
        (put_policy("root", writes(""), Force::Forced), Unreadable::RootPolicy),
        ttl(least - 1),
        ttl(most + 1),
    ] {
        assert_eq!(op.check(), Err(error.clone()));
        assert_eq!(by("root", op.clone()).check(), Err(error.clone()));
        assert_eq!(Commands::decode(&commands(0, vec![op]).encode()), Err(error));
    }
    for ttl_ms in [least, most] {
        assert_eq!(create("t", &[], Some(ttl_ms)).check(), Ok(()));
    }
}
