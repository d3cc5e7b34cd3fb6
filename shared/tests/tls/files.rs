//! What is wrong with files, each said for what it is.

use shared::message::Service;
use shared::tls::{Files, TlsArgs, TlsError};

use crate::pki::{Pki, Wanted, load, write};

fn refusal(files: Files) -> TlsError {
    load(files, Service::Replica, "replica-1").expect_err("it was taken")
}

fn said(files: Files, words: &[&str]) {
    let said = refusal(files).to_string();
    for word in words {
        assert!(said.contains(word), "{said:?} lacks {word:?}");
    }
}

#[test]
fn what_is_sound_is_taken() {
    let pki = Pki::new();
    let files = pki.of_service(Service::Replica, "replica-1");
    assert!(load(files, Service::Replica, "replica-1").unwrap().knows_services());
    // To be known to clients alone takes no name of a service.
    let plain = pki.issue("front", &Wanted { uris: Vec::new(), begins_in: None, ends_in: 3_600 });
    let plain = Files { authorities: None, ..plain };
    assert!(!load(plain, Service::Balancer, "balancer-1").unwrap().knows_services());
}

#[test]
fn a_file_that_is_not_there_or_holds_something_else_is_named() {
    let pki = Pki::new();
    let files = pki.of_service(Service::Replica, "replica-1");
    let with = |certificate: Option<&str>, key: Option<&str>, authorities: Option<&str>| Files {
        certificate: certificate.map_or(files.certificate.clone(), |name| pki.path(name)),
        key: key.map_or(files.key.clone(), |name| pki.path(name)),
        authorities: Some(pki.path(authorities.unwrap_or("ca.pem"))),
    };
    write(&pki.path("empty"), "");
    write(&pki.path("nonsense"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    write(&pki.path("cut"), "-----BEGIN CERTIFICATE-----\nAAAA\n");
    said(with(Some("none"), None, None), &["cannot read", "none"]);
    said(with(None, Some("none"), None), &["cannot read", "none"]);
    said(with(None, None, Some("none")), &["cannot read", "none"]);
    said(with(Some("empty"), None, None), &["empty", "holds no certificate"]);
    said(with(None, Some("empty"), None), &["empty", "holds no private key"]);
    said(with(None, Some("ca.pem"), None), &["ca.pem", "holds no private key"]);
    said(with(None, None, Some("empty")), &["empty", "holds no certificate"]);
    said(with(None, None, Some("replica-1.key")), &["replica-1.key", "holds no certificate"]);
    said(with(Some("nonsense"), None, None), &["nonsense", "is malformed"]);
    said(with(None, None, Some("nonsense")), &["nonsense", "is malformed"]);
    said(with(Some("cut"), None, None), &["cut", "is malformed"]);
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let pki = Pki::new();
    let files = pki.of_service(Service::Replica, "replica-1");
    let other = pki.of_service(Service::Replica, "replica-2");
    let mixed = Files { key: other.key, ..files };
    said(mixed, &["replica-2.key", "does not match", "replica-1.pem"]);
}

#[test]
fn a_certificate_that_no_other_service_would_believe_is_refused() {
    let (pki, other) = (Pki::new(), Pki::new());
    let files = other.of_service(Service::Replica, "replica-1");
    let mixed = Files { authorities: Some(pki.path("ca.pem")), ..files };
    said(mixed, &["replica-1.pem", "is of no authority in", "ca.pem"]);
}

#[test]
fn who_may_not_sign_for_others_is_no_authority_beside_one_that_may() {
    let pki = Pki::new();
    let files = pki.of_service(Service::Replica, "replica-1");
    let pem = |name: &str| std::fs::read_to_string(pki.path(name)).unwrap();
    let both = [pem("ca.pem"), pem("replica-1.pem")].concat();
    write(&pki.path("both.pem"), &both);
    let authorities = Some(pki.path("both.pem"));
    said(Files { authorities, ..files }, &["both.pem", "may not sign for others"]);
}

#[test]
fn a_certificate_that_has_expired_is_refused_and_so_is_an_authority() {
    let pki = Pki::new();
    let uri = "spiffe://synod.test/synod/replica/replica-1";
    let ended = pki.issue("ended", &Wanted { ends_in: -60, ..Wanted::of(uri) });
    said(ended, &["ended.pem", "has expired"]);
    let files = pki.of_service(Service::Replica, "replica-1");
    let authorities = Some(pki.path("ended.pem"));
    said(Files { authorities, ..files }, &["ended.pem", "has expired"]);
}

#[test]
fn a_certificate_of_another_service_is_refused_where_services_are_known_by_theirs() {
    let pki = Pki::new();
    let other = pki.of_service(Service::Replica, "replica-2");
    said(other, &["spiffe://synod.test/synod/replica/replica-2", "replica/replica-1"]);
    let other = pki.issue("a", &Wanted::of("spiffe://synod.test/synod/acceptor/replica-1"));
    said(other, &["synod/acceptor/replica-1", "synod/replica/replica-1"]);
    let mut two = Wanted::of("spiffe://synod.test/synod/replica/replica-1");
    two.uris.push("spiffe://synod.test/synod/acceptor/acceptor-1");
    said(pki.issue("b", &two), &["no other spiffe:// URI"]);
    said(
        pki.issue("c", &Wanted { uris: Vec::new(), begins_in: None, ends_in: 60 }),
        &["it must name spiffe://"],
    );
}

#[test]
fn flags_come_together_or_not_at_all() {
    let of_a = |service: Service, flags: [bool; 3]| {
        let [tls_cert, tls_key, tls_client_ca] = flags.map(|given| given.then(|| "x".into()));
        TlsArgs { tls_cert, tls_key, tls_client_ca }.files(service)
    };
    let of = |flags: [bool; 3]| of_a(Service::Replica, flags);
    assert!(of([false, false, false]).unwrap().is_none());
    let balancer = of_a(Service::Balancer, [true, true, false]).unwrap();
    assert!(balancer.unwrap().authorities.is_none());
    for service in [Service::Acceptor, Service::Coordinator, Service::Replica] {
        let said = of_a(service, [true, true, false]).unwrap_err().to_string();
        assert!(said.contains("TLS lacks --tls-client-ca"), "{said}");
        assert!(said.contains(service.as_str()), "{said}");
    }
    assert!(of([true, true, true]).unwrap().unwrap().authorities.is_some());
    for (flags, lacks) in [
        ([true, false, false], "--tls-key"),
        ([true, false, true], "--tls-key"),
        ([false, true, false], "--tls-cert"),
        ([false, true, true], "--tls-cert"),
        ([false, false, true], "--tls-key"),
    ] {
        let said = of(flags).unwrap_err().to_string();
        assert!(said.contains(lacks), "{flags:?}: {said}");
    }
}
