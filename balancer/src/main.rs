//! `synod-balancer`: one balancer as a process of its own.

use std::process::ExitCode;

use clap::Parser;
use shared::message::Service;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The front door of a Synod cluster: reads to all replicas in turn, mutations to the
/// primary.
#[derive(Parser)]
#[command(name = "synod-balancer", version)]
struct Command {
    #[command(flatten)]
    args: balancer::Args,
}

fn main() -> ExitCode {
    let Command { args } = Command::parse();
    let service = args.service.clone();
    shared::service::main(Service::Balancer, &service, |running| balancer::run(args, running))
}
