//! `synod up`: one command, a whole cluster, and nothing left behind.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;
use tests::harness::cluster::eventually;
use tests::harness::ports::Ports;
use tests::harness::process::Process;

use crate::synod;

mod grown;

/// As long as a busy machine may take to end or start nine processes.
const LIMIT: Duration = Duration::from_secs(60);

fn args(base: u16, dir: &Path, extra: &[&str]) -> Vec<String> {
    let (base, data) = (base.to_string(), dir.join("data").to_string_lossy().into_owned());
    let args = ["up", "--base-port", &base, "--data-dir", &data];
    args.iter().chain(extra).map(|&arg| arg.to_owned()).collect()
}

/// `synod up` with ports and a folder of its own.
pub(super) struct Up {
    process: Process,
    /// The front door.
    pub(super) front: String,
    base: u16,
    http: reqwest::Client,
    ports: Ports,
}

impl Drop for Up {
    /// Ends what runs: its ports are another test's after that.
    fn drop(&mut self) {
        drop(self.process.terminate(LIMIT));
        self.ports.wait_until_free(LIMIT);
    }
}

impl Up {
    fn new(dir: &Path, extra: &[&str]) -> Result<Self> {
        let ports = Ports::reserve()?;
        let base = ports.base();
        let process = Process::new("up", synod(), args(base, dir, extra), dir);
        let http = reqwest::Client::builder().timeout(Duration::from_secs(5)).no_proxy().build()?;
        Ok(Self { process, front: format!("http://127.0.0.1:{base}"), base, http, ports })
    }

    /// Starts a cluster.
    pub(super) async fn started(dir: &Path) -> Result<Self> {
        let mut up = Self::new(dir, &[])?;
        up.process.start()?;
        up.wait_until_announced().await?;
        Ok(up)
    }

    /// Where a service is, by how far its port is from the front door's.
    pub(super) fn url(&self, port: u16) -> String {
        format!("http://127.0.0.1:{}", self.base + port)
    }

    /// Ends the cluster: its ports are free after that.
    pub(super) fn end(mut self) -> Result<()> {
        ensure!(self.process.terminate(LIMIT)?.success(), "{}", self.process.output()?);
        Ok(())
    }

    /// Waits until every replica knows where all of them are, and how far each is: any of them
    /// may be the one that the balancer asks.
    pub(super) async fn wait_until_whole(&self) -> Result<()> {
        eventually("every replica has heard of all", || async {
            for port in [301, 302, 303] {
                let cluster = self.json(port, "/v1/cluster").await?;
                let replicas = cluster["replicas"].as_array().context("no replicas")?;
                let heard = replicas.iter().filter(|replica| {
                    replica["executed_slot"].is_u64() && replica["url"].is_string()
                });
                ensure!(heard.count() == 3, "{cluster}");
            }
            Ok(())
        })
        .await
    }

    /// Asks a service for something.
    pub(super) fn request(
        &self,
        method: reqwest::Method,
        port: u16,
        path: &str,
    ) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url(port)))
    }

    async fn json(&self, port: u16, path: &str) -> Result<Value> {
        let answered = self.request(reqwest::Method::GET, port, path).send().await?;
        Ok(serde_json::from_slice(&answered.bytes().await?)?)
    }

    async fn status(&self, port: u16) -> Result<Value> {
        self.json(port, "/v1/status").await
    }

    /// The pid of every service, once all have started: a cluster serves without a
    /// standby coordinator, say, or a backup.
    async fn pids(&self) -> Result<Vec<Pid>> {
        eventually("every service has started", || async {
            let mut pids = Vec::new();
            for port in [0, 101, 102, 201, 202, 203, 301, 302, 303] {
                let pid = self.status(port).await?["pid"].as_i64().context("a status has a pid")?;
                pids.push(Pid::from_raw(i32::try_from(pid)?).context("a process id is not zero")?);
            }
            Ok(pids)
        })
        .await
    }

    async fn wait_until_announced(&self) -> Result<()> {
        eventually("up says that writes are served", || async {
            let said = self.process.output()?;
            ensure!(said.contains("curl "), "{said}");
            Ok(())
        })
        .await
    }

    async fn put(&self, key: &str, value: &str) -> Result<()> {
        eventually("a write is acknowledged", || async {
            let status = self
                .http
                .put(format!("{}/v1/kv/{key}", self.front))
                .body(value.to_owned())
                .send()
                .await?
                .status();
            ensure!(status.is_success(), "{status}");
            Ok(())
        })
        .await
    }

    async fn get(&self, key: &str) -> Result<String> {
        Ok(self
            .http
            .get(format!("{}/v1/kv/{key}", self.front))
            .send()
            .await?
            .error_for_status()?
            .text()
            .await?)
    }
}

