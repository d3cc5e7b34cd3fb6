//! What handlers hear of a driver that hangs, is overrun, or has ended.

use shared::message::Service;
use shared::metrics::Metrics;
use tokio::time::Instant;

use super::*;
use crate::machine::access::subject::{Author, Subject};
use crate::replica::Replica;
use crate::replica::config::Config;
use crate::replica::status::{Identity, Recovered};

fn handle(waiting: usize) -> (Handle, mpsc::Receiver<Message>) {
    let identity = Identity {
        name: "replica-1".parse().unwrap(),
        instance: shared::ids::Instance(1),
        url: "http://127.0.0.1:1".to_owned(),
    };
    let status =
        Replica::new(Config::default(), identity, Recovered::default()).status(Duration::ZERO);
    let (messages, queue) = mpsc::channel(waiting);
    let (_publish, published) = watch::channel(Published {
        status,
        started: Instant::now(),
        wal: Default::default(),
        fetched: Default::default(),
        changes: Default::default(),
    });
    let mut metrics = Metrics::new(Service::Replica, &"replica-1".parse().unwrap());
    let measured = Measured::register(&mut metrics);
    let (_publish, access) = watch::channel(Arc::default());
    let heard = Subscriptions { published, access };
    (Handle::new(messages, heard, LockWaits::new(9), measured), queue)
}

async fn mutate(handle: &Handle) -> MutationEnd {
    mutate_within(handle, Duration::from_secs(60)).await
}

async fn mutate_within(handle: &Handle, time: Duration) -> MutationEnd {
    let mutation = command(Op::DeletePrefix { prefix: "k".to_owned() }, None, None);
    handle.mutate((mutation, None), Deadline::after(time)).await
}

#[tokio::test]
async fn what_became_of_a_mutation_is_said_as_far_as_it_is_known() {
    let (hangs, mut queue) = handle(2);
    let unanswered = mutate_within(&hangs, Duration::from_millis(20)).await;
    assert!(
        matches!(unanswered, MutationEnd::Answered(Answer::Unknown(Stall::Slow))),
        "it may yet take it up"
    );
    assert!(matches!(queue.recv().await, Some(Message::Mutate { .. })));
    assert!(
        matches!(queue.recv().await, Some(Message::Cancel { .. })),
        "it is told that nobody waits"
    );

    let (mutation, taken) = tokio::join!(mutate(&hangs), async {
        let Some(Message::Mutate { reply, .. }) = queue.recv().await else { panic!("no mutation") };
        drop(reply);
    });
    assert!(
        matches!((mutation, taken), (MutationEnd::Lost, ())),
        "it ended with the mutation in its handlers"
    );

    drop(queue);
    assert!(matches!(mutate(&hangs).await, MutationEnd::Closed), "it has never seen it");

    let (overrun, _queue) = handle(1);
    let first = mutate(&overrun);
    tokio::pin!(first);
    assert!(futures::poll!(&mut first).is_pending());
    assert!(matches!(
        mutate(&overrun).await,
        MutationEnd::Answered(Answer::NotApplied(NotApplied::QueueFull(_)))
    ));
}

#[test]
fn a_name_belongs_to_one_request() {
    let name = Repeatable { identity: [7; 16], since: Slot(3) };
    let named = |prefix: &str| {
        command(Op::DeletePrefix { prefix: prefix.to_owned() }, None, Some(name)).request
    };
    assert_eq!(named("k"), named("k"));
    assert_ne!(named("k"), named("l"), "else it would be answered as the first was");
}

/// An attempt may go through an older service, which does not tell the certificate.
#[test]
fn a_certificate_makes_no_other_request_and_a_token_does() {
    let subject = Subject { issuer: "spiffe://synod".to_owned(), subject: "client/a".to_owned() };
    let name = Some(Repeatable { identity: [7; 16], since: Slot(3) });
    let key = Some(IdempotencyKey::of("order-17"));
    let request = |author: Option<Author>, key, named| {
        let op = Op::DeletePrefix { prefix: "k".to_owned() }.done_by(author);
        command(op, key, named).request
    };
    let certified = || Some(Author::Certified(subject.clone()));
    let jwt = || Some(Author::Issued(subject.clone(), vec![]));
    let token = || Some(Author::Token(subject.accessor()));
    for (key, named) in [(key, name), (key, None), (None, name)] {
        assert_eq!(request(certified(), key, named), request(None, key, named));
        for own in [jwt(), token()] {
            assert_ne!(request(own, key, named), request(None, key, named));
        }
    }
}
