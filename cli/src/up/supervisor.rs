//! One task per service: it starts the process, sees it end and starts it again, until it
//! is told to end it for good.

use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use futures::future::join_all;
use rustix::process::{Pid, Signal, kill_process};
use shared::message::Service;
use shared::service::{MISCONFIGURED, REMOVED};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::logs::Log;
use super::plan::Planned;

/// How long a service may take to end by itself once it is asked to: longer than it takes
/// itself to finish what it has begun.
const END_PATIENCE: Duration = Duration::from_secs(8);
/// The pause before a service that died is started again, the first time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause of a service that dies again and again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A service that has lived this long is no longer counted as one that dies again and
/// again.
const LONG_LIFE: Duration = Duration::from_secs(10);
/// Room for news that nobody has taken yet; a service waits for its news to be taken.
const EVENTS: usize = 64;

/// The exit code when clap does not understand the flags.
const CLAP_REFUSED: i32 = 2;

/// What happens to a service that dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    Restart,
    LeaveDead,
}

/// What a task is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Run,
    /// SIGTERM, and SIGKILL when the patience is over.
    End,
    /// SIGKILL.
    Kill,
}

/// How a life ended.
#[derive(Debug)]
pub(crate) enum End {
    NotStarted(io::Error),
    Ended(ExitStatus),
}

impl End {
    /// Whether somebody else ended it, of which its log says nothing.
    fn is_from_outside(&self) -> bool {
        match self {
            Self::NotStarted(_) => true,
            Self::Ended(status) => {
                let signals = [Signal::KILL, Signal::TERM, Signal::INT].map(Signal::as_raw);
                status.signal().is_some_and(|signal| signals.contains(&signal))
            }
        }
    }

    /// Whether it cannot run as it is told.
    pub(crate) fn is_misconfiguration(&self) -> bool {
        match self {
            Self::NotStarted(_) => true,
            Self::Ended(_) => self.is_final() && !self.is_removal(),
        }
    }

    /// Whether the service itself said so: starting it again will not help, or makes it
    /// worse.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::NotStarted(_) => false,
            Self::Ended(status) => {
                let codes = [CLAP_REFUSED, MISCONFIGURED.into(), REMOVED.into()];
                status.code().is_some_and(|code| codes.contains(&code))
            }
        }
    }

    /// Whether it was taken out of the cluster for good, which goes on without it.
    pub(crate) fn is_removal(&self) -> bool {
        match self {
            Self::NotStarted(_) => false,
            Self::Ended(status) => status.code() == Some(REMOVED.into()),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted(error) => write!(f, "could not be started: {error}"),
            Self::Ended(status) => match (status.code(), status.signal()) {
                (Some(code), _) => write!(f, "ended with exit code {code}"),
                (None, Some(signal)) => {
                    write!(f, "was killed by signal {signal}{}", signal_name(signal))
                }
                (None, None) => write!(f, "ended ({status})"),
            },
        }
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        6 => " (SIGABRT)",
        7 => " (SIGBUS)",
        9 => " (SIGKILL)",
        11 => " (SIGSEGV)",
        15 => " (SIGTERM)",
        _other => "",
    }
}

/// News of a service, which is named by its place in the plan.
#[derive(Debug)]
pub(crate) enum Event {
    Started {
        service: usize,
        pid: u32,
    },
    Ended {
        service: usize,
        end: End,
        /// The pause before it is started again; none if it stays dead.
        restart_in: Option<Duration>,
        last_lines: Vec<String>,
    },
}

/// All services. When this is dropped they are killed.
pub(crate) struct Cluster {
    services: Vec<Supervised>,
}

struct Supervised {
    service: Service,
    order: watch::Sender<Order>,
    task: JoinHandle<()>,
}

/// Kills what has not ended yet.
pub(crate) struct Hurry(Vec<watch::Sender<Order>>);

impl Hurry {
    pub(crate) fn kill_all(&self) {
        for order in &self.0 {
            order.send_replace(Order::Kill);
        }
    }
}

impl Cluster {
    /// Starts all services; news of them comes through the receiver.
    pub(crate) fn start(
        plan: &[Planned],
        program: &Path,
        data_dir: &Path,
        policy: Policy,
    ) -> anyhow::Result<(Self, mpsc::Receiver<Event>)> {
        let (events, receiver) = mpsc::channel(EVENTS);
        let mut services = Vec::new();
        for (index, planned) in plan.iter().enumerate() {
            let log = Log::of(planned, data_dir);
            log.begin()
                .with_context(|| format!("cannot put the last log of {} aside", planned.name))?;
            let (order, orders) = watch::channel(Order::Run);
            let life = Life {
                index,
                program: program.into(),
                args: planned.args.clone(),
                log,
                policy,
                events: events.clone(),
                orders,
            };
            services.push(Supervised {
                service: planned.service,
                order,
                task: tokio::spawn(life.supervise()),
            });
        }
        Ok((Self { services }, receiver))
    }

