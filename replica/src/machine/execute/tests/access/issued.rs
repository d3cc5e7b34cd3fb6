//! What somebody may do whom an issuer vouches for, by the policies of the state.

use super::*;

fn subject(text: &str) -> Subject {
    Subject { issuer: "https://issuer".to_owned(), subject: text.to_owned() }
}

/// Done by a subject that the issuer gives these policies.
fn issued(text: &str, policies: &[&str], op: Op) -> Op {
    let policies = policies.iter().map(|name| policy_name(name)).collect();
    op.done_by(Some(Author::Issued(subject(text), policies)))
}

fn lacks_write(revision: u64) -> CommandOutcome {
    denied(revision, Denied::Key { right: Right::Write, key: "k".to_owned() })
}

#[test]
fn whoever_is_vouched_for_may_do_what_the_policies_allow_when_it_is_executed() {
    let mut state = bootstrapped(vec![]);
    let put = || issued("ci", &["app"], put("k", "v"));
    assert_eq!(outcome_of(&mut state, put()), lacks_write(1));
    outcome_of(&mut state, by("root", put_policy("app", writes("k"), Force::Unforced)));
    assert_eq!(outcome_of(&mut state, put()), created(3));
    assert_eq!(outcome_of(&mut state, issued("ci", &[], super::put("k", "v"))), lacks_write(3));
    // In one batch: what the policy gave before it does not give after.
    let nothing = by("root", put_policy("app", Policy::default(), Force::Unforced));
    let number = state.meta().next_batch.0;
    let SlotOutcome::Batch { commands, .. } =
        execute_next(&mut state, batch(1, number, vec![put(), nothing, put()]))
    else {
        panic!("a batch")
    };
    assert_eq!(commands[2].outcome, lacks_write(5));
    assert_eq!(state.meta().revision, Revision(5));
}

#[test]
fn a_token_of_the_same_accessor_and_a_policy_of_the_same_name_as_root_give_nothing() {
    let mut state = bootstrapped(vec![]);
    let as_token = put("k", "v").attributed(Some(subject("ci").accessor()));
    assert_eq!(outcome_of(&mut state, as_token), denied(1, Denied::UnknownToken));
    assert_eq!(state.access().granted_to(&[PolicyName::root()]), Default::default());
}

#[test]
fn a_lease_is_its_subject_s_own_whatever_its_policies_are_called_by_then() {
    let writer = Policy { rules: vec![rule("", &[Right::Lock])], ..Policy::default() };
    let mut state = bootstrapped(vec![put_policy("one", writer.clone(), Force::Unforced)]);
    outcome_of(&mut state, by("root", put_policy("two", writer, Force::Unforced)));
    let grant = Op::Lease(LeaseOp::Grant { ttl_ms: 600_000 });
    let granted = CommandOutcome::LeaseGranted { revision: Revision(4) };
    assert_eq!(outcome_of(&mut state, issued("ci", &["one"], grant)), granted);
    let lease = LeaseId(4);
    let owner = state.leases().get(lease).unwrap().owner;
    assert_eq!(owner, Some(subject("ci").accessor()));
    let renew = || Op::Lease(LeaseOp::Renew { lease });
    let renewed = CommandOutcome::LeaseRenewed { revision: Revision(5), ttl_ms: 600_000 };
    assert_eq!(outcome_of(&mut state, issued("other", &["one"], renew())), {
        denied(4, Denied::Lease { lease })
    });
    assert_eq!(outcome_of(&mut state, issued("ci", &["two"], renew())), renewed);
}

