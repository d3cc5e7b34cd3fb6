use http::HeaderValue;
use shared::ids::{Accessor, LogFormat, Slot};
use shared::problem::{Outcome, Problem};
use shared::wire::Encoding;

use super::*;
use crate::http::forward::ForwardReply;
use crate::machine::access::outcome::LockOut;
use crate::machine::access::policy::PolicyName;
use crate::machine::command::Unreadable;
use crate::machine::locks::Holder;
use crate::machine::txn::Guards;
use crate::machine::txn::result::TxnResult;
use crate::replica::event::{LimitHit, Refusal};
use crate::replica::status::Missing;

const NO: Option<Outcome> = Some(Outcome::NotApplied);
const UNKNOWN: Option<Outcome> = Some(Outcome::Unknown);
const YES: Option<Outcome> = Some(Outcome::Applied);

/// Status, outcome, and whether a wait is named.
type Said = (u16, Option<Outcome>, bool);

/// Every refusal, with status, outcome, and whether a wait is named. The match makes
/// whoever adds one add it here, too.
fn refusals() -> Vec<(MutationRefused, Said)> {
    use MutationRefused as R;
    let listed = |refused: &R| match refused {
        R::Behind { .. }
        | R::GuardFailed { .. }
        | R::KeyReused { .. }
        | R::TooManyKeys { .. }
        | R::NotApplied(_)
        | R::Unknown(_)
        | R::Uncounted { .. }
        | R::Lost
        | R::Closed
        | R::BodiesFull(_)
        | R::OtherCluster { .. }
        | R::TxnTooLarge { .. }
        | R::TxnWithoutRoom { .. }
        | R::Rollback { .. }
        | R::Tenure { .. }
        | R::Forgotten
        | R::CompactionAhead { .. }
        | R::Access { .. }
        | R::Denied { .. } => (),
    };
    listed(&R::Lost);
    let stalls = [
        (Stall::NoQuorum, (503, true)),
        (Stall::NoLeader, (503, true)),
        (Stall::Missing(Missing { from: Slot(3), trimmed_below: Slot(9) }), (503, true)),
        (Stall::Overloaded("2 acceptors have no room".into()), (503, true)),
        (Stall::Slow, (504, false)),
    ];
    let mut all = Vec::new();
    for (stall, (status, waits)) in stalls {
        all.push((R::NotApplied(NotApplied::GivenUp(stall.clone())), (status, NO, waits)));
        all.push((R::Unknown(stall), (504, UNKNOWN, false)));
    }
    let limit = LimitHit::new("things", 3);
    let late = NotReleased::Refused(Refusal::GivenUp(Stall::Slow));
    let (wanted, revision) = (Revision(8), Revision(3));
    let guard_failed = |current, delivery| R::GuardFailed { revision, current, delivery };
    let asked = Revision(5);
    let not_rolled_back = |why| R::Rollback { revision, why, delivery: Delivery::First };
    let uncounted = |why| R::Uncounted { revision, why };
    let (needed, current) = (LogFormat(2), LogFormat(1));
    let not_reached = NotApplied::FormatNotReached { needed, current };
    let unreadable = Unreadable::OverLimit { what: "the key".into(), actual: 9, limit: 8 };
    let holder = Holder { lease: LeaseId(5), fence: Revision(6) };
    for (why, status, waits) in [
        (TenureRefused::NoSuchLease(LeaseId(5)), 404, false),
        (TenureRefused::TooManyLeases, 503, true),
        (TenureRefused::TooManyOwnedLeases, 503, true),
        (TenureRefused::Busy(holder), 409, false),
        (TenureRefused::NotHeld(Some(holder)), 409, false),
        (TenureRefused::NotHeld(None), 409, false),
        (TenureRefused::TooManyClaims, 503, true),
        (TenureRefused::FenceFailed(Some(holder)), 412, false),
        (TenureRefused::FenceFailed(None), 412, false),
    ] {
        let delivery = Delivery::Replayed;
        all.push((R::Tenure { revision, why, delivery }, (status, NO, waits)));
    }
    let accessor = Accessor(7);
    for (why, status, waits) in [
        (AccessRefused::AlreadyBootstrapped, 409, false),
        (AccessRefused::NotBootstrapped, 409, false),
        (AccessRefused::NoSuchToken { accessor }, 404, false),
        (AccessRefused::TokenExists { accessor }, 409, false),
        (AccessRefused::NoSuchPolicy { name: PolicyName::root() }, 404, false),
        (AccessRefused::TooManyTokens, 503, true),
        (AccessRefused::TooManyPolicies, 503, true),
        (AccessRefused::TooLarge, 503, true),
        (AccessRefused::LockOut(LockOut::Everybody), 409, false),
        (AccessRefused::LockOut(LockOut::Author), 409, false),
    ] {
        all.push((R::Access { revision, why, delivery: Delivery::First }, (status, NO, waits)));
    }
    all.push((R::Denied { revision, why: Denied::NoToken }, (401, NO, false)));
    all.push((R::Denied { revision, why: Denied::UnknownToken }, (401, NO, false)));
    let why = Denied::Lease { lease: LeaseId(7) };
    all.push((R::Denied { revision, why }, (403, NO, false)));
    all.extend([
        (R::Behind { wanted, reason: late.clone() }, (503, None, true)),
        (R::Behind { wanted, reason: NotReleased::Closed }, (503, None, true)),
        (
            R::Behind { wanted, reason: NotReleased::Refused(Refusal::QueueFull(limit.clone())) },
            (503, None, true),
        ),
        (guard_failed(None, Delivery::First), (412, NO, false)),
        (guard_failed(Some(Revision(2)), Delivery::Replayed), (412, NO, false)),
        (R::KeyReused { revision }, (422, NO, false)),
        (R::TooManyKeys { revision }, (503, NO, true)),
        (R::NotApplied(NotApplied::NotPrimary { primary: None }), (503, NO, true)),
        (R::NotApplied(NotApplied::PrimaryChanged), (503, NO, true)),
        (R::NotApplied(NotApplied::QueueFull(limit)), (503, NO, true)),
        (R::NotApplied(NotApplied::IdentityTaken), (422, NO, false)),
        (R::NotApplied(NotApplied::StorageFull), (507, NO, true)),
        (R::NotApplied(not_reached), (503, NO, true)),
        (R::TxnTooLarge { revision, delivery: Delivery::Replayed }, (413, NO, false)),
        (R::TxnWithoutRoom { revision }, (503, NO, true)),
        (not_rolled_back(RollbackRefused::Future { asked }), (400, NO, false)),
        (not_rolled_back(RollbackRefused::Compacted { asked, oldest: revision }), (410, NO, false)),
        (not_rolled_back(RollbackRefused::TooManyKeys), (413, NO, false)),
        (not_rolled_back(RollbackRefused::TooLarge), (413, NO, false)),
        (R::CompactionAhead { revision, asked, delivery: Delivery::Replayed }, (400, NO, false)),
        (R::NotApplied(NotApplied::Unreadable(unreadable)), (400, NO, false)),
        (R::NotApplied(NotApplied::Unreadable(Unreadable::EmptyKey)), (400, NO, false)),
        (uncounted(NotCounted::Late), (504, YES, false)),
        (uncounted(NotCounted::Behind(late)), (503, YES, true)),
        (uncounted(NotCounted::Overloaded("256 reads".into())), (503, YES, true)),
        (
            uncounted(NotCounted::Compacted { said: "gone".into(), oldest: Revision(7) }),
            (410, YES, false),
        ),
        (uncounted(NotCounted::Unavailable("locked".into())), (503, YES, true)),
        (uncounted(NotCounted::Failed("damaged".into())), (500, YES, false)),
        (R::Lost, (504, UNKNOWN, false)),
        (R::Forgotten, (504, UNKNOWN, false)),
        (R::Closed, (503, None, true)),
        (R::BodiesFull(BudgetSpent { limit: 5 }), (503, None, true)),
        (R::OtherCluster { own: None }, (503, None, true)),
        (R::OtherCluster { own: Some(ClusterId(4)) }, (503, None, true)),
    ]);
    all
}

