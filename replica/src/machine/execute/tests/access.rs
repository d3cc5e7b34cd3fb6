//! Tokens and policies, and who may have what executed.

use shared::ids::{Accessor, LeaseId};

use super::*;
use crate::machine::access::authorize::Denied;
use crate::machine::access::outcome::{AccessDone, AccessRefused, LockOut};
use crate::machine::access::policy::{
    ClusterRight, ClusterRights, Policy, PolicyName, Right, Rights, Rule,
};
use crate::machine::access::subject::{Author, Subject};
use crate::machine::access::{AccessMeta, AccessOp, Force, Requirement, SecretHash};
use crate::machine::command::Unreadable;
use crate::machine::identity::IdempotencyKey;
use crate::machine::leases::LeaseOp;

mod answers;
mod issued;
mod limited;
mod reference;
mod tenure;

const TTL_MS: u64 = 5_000;

fn policy_name(text: &str) -> PolicyName {
    text.parse().unwrap()
}

fn secret(text: &str) -> SecretHash {
    SecretHash::of(text.as_bytes())
}

/// What the token of a secret is called.
fn accessor(text: &str) -> Accessor {
    secret(text).accessor()
}

fn bootstrap(text: &str) -> Op {
    Op::Access(AccessOp::Bootstrap { secret: secret(text) })
}

fn create(text: &str, policies: &[&str], ttl_ms: Option<u64>) -> Op {
    Op::Access(AccessOp::CreateToken {
        secret: secret(text),
        policies: policies.iter().map(|name| policy_name(name)).collect(),
        ttl_ms,
        description: "for a test".to_owned(),
    })
}

fn delete(text: &str, force: Force) -> Op {
    Op::Access(AccessOp::DeleteToken { accessor: accessor(text), force })
}

fn put_policy(name: &str, policy: Policy, force: Force) -> Op {
    Op::Access(AccessOp::PutPolicy { name: policy_name(name), policy, force })
}

fn delete_policy(name: &str, force: Force) -> Op {
    Op::Access(AccessOp::DeletePolicy { name: policy_name(name), force })
}

fn rule(prefix: &str, rights: &[Right]) -> Rule {
    Rule { prefix: prefix.to_owned(), rights: Rights::of(rights) }
}

fn writes(prefix: &str) -> Policy {
    Policy { rules: vec![rule(prefix, &[Right::Write])], ..Policy::default() }
}

fn operates() -> Policy {
    Policy { rules: vec![], cluster: ClusterRights::of(&[ClusterRight::Operate]) }
}

/// Done by the token of a secret.
fn by(text: &str, op: Op) -> Op {
    op.attributed(Some(accessor(text)))
}

/// Where the token `root` was made first, at revision 1, and does these.
fn bootstrapped(ops: Vec<Op>) -> ReplicatedState {
    let mut state = state_after(vec![bootstrap("root")]);
    all_at(&mut state, 0, ops.into_iter().map(|op| by("root", op)).collect());
    let _ = state.take_rows();
    state
}

fn done(revision: u64, done: AccessDone) -> CommandOutcome {
    CommandOutcome::Access { revision: Revision(revision), done }
}

fn refused(revision: u64, why: AccessRefused) -> CommandOutcome {
    CommandOutcome::AccessRefused { revision: Revision(revision), why }
}

fn denied(revision: u64, why: Denied) -> CommandOutcome {
    CommandOutcome::Denied { revision: Revision(revision), why }
}

fn created(revision: u64) -> CommandOutcome {
    CommandOutcome::Created { revision: Revision(revision) }
}

/// Executes a batch at a time of the log.
fn at(state: &mut ReplicatedState, time_ms: u64, ops: Vec<Op>) {
    let (slot, number) = (state.meta().executed_below, state.meta().next_batch);
    let value = raw_batch(1, number.0, commands(time_ms, ops).encode());
    apply(state, &entry(slot.0, value));
}

/// Executes as many batches as it takes.
fn all_at(state: &mut ReplicatedState, time_ms: u64, ops: Vec<Op>) {
    for ops in ops.chunks(limits::BATCH_ACCESS) {
        at(state, time_ms, ops.to_vec());
    }
}

