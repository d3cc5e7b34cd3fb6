//! JWTs of an outside issuer before real processes: its keys in a file or by a URL, and who
//! may do what by its word.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm::{self, ES256, ES384, EdDSA, HS256, RS256};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384};
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use tests::harness::cluster::eventually;
use tests::harness::ports::nobody;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::access::{DOORS, Guarded, rule};
use crate::secrets::files_with;

/// What an Ed25519 key begins with in PKCS #8 (RFC 8410, section 7).
const ED25519: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
/// An RSA key of tests and of nobody else: to draw one takes seconds.
const RSA: &str = include_str!("../../replica/src/jwt/tests/rsa.pem");
/// What stands before the key itself (PKCS #1) in an RSA key of 2048 bits in PKCS #8.
const BEFORE_RSA: usize = 26;

const HOUR: Duration = Duration::from_secs(3_600);

/// A key of an issuer of JWTs.
struct Signer {
    kid: &'static str,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl Signer {
    fn draw(kid: &'static str, algorithm: Algorithm) -> Result<Self> {
        let key = if algorithm == ES256 {
            drawn(&PKCS_ECDSA_P256_SHA256)?
        } else if algorithm == ES384 {
            drawn(&PKCS_ECDSA_P384_SHA384)?
        } else if algorithm == RS256 {
            let text: String = RSA.lines().filter(|line| !line.starts_with('-')).collect();
            EncodingKey::from_rsa_der(&STANDARD.decode(text)?[BEFORE_RSA..])
        } else {
            ensure!(algorithm == EdDSA, "no key is drawn for {algorithm:?}");
            EncodingKey::from_ed_der(&[&ED25519[..], &rand::random::<[u8; 32]>()].concat())
        };
        Ok(Self { kid, algorithm, key })
    }

    /// What the issuer publishes of it.
    fn jwk(&self) -> Result<Value> {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm)?;
        jwk.common.key_id = Some(self.kid.to_owned());
        Ok(serde_json::to_value(jwk)?)
    }

    fn jwt(&self, subject: &str, policies: &[&str], lasts: Duration) -> Result<String> {
        self.jwt_until(subject, policies, SystemTime::now() + lasts)
    }

    fn jwt_until(&self, subject: &str, policies: &[&str], expires: SystemTime) -> Result<String> {
        let expires = expires.duration_since(UNIX_EPOCH)?.as_secs();
        let header = Header { kid: Some(self.kid.to_owned()), ..Header::new(self.algorithm) };
        let claims = json!({"iss": "https://issuer", "aud": "synod", "sub": subject,
            "exp": expires, "synod_policies": policies});
        Ok(encode(&header, &claims, &self.key)?)
    }
}

fn drawn(algorithm: &'static rcgen::SignatureAlgorithm) -> Result<EncodingKey> {
    Ok(EncodingKey::from_ec_der(&KeyPair::generate_for(algorithm)?.serialize_der()))
}

fn jwks(signers: &[&Signer]) -> Result<String> {
    let keys = signers.iter().map(|signer| signer.jwk()).collect::<Result<Vec<Value>>>()?;
    Ok(json!({ "keys": keys }).to_string())
}

/// A cluster whose replicas take JWTs of the issuer with the keys in the file or at the URL.
async fn with_issuer(keys: &str) -> Result<Guarded> {
    Guarded::with(&[
        ("SYNOD_JWT_JWKS", keys),
        ("SYNOD_JWT_ISSUER", "https://issuer"),
        ("SYNOD_JWT_AUDIENCE", "synod"),
        ("RUST_LOG", "debug"),
    ])
    .await
}

/// An issuer's server of keys, for as long as it is held.
struct Published {
    keys: Arc<Mutex<String>>,
    serving: JoinHandle<()>,
}

impl Drop for Published {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Published {
    async fn at(address: &str, keys: String) -> Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let keys = Arc::new(Mutex::new(keys));
        let said = Arc::clone(&keys);
        // So that none of its connections outlives it.
        let answer = async move || {
            ([(header::CONNECTION, "close")], said.lock().expect("nobody panics").clone())
        };
        let router = Router::new().route("/jwks", get(answer));
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("it serves until it is dropped");
        });
        Ok(Self { keys, serving })
    }
}