#[test]
fn what_may_have_happened_is_told_from_what_did_not() {
    for (refused, expected) in refusals() {
        let shown = format!("{refused:?}");
        let problem = Problem::from(refused);
        let response = problem.to_http();
        let waits = response.headers().contains_key("retry-after");
        let said = (response.status().as_u16(), problem.body().outcome, waits);
        assert_eq!(said, expected, "{shown}");
    }
}

#[test]
fn a_backup_says_every_refusal_of_the_primary_in_the_same_words() {
    for (refused, _) in refusals() {
        for encoding in [Encoding::Postcard, Encoding::Json] {
            let sent = encoding.encode(&ForwardReply::Refused(refused.clone()));
            let read: ForwardReply = encoding.decode(&sent).unwrap();
            let ForwardReply::Refused(read) = read else { panic!("{read:?}") };
            let (own, forwarded) = (Problem::from(refused.clone()), Problem::from(read));
            assert_eq!(own.to_http().headers(), forwarded.to_http().headers());
            assert_eq!(own, forwarded);
        }
    }
}

#[test]
fn a_backup_says_every_success_of_the_primary_in_the_same_words() {
    for mutated in [
        Mutated::Created { revision: Revision(300) },
        Mutated::Replaced {
            revision: Revision(9),
            created_revision: Revision(2),
            version: u64::MAX,
        },
        Mutated::Deleted { revision: Revision(9), deleted: 70_000 },
        Mutated::Txn(Arc::new(TxnOutcome {
            revision: Revision(9),
            guards: Guards::Fail,
            results: vec![TxnResult::Deleted { deleted: 3 }, TxnResult::Got(None)],
        })),
        Mutated::Compacted { revision: Revision(9), below: Revision(300) },
    ] {
        let done = Performed { mutated, delivery: Delivery::Replayed };
        let sent = Encoding::Postcard.encode(&ForwardReply::Done(done.clone()));
        assert_eq!(
            Encoding::Postcard.decode::<ForwardReply>(&sent).unwrap(),
            ForwardReply::Done(done)
        );
    }
}

#[test]
fn a_failed_guard_names_what_is_there() {
    let response = Problem::from(MutationRefused::GuardFailed {
        delivery: Delivery::First,
        revision: Revision(9),
        current: Some(Revision(4)),
    })
    .to_http();
    assert_eq!(
        (&response.headers()["etag"], &response.headers()["synod-revision"]),
        (&HeaderValue::from_static("\"4\""), &HeaderValue::from_static("9"))
    );
}
