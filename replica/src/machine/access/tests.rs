//! Tokens, policies and what they come to.

use std::slice;

use super::policy::{ClusterRights, Right, Rights, Rule};
use super::*;

fn name(text: &str) -> PolicyName {
    text.parse().unwrap()
}

fn reads(prefix: &str) -> Policy {
    let rights = Rights::of(&[Right::Read]);
    Policy { rules: vec![Rule { prefix: prefix.to_owned(), rights }], ..Policy::default() }
}

fn token(secret: &str, policies: &[&str], expires_ms: Option<u64>) -> Token {
    Token {
        secret: SecretHash::of(secret.as_bytes()),
        policies: policies.iter().map(|policy| name(policy)).collect(),
        description: "for a test".to_owned(),
        expires_ms,
        created_revision: Revision(1),
        created_by: None,
    }
}

fn may_read(access: &Access, token: &Token, key: &str) -> bool {
    access.granted(&token.accessor()).unwrap().at(key.as_bytes()).has(Right::Read)
}

#[test]
fn a_secret_is_found_by_its_digest_and_shown_nowhere() {
    let access = Access::of(Requirement::Open, [token("synod_one", &[], None)], []);
    let secret = SecretHash::of(b"synod_one");
    let (accessor, found) = access.by_secret(&secret).unwrap();
    assert_eq!((accessor, found), (secret.accessor(), &token("synod_one", &[], None)));
    assert_eq!(access.by_secret(&SecretHash::of(b"synod_two")), None);
    let shown = format!("{found:?} {access:?}");
    let digest: String = secret.0[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    let numbers = format!("{:?}", &secret.0[..4]);
    assert!(shown.contains(&accessor.to_string()), "{shown}");
    assert!(!shown.contains(&digest) && !shown.contains(numbers.trim_matches(['[', ']'])));
}

#[test]
fn a_token_of_the_same_accessor_and_another_secret_is_not_found() {
    let mut other = SecretHash::of(b"synod_one");
    other.0[31] ^= 1;
    let access = Access::of(Requirement::Open, [token("synod_one", &[], None)], []);
    assert_eq!(access.by_secret(&other), None);
}

#[test]
fn accessors_follow_from_secrets_and_never_change() {
    assert_eq!(SecretHash::of(b"synod_one").accessor().to_string(), "cf1e6787bf878e0c");
}

#[test]
fn a_policy_that_comes_or_goes_changes_what_the_tokens_have_that_name_it() {
    let (one, both) = (token("1", &["a"], None), token("2", &["a", "b"], None));
    let tokens = [one.clone(), both.clone()];
    let mut access = Access::of(Requirement::Open, tokens, [(name("b"), reads("b/"))]);
    assert_eq!([may_read(&access, &one, "a/1"), may_read(&access, &both, "b/1")], [false, true]);
    access.put_policy(name("a"), reads("a/"));
    assert_eq!([may_read(&access, &one, "a/1"), may_read(&access, &both, "a/1")], [true; 2]);
    access.put_policy(name("a"), reads("c/"));
    assert_eq!([may_read(&access, &one, "a/1"), may_read(&access, &both, "c/1")], [false, true]);
    access.remove_policy(&name("a"));
    assert_eq!([may_read(&access, &one, "c/1"), may_read(&access, &both, "b/1")], [false, true]);
}

#[test]
fn what_is_counted_of_tokens_and_policies_is_what_there_is() {
    let mut access = Access::default();
    assert_eq!((access.bytes(), access.meta()), (0, AccessMeta::default()));
    let (short, long) = (token("1", &["a"], Some(9)), token("2", &["a"], Some(7)));
    access.put_token(short.clone());
    access.put_token(long.clone());
    access.put_policy(name("a"), reads("a/"));
    assert_eq!(access.meta(), AccessMeta { tokens: 2, policies: 1, ..AccessMeta::default() });
    let joined = access.grant_size(&[name("a")]);
    let policy = policy_size(&name("a"), &reads("a/"));
    assert_eq!(access.bytes(), short.size() + long.size() + policy + joined);
    assert_eq!(access.next_expiry_ms(), Some(7));
    assert_eq!(access.first_before(7), None);
    assert_eq!(access.first_before(8), Some(long.accessor()));
    access.remove_policy(&name("a"));
    access.remove_token(long.accessor()).unwrap();
    assert_eq!(access.next_expiry_ms(), Some(9));
    access.remove_token(short.accessor()).unwrap();
    assert_eq!((access.bytes(), access.meta()), (0, AccessMeta::default()));
    assert!(access.grants.is_empty() && access.by_expiry.is_empty());
}

#[test]
fn only_a_token_without_an_end_counts_as_one_that_may_operate() {
    let ending = token("1", &["root"], Some(9));
    let access = |tokens: &[Token]| Access::of(Requirement::Open, tokens.to_vec(), []);
    assert!(access(slice::from_ref(&ending)).operates(&ending.accessor()));
    assert!(!access(slice::from_ref(&ending)).has_operator());
    assert!(access(&[ending, token("2", &["other", "root"], None)]).has_operator());
    assert!(!access(&[token("2", &["other"], None)]).has_operator());
}

#[test]
fn what_policies_come_to_is_counted_for_each_set_of_them_that_tokens_have() {
    let mut access = Access::default();
    let policy = reads("a/long/prefix/");
    access.put_policy(name("a"), policy.clone());
    let sets: [&[&str]; 4] = [&["a"], &["a", "b"], &["a", "b"], &["a", "root"]];
    for (secret, policies) in ["1", "2", "3", "4"].into_iter().zip(sets) {
        let token = token(secret, policies, None);
        let before = access.bytes_with_token(&token);
        access.put_token(token);
        assert_eq!(access.bytes(), before);
    }
    let sizes = |count: usize| policy_size(&name("b"), &policy) + count * policy.joined_size();
    let without = access.bytes();
    assert_eq!(access.bytes_with_policy(&name("b"), &policy), without + sizes(1));
    access.put_policy(name("b"), policy.clone());
    assert_eq!(access.bytes(), without + sizes(1));
    let larger = Policy { rules: vec![policy.rules[0].clone(); 3], ..policy.clone() };
    let with = access.bytes_with_policy(&name("a"), &larger);
    assert_eq!(with, access.bytes() + 2 * 32 + 2 * (2 * policy.joined_size()) + 2 * 14);
    access.remove_policy(&name("b"));
    assert_eq!(access.bytes(), without);
}

#[test]
fn what_a_store_has_kept_is_counted_as_it_was_when_it_came() {
    let mut access = Access::default();
    for n in 0..40_u64 {
        let of = |n: u64| format!("p{}", n % 7);
        let (one, two) = (of(n * 3), of(n * 5 + 1));
        let mut policies = vec![one.as_str(), two.as_str()];
        policies.sort_unstable();
        policies.dedup();
        access.put_token(token(&(n % 11).to_string(), &policies, n.is_multiple_of(2).then_some(n)));
        match n % 3 {
            0 => access.remove_policy(&name(&of(n))),
            _ => {
                let cluster = ClusterRights::of(match n % 4 {
                    0 => &[ClusterRight::Operate],
                    _ => &[],
                });
                access
                    .put_policy(name(&of(n)), Policy { cluster, ..reads(&"k".repeat(n as usize)) });
            }
        }
        if n.is_multiple_of(5) {
            access.remove_token(SecretHash::of((n % 11).to_string().as_bytes()).accessor());
        }
        let tokens = access.tokens().map(|(_, token)| token.clone());
        let policies = access.policies().map(|(name, policy)| (name.clone(), policy.clone()));
        let again = Access::of(Requirement::Open, tokens, policies);
        assert_eq!((again.bytes(), again.operators), (access.bytes(), access.operators));
        let operators = access
            .tokens()
            .filter(|(accessor, token)| token.expires_ms.is_none() && access.operates(accessor));
        assert_eq!(access.operators, operators.count());
    }
}
