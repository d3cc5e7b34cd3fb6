//! A service's process, from its flags to its exit code.
#![expect(clippy::disallowed_methods, reason = "the shell starts tasks")]

use std::future::Future;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Resource;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::causes::causes;
use crate::config::{AcceptorsError, AdvertiseError, BaseUrl, ServiceArgs};
use crate::datadir::DataDirError;
use crate::ids::{Instance, Name};
use crate::message::{Member, Service};
use crate::metrics::Metrics;
use crate::server::{Admission, AllowedHosts, Files, Limits, connections_within};
use crate::status::Identity;
use crate::tls::{self, Tls, TlsError};
use crate::{client, random, server, telemetry};

/// How long tasks may take to end once the service's own future has ended.
const RUNTIME_SHUTDOWN: Duration = Duration::from_secs(1);

/// How long the log of a panic may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The exit code after a panic (EX_SOFTWARE of sysexits.h).
pub const PANICKED: u8 = 70;

/// The exit code when the service cannot run as it is told, so that starting it again
/// will not help (EX_CONFIG of sysexits.h).
pub const MISCONFIGURED: u8 = 78;

/// A service cannot go on as it is, and starting it again will not help: it ends with
/// [`MISCONFIGURED`].
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Misconfigured(pub String);

/// The exit code of a replica that was taken out of the cluster for good: its data has no use
/// any more, starting it again will not help, and the cluster goes on without it.
pub const REMOVED: u8 = 79;

/// A service was taken out of the cluster for good: it ends with [`REMOVED`].
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Removed(pub String);

/// A service is to begin anew as another life of itself: its process does, in the same place.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BeginAnew(pub String);

/// The exit code when what a service holds on disk does not read back (EX_DATAERR):
/// somebody must restore or replace it, and the others may do without it meanwhile.
pub const DAMAGED: u8 = 65;

/// What a running service knows of itself.
#[derive(Debug)]
pub struct Running {
    /// What it is.
    pub service: Service,
    /// Its name.
    pub name: Name,
    /// This life of its process.
    pub instance: Instance,
    /// Bound; not accepting yet.
    pub listener: TcpListener,
    /// The same, for the other services alone, where they have an address of their own.
    pub internal: Option<TcpListener>,
    /// Where others reach it.
    pub url: BaseUrl,
    /// With what it listens and calls others, where it does so with TLS.
    pub tls: Option<Arc<Tls>>,
    /// Under which names it is asked.
    pub hosts: AllowedHosts,
    /// What its server takes on.
    pub limits: Limits,
    /// For `GET /v1/status`.
    pub identity: Identity,
    /// For `GET /metrics`.
    pub metrics: Metrics,
    /// Cancelled when the service is to end.
    pub shutdown: CancellationToken,
}

