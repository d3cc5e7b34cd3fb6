//! The services' processes: which they are, how much memory they hold, and the proof that
//! a process is the service.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::slice::from_ref;

use anyhow::{Context, bail, ensure};
use client::{Client, Error, parse_url};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

/// What `GET /v1/status` says of every service, and of two roles.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Status {
    pub(crate) service: String,
    pub(crate) id: String,
    pub(crate) pid: i32,
    /// A coordinator's; `phase2` is the leader's.
    #[serde(default)]
    phase: Option<String>,
    /// A replica's.
    #[serde(default)]
    role: Option<String>,
}

impl Status {
    pub(crate) fn leads(&self) -> bool {
        self.service == "coordinator" && self.phase.as_deref() == Some("phase2")
    }

    pub(crate) fn is_primary(&self) -> bool {
        self.service == "replica" && self.role.as_deref() == Some("primary")
    }
}

/// A service that answers.
#[derive(Clone, Debug)]
pub(crate) struct Discovered {
    pub(crate) url: Url,
    pub(crate) status: Status,
}

/// The services of the cluster that answer: the one asked, and all that `GET /v1/cluster`
/// names.
pub(crate) async fn discover(front: &Client) -> anyhow::Result<Vec<Discovered>> {
    let cluster: Value = front.json("/v1/cluster").await?;
    let listed = ["coordinators", "acceptors", "replicas"]
        .into_iter()
        .filter_map(|kind| cluster[kind].as_array())
        .flatten();
    let urls = listed.filter_map(|service| service["url"].as_str());
    let mut found: Vec<Discovered> = Vec::new();
    for url in std::iter::once(front.address()).chain(urls) {
        let url = parse_url(url)
            .map_err(anyhow::Error::msg)
            .with_context(|| format!("the cluster names {url:?}"))?;
        let client = Client::of_urls(from_ref(&url))?.with_timeout(STATUS_TIMEOUT);
        let status: Status = match client.without_retries().json("/v1/status").await {
            Ok(status) => status,
            Err(error @ Error::Malformed(_)) => {
                return Err(error).with_context(|| format!("the status of {url}"));
            }
            Err(_) => continue,
        };
        // The one asked may itself be a replica.
        if found.iter().all(|other| other.status.id != status.id) {
            found.push(Discovered { url, status });
        }
    }
    Ok(found)
}

/// A service that does not tell its status in this time is left out.
const STATUS_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);

impl Discovered {
    /// The memory that the process holds (VmRSS), where it runs on this machine.
    pub(crate) fn resident_bytes(&self) -> Option<u64> {
        let pid = self.local_pid().ok()?;
        resident_bytes_of(
            &fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?,
        )
    }

    /// SIGKILL, once it is certain whom it hits.
    pub(crate) fn kill(&self) -> anyhow::Result<()> {
        let pid = self.local_pid().with_context(|| format!("{} is not killed", self.status.id))?;
        kill_process(pid, Signal::KILL)
            .with_context(|| format!("cannot kill process {}", pid.as_raw_nonzero()))
    }

    /// The process, if it is one of this machine: it must hold the socket that listens
    /// where the status came from. A process id alone could be another machine's or
    /// container's.
    fn local_pid(&self) -> anyhow::Result<Pid> {
        let host = self.url.host_str().unwrap_or_default();
        let is_loopback = host == "localhost"
            || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        ensure!(is_loopback, "{} is not on this machine's loopback interface", self.url);
        let port = self.url.port_or_known_default().context("the URL has no port")?;
        let pid = Some(self.status.pid)
            .filter(|pid| *pid > 1)
            .and_then(Pid::from_raw)
            .context("it has no process id")?;
        let listening = listening_inodes(port)?;
        let held = sockets_of(self.status.pid)
            .with_context(|| format!("cannot look at process {}", self.status.pid))?;
        if listening.is_disjoint(&held) {
            bail!(
                "process {} does not listen on port {port}: it may be inside a container",
                self.status.pid
            );
        }
        Ok(pid)
    }
}

