//! Who may ask what, over real sockets.

use axum::Router;
use axum::routing::get;
use shared::client::Pool;
use shared::message::Service;
use shared::problem::Problem;
use shared::server::Limits;
use shared::tls::{Caller, Calls, Trust};

use crate::pki::{Pki, Wanted, load};
use crate::sockets::{Server, pool, stranger};

/// An acceptor that answers what one does, and more.
async fn acceptor(pki: &Pki) -> Server {
    let files = pki.of_service(Service::Acceptor, "acceptor-1");
    let tls = load(files, Service::Acceptor, "acceptor-1").unwrap();
    Server::start_as(Service::Acceptor, routes(), Some(tls), Limits::default()).await
}

fn routes() -> Router {
    let announce = async |caller: Caller| -> Result<&'static str, Problem> {
        caller.must_be(Service::Replica, &"replica-1".parse().unwrap())?;
        Ok("announced")
    };
    Router::new()
        .route("/v1/prepare", get(async || "promised"))
        .route("/v1/members/{name}", get(announce))
        .route("/v1/status", get(async || "status"))
        .route("/v1/made-up", get(async || "made up"))
}

/// Of somebody whose certificate this authority issued for this URI.
fn known(pki: &Pki, uri: &str) -> Pool {
    let own = pki.issue("caller", &Wanted::of(uri));
    let own = Some((own.certificate.as_path(), own.key.as_path()));
    pool(Calls::AsSaid(Trust::of_files(&pki.path("ca.pem"), own).unwrap()))
}

fn is_refused(answer: &str, word: &str) {
    assert!(answer.contains("urn:synod:problem:forbidden") && answer.contains(word), "{answer}");
}

#[tokio::test]
async fn only_those_whom_the_table_names_are_answered() {
    let pki = Pki::new();
    let server = acceptor(&pki).await;
    let coordinator = known(&pki, "spiffe://synod.test/synod/coordinator/coordinator-1");
    let replica = known(&pki, "spiffe://synod.test/synod/replica/replica-1");
    let elsewhere = known(&pki, "spiffe://other.test/synod/coordinator/coordinator-1");
    let nobody = stranger(&pki);
    let ask = async |pool: &Pool| server.get(pool, "https", "/v1/prepare").await.unwrap();
    assert_eq!(ask(&coordinator).await, "promised");
    is_refused(&ask(&replica).await, "it is for coordinators");
    is_refused(&ask(&nobody).await, "prove by a certificate");
    is_refused(&ask(&elsewhere).await, "prove by a certificate");
    for (labels, times) in [
        ("{role=\"replica\",reason=\"role\"}", 1),
        ("{role=\"none\",reason=\"certificate\"}", 2),
        ("{role=\"coordinator\",reason=\"role\"}", 0),
    ] {
        let series = format!("synod_tls_refusals_total{labels}");
        assert_eq!(server.counted(&nobody, &series).await, times, "{labels}");
    }
    let refused = "synod_http_refusals_total{reason=\"caller\"}";
    assert_eq!(server.counted(&nobody, refused).await, 3);
}

#[tokio::test]
async fn what_is_for_everybody_takes_no_certificate_and_what_nobody_listed_is_nobodys() {
    let pki = Pki::new();
    let server = acceptor(&pki).await;
    let nobody = stranger(&pki);
    assert_eq!(server.get(&nobody, "https", "/v1/status").await.unwrap(), "status");
    let coordinator = known(&pki, "spiffe://synod.test/synod/coordinator/coordinator-1");
    is_refused(&server.get(&coordinator, "https", "/v1/made-up").await.unwrap(), "for nobody");
    let nowhere = server.get(&nobody, "https", "/v1/nowhere").await.unwrap();
    assert!(nowhere.contains("urn:synod:problem:not-found"), "{nowhere}");
}

#[tokio::test]
async fn a_service_speaks_for_itself_alone() {
    let pki = Pki::new();
    let server = acceptor(&pki).await;
    let ask = async |pool: &Pool| server.get(pool, "https", "/v1/members/x").await.unwrap();
    let own = known(&pki, "spiffe://synod.test/synod/replica/replica-1");
    assert_eq!(ask(&own).await, "announced");
    for other in ["replica/replica-2", "balancer/replica-1"] {
        let other = known(&pki, &format!("spiffe://synod.test/synod/{other}"));
        is_refused(&ask(&other).await, "may not speak for the replica replica-1");
    }
}

#[tokio::test]
async fn a_service_believes_those_alone_who_are_what_it_calls() {
    let pki = Pki::new();
    let own = load(pki.of_service(Service::Balancer, "b"), Service::Balancer, "b").unwrap();
    let replica = load(pki.of_service(Service::Replica, "r"), Service::Replica, "r").unwrap();
    let uri = "spiffe://other.test/synod/acceptor/a";
    let other = load(pki.issue("a", &Wanted::of(uri)), Service::Acceptor, "a").unwrap();
    let serve = async |tls| {
        Server::start_as(Service::Acceptor, routes(), Some(tls), Limits::default()).await
    };
    let (replica, other) = (serve(replica).await, serve(other).await);
    let calling = pool(own.calls());
    let ask = async |server: &Server, called| {
        server.get_of(&calling, called, "https", "/v1/status").await.map_err(|why| why.to_string())
    };
    for called in [None, Some(Service::Replica)] {
        assert_eq!(ask(&replica, called).await.unwrap(), "status");
    }
    // It serves where an acceptor is called.
    let said = ask(&replica, Some(Service::Acceptor)).await.unwrap_err();
    assert!(said.contains("synod/replica/r, not of an acceptor of synod.test"), "{said}");
    for called in [None, Some(Service::Acceptor)] {
        let said = ask(&other, called).await.unwrap_err();
        assert!(said.contains("other.test/synod/acceptor/a, not of"), "{said}");
    }
    // A client of the API goes by the name that it called.
    assert_eq!(other.get(&stranger(&pki), "https", "/v1/status").await.unwrap(), "status");
}

#[tokio::test]
async fn without_the_authority_of_services_everybody_may_ask_as_without_tls() {
    let pki = Pki::new();
    let files = pki.of_service(Service::Acceptor, "acceptor-1");
    let files = shared::tls::Files { authorities: None, ..files };
    let tls = load(files, Service::Acceptor, "acceptor-1").unwrap();
    let server = Server::start_as(Service::Acceptor, routes(), Some(tls), Limits::default()).await;
    let nobody = stranger(&pki);
    assert_eq!(server.get(&nobody, "https", "/v1/prepare").await.unwrap(), "promised");
    assert_eq!(server.get(&nobody, "https", "/v1/members/x").await.unwrap(), "announced");
}