/// Executes a request by an `Idempotency-Key`.
fn keyed(state: &mut ReplicatedState, key: &str, op: Op) -> (CommandOutcome, Delivery) {
    let request = RequestIdentity::Keyed(IdempotencyKey::of(key));
    let commands = vec![Command { op, trace: None, request }];
    let answers = AnswerRetention::default();
    let commands =
        Commands { time_ms: 0, wall_ms: 0, trace: None, answers, commands, executed: None };
    let value = raw_batch(1, state.meta().next_batch.0, commands.encode());
    let SlotOutcome::Batch { commands, .. } = execute_next(state, value) else { panic!("a batch") };
    (commands[0].outcome.clone(), commands[0].delivery)
}

#[test]
fn nobody_needs_a_token_before_the_first_one_and_there_is_no_other_before_it() {
    let mut state = state_after(vec![put("k", "v")]);
    for op in [
        create("other", &[], None),
        delete("other", Force::Forced),
        put_policy("p", writes(""), Force::Forced),
        delete_policy("p", Force::Forced),
        by("other", create("other", &[], None)),
    ] {
        assert_eq!(outcome_of(&mut state, op), refused(1, AccessRefused::NotBootstrapped));
    }
    assert_eq!(state.meta().access, AccessMeta::default());
    assert_eq!(outcome_of(&mut state, by("unknown", put("j", "v"))), created(2));
}

#[test]
fn the_first_token_may_do_everything_and_is_made_once() {
    let mut state = state_after(vec![put("k", "v")]);
    let made = AccessDone::Bootstrapped { accessor: accessor("root") };
    assert_eq!(outcome_of(&mut state, bootstrap("root")), done(2, made));
    let requirement = Requirement::Tokens { since: Revision(2) };
    assert_eq!(state.meta().access, AccessMeta { requirement, tokens: 1, policies: 0 });
    let (_, token) = state.access().by_secret(&secret("root")).unwrap();
    assert_eq!((&token.policies, token.expires_ms), (&vec![PolicyName::root()], None));
    for op in [bootstrap("again"), bootstrap("root"), by("root", bootstrap("again"))] {
        assert_eq!(outcome_of(&mut state, op), refused(2, AccessRefused::AlreadyBootstrapped));
    }
    assert_eq!(outcome_of(&mut state, put("k", "w")), denied(2, Denied::NoToken));
    assert_eq!(outcome_of(&mut state, by("root", put("j", "v"))), created(3));
}

#[test]
fn a_token_does_what_its_policies_say_together_and_nothing_else() {
    let mut state = bootstrapped(vec![
        put_policy("a", writes("a/"), Force::Unforced),
        put_policy("b", writes("b/"), Force::Unforced),
        create("writer", &["a", "b", "nowhere"], None),
    ]);
    assert_eq!(outcome_of(&mut state, by("writer", put("a/1", "v"))), created(5));
    assert_eq!(outcome_of(&mut state, by("writer", put("b/1", "v"))), created(6));
    let lacks = Denied::Key { right: Right::Write, key: "c/1".to_owned() };
    assert_eq!(outcome_of(&mut state, by("writer", put("c/1", "v"))), denied(6, lacks));
    let lacks = Denied::Cluster { right: ClusterRight::Operate };
    for op in [
        create("other", &[], None),
        delete("root", Force::Forced),
        put_policy("c", writes("c/"), Force::Unforced),
        delete_policy("a", Force::Unforced),
        Op::Compact { below: Revision(2) },
    ] {
        assert_eq!(outcome_of(&mut state, by("writer", op)), denied(6, lacks.clone()));
    }
    assert_eq!(state.keys().get("c/1"), None);
}

