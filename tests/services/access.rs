//! Tokens and policies before real processes: who may do what at every door, at once, also
//! while primaries are killed.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tests::harness::cluster::{Cluster, Size, eventually};

use crate::bad_starts::assert_misconfigured;
use crate::cli::command::Synod;
use crate::synod;

/// A cluster that requires tokens, and the secret of the first one.
pub(crate) struct Guarded {
    pub(crate) cluster: Cluster,
    pub(crate) root: String,
}

impl Guarded {
    async fn start() -> Result<Self> {
        Self::with(&[]).await
    }

    /// With more in the environment of its services.
    pub(crate) async fn with(env: &[(&str, &str)]) -> Result<Self> {
        let cluster = Cluster::start(synod(), Size::default(), env).await?;
        let url = format!("{}/v1/tokens/bootstrap", cluster.url("replica-2"));
        let made = cluster.http().post(url).send().await?;
        ensure!(made.status() == StatusCode::CREATED, "{}", made.text().await?);
        let made: Value = made.json().await?;
        let root = made["secret"].as_str().context("no secret")?.to_owned();
        Ok(Self { cluster, root })
    }

    pub(crate) fn ask(
        &self,
        door: &str,
        method: Method,
        path: &str,
        secret: &str,
    ) -> RequestBuilder {
        let url = format!("{}{path}", self.cluster.url(door));
        self.cluster.http().request(method, url).bearer_auth(secret)
    }

    /// Until somebody answers for good.
    pub(crate) async fn settled(
        &self,
        door: &str,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Value> {
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

    pub(crate) async fn token(&self, policies: &[&str]) -> Result<(String, String)> {
        let body = json!({"policies": policies});
        let made = self.settled("balancer-1", Method::POST, "/v1/tokens", &body).await?;
        let text = |name: &str| made[name].as_str().map(str::to_owned).context("no such field");
        Ok((text("accessor")?, text("secret")?))
    }

    /// What a read is answered that is not for later.
    pub(crate) async fn reads(&self, door: &str, path: &str, secret: &str) -> Result<StatusCode> {
        eventually("a read is answered", async || {
            let status = self.ask(door, Method::GET, path, secret).send().await?.status();
            ensure!(!status.is_server_error(), "{status}");
            Ok(status)
        })
        .await
    }
}

pub(crate) fn rule(prefix: &str, rights: &[&str]) -> Value {
    json!({"rules": [{"prefix": prefix, "rights": rights}]})
}

pub(crate) const DOORS: [&str; 4] = ["replica-1", "replica-2", "replica-3", "balancer-1"];

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
