//! A service that can't do what it was told says so and ends; it damages nothing.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use shared::service::MISCONFIGURED;
use tests::harness::cluster::{Cluster, Size, eventually};

use crate::synod;

const LIMIT: Duration = Duration::from_secs(20);

/// Runs `synod` until it ends.
fn run_to_end(args: &[&str]) -> Result<Output> {
    let mut child = Command::new(synod())
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let started = Instant::now();
    while child.try_wait()?.is_none() {
        if started.elapsed() > LIMIT {
            child.kill()?;
            child.wait()?;
            bail!("synod {args:?} was still running after {LIMIT:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(child.wait_with_output()?)
}

/// Asserts that it ends as one that cannot run as it is told, and names all of `words`.
pub(super) fn assert_misconfigured(args: &[&str], words: &[&str]) -> Result<()> {
    let code = assert_refused(args, words)?;
    ensure!(code == Some(MISCONFIGURED.into()), "synod {args:?} ended with {code:?}");
    Ok(())
}

/// Asserts that it ends with a failure and names all of `words`; gives the exit code.
fn assert_refused(args: &[&str], words: &[&str]) -> Result<Option<i32>> {
    let output = run_to_end(args)?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    ensure!(!output.status.success(), "synod {args:?} succeeded: {said}");
    ensure!(!said.contains("panicked"), "synod {args:?} panicked: {said}");
    for word in words {
        ensure!(said.contains(word), "synod {args:?} does not say {word:?}: {said}");
    }
    Ok(output.status.code())
}

#[test]
fn a_service_that_cannot_run_as_it_is_told_ends_with_the_code_that_says_so() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let identity = |name: &str, text: &str| {
        std::fs::create_dir_all(folder(name))?;
        std::fs::write(dir.path().join(name).join("identity.json"), text)
    };
    let of = |service: &str, name: &str, format: u32| {
        format!(
            "{{\"service\":\"{service}\",\"name\":\"{name}\",\"format\":{format},\
             \"nonce\":\"00000000000000aa\"}}"
        )
    };
    identity("acceptor", &of("acceptor", "service-1", 1))?;
    identity("replica", &of("replica", "service-1", 1))?;
    identity("named", &of("acceptor", "service-2", 1))?;
    identity("named-replica", &of("replica", "service-2", 1))?;
    identity("future", &of("acceptor", "service-1", 2))?;
    identity("future-replica", &of("replica", "service-1", 2))?;
    std::fs::create_dir_all(folder("strange"))?;
    std::fs::write(dir.path().join("strange/photo"), "of a cat")?;
    std::fs::write(dir.path().join("file"), "not a folder")?;

    let one = "http://127.0.0.1:1";
    let start = |service: &str, folder: Option<&str>, more: &[&str], words: &[&str]| {
        let mut args = vec![service, "--id", "service-1"];
        if !more.contains(&"--listen") {
            args.extend(["--listen", "127.0.0.1:0"]);
        }
        if service != "acceptor" && !more.contains(&"--acceptors") {
            args.extend(["--acceptors", one]);
        }
        args.extend(folder.iter().flat_map(|folder| ["--data-dir", folder]));
        args.extend(more);
        assert_misconfigured(&args, words)
    };
    for (service, bad, word) in [
        ("acceptor", "replica", "belongs to replica service-1"),
        ("replica", "acceptor", "belongs to acceptor service-1"),
        ("acceptor", "named", "belongs to acceptor service-2"),
        ("replica", "named-replica", "belongs to replica service-2"),
        ("acceptor", "future", "has format 2, this version reads 1"),
        ("replica", "future-replica", "has format 2, this version reads 1"),
        ("acceptor", "strange", "is not empty"),
        ("replica", "strange", "is not empty"),
        ("acceptor", "file", "file"),
        ("replica", "file/below", "file"),
    ] {
        start(service, Some(&folder(bad)), &[], &[word])?;
    }
    let two = format!("{one},http://127.0.0.1:2");
    let twice = format!("{one},{one},{one}");
    for service in ["replica", "coordinator", "balancer"] {
        let made = folder(&format!("{service}-made"));
        let folder = (service == "replica").then_some(made.as_str());
        start(service, folder, &["--acceptors", &two], &["odd"])?;
        start(service, folder, &["--acceptors", &twice], &["twice"])?;
        start(service, folder, &["--listen", "0.0.0.0:0"], &["--advertise-url"])?;
    }
    let made = folder("acceptor-made");
    start("acceptor", Some(&made), &["--listen", "0.0.0.0:0"], &["--advertise-url"])
}

#[test]
fn wrong_flags_are_named() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let data = data.to_str().expect("a UTF-8 path");
    assert_refused(&["acceptor", "--no-such-flag"], &["--no-such-flag"])?;
    assert_refused(
        &["acceptor", "--id", "Acceptor One", "--listen", "127.0.0.1:0", "--data-dir", data],
        &["Acceptor One", "--id"],
    )?;
    assert_refused(
        &["acceptor", "--id", "acceptor-1", "--listen", "nowhere", "--data-dir", data],
        &["nowhere", "--listen"],
    )?;
    let one = "http://127.0.0.1:1";
    assert_refused(
        &[
            "coordinator",
            "--id",
            "coordinator-1",
            "--listen",
            "127.0.0.1:0",
            "--acceptors",
            "not a url",
        ],
        &["not a url"],
    )?;
    let two = format!("{one},http://127.0.0.1:2");
    assert_refused(
        &["coordinator", "--id", "coordinator-1", "--listen", "127.0.0.1:0", "--acceptors", &two],
        &["odd"],
    )?;
    let twice = format!("{one},{one},{one}");
    assert_refused(
        &[
            "replica",
            "--id",
            "replica-1",
            "--listen",
            "127.0.0.1:0",
            "--acceptors",
            &twice,
            "--data-dir",
            data,
        ],
        &["twice"],
    )?;
    Ok(())
}

#[test]
fn a_port_in_use_and_an_unwritable_folder_are_named() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let data = dir.path().join("data");
    let data = data.to_str().expect("a UTF-8 path");
    assert_refused(
        &["acceptor", "--id", "acceptor-1", "--listen", &address, "--data-dir", data],
        &[&address],
    )?;
    let file = dir.path().join("file");
    std::fs::write(&file, "not a folder")?;
    let below = file.join("data");
    let below = below.to_str().expect("a UTF-8 path");
    assert_refused(
        &["acceptor", "--id", "acceptor-1", "--listen", "127.0.0.1:0", "--data-dir", below],
        &[below],
    )?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_of_another_service_or_cluster_is_refused() -> Result<()> {
    let mut here = Cluster::start(synod(), Size::default(), &[]).await?;
    let there = Cluster::start(synod(), Size::default(), &[]).await?;
    let acceptors = |cluster: &Cluster| {
        let urls: Vec<String> =
            cluster.names("acceptor").iter().map(|name| cluster.url(name).to_owned()).collect();
        urls.join(",")
    };
    let path =
        |cluster: &Cluster, name: &str| cluster.data_dir(name).to_string_lossy().into_owned();

    let listen = here.url("acceptor-1").trim_start_matches("http://").to_owned();
    let held = path(&here, "acceptor-1");
    assert_refused(
        &["acceptor", "--id", "acceptor-1", "--listen", "127.0.0.1:0", "--data-dir", &held],
        &[&held, "another process"],
    )?;

    here.service("acceptor-1").kill()?;
    assert_refused(
        &["acceptor", "--id", "acceptor-2", "--listen", &listen, "--data-dir", &held],
        &["acceptor-1", "acceptor-2"],
    )?;
    let urls = acceptors(&here);
    let replica = [
        "replica",
        "--id",
        "acceptor-1",
        "--listen",
        &listen,
        "--acceptors",
        &urls,
        "--data-dir",
        &held,
    ];
    assert_refused(&replica, &["acceptor", "replica"])?;
    here.service("acceptor-1").start()?;

    here.service("replica-1").kill()?;
    let moved = path(&here, "replica-1");
    let listen = here.url("replica-1").trim_start_matches("http://").to_owned();
    let elsewhere = acceptors(&there);
    let replica = [
        "replica",
        "--id",
        "replica-1",
        "--listen",
        &listen,
        "--acceptors",
        &elsewhere,
        "--data-dir",
        &moved,
    ];
    assert_refused(&replica, &["cluster"])?;
    here.service("replica-1").start()?;
    here.wait_until_serving().await?;
    here.wait_until_equal().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acceptor_that_lost_its_disk_is_not_counted_under_its_old_name() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    cluster.service("acceptor-1").kill()?;
    std::fs::remove_dir_all(cluster.data_dir("acceptor-1"))?;
    cluster.service("acceptor-1").start()?;
    eventually("the wiped acceptor says that it is not ready", || async {
        let response = cluster
            .http()
            .get(format!("{}/readyz?verbose", cluster.url("acceptor-1")))
            .send()
            .await?;
        ensure!(response.status() == 503, "{}", response.status());
        Ok(())
    })
    .await?;
    // The two others are a quorum; with one of them gone there is none, whatever the
    // wiped one says.
    cluster.wait_until_serving().await?;
    cluster.service("acceptor-2").kill()?;
    let url = format!("{}/v1/kv/unsafe", cluster.front());
    let response = cluster.http().put(url).header("synod-timeout", "2s").body("x").send().await?;
    ensure!(
        response.status().is_server_error(),
        "a write was acknowledged by a wiped acceptor: {}",
        response.status()
    );
    cluster.service("acceptor-2").start()?;
    cluster.wait_until_serving().await?;
    Ok(())
}
