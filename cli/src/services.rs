//! One service in this process: its crate's `run`, under the set-up that all services
//! share.

use std::io;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use shared::config::ServiceArgs;
use shared::message::Service;
use shared::service::Running;

use crate::console;

/// How long an orphan may take to end by itself.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(5);
/// The exit code of an orphan that did not.
const EXIT_ORPHANED: i32 = 75;

/// A service's own flags, and one for `synod up`.
#[derive(clap::Args)]
pub(crate) struct ServiceCommand<A: clap::Args> {
    #[command(flatten)]
    args: A,
    /// End when standard input does
    #[arg(long, hide = true)]
    exit_with_parent: bool,
}

/// Runs a service to its end.
pub(crate) fn main<A, F, Fut>(
    service: Service,
    command: ServiceCommand<A>,
    common: fn(&A) -> &ServiceArgs,
    run: F,
) -> ExitCode
where
    A: clap::Args,
    F: FnOnce(A, Running) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let ServiceCommand { args, exit_with_parent } = command;
    if exit_with_parent && let Err(error) = end_with_parent() {
        console::warn(format_args!("synod: cannot watch the parent process: {error}"));
        return ExitCode::FAILURE;
    }
    let common = common(&args).clone();
    shared::service::main(service, &common, |running| run(args, running))
}

/// Takes the end of standard input for SIGTERM: it is a pipe whose other end only the
/// parent holds, so it ends with the parent, also when that is killed.
fn end_with_parent() -> io::Result<()> {
    let watch = || {
        // Nothing is ever sent; an error says as clearly as the end that nobody is there.
        drop(io::copy(&mut io::stdin().lock(), &mut io::sink()));
        if kill_process(getpid(), Signal::TERM).is_ok() {
            thread::sleep(ORPHAN_PATIENCE);
        }
        std::process::exit(EXIT_ORPHANED);
    };
    thread::Builder::new().name(String::from("parent")).spawn(watch).map(drop)
}
