//! `synod-coordinator`: one coordinator as a process of its own.

use std::process::ExitCode;

use clap::Parser;
use shared::message::Service;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A proposer of a Synod cluster: one of them leads, the others stand by.
#[derive(Parser)]
#[command(name = "synod-coordinator", version)]
struct Command {
    #[command(flatten)]
    args: coordinator::Args,
}

fn main() -> ExitCode {
    let Command { args } = Command::parse();
    let service = args.service.clone();
    shared::service::main(Service::Coordinator, &service, |running| coordinator::run(args, running))
}
