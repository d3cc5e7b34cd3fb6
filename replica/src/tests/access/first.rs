//! The first token: who may make it, where, and who is told its secret.

use http::Method;
use serde_json::json;

use super::super::network::{Behaviour, Network};
use super::super::send;
use super::Guarded;
use crate::machine::format;

#[tokio::test]
async fn no_first_token_is_made_where_others_reach_what_services_ask_each_other() {
    let mut network = Network::start_with(1, format::ACCESS).await;
    let open = std::net::Ipv4Addr::UNSPECIFIED.into();
    network.add_on("replica-2", tempfile::tempdir().unwrap(), open).await;
    network.appoint("replica-1").await;
    let ask = async |node| send(network.request(node, Method::POST, "/v1/tokens/bootstrap")).await;
    let refused = ask(1).await;
    assert_eq!(refused.refusal(), (409, json!("not_applied"), false));
    assert!(refused.text().contains("--listen-internal"), "{refused:?}");
    assert_eq!(network.get(1, "/v1/tokens").await.status, 200, "nobody needs a token yet");
    assert_eq!(ask(0).await.status, 201);
    assert_eq!(network.get(1, "/v1/tokens").await.status, 401);
}

#[tokio::test]
async fn who_hears_too_late_of_the_first_token_is_told_its_secret_all_the_same() {
    for node in 0..2 {
        let network = Network::start_with(2, format::ACCESS).await;
        network.fake.behave(Behaviour::SwallowsProposals);
        let asked = network.request(node, Method::POST, "/v1/tokens/bootstrap");
        let late = send(asked.header("synod-timeout", "500ms")).await;
        let told = late.json();
        assert_eq!((late.status, &told["outcome"]), (504, &json!("unknown")), "{late:?}");
        assert!(told["secret"].as_str().unwrap().starts_with("synod_"), "{late:?}");
    }
}

#[tokio::test]
async fn the_first_token_is_made_once_and_from_here() {
    let guarded = Guarded::start().await;
    let again = async |node: usize, header: (&'static str, &str)| {
        let (name, value) = header;
        let path = "/v1/tokens/bootstrap";
        let said = guarded.network.with(node, Method::POST, path, &[(name, value)]).await;
        said.refusal().0
    };
    for node in 0..3 {
        assert_eq!(again(node, ("accept", "*/*")).await, 409);
        assert_eq!(again(node, ("via", "1.1 balancer-1")).await, 403);
        assert_eq!(again(node, ("x-forwarded-for", "192.0.2.1")).await, 403);
        assert_eq!(again(node, ("idempotency-key", "k")).await, 400);
        let own = guarded.get(node, "/v1/tokens/self", &guarded.root).await;
        assert_eq!((own.status, &own.json()["policies"]), (200, &json!(["root"])));
        let anybody = guarded.network.get(node, "/v1/kv/app/a").await;
        assert_eq!((anybody.status, anybody.header("www-authenticate")), (401, "Bearer"));
    }
}
