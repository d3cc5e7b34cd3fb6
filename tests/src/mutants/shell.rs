//! Runs cargo in the tree: within a time, with what it says in a file, and never left
//! running.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};

use super::suite::{Command, first_failure};

/// Between two looks at what a command has said so far.
const LOOK: Duration = Duration::from_millis(500);
/// How long the tests beside one that failed may go on.
const GRACE: Duration = Duration::from_secs(15);

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Well.
    Passed,
    /// Otherwise.
    Failed,
    /// It was killed, with all that it had started, because its time was up, or enough
    /// was known.
    Killed,
}

/// Where cargo builds.
#[derive(Debug)]
pub enum Build {
    /// In a folder for this, over and over with small changes.
    Apart(PathBuf),
    /// Where everybody else does in the tree, whose dependencies are there by then.
    Shared,
}

impl Build {
    fn environment(&self) -> Vec<(&'static str, &OsStr)> {
        // Only one crate changes between two builds. It is then built in pieces, of which
        // most stay, optimised code too.
        let mut environment = vec![
            ("CARGO_INCREMENTAL", OsStr::new("1")),
            ("CARGO_PROFILE_SIM_CODEGEN_UNITS", OsStr::new("64")),
        ];
        environment.push(match self {
            Self::Apart(folder) => ("CARGO_TARGET_DIR", folder.as_os_str()),
            // However the others build: a crate is tested once and built for that twice.
            Self::Shared => ("CARGO_PROFILE_DEV_OPT_LEVEL", OsStr::new("0")),
        });
        environment
    }
}

/// Where commands run, where they build, and where what they say is kept.
#[derive(Debug)]
pub struct Shell {
    folder: PathBuf,
    build: Build,
    logs: PathBuf,
}

impl Shell {
    /// Runs commands in a folder.
    ///
    /// # Errors
    /// When the folder for the logs can't be made.
    pub fn new(folder: &Path, build: Build, logs: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&logs).with_context(|| format!("making {}", logs.display()))?;
        Ok(Self { folder: folder.to_owned(), build, logs })
    }

    /// Where the output of a run of that name is kept.
    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{}.log", name.replace(' ', "-")))
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// When it can't be started, or the user interrupts: then it is killed.
    pub async fn run(&self, command: &Command, log: &Path, limit: Duration) -> Result<Ended> {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
        let (program, arguments) = command.split_first().context("a command has a program")?;
        let mut child = tokio::process::Command::new(program)
            .args(arguments)
            .current_dir(&self.folder)
            .envs(self.build.environment())
            .env("CARGO_TERM_COLOR", "never")
            // A place is enough: a long trace only hides the reason.
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {program}"))?;
        let watched = async {
            tokio::select! {
                () = tokio::time::sleep(limit) => {}
                () = enough_is_known(log) => {}
            }
        };
        let mut told_to_end = signal(SignalKind::terminate())?;
        tokio::select! {
            status = child.wait() => return Ok(if status?.success() { Ended::Passed } else { Ended::Failed }),
            () = watched => {
                kill_all(&mut child).await?;
                return Ok(Ended::Killed);
            }
            interrupt = tokio::signal::ctrl_c() => interrupt?,
            _ = told_to_end.recv() => {}
        }
        kill_all(&mut child).await?;
        bail!("interrupted");
    }
}

/// Once a test has failed, the others may take a little longer, so that it can say why;
/// libtest tells that at the end.
async fn enough_is_known(log: &Path) {
    loop {
        tokio::time::sleep(LOOK).await;
        // What can't be read now is read at the end.
        if std::fs::read(log)
            .is_ok_and(|output| first_failure(&String::from_utf8_lossy(&output)).is_some())
        {
            return tokio::time::sleep(GRACE).await;
        }
    }
}

/// Kills a command with the tests and services that it started: they are of its process
/// group.
async fn kill_all(child: &mut Child) -> Result<()> {
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(group) = id {
        kill_process_group(group, Signal::KILL).context("killing a command")?;
    }
    child.wait().await?;
    Ok(())
}