#[test]
fn a_policy_that_is_put_later_gives_what_it_says_from_then_on() {
    let mut state = bootstrapped(vec![create("writer", &["later"], None)]);
    let lacks = Denied::Key { right: Right::Write, key: "k".to_owned() };
    assert_eq!(outcome_of(&mut state, by("writer", put("k", "v"))), denied(2, lacks.clone()));
    let op = put_policy("later", writes("k"), Force::Unforced);
    assert_eq!(outcome_of(&mut state, by("root", op)), done(3, AccessDone::PolicyCreated));
    assert_eq!(outcome_of(&mut state, by("writer", put("k", "v"))), created(4));
    let op = put_policy("later", writes("j"), Force::Unforced);
    assert_eq!(outcome_of(&mut state, by("root", op)), done(5, AccessDone::PolicyReplaced));
    assert_eq!(outcome_of(&mut state, by("writer", put("k", "w"))), denied(5, lacks));
    let op = delete_policy("later", Force::Unforced);
    assert_eq!(outcome_of(&mut state, by("root", op)), done(6, AccessDone::PolicyDeleted));
    let lacks = Denied::Key { right: Right::Write, key: "j".to_owned() };
    assert_eq!(outcome_of(&mut state, by("writer", put("j", "v"))), denied(6, lacks));
    assert_eq!(state.meta().access.policies, 0);
}

#[test]
fn what_follows_the_end_of_a_token_in_the_log_it_does_not_do_even_in_one_batch() {
    let mut state = bootstrapped(vec![create("writer", &["root"], None)]);
    let batch = batch(
        1,
        2,
        vec![
            by("writer", put("a", "v")),
            by("root", delete("writer", Force::Unforced)),
            by("writer", put("b", "v")),
        ],
    );
    let SlotOutcome::Batch { commands, .. } = execute_next(&mut state, batch) else { panic!() };
    let outcomes: Vec<_> = commands.into_iter().map(|command| command.outcome).collect();
    let gone = denied(4, Denied::UnknownToken);
    assert_eq!(outcomes, [created(3), done(4, AccessDone::TokenDeleted), gone]);
    let rows = state.take_rows().access;
    assert_eq!(rows.tokens.into_iter().collect::<Vec<_>>(), [(accessor("writer"), None)]);
}

#[test]
fn what_is_not_there_is_not_deleted_and_what_is_there_not_made_again() {
    let mut state = bootstrapped(vec![create("one", &[], None)]);
    let no_token = AccessRefused::NoSuchToken { accessor: accessor("two") };
    let op = delete("two", Force::Unforced);
    assert_eq!(outcome_of(&mut state, by("root", op)), refused(2, no_token));
    let no_policy = AccessRefused::NoSuchPolicy { name: policy_name("p") };
    let op = delete_policy("p", Force::Unforced);
    assert_eq!(outcome_of(&mut state, by("root", op)), refused(2, no_policy));
    let there = AccessRefused::TokenExists { accessor: accessor("one") };
    assert_eq!(
        outcome_of(&mut state, by("root", create("one", &["root"], None))),
        refused(2, there)
    );
    let no_root = AccessRefused::NoSuchPolicy { name: PolicyName::root() };
    let op = delete_policy("root", Force::Forced);
    assert_eq!(outcome_of(&mut state, by("root", op)), refused(2, no_root));
}

#[test]
fn a_token_ends_when_its_time_is_over_and_no_sooner_and_takes_no_revision() {
    let mut state = bootstrapped(vec![create("short", &["root"], Some(TTL_MS))]);
    assert_eq!(state.next_expiry_ms(), Some(TTL_MS));
    at(&mut state, TTL_MS, vec![by("short", put("a", "v"))]);
    assert!(state.access().get(accessor("short")).is_some());
    // What was asked for in time was in the batch that ends it.
    at(&mut state, TTL_MS + 1, vec![by("short", put("b", "v"))]);
    assert!(state.keys().get("b").is_some());
    assert_eq!(state.access().get(accessor("short")), None);
    assert_eq!((state.meta().revision, state.next_expiry_ms()), (Revision(4), None));
    assert_eq!(state.meta().access.tokens, 1);
    let gone = denied(4, Denied::UnknownToken);
    assert_eq!(outcome_of(&mut state, by("short", put("c", "v"))), gone);
    assert_eq!(state.take_rows().access.tokens.get(&accessor("short")), Some(&None));
}