/// What a read is answered, and in which words.
async fn read(guarded: &Guarded, door: &str, jwt: &str) -> Result<(StatusCode, String)> {
    let answer = guarded.ask(door, Method::GET, "/v1/kv/app/a", jwt).send().await?;
    Ok((answer.status(), answer.text().await?))
}

/// The sum of a series of all replicas.
async fn counted(guarded: &Guarded, series: &str) -> Result<f64> {
    let mut sum = 0.0;
    for replica in &DOORS[..3] {
        let url = format!("{}/metrics", guarded.cluster.url(replica));
        let text = guarded.cluster.http().get(url).send().await?.text().await?;
        let value = text.lines().find_map(|line| line.strip_prefix(series));
        sum += value.with_context(|| format!("no {series}"))?.trim().parse::<f64>()?;
    }
    Ok(sum)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `.ci/long` runs it"]
async fn keys_at_a_url_are_fetched_once_they_can_be_and_kept_while_they_cannot() -> Result<()> {
    // Nobody is there when the replicas start.
    let nobody = nobody()?;
    let address = nobody.local_addr()?.to_string();
    let guarded = with_issuer(&format!("http://{address}/jwks")).await?;
    let app = rule("app/", &["read", "write"]);
    guarded.settled("balancer-1", Method::PUT, "/v1/policies/app", &app).await?;
    guarded.settled("balancer-1", Method::PUT, "/v1/kv/app/a", &json!("1")).await?;
    let signers = [
        Signer::draw("rs256", RS256)?,
        Signer::draw("es256", ES256)?,
        Signer::draw("es384", ES384)?,
        Signer::draw("eddsa", EdDSA)?,
    ];
    let jwts = signers.each_ref().map(|signer| signer.jwt("ci", &["app"], HOUR));
    let jwts = jwts.into_iter().collect::<Result<Vec<String>>>()?;
    for door in DOORS {
        let (status, said) = read(&guarded, door, &jwts[0]).await?;
        ensure!(status == StatusCode::UNAUTHORIZED, "{door}: {status} {said}");
        ensure!(said.contains("could not read the issuer's keys yet"), "{door}: {said}");
    }
    ensure!(counted(&guarded, "synod_replica_jwks_reads_total{result=\"failed\"}").await? >= 3.0);
    ensure!(counted(&guarded, "synod_replica_jwks_keys").await? == 0.0);

    let all: Vec<&Signer> = signers.iter().collect();
    let published = Published::at(&address, jwks(&all)?).await?;
    for door in DOORS {
        eventually("the keys are there", async || {
            let (status, said) = read(&guarded, door, &jwts[0]).await?;
            ensure!(status == StatusCode::OK, "{door}: {status} {said}");
            Ok(())
        })
        .await?;
    }
    for door in DOORS {
        for jwt in &jwts {
            let status = guarded.reads(door, "/v1/kv/app/a", jwt).await?;
            ensure!(status == StatusCode::OK, "{door}: {status}");
        }
        for forged in forged(&signers[0])? {
            let (status, said) = read(&guarded, door, &forged).await?;
            let is_refused = status == StatusCode::UNAUTHORIZED && said.contains("its header");
            ensure!(is_refused, "{door}: {status} {said}");
        }
    }
    ensure!(counted(&guarded, "synod_replica_jwks_keys").await? == 12.0);
    // A key that is not known is looked for.
    let next = Signer::draw("next", ES384)?;
    *published.keys.lock().expect("nobody panics") = jwks(&[&all[..], &[&next]].concat())?;
    let by_next = next.jwt("ci", &["app"], HOUR)?;
    for door in DOORS {
        eventually("the next key is found", async || {
            let (status, said) = read(&guarded, door, &by_next).await?;
            ensure!(status == StatusCode::OK, "{door}: {status} {said}");
            Ok(())
        })
        .await?;
    }
    drop(published);
    let unknown = Signer::draw("unknown", EdDSA)?.jwt("ci", &["app"], HOUR)?;
    let failed = counted(&guarded, "synod_replica_jwks_reads_total{result=\"failed\"}").await?;
    eventually("the issuer is looked for in vain", async || {
        for door in DOORS {
            let (status, said) = read(&guarded, door, &unknown).await?;
            ensure!(status == StatusCode::UNAUTHORIZED, "{door}: {status} {said}");
            for jwt in jwts.iter().chain([&by_next]) {
                let status = guarded.reads(door, "/v1/kv/app/a", jwt).await?;
                ensure!(status == StatusCode::OK, "{door}: {status}");
            }
        }
        let now = counted(&guarded, "synod_replica_jwks_reads_total{result=\"failed\"}").await?;
        ensure!(now >= failed + 3.0, "{failed}, and now {now}");
        Ok(())
    })
    .await
}

/// By what everybody knows of a key as if both sides alone knew it, and by nothing.
fn forged(signer: &Signer) -> Result<Vec<String>> {
    let public = signer.jwk()?["n"].as_str().context("an RSA key has a modulus")?.to_owned();
    let mut forged = Vec::new();
    for secret in [public.as_bytes(), &URL_SAFE_NO_PAD.decode(&public)?] {
        let key = EncodingKey::from_secret(secret)?;
        forged.push(Signer { kid: signer.kid, algorithm: HS256, key }.jwt("ci", &["app"], HOUR)?);
    }
    let signed = signer.jwt("ci", &["app"], HOUR)?;
    let claims = signed.split('.').nth(1).context("it has claims")?;
    let header = URL_SAFE_NO_PAD.encode(json!({"alg": "none", "kid": signer.kid}).to_string());
    forged.push(format!("{header}.{claims}."));
    Ok(forged)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_vouched_for_may_what_the_policies_say_also_by_the_issuers_next_key()
-> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("jwks.json");
    let (old, new) = (Signer::draw("old", EdDSA)?, Signer::draw("new", EdDSA)?);
    std::fs::write(&file, jwks(&[&old])?)?;
    let guarded = with_issuer(&file.to_string_lossy()).await?;
    let jwt = old.jwt("ci", &["app"], HOUR)?;
    let put = async |door: &str, jwt: &str| {
        eventually("a put is answered", async || {
            let asked = guarded.ask(door, Method::PUT, "/v1/kv/app/a", jwt).body("1");
            let status = asked.send().await?.status();
            ensure!(!status.is_server_error(), "{status}");
            Ok(status)
        })
        .await
    };
    // The policy that it names is not there yet.
    ensure!(put("balancer-1", &jwt).await? == StatusCode::FORBIDDEN);
    let app = rule("app/", &["read", "write"]);
    guarded.settled("balancer-1", Method::PUT, "/v1/policies/app", &app).await?;
    for door in DOORS {
        ensure!(put(door, &jwt).await?.is_success(), "{door}");
        ensure!(guarded.reads(door, "/v1/kv/app/a", &jwt).await? == StatusCode::OK, "{door}");
        ensure!(guarded.reads(door, "/v1/kv/b", &jwt).await? == StatusCode::FORBIDDEN, "{door}");
        let bad = [
            old.jwt("ci", &["root"], HOUR)?,
            old.jwt_until("ci", &["app"], SystemTime::now() - Duration::from_secs(31))?,
            new.jwt("ci", &["app"], HOUR)?,
        ];
        for bad in bad {
            let refused = guarded.ask(door, Method::GET, "/v1/kv/app/a", &bad).send().await?;
            let status = refused.status();
            ensure!(status == StatusCode::UNAUTHORIZED, "{door}: {status}");
            let asks = refused.headers()["www-authenticate"].to_str()?.to_owned();
            ensure!(asks == "Bearer error=\"invalid_token\"", "{door}: {asks}");
        }
    }
    let own = guarded.ask("replica-2", Method::GET, "/v1/tokens/self", &jwt).send().await?;
    let own: Value = own.json().await?;
    ensure!(own["issuer"] == "https://issuer" && own["subject"] == "ci", "{own}");
    ensure!(own["policies"] == json!(["app"]) && own["expires"].is_u64(), "{own}");
    let log =
        guarded.settled("balancer-1", Method::GET, "/v1/log", &Value::Null).await?.to_string();
    let subject = r#""subject":{"issuer":"https://issuer","subject":"ci"}"#;
    ensure!(log.contains(subject) && log.contains(&own["accessor"].to_string()), "{log}");

    // What the former key has signed counts until that is taken back.
    std::fs::write(&file, jwks(&[&new])?)?;
    for door in DOORS {
        eventually("the new key is known and the former one is not", async || {
            let (by_new, by_old) = (new.jwt("ci", &["app"], HOUR)?, &jwt);
            let status = guarded.reads(door, "/v1/kv/app/a", &by_new).await?;
            ensure!(status == StatusCode::OK, "{door}: {status}");
            let status = guarded.reads(door, "/v1/kv/app/a", by_old).await?;
            ensure!(status == StatusCode::UNAUTHORIZED, "{door}: {status}");
            Ok(())
        })
        .await?;
    }
    let mut found = Vec::new();
    files_with(guarded.cluster.dir(), jwt.as_bytes(), &mut found)?;
    ensure!(found.is_empty(), "a JWT is in {found:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_ends_with_the_jwt_that_it_was_asked_for_with() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("jwks.json");
    let signer = Signer::draw("one", EdDSA)?;
    std::fs::write(&file, jwks(&[&signer])?)?;
    let guarded = with_issuer(&file.to_string_lossy()).await?;
    let app = rule("app/", &["read", "watch"]);
    guarded.settled("balancer-1", Method::PUT, "/v1/policies/app", &app).await?;
    // It is over, and clocks may differ by thirty seconds: so it counts five more.
    let expires = SystemTime::now() - Duration::from_secs(25);
    let jwt = signer.jwt_until("ci", &["app"], expires)?;
    let path = "/v1/watch?prefix=app/";
    let watch = guarded.ask("replica-1", Method::GET, path, &jwt).send().await?;
    ensure!(watch.status() == StatusCode::OK, "{}", watch.status());
    let told = tokio::time::timeout(Duration::from_secs(30), watch.text()).await??;
    ensure!(told.contains("denied") && told.contains("no longer"), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_ends_when_the_issuer_takes_the_key_back_that_signed_its_jwt() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("jwks.json");
    let (kept, taken_back) = (Signer::draw("kept", EdDSA)?, Signer::draw("taken-back", EdDSA)?);
    std::fs::write(&file, jwks(&[&kept, &taken_back])?)?;
    let guarded = with_issuer(&file.to_string_lossy()).await?;
    let app = rule("app/", &["read", "watch"]);
    guarded.settled("balancer-1", Method::PUT, "/v1/policies/app", &app).await?;
    let path = "/v1/watch?prefix=app/";
    let day = Duration::from_secs(86_400);
    let mut watches = Vec::new();
    for signer in [&kept, &taken_back] {
        let jwt = signer.jwt("ci", &["app"], day)?;
        let watch = guarded.ask("replica-1", Method::GET, path, &jwt).send().await?;
        ensure!(watch.status() == StatusCode::OK, "{}", watch.status());
        watches.push(watch);
    }
    // The other one stays, with another beside it.
    let next = Signer::draw("next", EdDSA)?;
    std::fs::write(&file, jwks(&[&next, &kept])?)?;
    let (ended, mut goes_on) = (watches.remove(1), watches.remove(0));
    let told = tokio::time::timeout(Duration::from_secs(30), ended.text()).await??;
    ensure!(told.contains("denied") && told.contains("no longer"), "{told}");
    guarded.settled("balancer-1", Method::PUT, "/v1/kv/app/k", &json!("v")).await?;
    let seen = tokio::time::timeout(Duration::from_secs(30), async {
        let mut text = String::new();
        while let Some(piece) = goes_on.chunk().await? {
            text.push_str(&String::from_utf8_lossy(&piece));
            if text.contains("app/k") {
                return anyhow::Ok(());
            }
        }
        anyhow::bail!("it ended after {text}")
    });
    seen.await?
}
