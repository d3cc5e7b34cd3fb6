//! Other acceptors have followed those that a service knows, and it has heard so.
#![expect(clippy::disallowed_methods, reason = "tests start tasks")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::{get, put};
use http::StatusCode;
use shared::client::AcceptorClient;
use shared::config::BaseUrl;
use shared::discovery::{self, Acceptors};
use shared::ids::{AcceptorId, ClusterId, Generation, Instance, Slot};
use shared::message::{KnownSuccession, Member, Roster, Seated, Service, Succession};
use shared::wire::Reply;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

async fn listen() -> (TcpListener, BaseUrl) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    (listener, url)
}

#[tokio::test]
async fn whoever_hears_of_a_change_asks_all_acceptors_at_once_who_followed() {
    let seated = |generation, port: u16| Seated {
        roster: Roster::new(ClusterId(1), Generation(generation), vec![AcceptorId(1)]).unwrap(),
        urls: vec![format!("http://127.0.0.1:{port}")],
    };
    let latest = Some(Succession::new(seated(0, 1), seated(1, 2), Slot(7)).unwrap());
    let tells = async move |reply: Reply| reply.send(&KnownSuccession { latest: latest.clone() });
    let rounds = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&rounds);
    let lists_nobody = async move || {
        counted.fetch_add(1, Ordering::Relaxed);
        StatusCode::SERVICE_UNAVAILABLE
    };
    let router = Router::new().route("/v1/succession", get(tells));
    let router = router.route("/v1/members/{name}", put(lists_nobody));
    let (listener, knows) = listen().await;
    tokio::spawn(async { axum::serve(listener, router).await });
    let (_silent, down) = listen().await;
    // In the first round the first one would be asked alone.
    let acceptors = [down.clone(), down, knows].map(AcceptorClient::new);
    let own = Member {
        name: "replica-1".parse().unwrap(),
        service: Service::Replica,
        url: "http://127.0.0.1:1".into(),
        instance: Instance(1),
    };
    let (_, cluster) = watch::channel(Some(ClusterId(1)));
    let acceptors = Acceptors::configured(&acceptors);
    let mut found = discovery::spawn(own, cluster, acceptors, CancellationToken::new());
    found.follow.notify_one();
    found.acceptors.wait_for(|acceptors| acceptors.generation() == Generation(1)).await.unwrap();
    assert_eq!(rounds.load(Ordering::Relaxed), 1);
}