async fn wait_until_gone(pids: &[Pid]) -> Result<()> {
    eventually("every service has ended", || async {
        match pids.iter().find(|&&pid| is_running(pid)) {
            Some(pid) => bail!("process {} still runs", pid.as_raw_nonzero()),
            None => Ok(()),
        }
    })
    .await
}

/// A process that has ended but was not waited for by whoever adopted it counts as gone.
fn is_running(pid: Pid) -> bool {
    let stat =
        std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    test_kill_process(pid).is_ok() && !stat.contains(") Z ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_serves_restarts_what_dies_and_keeps_its_data() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut up = Up::started(dir.path()).await?;
    up.put("first", "life").await?;
    let pids = up.pids().await?;

    let data = dir.path().join("data");
    let second = Up::new(dir.path(), &[])?;
    let mut second = Process::new(
        "second",
        synod(),
        vec![
            "up".into(),
            "--base-port".into(),
            second.base.to_string(),
            "--data-dir".into(),
            data.to_string_lossy().into_owned(),
        ],
        dir.path(),
    );
    second.start()?;
    ensure!(!second.wait(LIMIT)?.success(), "a second up on one folder was not refused");
    ensure!(second.output()?.contains(&*data.to_string_lossy()), "{}", second.output()?);

    kill_process(*pids.last().context("pids")?, Signal::KILL)?;
    eventually("the killed replica is back under another pid", || async {
        let pid = up.status(303).await?["pid"].as_i64().context("a pid")?;
        ensure!(i32::try_from(pid)? != pids[8].as_raw_nonzero().get());
        Ok(())
    })
    .await?;
    up.put("second", "write").await?;

    let pids = up.pids().await?;
    ensure!(up.process.terminate(LIMIT)?.success(), "{}", up.process.output()?);
    wait_until_gone(&pids).await?;

    up.process.start()?;
    eventually("the data is there", || async {
        ensure!(up.get("first").await? == "life" && up.get("second").await? == "write");
        Ok(())
    })
    .await?;
    let pids = up.pids().await?;
    up.process.kill()?;
    wait_until_gone(&pids).await.context("up itself was killed")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_says_that_a_folder_is_of_another_cluster_and_does_not_start_it_again() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut up = Up::started(dir.path()).await?;
    up.put("old", "value").await?;
    ensure!(up.process.terminate(LIMIT)?.success(), "{}", up.process.output()?);
    let said_before = up.process.output()?.len();
    for lost in ["acceptor-1", "acceptor-2", "acceptor-3", "replica-1"] {
        std::fs::remove_dir_all(dir.path().join("data").join(lost))?;
    }
    up.process.start()?;
    let ended = up.process.wait(LIMIT)?;
    let output = up.process.output()?;
    let said = &output[said_before..];
    ensure!(!ended.success() && said.contains("ended with exit code 78"), "{ended}: {said}");
    ensure!(said.contains("the data directory is of cluster"), "{said}");
    ensure!(!said.contains("started again, pid"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_without_restart_leaves_the_dead_alone() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut up = Up::new(dir.path(), &["--no-restart"])?;
    up.process.start()?;
    up.wait_until_announced().await?;
    let pids = up.pids().await?;
    kill_process(*pids.last().context("pids")?, Signal::KILL)?;
    up.put("still", "served").await?;
    ensure!(up.status(303).await.is_err(), "replica-3 was restarted");
    ensure!(up.process.terminate(LIMIT)?.success(), "{}", up.process.output()?);
    wait_until_gone(&pids).await
}

/// Replaces a text in a file, in the file itself: who looks after it notices nothing.
fn replace_in(file: &Path, from: &str, to: &str) -> Result<()> {
    let text = std::fs::read_to_string(file)?;
    ensure!(text.contains(from), "{} has no {from}: {text}", file.display());
    Ok(std::fs::write(file, text.replace(from, to))?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_says_once_what_cannot_run_as_it_is_told_and_does_not_start_it_again() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut up = Up::new(dir.path(), &[])?;
    up.process.start()?;
    up.wait_until_announced().await?;
    let pids = up.pids().await?;
    let [.., second, third] = pids[..] else { bail!("there are replicas") };

    let identity = dir.path().join("data/replica-3/identity.json");
    replace_in(&identity, "\"format\": 1", "\"format\": 2")?;
    kill_process(third, Signal::KILL)?;
    let final_word = "ended with exit code 78; it stays dead";
    eventually("up says that it stays dead", || async {
        let said = up.process.output()?;
        ensure!(said.contains(final_word), "{said}");
        Ok(())
    })
    .await?;
    // Whoever dies later is started again; so it would have been, too.
    kill_process(second, Signal::KILL)?;
    eventually("another one is started again", || async {
        let pid = up.status(302).await?["pid"].as_i64();
        ensure!(pid != Some(second.as_raw_nonzero().get().into()), "not yet");
        Ok(())
    })
    .await?;
    let said = up.process.output()?;
    ensure!(said.matches(final_word).count() == 1, "{said}");
    ensure!(said.contains("has format 2, this version reads 1"), "{said}");
    ensure!(said.matches("replica-3 is started again").count() == 1, "{said}");
    ensure!(up.status(303).await.is_err(), "replica-3 runs");
    up.put("still", "served").await?;
    ensure!(up.process.terminate(LIMIT)?.success(), "{}", up.process.output()?);

    // From the start it is a reason not to begin.
    up.process.start()?;
    ensure!(!up.process.wait(LIMIT)?.success());
    let said = up.process.output()?;
    ensure!(said.contains("replica-3 ended with exit code 78"), "{said}");
    ensure!(up.status(301).await.is_err(), "replica-1 was left behind");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_goes_on_without_a_replica_that_was_taken_out() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut up = Up::started(dir.path()).await?;
    let url = format!("{}/v1/cluster/replicas/replica-3", up.front);
    eventually("it is taken out", || async {
        let answered = up.http.delete(&url).send().await?;
        ensure!(answered.status().is_success(), "{}", answered.text().await?);
        Ok(())
    })
    .await?;
    let is_out = "is out for good; the cluster goes on";
    let says_so = async |up: &Up, times: usize| {
        eventually("up says that it is out", || async {
            let said = up.process.output()?;
            ensure!(said.matches(is_out).count() == times, "{said}");
            Ok(())
        })
        .await
    };
    says_so(&up, 1).await?;
    up.put("kept", "value").await?;
    ensure!(up.process.terminate(LIMIT)?.success(), "{}", up.process.output()?);

    up.process.start()?;
    eventually("it is served again", || async {
        ensure!(up.get("kept").await? == "value");
        Ok(())
    })
    .await?;
    says_so(&up, 2).await?;
    up.put("after", "value").await?;
    let said = up.process.output()?;
    ensure!(!said.contains("replica-3 is started again"), "{said}");
    up.end()
}

#[test]
fn up_names_a_port_in_use_and_leaves_nothing_behind() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut up = Up::new(dir.path(), &[])?;
    let taken = std::net::TcpListener::bind(("127.0.0.1", up.base + 202))?;
    up.process.start()?;
    ensure!(!up.process.wait(LIMIT)?.success());
    let said = up.process.output()?;
    ensure!(
        said.contains(&taken.local_addr()?.port().to_string()) && said.contains("acceptor-2"),
        "{said}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_auth_nothing_is_answered_before_the_first_token_and_everything_to_who_has_it()
-> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut up = Up::new(dir.path(), &["--auth"])?;
    up.process.start()?;
    up.wait_until_announced().await?;
    let get = |port: u16| up.request(reqwest::Method::GET, port, "/v1/kv/a");
    for port in [0, 301, 302, 303] {
        ensure!(get(port).send().await?.status() == 401, "at {port}");
    }
    // As long as not all replicas have said that they can, nobody may.
    let made = eventually("the first token is made", || async {
        let made = up.request(reqwest::Method::POST, 302, "/v1/tokens/bootstrap").send().await?;
        let made = made.error_for_status()?.bytes().await?;
        Ok(serde_json::from_slice::<Value>(&made)?)
    })
    .await?;
    let secret = made["secret"].as_str().context("no secret")?;
    for port in [0, 301, 302, 303] {
        ensure!(get(port).bearer_auth(secret).send().await?.status() == 404, "at {port}");
    }
    up.end()
}
