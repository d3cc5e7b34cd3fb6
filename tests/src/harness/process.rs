//! One service as a process of its own.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::namespace::Namespace;

/// Where a process runs.
#[derive(Clone, Debug, Default)]
pub enum Host {
    /// On the machine itself.
    #[default]
    Machine,
    /// In a network namespace.
    Namespace(Arc<Namespace>),
}

/// Where the present process id of a [`Process`] stands.
#[derive(Clone, Debug, Default)]
pub struct PidCell(Arc<AtomicU32>);

impl PidCell {
    /// Of a process that stays.
    #[must_use]
    pub fn of(pid: u32) -> Self {
        Self(Arc::new(AtomicU32::new(pid)))
    }

    /// The process id, while there is a process.
    #[must_use]
    pub fn get(&self) -> Option<u32> {
        Some(self.0.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
    }
}

/// A command line that can be started again and again, and the process it became.
#[derive(Debug)]
pub struct Process {
    name: String,
    program: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    open_files: Option<u64>,
    log: PathBuf,
    host: Host,
    child: Option<Child>,
    pid: PidCell,
}

impl Process {
    /// Describes a process; its output goes to `<log_dir>/<name>.log`.
    #[must_use]
    pub fn new(name: &str, program: &Path, args: Vec<String>, log_dir: &Path) -> Self {
        let log = log_dir.join(format!("{name}.log"));
        Self {
            name: name.to_owned(),
            program: program.to_owned(),
            args,
            env: Vec::new(),
            open_files: None,
            log,
            host: Host::default(),
            child: None,
            pid: PidCell::default(),
        }
    }

    /// Sets a variable of its environment.
    pub fn set_env(&mut self, key: &str, value: &str) {
        self.env.push((key.to_owned(), value.to_owned()));
    }

    /// Sets the most files that it may have open, from the next start on.
    pub fn limit_open_files(&mut self, files: u64) {
        self.open_files = Some(files);
    }

    /// Says where it runs.
    pub fn set_host(&mut self, host: Host) {
        self.host = host;
    }

    /// Makes it another program, from its next start on.
    pub fn set_program(&mut self, program: &Path) {
        program.clone_into(&mut self.program);
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
        let mut command = self.command();
        command.args(&self.args).envs(self.env.iter().map(|(key, value)| (key, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let spawned = match &self.host {
            Host::Machine => command.spawn(),
            Host::Namespace(namespace) => namespace.within(|| command.spawn())?,
        };
        let child = spawned.with_context(|| format!("starting {}", self.name))?;
        self.pid.0.store(child.id(), Ordering::Relaxed);
        self.child = Some(child);
        Ok(())
    }

    /// The program; where it has a limit, by a shell that sets it and becomes the program.
    fn command(&self) -> Command {
        let Some(files) = self.open_files else { return Command::new(&self.program) };
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\"")]);
        command.arg(&self.program);
        command
    }

    /// Starts it if it does not run, and lets it go on if it is stopped.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn ensure_running(&mut self) -> Result<()> {
        if let Some(child) = self.child.as_mut()
            && child.try_wait()?.is_some()
        {
            self.forget();
        }
        if self.child.is_some() { self.signal(Signal::CONT) } else { self.start() }
    }

    /// Where its process id stands.
    #[must_use]
    pub fn pid_cell(&self) -> PidCell {
        self.pid.clone()
    }

    /// Adds arguments to its command line, for the next start.
    pub fn add_args<'a>(&mut self, args: impl IntoIterator<Item = &'a str>) {
        self.args.extend(args.into_iter().map(str::to_owned));
    }

    fn forget(&mut self) {
        self.child = None;
        self.pid.0.store(0, Ordering::Relaxed);
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
        let mut child =
            self.child.take().with_context(|| format!("{} is not running", self.name))?;
        child.kill()?;
        child.wait()?;
        self.forget();
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
                self.forget();
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
