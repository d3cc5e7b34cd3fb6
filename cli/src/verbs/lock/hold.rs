//! A command that runs while a lock is held.
//!
//! It is a group of processes of its own, so that all of it can be ended; but where it may
//! read from a terminal it stays in ours, which alone may do that, and only the command itself
//! is ended. What would end us is passed on to it: it is waited for, and then the lock is
//! released.

use std::ffi::OsString;
use std::io::{IsTerminal, stdin};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use client::LockGuard;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::{console, exit};

/// How long a command may take to end once the lock is lost.
const GRACE: Duration = Duration::from_secs(5);

/// What is signalled.
#[derive(Clone, Copy)]
enum Target {
    Group(Pid),
    Process(Pid),
}

impl Target {
    /// Sends a signal; what has ended meanwhile needs none.
    fn signal(self, signal: Signal) {
        let _ended = match self {
            Self::Group(pid) => kill_process_group(pid, signal),
            Self::Process(pid) => kill_process(pid, signal),
        };
    }
}

/// Runs it to its end, or to that of the lock.
pub(super) async fn run(
    guard: LockGuard,
    program: &OsString,
    args: &[OsString],
) -> anyhow::Result<ExitCode> {
    let in_group = !stdin().is_terminal();
    let mut command = Command::new(program);
    command
        .args(args)
        .env("SYNOD_LOCK", &guard.fence().lock)
        .env("SYNOD_FENCE", guard.fence().to_string())
        .env("SYNOD_LEASE", guard.lease().to_string())
        .kill_on_drop(true);
    if in_group {
        command.process_group(0);
    }
    // What comes while it starts is not missed.
    let mut signals = Signals::new().context("cannot wait for signals")?;
    let child = command.spawn().with_context(|| format!("cannot run {}", program.display()));
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            guard.release().await?;
            return Err(error);
        }
    };
    let pid = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    let pid = pid.context("the command has no process")?;
    let target = if in_group { Target::Group(pid) } else { Target::Process(pid) };
    loop {
        tokio::select! {
            status = child.wait() => {
                let code = exit::code_of(status.context("cannot wait for the command")?);
                if let Err(error) = guard.release().await {
                    console::warn(format_args!(
                        "synod: the lock is released once its lease has ended: {error}"
                    ));
                }
                return Ok(ExitCode::from(code));
            }
            () = guard.lost() => {
                let lock = &guard.fence().lock;
                console::warn(format_args!("synod: lock {lock:?} is lost; the command is ended"));
                end(&mut child, target).await?;
                return Ok(exit::CONFLICT.into());
            }
            signal = signals.next() => target.signal(signal),
        }
    }
}

/// Ends it, kindly first.
async fn end(child: &mut Child, target: Target) -> anyhow::Result<()> {
    target.signal(Signal::TERM);
    let ended = tokio::time::timeout(GRACE, child.wait()).await;
    match (ended, target) {
        // Its number may be another's by now, which that of a group with members is not.
        (Ok(_), Target::Process(_)) => {}
        (Ok(_), Target::Group(_)) | (Err(_), _) => target.signal(Signal::KILL),
    }
    child.wait().await.context("cannot wait for the command")?;
    Ok(())
}

/// What would end this process.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.hang_up.recv() => Signal::HUP,
        }
    }
}
