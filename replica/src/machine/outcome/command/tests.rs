//! Outcomes as they are kept.

use super::*;
use crate::machine::access::Accessor;
use crate::machine::access::outcome::LockOut;
use crate::machine::txn::Guards;
use crate::machine::txn::result::{LeasedItem, TxnItem, TxnResult};

const HOLDER: Holder = Holder { lease: LeaseId(8), fence: Revision(9) };
const TOKEN: Accessor = Accessor(9);

fn done(done: AccessDone) -> CommandOutcome {
    CommandOutcome::Access { revision: Revision(300), done }
}

fn not_done(why: AccessRefused) -> CommandOutcome {
    CommandOutcome::AccessRefused { revision: Revision(300), why }
}

fn txn(results: Vec<TxnResult>) -> CommandOutcome {
    let (revision, guards) = (Revision(300), Guards::Fail);
    CommandOutcome::Txn(Arc::new(TxnOutcome { revision, guards, results }))
}

fn refused(why: RollbackRefused) -> CommandOutcome {
    CommandOutcome::RollbackRefused { revision: Revision(300), why }
}

fn item() -> TxnItem {
    TxnItem {
        key: "k".to_owned(),
        value: bytes::Bytes::from_static(b"v"),
        content_type: Some("t".to_owned()),
        revision: Revision(3),
        created_revision: Revision(2),
        version: 4,
    }
}

fn leased() -> LeasedItem {
    LeasedItem { item: item(), lease: Some(LeaseId(8)) }
}

