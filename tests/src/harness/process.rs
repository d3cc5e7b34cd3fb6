//! One service as a process of its own.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// A command line that can be started again and again, and the process it became.
#[derive(Debug)]
pub struct Process {
    name: String,
    program: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    log: PathBuf,
    child: Option<Child>,
}

impl Process {
    /// Describes a process; its output goes to `<log_dir>/<name>.log`.
    #[must_use]
    pub fn new(name: &str, program: &Path, args: Vec<String>, log_dir: &Path) -> Self {
        let log = log_dir.join(format!("{name}.log"));
        Self { name: name.to_owned(), program: program.to_owned(), args, env: Vec::new(), log, child: None }
    }

    /// Sets a variable of its environment.
    pub fn set_env(&mut self, key: &str, value: &str) {
        self.env.push((key.to_owned(), value.to_owned()));
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts it.
    ///
    /// # Errors
    /// When it is running already or can't be started.
    pub fn start(&mut self) -> Result<()> {
        if self.child.is_some() {
            bail!("{} is running already", self.name);
        }
        let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        let child = Command::new(&self.program)
            .args(&self.args)
            .envs(self.env.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", self.name))?;
        self.child = Some(child);
        Ok(())
    }

    /// Its process id.
    ///
    /// # Errors
    /// When it isn't running.
    pub fn pid(&self) -> Result<u32> {
        self.child.as_ref().map(Child::id).with_context(|| format!("{} is not running", self.name))
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it isn't running.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.pid()?)?).context("a process id is not zero")?;
        kill_process(pid, signal).with_context(|| format!("sending a signal to {}", self.name))
    }

    /// SIGKILL, and waits for its end.
    ///
    /// # Errors
    /// When it isn't running.
    pub fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().with_context(|| format!("{} is not running", self.name))?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// SIGTERM, and waits for its end.
    ///
    /// # Errors
    /// When it isn't running, or still is after `limit`.
    pub fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait(limit)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it isn't running, or still is after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let child = self.child.as_mut().with_context(|| format!("{} is not running", self.name))?;
        let started = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                self.child = None;
                return Ok(status);
            }
            if started.elapsed() > limit {
                bail!("{} did not end within {limit:?}", self.name);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Everything it has printed, over all its lives.
    ///
    /// # Errors
    /// When its log can't be read.
    pub fn output(&self) -> Result<String> {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut File::open(&self.log)?, &mut text)?;
        Ok(text)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may be stopped or gone; either way nothing must outlive the test.
            drop(child.kill());
            drop(child.wait());
        }
    }
}
