//! Keys by URL: of an issuer that is there, says something odd, or is gone.
#![expect(clippy::disallowed_methods, reason = "the issuer's server is a task of the test")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::task::AbortOnDropHandle;

use super::*;

/// What an issuer's server says to everybody; nothing at all, where it says nothing.
#[derive(Clone, Debug, Default)]
struct Said(Arc<Mutex<Option<String>>>);

impl Said {
    fn set(&self, status: &str, fields: &str, body: &str) {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}");
        let said = format!("{head}\r\n{fields}\r\n{body}");
        *self.0.lock().unwrap() = Some(said);
    }

    fn set_keys(&self, signers: &[&Signer]) {
        self.set("200 OK", "content-type: application/jwk-set+json\r\n", &jwks(signers));
    }
}

/// A tiny server: one request a connection.
struct Web {
    address: SocketAddr,
    said: Said,
    /// The first line of each request.
    asked: Arc<Mutex<Vec<String>>>,
    _task: AbortOnDropHandle<()>,
}

impl Web {
    async fn at(place: &Place) -> Self {
        let address = place.address;
        let listener = TcpListener::bind(address).await.unwrap();
        let (said, asked) = (Said::default(), Arc::default());
        let serving = serve(listener, said.clone(), Arc::clone(&asked));
        Self { address, said, asked, _task: AbortOnDropHandle::new(tokio::spawn(serving)) }
    }
}

async fn serve(listener: TcpListener, said: Said, asked: Arc<Mutex<Vec<String>>>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        asked.lock().unwrap().push(head.lines().next().unwrap().to_owned());
        let answer = said.0.lock().unwrap().clone();
        match answer {
            Some(answer) => {
                // Whoever hears too much goes away in the middle.
                let _gone = stream.write_all(answer.as_bytes()).await;
            }
            None => std::future::pending().await,
        }
    }
}

/// Where nobody is, and somebody may come to be; as long as it is held nobody else.
struct Place {
    address: SocketAddr,
    _held: TcpSocket,
}

impl Place {
    fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        Self { address: socket.local_addr().unwrap(), _held: socket }
    }
}

/// An issuer whose keys are at `/jwks` there, and who is waited for on a busy machine, too.
fn issuer_at(place: &Place) -> Issuer {
    let address = place.address;
    let source = Source::of(&format!("http://{address}/jwks?of=synod"), None).unwrap();
    let mut issuer = Issuer::new(told(), source, KeyCounts::default());
    be_patient(&mut issuer, Duration::from_secs(10));
    issuer
}

fn be_patient(issuer: &mut Issuer, how_long: Duration) {
    let Source::Url { patience, .. } = &mut issuer.source else { panic!("its keys are at a URL") };
    *patience = how_long;
}

async fn look(issuer: &Issuer) -> Option<String> {
    let mut looking = issuer.looking.lock().await;
    issuer.look(&mut looking, Looked::IfChanged).await;
    looking.refused.clone()
}

fn check(issuer: &Issuer, signer: &Signer) -> Result<(), BadJwt> {
    let text = signer.sign(&with(now()));
    issuer.check(&Jwt::of(text.as_bytes()).unwrap()).map(drop)
}

