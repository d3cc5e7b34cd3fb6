//! System calls that fail or hang: `strace` gets hold of a running service and answers
//! for the kernel.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::skip::skipped;

const ATTACHING: Duration = Duration::from_secs(10);

/// Whether `strace` is there and may trace; if not, says what to install.
///
/// # Errors
/// When it may not, and must.
pub fn can_inject() -> Result<bool> {
    let tried = Command::new("strace").args(["-qq", "-e", "trace=none", "true"]).output();
    let reason = match tried {
        Ok(output) if output.status.success() => return Ok(true),
        Ok(output) => {
            format!("strace may not trace here: {}", String::from_utf8_lossy(&output.stderr).trim())
        }
        Err(error) => format!("there is no strace ({error}); `apt-get install strace` brings it"),
    };
    skipped(&reason).map(|()| false)
}

/// What becomes of a system call.
#[derive(Clone, Copy, Debug)]
pub enum Failing<'a> {
    /// It returns an error, `EIO` for instance.
    With(&'a str),
    /// It is done only after so long, `20s` for instance.
    Late(&'a str),
}

/// A service whose system calls fail until this is dropped.
#[derive(Debug)]
pub struct Injection {
    strace: Child,
    log: PathBuf,
}

impl Injection {
    /// Makes the system calls of a process (comma-separated) fail or hang. Holds from when
    /// this returns, for all threads.
    ///
    /// # Errors
    /// When strace does not get hold of the process. That the process ends for the errors
    /// is none: [`Injection::end`] counts them.
    pub fn start(pid: u32, calls: &str, failing: Failing<'_>, log: &Path) -> Result<Self> {
        let inject = match failing {
            Failing::With(error) => format!("inject={calls}:error={error}"),
            Failing::Late(delay) => format!("inject={calls}:delay_enter={delay}"),
        };
        let strace = Command::new("strace")
            .args([
                "-f",
                "-qq",
                "-p",
                &pid.to_string(),
                "-e",
                &format!("trace={calls}"),
                "-e",
                &inject,
                "-o",
            ])
            .arg(log)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting strace")?;
        let mut injection = Self { strace, log: log.to_owned() };
        injection.wait_until_attached(pid)?;
        Ok(injection)
    }

    /// Ends it, and says how many calls it made fail or hang: errors that nobody met prove
    /// nothing.
    ///
    /// # Errors
    /// When what strace has written can't be read.
    pub fn end(mut self) -> Result<usize> {
        self.let_go();
        let log = std::fs::read_to_string(&self.log)
            .with_context(|| format!("reading {}", self.log.display()))?;
        Ok(log
            .lines()
            .filter(|line| {
                ["(INJECTED)", "(DELAYED)", "<detached"].iter().any(|what| line.contains(what))
            })
            .count())
    }

    /// It lets go of the process when it is asked to end; killed, it would do so as well.
    /// By then it has written everything.
    fn let_go(&mut self) {
        // Its number may be another's once it has been waited for.
        if let (Ok(None), Some(pid)) =
            (self.strace.try_wait(), i32::try_from(self.strace.id()).ok().and_then(Pid::from_raw))
        {
            let _gone_already = kill_process(pid, Signal::TERM);
        }
        drop(self.strace.wait());
    }

    /// Until it has every thread of the process; or had, and the process has met an error
    /// and ended since.
    fn wait_until_attached(&mut self, pid: u32) -> Result<()> {
        let started = Instant::now();
        while !is_traced(pid)? {
            match self.strace.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("strace ended with {status} before it had process {pid}"),
                None => {}
            }
            ensure!(started.elapsed() < ATTACHING, "strace did not get hold of process {pid}");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Injection {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// Whether every thread of a process has a tracer.
fn is_traced(pid: u32) -> Result<bool> {
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).context("the process has ended")? {
        // A thread may end meanwhile.
        let Ok(status) = std::fs::read_to_string(task?.path().join("status")) else { continue };
        let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:")).map(str::trim);
        if tracer == Some("0") {
            return Ok(false);
        }
    }
    Ok(true)
}
