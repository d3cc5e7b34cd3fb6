//! `synod-acceptor`: one acceptor as a process of its own.

use std::process::ExitCode;

use clap::Parser;
use shared::message::Service;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A durable voter of a Synod cluster.
#[derive(Parser)]
#[command(name = "synod-acceptor", version)]
struct Command {
    #[command(flatten)]
    args: acceptor::Args,
}

fn main() -> ExitCode {
    let Command { args } = Command::parse();
    let service = args.service.clone();
    shared::service::main(Service::Acceptor, &service, |running| acceptor::run(args, running))
}