#[test]
fn a_batch_ends_a_bounded_number_of_tokens_and_the_next_one_more() {
    let count = limits::TOKENS_ENDED + 1;
    let short = |n: usize| create(&format!("token {n}"), &[], Some(TTL_MS));
    let mut state = bootstrapped((0..count).map(short).collect());
    at(&mut state, TTL_MS + 1, vec![]);
    assert_eq!(state.meta().access.tokens, 2, "one is left, and root");
    at(&mut state, TTL_MS + 1, vec![]);
    assert_eq!(state.meta().access.tokens, 1);
}

#[test]
fn a_change_that_locks_everybody_or_its_author_out_is_refused_unless_it_is_forced() {
    let everybody = || AccessRefused::LockOut(LockOut::Everybody);
    let author = || AccessRefused::LockOut(LockOut::Author);
    let mut state = bootstrapped(vec![
        put_policy("operators", operates(), Force::Unforced),
        create("ending", &["operators"], Some(TTL_MS)),
    ]);
    let op = delete("root", Force::Unforced);
    assert_eq!(outcome_of(&mut state, by("root", op.clone())), refused(3, author()));
    assert_eq!(outcome_of(&mut state, by("ending", op)), refused(3, everybody()));
    for op in [
        put_policy("operators", writes("a"), Force::Unforced),
        delete_policy("operators", Force::Unforced),
        delete("ending", Force::Unforced),
    ] {
        assert_eq!(outcome_of(&mut state, by("ending", op)), refused(3, author()));
    }
    let op = delete("root", Force::Forced);
    assert_eq!(outcome_of(&mut state, by("ending", op)), done(4, AccessDone::TokenDeleted));
    // Nobody is left that this would lock out.
    let op = create("other", &[], None);
    assert!(matches!(outcome_of(&mut state, by("ending", op)), CommandOutcome::Access { .. }));
    let op = delete("other", Force::Unforced);
    assert_eq!(outcome_of(&mut state, by("ending", op)), done(6, AccessDone::TokenDeleted));
    let op = delete_policy("operators", Force::Forced);
    assert_eq!(outcome_of(&mut state, by("ending", op)), done(7, AccessDone::PolicyDeleted));
}

#[test]
fn what_a_cluster_does_by_itself_is_to_drop_history_and_nothing_else() {
    let mut state = bootstrapped(vec![put("k", "v")]);
    let own = |op: Op| op.attributed(Some(Accessor::CLUSTER));
    assert_eq!(outcome_of(&mut state, own(put("k", "w"))), denied(2, Denied::NoToken));
    let below = Revision(2);
    let compacted = CommandOutcome::Compacted { revision: below, below };
    assert_eq!(outcome_of(&mut state, own(Op::Compact { below })), compacted);
    assert_eq!(outcome_of(&mut state, Op::Compact { below }), denied(2, Denied::NoToken));
}

#[test]
fn a_log_of_an_older_format_has_none_of_it() {
    let subject = || Subject { issuer: "i".to_owned(), subject: "s".to_owned() };
    let issued = put("k", "v").done_by(Some(Author::Issued(subject(), vec![])));
    let certified = put("k", "v").done_by(Some(Author::Certified(subject())));
    for (op, format, current) in [
        (bootstrap("root"), format::ACCESS, format::LEASES_WHOLE),
        (by("root", put("k", "v")), format::ACCESS, format::LEASES_WHOLE),
        (issued, format::ACCESS, format::LEASES_WHOLE),
        (certified, format::CERTIFIED, format::ACCESS),
    ] {
        assert_eq!(op.format(), format);
        let mut state = ReplicatedState::complete();
        let older = View { format: current, ..view(1) };
        execute_next(&mut state, Value::View(older).encode());
        let encoded = commands(0, vec![op]).encode();
        let value = batch_of(1, 0, encoded.clone()).encode_in(current);
        let void = VoidReason::Unreadable {
            epoch: Epoch(1),
            number: BatchNumber(0),
            error: Unreadable::NotCommands(encoded.len()),
        };
        assert_eq!(execute_next(&mut state, value), SlotOutcome::Void(void));
        let value = batch_of(1, 1, encoded).encode_in(format);
        let void = VoidReason::FormatNotReached { format, current };
        assert_eq!(execute_next(&mut state, value), SlotOutcome::Void(void));
    }
}
