//! The acceptor as a process of its own: over HTTP, on a real disk, killed and started
//! again.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use shared::client::AcceptorClient;
use shared::ids::{AcceptorId, Ballot, ClusterId, CoordinatorId, Generation, Slot};
use shared::message::{
    Accept, AcceptReply, Accepted, Marks, Prepare, PrepareReply, Promise, Roster, SlotValue, Vote,
};

mod api;
mod disk;

const TIMEOUT: Duration = Duration::from_secs(20);

/// A running acceptor; killed when it is dropped.
struct Process {
    child: Child,
    url: String,
}

impl Process {
    fn start(data_dir: &Path) -> Self {
        Self::start_with(data_dir, &[])
    }

    fn start_with(data_dir: &Path, args: &[&str]) -> Self {
        let mut child = command(data_dir, args).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let (found, url) = mpsc::channel();
        // Reads to the end, so that the process never waits for somebody to read its log.
        thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                let line: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
                if let Some(url) = line["url"].as_str() {
                    let _nobody_waits = found.send(url.to_owned());
                }
            }
        });
        let url = url.recv_timeout(TIMEOUT).expect("the acceptor says where it listens");
        Self { child, url }
    }

    fn client(&self) -> AcceptorClient {
        AcceptorClient::new(self.url.parse().unwrap())
    }

    /// SIGKILL.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and waits for the end.
    fn stop(mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn command(data_dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_synod-acceptor"));
    command.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(data_dir).args(args);
    command
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Starts an acceptor that must not start, and returns how it ended and what it said.
fn start_in_vain(data_dir: &Path) -> (ExitStatus, String) {
    let mut child = command(data_dir, &[]).spawn().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (child.wait().unwrap(), said)
}

fn segments(data_dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(data_dir.join("log")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort_unstable();
    paths
}

async fn identity(client: &AcceptorClient) -> AcceptorId {
    client.watermarks(TIMEOUT).await.unwrap().acceptor
}

fn roster_of(acceptor: AcceptorId) -> Roster {
    Roster::new(ClusterId(1), Generation(0), vec![acceptor]).unwrap()
}

fn ballot(round: u64) -> Ballot {
    Ballot { round, coordinator: CoordinatorId(0xabc) }
}

fn prepare(acceptor: AcceptorId, round: u64) -> Prepare {
    Prepare { roster: roster_of(acceptor), ballot: ballot(round), from: Slot(0) }
}

fn accept(acceptor: AcceptorId, slot: u64, value: Bytes) -> Accept {
    let proposals = vec![SlotValue { slot: Slot(slot), value }];
    Accept {
        roster: roster_of(acceptor),
        ballot: ballot(1),
        proposals,
        chosen_below: Slot(slot),
        trim_below: Slot(0),
    }
}
