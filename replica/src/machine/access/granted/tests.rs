//! What is granted, held against the plainest reading of the rules on every key of a small
//! world.

use proptest::prelude::*;

use super::*;
use crate::machine::access::policy::{ClusterRight, Right, Rule};
use crate::machine::access::rights::Flag;

/// The rules of all policies, as the contract says them.
fn by_the_book(policies: &[Policy], key: &str) -> Rights {
    let rules = || policies.iter().flat_map(|policy| &policy.rules);
    let fitting = || rules().filter(|rule| key.starts_with(&rule.prefix));
    let longest = fitting().map(|rule| rule.prefix.len()).max();
    let deciding = fitting().filter(|rule| Some(rule.prefix.len()) == longest);
    deciding.fold(Rights::NONE, |rights, rule| rights.and(rule.rights))
}

/// All texts of up to four of three letters. No rule has the third, which stands for all
/// letters that no rule has.
fn world() -> Vec<String> {
    let mut texts = vec![String::new()];
    let mut last = texts.clone();
    for _ in 0..4 {
        last = last
            .iter()
            .flat_map(|text| ["a", "b", "z"].map(|end| format!("{text}{end}")))
            .collect();
        texts.extend(last.iter().cloned());
    }
    texts
}

fn rights() -> impl Strategy<Value = Rights> {
    proptest::collection::vec(proptest::sample::select(Right::ALL.to_vec()), 0..4)
        .prop_map(|rights| Rights::of(&rights))
}

fn policy() -> impl Strategy<Value = Policy> {
    let rule = ("[ab]{0,3}", rights()).prop_map(|(prefix, rights)| Rule { prefix, rights });
    proptest::collection::vec(rule, 0..6)
        .prop_map(|rules| Policy { rules, cluster: ClusterRights::NONE })
}

fn policies() -> impl Strategy<Value = Vec<Policy>> {
    proptest::collection::vec(policy(), 0..4)
}

proptest! {
    #[test]
    fn at_each_key_the_longest_prefix_decides(policies in policies()) {
        let granted = Granted::of(&policies);
        for key in world() {
            prop_assert_eq!(granted.at(key.as_bytes()), by_the_book(&policies, &key), "{}", key);
        }
    }

    #[test]
    fn all_and_some_keys_with_a_prefix_are_judged_as_one_by_one(
        policies in policies(), prefix in "[abz]{0,3}", asked in rights(),
    ) {
        let granted = Granted::of(&policies);
        let keys: Vec<String> =
            world().into_iter().filter(|key| !key.is_empty() && key.starts_with(&prefix)).collect();
        let has = |key: &String| by_the_book(&policies, key).has_all(asked);
        prop_assert_eq!(granted.whole_prefix(prefix.as_bytes(), asked), keys.iter().all(has));
        prop_assert_eq!(granted.somewhere_under(prefix.as_bytes(), asked), keys.iter().any(has));
    }

    #[test]
    fn the_ranges_of_some_rights_have_exactly_the_keys_with_them(
        policies in policies(), asked in rights(),
    ) {
        let ranges = Granted::of(&policies).ranges(asked);
        for key in world().into_iter().filter(|key| !key.is_empty()) {
            let is_within = |range: &Range<Bytes>| {
                *range.start <= *key.as_bytes() && *key.as_bytes() < *range.end
            };
            let expected = by_the_book(&policies, &key).has_all(asked);
            // What no rule speaks of has no rights, and may be above all that one does.
            if asked != Rights::NONE {
                prop_assert_eq!(ranges.iter().any(is_within), expected, "{}", key);
            }
        }
        prop_assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
    }

    #[test]
    fn as_one_policy_it_grants_the_same(policies in policies()) {
        let granted = Granted::of(&policies);
        prop_assert_eq!(Granted::of([&granted.as_policy()]), granted);
    }

    #[test]
    fn what_is_lost_is_told_from_what_is_not(
        before in policies(), after in policies(), prefix in "[ab]{0,2}", asked in rights(),
    ) {
        let (old, new) = (Granted::of(&before), Granted::of(&after));
        let lost = |key: &String| {
            let has = |policies: &[Policy]| by_the_book(policies, key).has_all(asked);
            has(&before) && !has(&after)
        };
        let keys = world();
        let mut keys = keys.iter().filter(|key| !key.is_empty() && key.starts_with(&prefix));
        prop_assert_eq!(new.is_less_under(&old, prefix.as_bytes(), asked), keys.any(lost));
    }

    #[test]
    fn the_order_of_policies_and_rules_says_nothing(policies in policies()) {
        let backwards: Vec<Policy> = policies
            .iter()
            .rev()
            .map(|policy| Policy { rules: policy.rules.iter().rev().cloned().collect(), ..*policy })
            .collect();
        prop_assert_eq!(Granted::of(&policies), Granted::of(&backwards));
    }
}

#[test]
fn root_may_do_everything_and_no_policy_nothing() {
    let root = Granted::root();
    assert!(root.everywhere(Rights::all()));
    assert_eq!(root.cluster(), ClusterRights::all());
    let nothing = Granted::of([]);
    assert_eq!(nothing.at(b"a"), Rights::NONE);
    assert!(!nothing.somewhere_under(b"", Rights::of(&[Right::Read])));
    assert_eq!(nothing.cluster(), ClusterRights::NONE);
}

#[test]
fn a_rule_without_rights_denies_below_it_and_policies_join() {
    let rule = |prefix: &str, rights: &[Right]| Rule {
        prefix: prefix.to_owned(),
        rights: Rights::of(rights),
    };
    let all = [Right::Read, Right::Write];
    let app =
        Policy { rules: vec![rule("app/", &all), rule("app/secret/", &[])], ..Policy::default() };
    let cluster = ClusterRights::of(&[ClusterRight::Read]);
    let granted = Granted::of([&app, &Policy { cluster, ..Policy::default() }]);
    assert_eq!(granted.at(b"app/a"), Rights::of(&all));
    assert_eq!(granted.at(b"app/secret/a"), Rights::NONE);
    assert_eq!(granted.at(b"app"), Rights::NONE);
    assert_eq!(granted.cluster(), cluster);
    assert!(!granted.whole_prefix(b"app/", Rights::of(&[Right::Read])));
    assert!(granted.whole_prefix(b"app/s/", Rights::of(&[Right::Read])));
    let opened = Policy { rules: vec![rule("app/secret/", &[Right::Read])], ..Policy::default() };
    let granted = Granted::of([&app, &opened]);
    assert!(granted.whole_prefix(b"app/", Rights::of(&[Right::Read])));
    assert!(!granted.whole_prefix(b"app/", Rights::of(&all)));
}
