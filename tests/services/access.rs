//! Tokens and policies before real processes: who may do what at every door, at once, also
//! while primaries are killed; and that no secret is left lying about.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PKCS_ED25519, SigningKey as _};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tests::harness::cluster::{Cluster, Size, eventually};

use crate::bad_starts::assert_misconfigured;
use crate::cli::command::Synod;
use crate::synod;

/// A cluster that requires tokens, and the secret of the first one.
struct Guarded {
    cluster: Cluster,
    root: String,
}

impl Guarded {
    async fn start() -> Result<Self> {
        let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
        let url = format!("{}/v1/tokens/bootstrap", cluster.url("replica-2"));
        let made = cluster.http().post(url).send().await?;
        ensure!(made.status() == StatusCode::CREATED, "{}", made.text().await?);
        let made: Value = made.json().await?;
        let root = made["secret"].as_str().context("no secret")?.to_owned();
        Ok(Self { cluster, root })
    }

    fn ask(&self, door: &str, method: Method, path: &str, secret: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.cluster.url(door));
        self.cluster.http().request(method, url).bearer_auth(secret)
    }

    /// Until somebody answers for good.
    async fn settled(&self, door: &str, method: Method, path: &str, body: &Value) -> Result<Value> {
        eventually("a change of access is answered", async || {
            let asked = self.ask(door, method.clone(), path, &self.root);
            let asked = if body.is_null() { asked } else { asked.json(body) };
            let answer = asked.send().await?;
            let (status, said) = (answer.status(), answer.text().await?);
            ensure!(status.is_success(), "{status}: {said}");
            Ok(serde_json::from_str(&said)?)
        })
        .await
    }

    async fn token(&self, policies: &[&str]) -> Result<(String, String)> {
        let body = json!({"policies": policies});
        let made = self.settled("balancer-1", Method::POST, "/v1/tokens", &body).await?;
        let text = |name: &str| made[name].as_str().map(str::to_owned).context("no such field");
        Ok((text("accessor")?, text("secret")?))
    }

    /// What a read is answered that is not for later.
    async fn reads(&self, door: &str, path: &str, secret: &str) -> Result<StatusCode> {
        eventually("a read is answered", async || {
            let status = self.ask(door, Method::GET, path, secret).send().await?.status();
            ensure!(!status.is_server_error(), "{status}");
            Ok(status)
        })
        .await
    }
}

fn rule(prefix: &str, rights: &[&str]) -> Value {
    json!({"rules": [{"prefix": prefix, "rights": rights}]})
}

