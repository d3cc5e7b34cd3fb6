//! A process of ours: started, watched, and ended by its id, whatever happens to us.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::cpu::Named;

/// How long a process may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// A child process. Dropped, it is killed.
pub(crate) struct Process {
    pub(crate) name: String,
    child: Child,
    pid: Pid,
    log: PathBuf,
}

impl Process {
    /// Starts it; what it says goes to `log`. The kernel ends it should this process die
    /// (prctl(2), `PR_SET_PDEATHSIG`), and Ctrl-C in a terminal reaches only this process,
    /// which ends the others in order.
    pub(crate) fn start<S: AsRef<OsStr>>(
        name: impl Into<String>,
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = S>,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let (name, program) = (name.into(), program.as_ref());
        let log_file = File::options()
            .append(true)
            .create(true)
            .open(log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--"])
            .arg(program)
            .args(args)
            .stdin(std::process::Stdio::null())
            .stdout(log_file.try_clone()?)
            .stderr(log_file)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let pid = pid.context("it has no process id")?;
        Ok(Self { name, child, pid, log: log.to_owned() })
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    pub(crate) fn named(&self) -> Named {
        Named { name: self.name.clone(), pid: self.pid() }
    }

    /// Fails, with the end of its log, where it is no longer there.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                let end = lines[lines.len().saturating_sub(15)..].join("\n");
                bail!("{} has ended ({status}); the end of its log:\n{end}", self.name)
            }
        }
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.with_context(|| format!("cannot kill {}", self.name))
    }

    /// SIGTERM, and SIGKILL where that does not do.
    pub(crate) async fn end(mut self) {
        if let Ok(None) = self.child.try_wait() {
            // Not reaped yet, so the id is still this process's.
            let _gone = kill_process(self.pid, Signal::TERM);
            if timeout(PATIENCE, self.child.wait()).await.is_err() {
                let _gone = self.child.kill().await;
            }
        }
    }
}