impl Running {
    /// Reads what TLS takes, and binds the service's address. All calls of this process are
    /// made so from then on.
    ///
    /// # Errors
    /// When what TLS takes is not as it must be, the address cannot be listened on, or it is
    /// not known where others reach it.
    pub fn bind(
        service: Service,
        args: &ServiceArgs,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Self> {
        let name = args.name(service);
        let files = args.tls.files(service)?;
        let tls = files.map(|files| Tls::load(files, service, &name)).transpose()?;
        if let Some(tls) = &tls {
            tls.calls().set_of_process();
            tls::listens();
        }
        if service == Service::Balancer && args.listen_internal.is_some() {
            let why = "a balancer has nothing that services ask it for: leave out \
                       --listen-internal (SYNOD_LISTEN_INTERNAL)";
            return Err(Misconfigured(why.to_owned()).into());
        }
        let listen = |address| -> anyhow::Result<(TcpListener, SocketAddr)> {
            let listener =
                listen(address).with_context(|| format!("cannot listen on {address}"))?;
            let bound = listener.local_addr().context("the address that was bound")?;
            Ok((listener, bound))
        };
        let (listener, bound) = listen(args.listen_address(service))?;
        let (internal, for_services) = match args.listen_internal {
            Some(address) => listen(address).map(|(listener, bound)| (Some(listener), bound))?,
            None => (None, bound),
        };
        let url = args.advertised(tls::scheme(tls.as_ref()), for_services)?;
        let hosts = AllowedHosts::of(bound.ip(), &url, &args.allowed_hosts);
        let wanted = usize::try_from(args.max_connections).unwrap_or(usize::MAX);
        let connections = connections_within(wanted, files_of(service));
        let limits = Limits { connections, ..Limits::default() };
        let identity = Identity::new(service, name.clone()).in_zone(args.zone.clone());
        let (instance, metrics) = (random::instance(), Metrics::new(service, &name));
        let running = Self {
            service,
            name,
            instance,
            listener,
            internal,
            url,
            tls,
            hosts,
            limits,
            identity,
            metrics,
            shutdown,
        };
        Ok(running)
    }

    /// The rules for requests.
    #[must_use]
    pub fn admission(&self) -> Admission {
        Admission::new(self.limits, self.hosts.clone()).with_tls(self.tls.clone())
    }

    /// Looks after what TLS takes until the service ends.
    fn keep_tls(&self) {
        let Some(tls) = self.tls.clone() else { return };
        let shutdown = self.shutdown.clone();
        tokio::spawn(async move {
            if let Err(error) = tls::keep_current(tls, shutdown).await {
                tracing::error!(%error, "certificates that change are not read again");
            }
        });
    }

    /// Says once who may ask what the services ask each other, where that is everybody and the
    /// operator does not say so (`--insecure`). A balancer is there for everybody.
    fn warn_of_strangers(&self) {
        let knows_services = self.tls.as_ref().is_some_and(|tls| tls.knows_services());
        let for_services = self.internal.as_ref().unwrap_or(&self.listener);
        let is_open = for_services.local_addr().is_ok_and(|bound| !bound.ip().is_loopback());
        if is_open && !knows_services && self.service != Service::Balancer {
            tracing::warn!(
                "whoever reaches {} owns the cluster: keep it to the cluster's own network, and \
                 say so (--insecure), or have services prove who they are (--tls-client-ca): from the \
                 next format on it takes one of the two to start",
                self.url
            );
        }
    }

    /// As it announces itself to the acceptors.
    #[must_use]
    pub fn member(&self) -> Member {
        Member {
            name: self.name.clone(),
            service: self.service,
            url: self.url.to_string(),
            instance: self.instance,
        }
    }
}

/// A balancer passes every request on, and a replica the mutations that it cannot take.
fn files_of(service: Service) -> Files {
    match service {
        Service::Balancer | Service::Replica => Files::Two,
        Service::Acceptor | Service::Coordinator => Files::One,
    }
}

/// Connections that wait to be accepted: as many as a server takes on, so that a burst is
/// answered and not left waiting.
const BACKLOG: u32 = 4_096;

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A service comes back on its port while connections of its former life are still
    // timing out.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Runs a service: telemetry, runtime, signals, then `run` until it ends. SIGTERM or
/// SIGINT cancels [`Running::shutdown`]; a second one ends the process at once.
pub fn main<F, Fut>(service: Service, args: &ServiceArgs, run: F) -> ExitCode
where
    F: FnOnce(Running) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let ring_bytes = usize::try_from(args.span_ring_bytes).unwrap_or(usize::MAX);
    let started = telemetry::init(service, &args.name(service), ring_bytes)
        .and_then(|guard| Ok((guard, runtime(args)?)));
    let (guard, runtime) = match started {
        Ok(started) => started,
        Err(error) => return complain(&error),
    };
    exit_after_panics();
    raise_open_files();
    if args.access_log {
        server::log_requests();
    }
    client::introduce(&args.name(service));
    let told = CancellationToken::new();
    let shutdown = told.child_token();
    let result = runtime.block_on(async {
        cancel_on_signals(told.clone())?;
        let running = Running::bind(service, args, shutdown)?;
        tracing::info!(url = %running.url, pid = std::process::id(), instance = %running.instance, "{} starts", running.name);
        if !args.insecure {
            running.warn_of_strangers();
        }
        running.keep_tls();
        run(running).await
    });
    runtime.shutdown_timeout(RUNTIME_SHUTDOWN);
    let code = match result {
        Ok(()) => {
            tracing::info!("{} ends", args.name(service));
            ExitCode::SUCCESS
        }
        Err(error) if error.is::<BeginAnew>() && !told.is_cancelled() => {
            tracing::info!("{} begins anew: {error}", args.name(service));
            drop(guard);
            return begin_anew();
        }
        // It was told to end meanwhile: the next start goes on from here.
        Err(error) if error.is::<BeginAnew>() => {
            tracing::info!("{} ends: {error}", args.name(service));
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!("{} ends: {}", args.name(service), causes(&error));
            exit_code(&error)
        }
    };
    drop(guard);
    code
}

