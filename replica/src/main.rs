//! `synod-replica`: one replica as a process of its own.

use std::process::ExitCode;

use clap::Parser;
use shared::message::Service;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A learner that executes the chosen log into SQLite, and serves reads from it; one of
/// them is the primary.
#[derive(Parser)]
#[command(name = "synod-replica", version)]
struct Command {
    #[command(flatten)]
    args: replica::Args,
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(replica::sql::WORKER) {
        return replica::sql::main();
    }
    let Command { args } = Command::parse();
    let service = args.service.clone();
    shared::service::main(Service::Replica, &service, |running| replica::run(args, running))
}
