//! The command, as a script runs it.

use std::fs::File;
use std::io::Read as _;
use std::process::{Output, Stdio};

use anyhow::{Context, Result, ensure};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::synod;

/// The command, and the cluster that it speaks to.
#[derive(Clone, Debug)]
pub(crate) struct Synod {
    urls: String,
}

/// How it ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Synod {
    pub(crate) fn at(urls: impl Into<String>) -> Self {
        Self { urls: urls.into() }
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(synod());
        command.args(args).env("SYNOD_URL", &self.urls).kill_on_drop(true);
        command
    }

    /// Runs it on pipes, with nothing to read.
    pub(crate) async fn run(&self, args: &[&str]) -> Result<Ended> {
        self.feed(args, b"").await
    }

    /// Runs it on pipes, with this to read.
    pub(crate) async fn feed(&self, args: &[&str], input: &[u8]) -> Result<Ended> {
        let mut command = self.command(args);
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn()?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        let feed = async move {
            // Whoever needs none of it may be gone already.
            drop(stdin.write_all(input).await);
        };
        let ((), output) = tokio::join!(feed, child.wait_with_output());
        ended(output?)
    }

    /// Runs it, has it succeed, and gives what it printed.
    pub(crate) async fn text(&self, args: &[&str]) -> Result<String> {
        let ended = self.run(args).await?;
        ensure!(ended.code == 0, "{args:?}: {ended:?}");
        Ok(String::from_utf8(ended.stdout)?)
    }

    /// Runs it with `--output json`, has it succeed, and gives the documents.
    pub(crate) async fn json(&self, args: &[&str]) -> Result<Vec<Value>> {
        let text = self.text(&[args, &["--output", "json"]].concat()).await?;
        text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// Runs it with a terminal as its standard output, has it succeed, and gives what the
    /// terminal is sent.
    pub(crate) async fn terminal(&self, args: &[&str]) -> Result<String> {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&terminal)?;
        unlockpt(&terminal)?;
        let screen = ioctl_tiocgptpeer(&terminal, OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        let mut command = self.command(args);
        command.stdin(Stdio::null()).stdout(screen).stderr(Stdio::piped());
        let output = command.spawn()?.wait_with_output().await?;
        ensure!(output.status.success(), "{args:?}: {output:?}");
        // The screen is closed with the command, else reading would not end.
        drop(command);
        let mut shown = Vec::new();
        // Linux says EIO where nobody has the screen any more.
        drop(File::from(terminal).read_to_end(&mut shown));
        Ok(String::from_utf8(shown)?.replace("\r\n", "\n"))
    }
}

fn ended(output: Output) -> Result<Ended> {
    let code = output.status.code().with_context(|| format!("killed: {output:?}"))?;
    Ok(Ended { code, stdout: output.stdout, stderr: String::from_utf8(output.stderr)? })
}

impl Ended {
    /// Has it end so, and say that.
    pub(crate) fn with(self, code: i32, says: &str) -> Result<Self> {
        ensure!(self.code == code && self.stderr.contains(says), "not {code}, {says:?}: {self:?}");
        Ok(self)
    }
}
