//! Both sides.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt as _;
use shared::client::{Connections, Pool, PoolLimits, SendError};
use shared::server::Limits;

use crate::server::Server;
use crate::until;

async fn put(connections: &Arc<Connections>, value: String) -> Result<String, SendError> {
    let request = Request::put("/v1/kv/k").body(Bytes::from(value)).unwrap();
    let answer = connections.send_short(request).await?;
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

/// With so many connections only those get through that share one.
async fn shares(connections: &Arc<Connections>, clients: usize) -> bool {
    let puts = (0..clients).map(async |client| {
        let value = format!("value {client}");
        let answer = put(connections, value.clone()).await;
        answer.is_ok_and(|answer| answer == format!("PUT {} {value}", value.len()))
    });
    futures::future::join_all(puts).await.into_iter().all(|is_right| is_right)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_need_few_connections_and_each_gets_its_own_answer() {
    let server = Server::start(Limits { connections: 4, ..Limits::default() }).await;
    let connections = Pool::new(PoolLimits { max_idle: 1, ..PoolLimits::default() })
        .to(&format!("http://{}", server.address))
        .unwrap();
    put(&connections, "first".to_owned()).await.unwrap();
    until("they share", async || shares(&connections, 200).await).await;
    for _ in 0..50 {
        assert!(shares(&connections, 200).await);
    }
}

#[tokio::test]
async fn what_has_a_long_answer_is_got_all_the_same() {
    let server = Server::start(Limits::default()).await;
    let connections = Pool::default().to(&format!("http://{}", server.address)).unwrap();
    for _ in 0..20 {
        let request = Request::get("/v1/kv/long").body(Bytes::new()).unwrap();
        let answer = connections.send_short(request).await.unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body.len(), shared::mux::ANSWER_BYTES + 1);
    }
}