    pub(crate) fn hurry(&self) -> Hurry {
        Hurry(self.services.iter().map(|supervised| supervised.order.clone()).collect())
    }

    /// Ends all services, each kind before those that it needs, and waits for them.
    pub(crate) async fn end(self) {
        for kind in [Service::Balancer, Service::Replica, Service::Coordinator, Service::Acceptor] {
            let tasks = self.services.iter().filter(|supervised| supervised.service == kind).map(
                async |supervised| {
                    supervised.order.send_if_modified(|order| {
                        *order == Order::Run && std::mem::replace(order, Order::End) == Order::Run
                    });
                    // The task gives up its end of the channel when it ends.
                    supervised.order.closed().await;
                },
            );
            join_all(tasks).await;
        }
        for supervised in self.services {
            if let Err(error) = supervised.task.await
                && let Ok(panic) = error.try_into_panic()
            {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

/// What one task needs.
struct Life {
    index: usize,
    program: Box<Path>,
    args: Vec<std::ffi::OsString>,
    log: Log,
    policy: Policy,
    events: mpsc::Sender<Event>,
    orders: watch::Receiver<Order>,
}

impl Life {
    async fn supervise(mut self) {
        let mut deaths_in_a_row = 0;
        loop {
            let began = Instant::now();
            let (end, log_start) = self.live().await;
            if *self.orders.borrow() != Order::Run {
                return;
            }
            deaths_in_a_row = if began.elapsed() >= LONG_LIFE { 1 } else { deaths_in_a_row + 1 };
            let restart_in = match self.policy {
                Policy::Restart if !end.is_final() => Some(pause_after(deaths_in_a_row)),
                Policy::Restart | Policy::LeaveDead => None,
            };
            let last_lines =
                if end.is_from_outside() { Vec::new() } else { self.log.last_lines(log_start) };
            let told = self
                .events
                .send(Event::Ended { service: self.index, end, restart_in, last_lines })
                .await
                .is_ok();
            let Some(pause) = restart_in.filter(|_| told) else { return };
            tokio::select! {
                () = sleep(pause) => {}
                _ = self.orders.changed() => return,
            }
        }
    }

    /// One life, from the start of the process to its end; and where in the log it began.
    async fn live(&mut self) -> (End, u64) {
        let (mut child, leash, log_start) = match self.spawn() {
            Ok(started) => started,
            Err(error) => return (End::NotStarted(error), u64::MAX),
        };
        if let Some(pid) = child.id() {
            // Nobody listens any more once all are to end; the order to do so is what
            // counts then.
            drop(self.events.send(Event::Started { service: self.index, pid }).await);
        }
        let ended = tokio::select! {
            status = child.wait() => Some(status),
            _ = self.orders.wait_for(|order| *order != Order::Run) => None,
        };
        let status = match ended {
            Some(status) => status,
            None => self.end(&mut child).await,
        };
        drop(leash);
        (status.map_or_else(End::NotStarted, End::Ended), log_start)
    }

    fn spawn(&self) -> io::Result<(Child, ChildStdin, u64)> {
        let (log, log_start) = self.log.open()?;
        let mut child = Command::new(&*self.program)
            .args(&self.args)
            // A group of its own: Ctrl-C at the terminal is for `up`, which then ends the
            // services in order.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        // Taken out of the child, as waiting for a child closes its input, by which it
        // would take this process for gone.
        let leash = child.stdin.take().expect("its input is a pipe");
        Ok((child, leash, log_start))
    }

    async fn end(&mut self, child: &mut Child) -> io::Result<ExitStatus> {
        if *self.orders.borrow() == Order::End {
            // It is not waited for yet, so the id is still its own.
            if let Some(pid) = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
                kill_process(pid, Signal::TERM)?;
            }
            tokio::select! {
                status = timeout(END_PATIENCE, child.wait()) => if let Ok(status) = status { return status },
                _ = self.orders.wait_for(|order| *order == Order::Kill) => {}
            }
        }
        child.start_kill()?;
        child.wait().await
    }
}

/// The pause after so many deaths in a row: it doubles up to a bound.
fn pause_after(deaths_in_a_row: u32) -> Duration {
    let doublings = deaths_in_a_row.saturating_sub(1).min(16);
    (FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests;