#[tokio::test]
async fn keys_come_by_url_once_somebody_is_there_and_those_of_each_kind_count() {
    let place = Place::new();
    let issuer = issuer_at(&place);
    let signers = [
        Signer::rsa("rs256", Algorithm::RS256),
        Signer::p256("es256", 1),
        Signer::p384("es384", 2),
        Signer::ed25519("eddsa", 3),
    ];
    let refused = look(&issuer).await.unwrap();
    assert_eq!(check(&issuer, &signers[0]), Err(BadJwt::NoKeys), "{refused}");
    assert_eq!(issuer.counts.told(), (0, 1, 0));
    let web = Web::at(&place).await;
    web.said.set_keys(&signers.each_ref());
    issuer.look_again().await;
    assert_eq!(issuer.counts.told(), (1, 1, 4));
    assert_eq!(*web.asked.lock().unwrap(), ["GET /jwks?of=synod HTTP/1.1"]);
    for signer in &signers {
        assert_eq!(check(&issuer, signer), Ok(()), "{}", signer.kid);
    }
    // With what everybody knows of a key as if both sides alone knew it.
    for public in [signers[0].jwk()["n"].clone(), signers[3].jwk()["x"].clone()] {
        let public = public.as_str().unwrap();
        for secret in [public.as_bytes(), &URL_SAFE_NO_PAD.decode(public).unwrap()] {
            let key = EncodingKey::from_secret(secret).unwrap();
            let forged = Signer { kid: "rs256".to_owned(), algorithm: Algorithm::HS256, key };
            assert_eq!(check(&issuer, &forged), Err(BadJwt::Header));
        }
    }
    let none = format!("{}.{}.", encoded(&json!({"alg": "none"})), encoded(&with(now())));
    assert_eq!(issuer.check(&Jwt::of(none.as_bytes()).unwrap()).map(drop), Err(BadJwt::Header));
}

#[tokio::test]
async fn the_last_keys_stay_while_the_issuer_is_gone_slow_or_says_something_else() {
    let (place, other_place) = (Place::new(), Place::new());
    let (mut issuer, web) = (issuer_at(&place), Web::at(&place).await);
    let elsewhere = Web::at(&other_place).await;
    let (signer, other) = (Signer::ed25519("one", 1), Signer::ed25519("other", 2));
    web.said.set_keys(&[&signer]);
    assert_eq!(look(&issuer).await, None);
    elsewhere.said.set_keys(&[&other]);
    let moved = format!("location: http://{}/jwks\r\n", elsewhere.address);
    for (status, fields, body, word) in [
        ("302 Found", moved.as_str(), "", "302"),
        ("307 Temporary Redirect", &moved, "", "307"),
        ("500 Internal Server Error", "", &jwks(&[&other]), "500"),
        ("200 OK", "", "<html>", "no set of keys"),
        ("200 OK", "", "{\"keys\":[]}", "none of its 0 keys"),
        ("200 OK", "", &"x".repeat((1 << 20) + 1), "1048576 bytes"),
    ] {
        web.said.set(status, fields, body);
        let refused = look(&issuer).await.unwrap();
        assert!(refused.contains(word), "{status}: {refused}");
        assert_eq!((check(&issuer, &signer), check(&issuer, &other)), {
            (Ok(()), Err(BadJwt::UnknownKid))
        });
    }
    assert!(elsewhere.asked.lock().unwrap().is_empty(), "no redirect is followed");
    *web.said.0.lock().unwrap() = None;
    be_patient(&mut issuer, Duration::from_millis(500));
    assert!(look(&issuer).await.unwrap().contains("no answer within 500ms"));
    be_patient(&mut issuer, Duration::from_secs(10));
    drop(web);
    assert!(look(&issuer).await.is_some());
    assert_eq!(check(&issuer, &signer), Ok(()));
    assert_eq!(issuer.counts.told(), (1, 8, 1));
    // It is back, with another key.
    let web = Web::at(&place).await;
    web.said.set_keys(&[&other]);
    assert_eq!(look(&issuer).await, None);
    assert_eq!((check(&issuer, &signer), check(&issuer, &other)), {
        (Err(BadJwt::UnknownKid), Ok(()))
    });
}

#[tokio::test]
async fn for_keys_that_are_not_known_the_issuer_is_asked_once_in_ten_seconds() {
    let place = Place::new();
    let (issuer, web) = (issuer_at(&place), Web::at(&place).await);
    web.said.set_keys(&[&Signer::ed25519("one", 1)]);
    for _ in 0..20 {
        assert!(check(&issuer, &Signer::ed25519("made up", 9)).is_err());
        issuer.look_again().await;
    }
    assert_eq!(web.asked.lock().unwrap().len(), 1);
}