const DOORS: [&str; 4] = ["replica-1", "replica-2", "replica-3", "balancer-1"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_token_counts_at_every_door_at_once_and_its_end_too() -> Result<()> {
    let guarded = Guarded::start().await?;
    let put = ("balancer-1", Method::PUT, "/v1/policies/app");
    guarded.settled(put.0, put.1, put.2, &rule("app/", &["read", "write", "list"])).await?;
    guarded.settled("balancer-1", Method::PUT, "/v1/kv/app/a", &json!("1")).await?;
    for _ in 0..10 {
        let (accessor, secret) = guarded.token(&["app"]).await?;
        for door in DOORS {
            let status = guarded.reads(door, "/v1/kv/app/a", &secret).await?;
            ensure!(status == StatusCode::OK, "{door}: {status}");
            let status = guarded.reads(door, "/v1/kv/other", &secret).await?;
            ensure!(status == StatusCode::FORBIDDEN, "{door}: {status}");
        }
        let path = format!("/v1/tokens/{accessor}");
        guarded.settled("balancer-1", Method::DELETE, &path, &Value::Null).await?;
        for door in DOORS {
            let status = guarded.reads(door, "/v1/kv/app/a", &secret).await?;
            ensure!(status == StatusCode::UNAUTHORIZED, "{door}: {status}");
            let put = guarded.ask(door, Method::PUT, "/v1/kv/app/a", &secret).body("2");
            let status = put.send().await?.status();
            ensure!(status == StatusCode::UNAUTHORIZED, "{door}: {status}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_token_stays_ended_when_the_primary_is_killed_right_after() -> Result<()> {
    let mut guarded = Guarded::start().await?;
    let all = rule("", &["read", "write"]);
    guarded.settled("balancer-1", Method::PUT, "/v1/policies/all", &all).await?;
    for round in 0..2 {
        let (accessor, secret) = guarded.token(&["all"]).await?;
        let put = guarded.ask("balancer-1", Method::PUT, "/v1/kv/mine", &secret).body("1");
        ensure!(put.send().await?.status().is_success(), "round {round}");
        let primary = guarded.cluster.primary().await?;
        let path = format!("/v1/tokens/{accessor}");
        guarded.settled("balancer-1", Method::DELETE, &path, &Value::Null).await?;
        guarded.cluster.service(&primary).kill()?;
        for door in DOORS.into_iter().filter(|door| *door != primary) {
            let status = guarded.reads(door, "/v1/kv/mine", &secret).await?;
            ensure!(status == StatusCode::UNAUTHORIZED, "{door}: {status}");
            let put = eventually("a put is answered", async || {
                let put = guarded.ask(door, Method::PUT, "/v1/kv/mine", &secret).body("2");
                let status = put.send().await?.status();
                ensure!(!status.is_server_error(), "{status}");
                Ok(status)
            });
            ensure!(put.await? == StatusCode::UNAUTHORIZED, "{door}");
        }
        let url = guarded.ask("balancer-1", Method::GET, "/v1/kv/mine", &guarded.root);
        let value = eventually("root reads", async || {
            Ok(url.try_clone().context("no body")?.send().await?.error_for_status()?.text().await?)
        });
        ensure!(value.await? == "1", "something was written by a token that had ended");
        guarded.cluster.service(&primary).start()?;
        eventually("the replica is back", async || {
            let status = guarded.reads(&primary, "/v1/kv/mine", &guarded.root).await?;
            ensure!(status == StatusCode::OK, "{status}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// Every file below a folder that has a text in it.
fn files_with(folder: &Path, text: &[u8], found: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files_with(&path, text, found)?;
        } else if std::fs::read(&path)?.windows(text.len()).any(|part| part == text) {
            found.push(path.display().to_string());
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_anything_that_any_service_wrote_or_told() -> Result<()> {
    let env = [("RUST_LOG", "debug"), ("SYNOD_ACCESS_LOG", "true")];
    let cluster = Cluster::start(synod(), Size::default(), &env).await?;
    let url = format!("{}/v1/tokens/bootstrap", cluster.url("replica-1"));
    let made: Value = cluster.http().post(url).send().await?.json().await?;
    let root = made["secret"].as_str().context("no secret")?.to_owned();
    let guarded = Guarded { cluster, root };
    let all = rule("", &["read", "write", "list", "watch", "lock", "history"]);
    guarded.settled("balancer-1", Method::PUT, "/v1/policies/all", &all).await?;
    let (_, secret) = guarded.token(&["all"]).await?;
    let mut told = String::new();
    for door in DOORS {
        for secret in [&secret, &guarded.root, &secret.replace("synod_", "synod_wrong")] {
            for path in ["/v1/kv/a", "/v1/kv", "/v1/tokens", "/v1/log", "/v1/tokens/self"] {
                let answer = guarded.ask(door, Method::GET, path, secret).send().await?;
                told.push_str(&format!("{:?}", answer.headers()));
                told.push_str(&answer.text().await?);
            }
            let put = guarded.ask(door, Method::PUT, "/v1/kv/a", secret).body("1");
            told.push_str(&put.send().await?.text().await?);
        }
        for path in ["/metrics", "/v1/status"] {
            let url = format!("{}{path}", guarded.cluster.url(door));
            told.push_str(&guarded.cluster.http().get(url).send().await?.text().await?);
        }
    }
    // What a token is made of stands behind its prefix.
    for secret in [&secret, &guarded.root].map(|secret| secret.trim_start_matches("synod_")) {
        ensure!(!told.contains(secret), "a secret was told");
        let mut found = Vec::new();
        files_with(guarded.cluster.dir(), secret.as_bytes(), &mut found)?;
        ensure!(found.is_empty(), "a secret is in {found:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bootstrap_is_for_the_replicas_own_machine_or_the_secret_that_it_was_started_with()
-> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let secret = "0123456789abcdefghijklmnopqrstuvwxyz-first";
    let file = cluster.dir().join("first-secret");
    std::fs::write(&file, format!("{secret}\n"))?;
    let file = file.to_string_lossy().into_owned();
    let replica = cluster.service("replica-3");
    replica.terminate(Duration::from_secs(30))?;
    replica.add_args(["--auth", "--bootstrap-file", file.as_str()]);
    replica.start()?;
    let door = cluster.url("replica-3").to_owned();
    eventually("the replica asks for a token that there is none of", async || {
        let answer = cluster.http().get(format!("{door}/v1/kv/a")).send().await?;
        ensure!(answer.status() == StatusCode::UNAUTHORIZED, "{}", answer.status());
        ensure!(answer.text().await?.contains("synod token bootstrap"), "it gives no advice");
        Ok(())
    })
    .await?;
    for open in ["/livez", "/metrics", "/v1/status", "/openapi.json", "/ui"] {
        let status = cluster.http().get(format!("{door}{open}")).send().await?.status();
        ensure!(status == StatusCode::OK, "{open}: {status}");
    }
    let bootstrap = async |door: &str, secret: Option<&str>| {
        let asked = cluster.http().post(format!("{}/v1/tokens/bootstrap", cluster.url(door)));
        let asked = secret.iter().fold(asked, |asked, secret| asked.bearer_auth(secret));
        let answer = asked.send().await?;
        anyhow::Ok((answer.status(), answer.json::<Value>().await?))
    };
    let through = bootstrap("balancer-1", None).await?;
    ensure!(through.0 == StatusCode::FORBIDDEN, "{through:?}");
    let wrong = bootstrap("balancer-1", Some("0123456789abcdefghijklmnopqrstuvwxyz-other")).await?;
    ensure!(wrong.0 == StatusCode::FORBIDDEN, "{wrong:?}");
    let made = eventually("the first token is made", async || {
        let made = bootstrap("replica-3", Some(secret)).await?;
        ensure!(made.0 == StatusCode::CREATED, "{made:?}");
        Ok(made.1)
    })
    .await?;
    ensure!(made["secret"].is_null() && made["policies"] == json!(["root"]), "{made}");
    ensure!(bootstrap("replica-3", Some(secret)).await?.0 == StatusCode::CONFLICT);
    let guarded = Guarded { cluster, root: secret.to_owned() };
    for door in DOORS {
        let status = guarded.reads(door, "/v1/tokens/self", secret).await?;
        ensure!(status == StatusCode::OK, "{door}: {status}");
        let asked = guarded.cluster.http().get(format!("{}/v1/kv/a", guarded.cluster.url(door)));
        let status = asked.send().await?.status();
        ensure!(status == StatusCode::UNAUTHORIZED, "{door}: {status}");
    }
    Ok(())
}

/// A key of an issuer of JWTs.
struct Signer {
    kid: &'static str,
    key: KeyPair,
}

impl Signer {
    fn draw(kid: &'static str) -> Result<Self> {
        Ok(Self { kid, key: KeyPair::generate_for(&PKCS_ED25519)? })
    }

    /// What the issuer publishes.
    fn jwks(&self) -> String {
        let public = URL_SAFE_NO_PAD.encode(self.key.public_key_raw());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": public, "kid": self.kid}]})
            .to_string()
    }

    fn jwt(&self, subject: &str, policies: &[&str], lasts: Duration) -> Result<String> {
        self.jwt_until(subject, policies, SystemTime::now() + lasts)
    }

    fn jwt_until(&self, subject: &str, policies: &[&str], expires: SystemTime) -> Result<String> {
        let expires = expires.duration_since(UNIX_EPOCH)?.as_secs();
        let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": self.kid});
        let claims = json!({"iss": "https://issuer", "aud": "synod", "sub": subject,
            "exp": expires, "synod_policies": policies});
        let parts = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = parts.join(".");
        let signature = self.key.sign(signed.as_bytes())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// A cluster whose replicas take JWTs of the issuer with the keys in the file.
async fn with_issuer(keys: &Path) -> Result<Guarded> {
    let keys = keys.to_string_lossy().into_owned();
    let env = [
        ("SYNOD_JWT_JWKS", keys.as_str()),
        ("SYNOD_JWT_ISSUER", "https://issuer"),
        ("SYNOD_JWT_AUDIENCE", "synod"),
        ("RUST_LOG", "debug"),
    ];
    let cluster = Cluster::start(synod(), Size::default(), &env).await?;
    let url = format!("{}/v1/tokens/bootstrap", cluster.url("replica-1"));
    let made: Value = cluster.http().post(url).send().await?.json().await?;
    let root = made["secret"].as_str().context("no secret")?.to_owned();
    Ok(Guarded { cluster, root })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_vouched_for_may_what_the_policies_say_also_by_the_issuers_next_key()
-> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("jwks.json");
    let (old, new) = (Signer::draw("old")?, Signer::draw("new")?);
    std::fs::write(&file, old.jwks())?;
    let guarded = with_issuer(&file).await?;
    let hour = Duration::from_secs(3_600);
    let jwt = old.jwt("ci", &["app"], hour)?;
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
            old.jwt("ci", &["root"], hour)?,
            old.jwt_until("ci", &["app"], SystemTime::now() - Duration::from_secs(31))?,
            new.jwt("ci", &["app"], hour)?,
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
    std::fs::write(&file, new.jwks())?;
    for door in DOORS {
        eventually("the new key is known and the former one is not", async || {
            let (by_new, by_old) = (new.jwt("ci", &["app"], hour)?, &jwt);
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
    let signer = Signer::draw("one")?;
    std::fs::write(&file, signer.jwks())?;
    let guarded = with_issuer(&file).await?;
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

#[test]
fn a_replica_that_others_reach_asks_for_tokens_only_where_services_are_told_apart() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = dir.path().join("data").to_string_lossy().into_owned();
    let args = ["replica", "--auth", "--listen", "0.0.0.0:0", "--data-dir", &folder];
    let args = [&args[..], &["--advertise-url", "http://127.0.0.1:1"]].concat();
    assert_misconfigured(&args, &["--auth", "--tls-client-ca", "--listen-internal"])?;
    let none = dir.path().join("none").to_string_lossy().into_owned();
    let args = ["replica", "--listen", "127.0.0.1:0", "--data-dir", &folder];
    assert_misconfigured(&[&args[..], &["--bootstrap-file", &none]].concat(), &["--bootstrap-file"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_makes_and_ends_tokens_and_says_who_may_do_what() -> Result<()> {
    let guarded = Guarded::start().await?;
    let as_token = |secret: &str| {
        let file = guarded.cluster.dir().join("token");
        std::fs::write(&file, format!("{secret}\n"))?;
        let file = file.to_string_lossy().into_owned();
        anyhow::Ok((Synod::at(guarded.cluster.front()), file))
    };
    let (front, file) = as_token(&guarded.root)?;
    let by_root = |args: &[&str]| {
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        [args, vec!["--token-file".to_owned(), file.clone()]].concat()
    };
    let run = async |args: &[&str]| {
        let args = by_root(args);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        front.text(&args).await
    };
    run(&["policy", "put", "app", "--rule", "app/=read,write,list", "--rule", "app/x/="]).await?;
    let secret = run(&["token", "create", "app", "--ttl-seconds", "600"]).await?;
    let tokens = run(&["token", "list"]).await?;
    ensure!(tokens.lines().count() == 2 && !tokens.contains("synod_"), "{tokens}");
    run(&["put", "app/x/hidden", "1"]).await?;
    let (front, file) = as_token(secret.trim())?;
    let file = ["--token-file", file.as_str()];
    front.run(&[&["put", "app/a", "1"][..], &file].concat()).await?.with(0, "")?;
    let listed = front.text(&[&["list"][..], &file].concat()).await?;
    ensure!(listed.contains("app/a") && !listed.contains("hidden"), "{listed}");
    front.run(&[&["get", "app/x/hidden"][..], &file].concat()).await?.with(9, "lacks the right")?;
    front.run(&["get", "app/a"]).await?.with(9, "no token")?;
    let own = front.text(&[&["token", "self"][..], &file].concat()).await?;
    ensure!(own.contains("app/: read, write, list") && own.contains("app/x/: nothing"), "{own}");
    let mut by_variable = front.command(&["get", "app/a"]);
    let output = by_variable.env("SYNOD_TOKEN", secret.trim()).output().await?;
    ensure!(output.status.success(), "{output:?}");
    Ok(())
}