/// The inodes of the sockets that listen on a TCP port.
fn listening_inodes(port: u16) -> io::Result<BTreeSet<u64>> {
    let mut inodes = parse_listening(&fs::read_to_string("/proc/net/tcp")?, port);
    if let Ok(table) = fs::read_to_string("/proc/net/tcp6") {
        inodes.extend(parse_listening(&table, port));
    }
    Ok(inodes)
}

/// Reads `/proc/net/tcp` (proc(5)): the second column is the local address and port, the
/// fourth the state, the tenth the inode.
fn parse_listening(table: &str, port: u16) -> BTreeSet<u64> {
    const LISTEN: &str = "0A";
    let listening = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (_, hex_port) = columns.get(1)?.rsplit_once(':')?;
        let matches =
            u16::from_str_radix(hex_port, 16) == Ok(port) && columns.get(3) == Some(&LISTEN);
        if matches { columns.get(9)?.parse().ok() } else { None }
    };
    table.lines().skip(1).filter_map(listening).collect()
}

/// The inodes of the sockets that a process holds.
fn sockets_of(pid: i32) -> io::Result<BTreeSet<u64>> {
    let mut inodes = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        // It may have been closed meanwhile.
        let Ok(target) = fs::read_link(entry?.path()) else { continue };
        let inode: Option<u64> = target
            .to_str()
            .and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
        inodes.extend(inode);
    }
    Ok(inodes)
}

/// Reads `VmRSS` of `/proc/PID/status`, which is in KiB.
fn resident_bytes_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn discovered(url: &str, pid: i32) -> Discovered {
        let status = Status {
            service: "replica".into(),
            id: "replica-1".into(),
            pid,
            phase: None,
            role: Some("primary".into()),
        };
        Discovered { url: url.parse().unwrap(), status }
    }

    #[test]
    fn a_process_is_believed_only_if_it_holds_the_listening_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(discovered(&url, own).local_pid().unwrap().as_raw_nonzero().get(), own);
        assert!(discovered(&url, own).resident_bytes().unwrap() > 100_000);
        drop(listener);
        let refused = discovered(&url, own).local_pid().unwrap_err().to_string();
        assert!(refused.contains("does not listen on port"), "{refused}");
    }

    #[test]
    fn nothing_elsewhere_and_no_first_process_is_killed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(discovered(&format!("http://replica-1:{port}"), own).kill().is_err());
        assert!(discovered(&format!("http://192.0.2.1:{port}"), own).kill().is_err());
        for pid in [0, 1, -1] {
            assert!(discovered(&format!("http://127.0.0.1:{port}"), pid).kill().is_err(), "{pid}");
        }
    }

    #[test]
    fn the_tables_of_the_kernel_are_read_by_their_columns() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt  \
                      uid  timeout inode\n   \
                     0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     \
                     0        0 4711 1 0 100 0\n   \
                     1: 0100007F:1F40 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     \
                     0        0 4712 1 0 20 4\n   \
                     2: 00000000:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0\n";
        assert_eq!(parse_listening(table, 8000), BTreeSet::from([4711]));
        assert_eq!(parse_listening(table, 8001), BTreeSet::from([4713]));
        assert_eq!(
            resident_bytes_of("Name:\tsynod\nVmRSS:\t   12 kB\nThreads:\t1\n"),
            Some(12_288)
        );
        assert_eq!(resident_bytes_of("Name:\tsynod\n"), None);
    }

    #[test]
    fn roles_are_read_from_the_status() {
        let status: Status = serde_json::from_str(
            r#"{"service":"coordinator","id":"c","pid":7,"phase":"phase2","x":1}"#,
        )
        .unwrap();
        assert!(status.leads() && !status.is_primary());
        let status: Status =
            serde_json::from_str(r#"{"service":"replica","id":"r","pid":7,"role":"primary"}"#)
                .unwrap();
        assert!(status.is_primary() && !status.leads());
    }
}