#[test]
fn a_first_answer_is_its_subject_s_own_also_by_another_jwt() {
    let mut state = bootstrapped(vec![put_policy("app", writes(""), Force::Unforced)]);
    let put = |text: &str, policies: &[&str]| issued(text, policies, put("k", "v"));
    assert_eq!(keyed(&mut state, "1", put("ci", &["app"])), (created(3), Delivery::First));
    let again = put("ci", &["app", "other"]);
    assert_eq!(keyed(&mut state, "1", again), (created(3), Delivery::Replayed));
    let reused = CommandOutcome::KeyReused { revision: Revision(3) };
    assert_eq!(keyed(&mut state, "1", put("other", &["app"])), (reused.clone(), Delivery::First));
    assert_eq!(keyed(&mut state, "1", by("root", super::put("k", "v"))), (reused, Delivery::First));
    assert_eq!(keyed(&mut state, "1", put("ci", &[])), (lacks_write(3), Delivery::First));
}

#[test]
fn a_certificate_is_no_token() {
    let certified = |op: Op| op.done_by(Some(Author::Certified(subject("client/a"))));
    let mut state = state_after(vec![]);
    assert_eq!(outcome_of(&mut state, certified(put("k", "v"))), created(1));
    assert_eq!(outcome_of(&mut state, certified(bootstrap("root"))), denied(1, Denied::NoToken));
    let mut state = bootstrapped(vec![]);
    assert_eq!(outcome_of(&mut state, certified(put("k", "v"))), denied(1, Denied::NoToken));
}

#[test]
fn nobody_who_is_vouched_for_makes_the_first_token_or_is_its_own_author() {
    let mut state = state_after(vec![put("k", "v")]);
    let first = issued("ci", &["ops"], bootstrap("root"));
    assert_eq!(outcome_of(&mut state, first), denied(1, Denied::NoToken));
    let mut state = bootstrapped(vec![put_policy("ops", operates(), Force::Unforced)]);
    // It may operate no more by what it does, and is no token that would have to.
    let op = issued("ci", &["ops"], put_policy("ops", Policy::default(), Force::Unforced));
    assert_eq!(outcome_of(&mut state, op), done(3, AccessDone::PolicyReplaced));
    outcome_of(&mut state, by("root", put_policy("ops", operates(), Force::Unforced)));
    let everybody = refused(4, AccessRefused::LockOut(LockOut::Everybody));
    let op = issued("ci", &["ops"], delete("root", Force::Unforced));
    assert_eq!(outcome_of(&mut state, op), everybody);
}

#[test]
fn who_cannot_be_vouched_for_so_is_void() {
    let put = || put("k", "v");
    let of = |issuer: &str, text: &str| {
        let subject = Subject { issuer: issuer.to_owned(), subject: text.to_owned() };
        put().done_by(Some(Author::Issued(subject, vec![])))
    };
    let names: Vec<String> = (10..11 + limits::TOKEN_POLICIES).map(|n| format!("p{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let over = |what: &'static str, limit: usize| Unreadable::OverLimit {
        what: what.into(),
        actual: limit as u64 + 1,
        limit: limit as u64,
    };
    let long = |limit: usize| "s".repeat(limit + 1);
    for (op, error) in [
        (of("", "s"), Unreadable::Subject),
        (of("i", ""), Unreadable::Subject),
        (of("i", "a b"), Unreadable::Subject),
        (of("i", "ä"), Unreadable::Subject),
        (of("i", &long(limits::SUBJECT_BYTES)), over("the subject", limits::SUBJECT_BYTES)),
        (of(&long(limits::ISSUER_BYTES), "s"), over("the issuer", limits::ISSUER_BYTES)),
        (issued("s", &names, put()), {
            over("the number of a subject's policies", limits::TOKEN_POLICIES)
        }),
        (issued("s", &["b", "a"], put()), Unreadable::PoliciesOutOfOrder),
        (issued("s", &["a", "root"], put()), Unreadable::RootIssued),
    ] {
        assert_eq!(op.check(), Err(error.clone()));
        assert_eq!(Commands::decode(&commands(0, vec![op]).encode()), Err(error));
    }
    assert_eq!(issued("s", &names[1..], put()).check(), Ok(()));
}