/// Runs the program again in this process, with nothing left of it but its number: whatever
/// was open is closed. Whoever watches the process sees no end.
#[expect(clippy::print_stderr, reason = "the log has ended")]
fn begin_anew() -> ExitCode {
    let mut arguments = std::env::args_os();
    let own_name = arguments.next();
    let again = std::env::current_exe().map(|program| {
        let mut again = Command::new(program);
        again.arg0(own_name.unwrap_or_default()).args(arguments).exec()
    });
    // Whoever starts services anew does it, too.
    let (Ok(error) | Err(error)) = again;
    eprintln!("error: cannot begin anew: {error}");
    ExitCode::FAILURE
}

fn exit_code(error: &anyhow::Error) -> ExitCode {
    let code = match error.downcast_ref() {
        Some(DataDirError::Damaged(_)) => DAMAGED,
        Some(error) if error.is_misconfiguration() => MISCONFIGURED,
        Some(_) => return ExitCode::FAILURE,
        None if error.is::<Removed>() => REMOVED,
        None if error.is::<Misconfigured>()
            || error.is::<AdvertiseError>()
            || error.is::<TlsError>()
            || error.is::<AcceptorsError>() =>
        {
            MISCONFIGURED
        }
        None => return ExitCode::FAILURE,
    };
    ExitCode::from(code)
}

#[expect(clippy::print_stderr, reason = "there is no log yet")]
fn complain(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {}", causes(error));
    ExitCode::FAILURE
}

fn runtime(args: &ServiceArgs) -> anyhow::Result<Runtime> {
    let mut builder = match args.worker_threads.get() {
        1 => Builder::new_current_thread(),
        threads => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
    };
    builder.enable_all().build().context("cannot start the async runtime")
}

fn cancel_on_signals(shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    tokio::spawn(async move {
        loop {
            let (signal, number) = tokio::select! {
                _ = terminate.recv() => ("SIGTERM", 15),
                _ = interrupt.recv() => ("SIGINT", 2),
            };
            if shutdown.is_cancelled() {
                tracing::warn!("a second signal ({signal}): ending at once");
                std::process::exit(128 + number);
            }
            tracing::info!("{signal}: ending");
            shutdown.cancel();
        }
    });
    Ok(())
}

/// A panic is a broken invariant: nothing that this process says afterwards can be
/// trusted, not even an error about the request at hand. So it is logged, and the process
/// exits with [`PANICKED`] before anything else is said. Callers see a connection that
/// broke, which is what `outcome: unknown` means to them, as after any other crash.
fn exit_after_panics() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // Logging may hang where the panic came from logging; the exit must not.
        std::thread::spawn(|| {
            std::thread::sleep(LAST_WORDS);
            std::process::exit(i32::from(PANICKED));
        });
        default(info);
        tracing::error!("broken invariant: {info}");
        std::process::exit(i32::from(PANICKED));
    }));
}

/// As many open files as the system grants: each connection is one.
fn raise_open_files() {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = rustix::process::setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "cannot raise the limit on open files");
    }
}
