//! `synod demo`: services are killed under load, and nothing is lost or left behind.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, test_kill_process};
use tempfile::TempDir;
use tests::harness::cluster::eventually;
use tests::harness::ports::Ports;
use tests::harness::process::Process;

use crate::synod;

/// As long as a busy machine may take to start and kill nine processes.
const LIMIT: Duration = Duration::from_secs(180);

fn demo(dir: &Path, ports: &Ports, args: &[&str]) -> Process {
    let base = ports.base().to_string();
    let args = [&["demo", "--base-port", &base], args].concat();
    let args = args.into_iter().map(str::to_owned).collect();
    let mut process = Process::new("demo", synod(), args, dir);
    // Its data, too, is not to be anywhere else.
    process.set_env("TMPDIR", &dir.to_string_lossy());
    process
}

/// The pids of those that were killed, and of those that came back.
fn pids(output: &str) -> Vec<Pid> {
    let told = output.split("(pid ").skip(1).filter_map(|rest| rest.split(')').next());
    told.filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

fn leftovers(dir: &Path) -> Result<Vec<String>> {
    let names = std::fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name()));
    let names: Vec<_> = names.collect::<Result<_>>()?;
    let names = names.into_iter().map(|name| name.to_string_lossy().into_owned());
    Ok(names.filter(|name| name.starts_with("synod-demo-")).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `.ci/long` runs it"]
async fn every_role_is_killed_under_load_and_every_write_is_found_again() -> Result<()> {
    let (dir, ports) = (TempDir::new()?, Ports::reserve()?);
    let mut demo = demo(dir.path(), &ports, &["--seconds", "13", "--every", "2"]);
    demo.start()?;
    let ended = demo.wait(LIMIT)?;
    let said = demo.output()?;
    ensure!(ended.success(), "{said}");
    let order =
        ["that leads", "is primary", "an acceptor", "a backup", "the front door", "stands by"];
    let mut rest = said.as_str();
    for role in order {
        let at = rest.find(role).with_context(|| format!("{role} was not killed: {said}"))?;
        rest = &rest[at..];
    }
    ensure!(said.matches("writes paused for").count() == 6, "{said}");
    for role in ["leader", "primary", "acceptor", "backup", "balancer", "standby"] {
        let row =
            said.lines().find(|line| line.trim_start().starts_with(role) && line.ends_with(" ms"));
        let row = row.with_context(|| format!("{role} is not in the table: {said}"))?;
        ensure!(row.split_whitespace().nth(1) == Some("1"), "{row}");
    }
    ensure!(said.contains("acknowledged, each found again at each of 3 replicas"), "{said}");
    for pid in pids(&said) {
        ensure!(test_kill_process(pid).is_err(), "{pid:?} is still there: {said}");
    }
    ensure!(leftovers(dir.path())?.is_empty(), "its data is still there");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_service_outlives_a_demo_that_is_told_to_end_or_is_killed() -> Result<()> {
    for signal in [Signal::INT, Signal::KILL] {
        let (dir, ports) = (TempDir::new()?, Ports::reserve()?);
        let mut demo = demo(dir.path(), &ports, &["--seconds", "600", "--every", "1"]);
        demo.start()?;
        let said = eventually("a service was killed and is back", async || {
            let said = demo.output()?;
            ensure!(said.contains("is back (pid "), "{said}");
            Ok(said)
        })
        .await?;
        demo.signal(signal)?;
        let ended = demo.wait(LIMIT)?;
        ensure!(!ended.success(), "{}", demo.output()?);
        eventually("every service has ended", async || {
            for port in [0, 101, 102, 201, 202, 203, 301, 302, 303] {
                let address = ("127.0.0.1", ports.base() + port);
                ensure!(std::net::TcpStream::connect(address).is_err(), "{address:?} is open");
            }
            let left = pids(&said).into_iter().filter(|pid| test_kill_process(*pid).is_ok());
            ensure!(left.count() == 0, "processes are left");
            Ok(())
        })
        .await?;
        if signal == Signal::INT {
            ensure!(leftovers(dir.path())?.is_empty(), "its data is still there");
        }
    }
    Ok(())
}