#[test]
fn outcomes_are_written_as_they_have_always_been() {
    let revision = Revision(300);
    for (outcome, bytes) in [
        (CommandOutcome::Created { revision }, &[0, 0xac, 2][..]),
        (
            CommandOutcome::Replaced { revision, created_revision: Revision(7), version: 2 },
            &[1, 0xac, 2, 7, 2],
        ),
        (CommandOutcome::Deleted { revision, deleted: 1 }, &[2, 0xac, 2, 1]),
        (CommandOutcome::DeletedPrefix { revision }, &[3, 0xac, 2]),
        (
            CommandOutcome::PreconditionFailed { revision, current: Some(Revision(9)) },
            &[4, 0xac, 2, 1, 9],
        ),
        (CommandOutcome::PreconditionFailed { revision, current: None }, &[4, 0xac, 2, 0]),
        (CommandOutcome::KeyReused { revision }, &[5, 0xac, 2]),
        (CommandOutcome::TooManyKeys { revision }, &[6, 0xac, 2]),
        (
            txn(vec![
                TxnResult::Put { created_revision: Revision(7), version: 2 },
                TxnResult::Deleted { deleted: 1 },
                TxnResult::DeletedPrefix { besides: -1 },
                TxnResult::Got(None),
            ]),
            &[7, 0xac, 2, 1, 4, 0, 7, 2, 1, 1, 2, 1, 3, 0],
        ),
        (
            txn(vec![TxnResult::Got(Some(Box::new(item())))]),
            &[7, 0xac, 2, 1, 1, 3, 1, 1, b'k', 1, b'v', 1, 1, b't', 3, 2, 4],
        ),
        (
            txn(vec![TxnResult::Listed { items: vec![item()], has_more: true }]),
            &[7, 0xac, 2, 1, 1, 4, 1, 1, b'k', 1, b'v', 1, 1, b't', 3, 2, 4, 1],
        ),
        (CommandOutcome::TxnTooLarge { revision }, &[8, 0xac, 2]),
        (CommandOutcome::TxnWithoutRoom { revision }, &[9, 0xac, 2]),
        (CommandOutcome::Appended { revision, slot: Slot(5) }, &[10, 0xac, 2, 5]),
        (CommandOutcome::RolledBack { revision, restored: 3, deleted: 4 }, &[11, 0xac, 2, 3, 4]),
        (refused(RollbackRefused::Future { asked: Revision(8) }), &[12, 0xac, 2, 0, 8]),
        (
            refused(RollbackRefused::Compacted { asked: Revision(8), oldest: Revision(9) }),
            &[12, 0xac, 2, 1, 8, 9],
        ),
        (refused(RollbackRefused::TooManyKeys), &[12, 0xac, 2, 2]),
        (refused(RollbackRefused::TooLarge), &[12, 0xac, 2, 3]),
        (
            txn(vec![TxnResult::got(Some(leased()))]),
            &[7, 0xac, 2, 1, 1, 5, 1, b'k', 1, b'v', 1, 1, b't', 3, 2, 4, 1, 8],
        ),
        (
            txn(vec![TxnResult::listed(vec![leased()], false)]),
            &[7, 0xac, 2, 1, 1, 6, 1, 1, b'k', 1, b'v', 1, 1, b't', 3, 2, 4, 1, 8, 0],
        ),
        (CommandOutcome::LeaseGranted { revision }, &[13, 0xac, 2]),
        (CommandOutcome::LeaseRenewed { revision, ttl_ms: 5 }, &[14, 0xac, 2, 5]),
        (CommandOutcome::LeaseRevoked { revision }, &[15, 0xac, 2]),
        (CommandOutcome::NoSuchLease { revision, lease: LeaseId(8) }, &[16, 0xac, 2, 8]),
        (CommandOutcome::TooManyLeases { revision }, &[17, 0xac, 2]),
        (CommandOutcome::LockHeld { revision, fence: Revision(9) }, &[18, 0xac, 2, 9]),
        (CommandOutcome::LockAwaited { revision, since: Revision(9) }, &[19, 0xac, 2, 9]),
        (CommandOutcome::LockBusy { revision, holder: HOLDER }, &[20, 0xac, 2, 8, 9]),
        (CommandOutcome::LockReleased { revision }, &[21, 0xac, 2]),
        (CommandOutcome::LockNotHeld { revision, holder: None }, &[22, 0xac, 2, 0]),
        (CommandOutcome::TooManyClaims { revision }, &[23, 0xac, 2]),
        (CommandOutcome::FenceFailed { revision, holder: Some(HOLDER) }, &[24, 0xac, 2, 1, 8, 9]),
        (CommandOutcome::Compacted { revision, below: Revision(9) }, &[25, 0xac, 2, 9]),
        (CommandOutcome::CompactionAhead { revision, asked: Revision(8) }, &[26, 0xac, 2, 8]),
        (done(AccessDone::Bootstrapped { accessor: TOKEN }), &[27, 0xac, 2, 0, 9]),
        (
            done(AccessDone::TokenCreated { accessor: TOKEN, expires_ms: Some(5) }),
            &[27, 0xac, 2, 1, 9, 1, 5],
        ),
        (done(AccessDone::TokenDeleted), &[27, 0xac, 2, 2]),
        (done(AccessDone::PolicyCreated), &[27, 0xac, 2, 3]),
        (done(AccessDone::PolicyReplaced), &[27, 0xac, 2, 4]),
        (done(AccessDone::PolicyDeleted), &[27, 0xac, 2, 5]),
        (not_done(AccessRefused::AlreadyBootstrapped), &[28, 0xac, 2, 0]),
        (not_done(AccessRefused::NotBootstrapped), &[28, 0xac, 2, 1]),
        (not_done(AccessRefused::NoSuchToken { accessor: TOKEN }), &[28, 0xac, 2, 2, 9]),
        (not_done(AccessRefused::TokenExists { accessor: TOKEN }), &[28, 0xac, 2, 3, 9]),
        (
            not_done(AccessRefused::NoSuchPolicy { name: "p".parse().unwrap() }),
            &[28, 0xac, 2, 4, 1, b'p'],
        ),
        (not_done(AccessRefused::TooManyTokens), &[28, 0xac, 2, 5]),
        (not_done(AccessRefused::TooManyPolicies), &[28, 0xac, 2, 6]),
        (not_done(AccessRefused::TooLarge), &[28, 0xac, 2, 7]),
        (not_done(AccessRefused::LockOut(LockOut::Everybody)), &[28, 0xac, 2, 8, 0]),
        (not_done(AccessRefused::LockOut(LockOut::Author)), &[28, 0xac, 2, 8, 1]),
        (CommandOutcome::Denied { revision, why: Denied::NoToken }, &[29, 0xac, 2, 0]),
        (CommandOutcome::Denied { revision, why: Denied::UnknownToken }, &[29, 0xac, 2, 1]),
        (CommandOutcome::TooManyOwnedLeases { revision }, &[30, 0xac, 2]),
    ] {
        assert_eq!(postcard::to_allocvec(&outcome).unwrap(), bytes, "{outcome:?}");
        assert_eq!(postcard::from_bytes::<CommandOutcome>(bytes).unwrap(), outcome);
    }
}
