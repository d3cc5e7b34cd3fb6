//! Network namespaces without names: each exists for as long as this process, or a
//! service in it, does.
//!
//! A namespace is held by a file descriptor, so nothing is left behind on the machine,
//! however a test ends, and no two runs can meet. Threads enter one for good; what they
//! start from then on, sockets and processes, is in there. Needs `unshare` of util-linux
//! and the right to use it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::skip::skipped;

/// One network namespace.
#[derive(Debug)]
pub struct Namespace(File);

impl Namespace {
    /// Makes an empty one; none, with the reason printed, where this process may not.
    ///
    /// # Errors
    /// When making one fails for another reason than permission, or it must not be left
    /// out.
    pub fn create() -> Result<Option<Self>> {
        // It tells that it is there by a byte, and ends with its input. From then on the
        // descriptor alone holds the namespace.
        let child = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => return skipped(&format!("there is no unshare ({error})")).map(|()| None),
        };
        let told = child.stdout.as_mut().context("a piped output")?.read(&mut [0])?;
        let opened =
            if told == 1 { Some(File::open(format!("/proc/{}/ns/net", child.id()))) } else { None };
        let output = child.wait_with_output()?;
        match opened {
            Some(file) => Ok(Some(Self(file.context("opening a namespace")?))),
            None => {
                let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                ensure!(said.contains("not permitted"), "unshare: {said}");
                skipped(&format!("this process may not make a network namespace: {said}"))
                    .map(|()| None)
            }
        }
    }

    /// Moves the calling thread there, for good.
    ///
    /// # Errors
    /// When it may not.
    pub fn enter(&self) -> Result<()> {
        move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))
            .context("entering a network namespace")
    }

    /// Does something on a thread that is there.
    ///
    /// # Errors
    /// When a thread may not enter.
    ///
    /// # Panics
    /// When the work does.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| self.enter().map(|()| work()));
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs commands of `ip`, one a line, up to the first that fails.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn ip(&self, commands: &str) -> Result<()> {
        self.within(|| ip_batch(commands))?
    }

    /// A path by which other processes find it.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
}

fn ip_batch(commands: &str) -> Result<()> {
    let mut child = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("running ip, of iproute2")?;
    child.stdin.take().context("a piped input")?.write_all(commands.as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("ip: {}, of\n{commands}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Whether there is an `ip` of iproute2.
pub(super) fn has_ip() -> bool {
    Command::new("ip").arg("-V").output().is_ok_and(|output| output.status.success())
}
