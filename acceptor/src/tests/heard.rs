//! What counts as a sign that a leader lives.

use shared::message::{AcceptReply, Prepare, PrepareReply};

use super::*;
use crate::writer::start;

#[tokio::test]
async fn a_ballot_that_is_refused_is_no_sign_of_a_leader() {
    let temp = tempfile::tempdir().unwrap();
    let (handle, _ended) =
        start(Disk::default(), &temp.path().join("log"), SMALL, Limits::default(), measured().0)
            .unwrap();
    let acceptor = handle.durable().acceptor;
    let prepare =
        |round| Prepare { roster: roster_of(acceptor), ballot: ballot(round), from: Slot(0) };

    assert!(matches!(handle.prepare(prepare(2)).await, Ok(PrepareReply::Promise(_))));
    let heard = handle.durable().heard;
    assert!(matches!(handle.prepare(prepare(1)).await, Ok(PrepareReply::Nack(_))));
    let held = handle.bytes().reserve(10).unwrap();
    assert!(matches!(handle.accept(accept(acceptor, 0, 10), held).await, Ok(AcceptReply::Nack(_))));
    assert_eq!(handle.durable().heard, heard, "who is refused leads nobody");

    assert!(matches!(handle.prepare(prepare(2)).await, Ok(PrepareReply::Promise(_))));
    assert!(handle.durable().heard > heard);
}
