//! A service that cannot speak TLS as it is told says why, and ends with 78.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use tempfile::TempDir;
use tests::harness::cluster::eventually;
use tests::harness::process::Process;

use crate::cli::command::Synod;
use crate::synod;

fn refused(dir: &Path, args: &[&str], words: &[&str]) -> Result<()> {
    let common = ["coordinator", "--id", "coordinator-1", "--listen", "127.0.0.1:0"];
    let args = common.iter().chain(args).map(|&arg| arg.to_owned()).collect();
    let logs = TempDir::new_in(dir)?;
    let mut process = Process::new("coordinator-1", synod(), args, logs.path());
    process.start()?;
    let status = process.wait(Duration::from_secs(30))?;
    let said = process.output()?;
    ensure!(status.code() == Some(78), "{status}: {said}");
    for word in words {
        ensure!(said.contains(word), "{said:?} lacks {word:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_whom_strangers_reach_without_proof_says_so_once() -> Result<()> {
    const WARNING: &str = "owns the cluster: keep it to the cluster's own network";
    let dir = TempDir::new()?;
    for (name, address, more, times) in [
        ("open", "0.0.0.0:0", None, 1),
        ("own", "127.0.0.1:0", None, 0),
        ("said", "0.0.0.0:0", Some("--insecure"), 0),
    ] {
        let args = ["coordinator", "--listen", address, "--acceptors", "http://127.0.0.1:1"];
        let url = ["--advertise-url", "http://127.0.0.1:2"];
        let args = args.iter().chain(&url).chain(&more).map(|&arg| arg.to_owned()).collect();
        let mut process = Process::new(name, synod(), args, dir.path());
        process.start()?;
        eventually("it has started", || async {
            ensure!(process.output()?.contains("coordinator-1 starts"), "not yet");
            Ok(())
        })
        .await?;
        process.terminate(Duration::from_secs(30))?;
        let said = process.output()?;
        ensure!(said.matches(WARNING).count() == times, "{name}: {said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_files_and_urls_of_the_other_scheme_are_refused_at_the_start() -> Result<()> {
    let dir = TempDir::new()?;
    let pki = dir.path().join("pki").to_string_lossy().into_owned();
    let synod = Synod::at("");
    synod.text(&["pki", "init", "--dir", &pki]).await?;
    let issue = ["--dns", "localhost", "--ip", "127.0.0.1", "--dir", &pki];
    for (role, name) in [("coordinator", "coordinator-1"), ("replica", "replica-1")] {
        synod.text(&[&["pki", "issue", role, name][..], &issue].concat()).await?;
    }
    let path = |file: &str| format!("{pki}/{file}");
    let (own, key, ca) = (path("coordinator-1.pem"), path("coordinator-1.key"), path("ca.pem"));
    let (other, other_key) = (path("replica-1.pem"), path("replica-1.key"));
    let secured = "https://127.0.0.1:1";
    let with = |cert: &str, key: &str, ca: &str| {
        let flags = ["--tls-cert", cert, "--tls-key", key, "--tls-client-ca", ca];
        flags.map(str::to_owned).to_vec()
    };
    let plain = "http://127.0.0.1:1";
    for (flags, acceptors, words) in [
        (with(&own, &other_key, &ca), secured, &["does not match", "replica-1.key"][..]),
        (with(&other, &other_key, &ca), secured, &["not of this service", "replica-1"]),
        (with(&key, &key, &ca), secured, &["coordinator-1.key holds no certificate"]),
        (with(&own, &ca, &ca), secured, &["ca.pem holds no private key"]),
        (with(&own, &key, &other_key), secured, &["replica-1.key holds no certificate"]),
        (with(&path("none"), &key, &ca), secured, &["cannot read", "none"]),
        (with(&own, &key, &ca), plain, &["http://127.0.0.1:1 is without TLS"]),
        (with(&own, &key, &ca)[..4].to_vec(), secured, &["TLS lacks --tls-client-ca"]),
        (with(&own, &key, &ca)[..4].to_vec(), plain, &["TLS lacks --tls-client-ca"]),
        (with(&own, &key, &ca)[..2].to_vec(), plain, &["--tls-key"]),
        (with(&own, &key, &ca)[4..].to_vec(), plain, &["--tls-cert and --tls-key"]),
    ] {
        let mut args: Vec<&str> = flags.iter().map(String::as_str).collect();
        args.extend(["--acceptors", acceptors]);
        refused(dir.path(), &args, words)?;
    }
    let mut flags: Vec<&str> = vec!["--advertise-url", plain, "--acceptors", secured];
    let files = with(&own, &key, &ca);
    flags.extend(files.iter().map(String::as_str));
    refused(dir.path(), &flags, &["--advertise-url", "asked by https://"])
}
