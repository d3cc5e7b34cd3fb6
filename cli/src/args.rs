//! The command line, and which part of the crate each command is.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches as _, Parser, Subcommand};
use clap_complete::Shell;
use shared::message::Service;

use crate::services::ServiceCommand;
use crate::{
    backup, bench, demo, exit, export, import, output, pki, restore, services, status, token, top,
    trust, up, verbs, verify,
};

/// A key-value store and a replicated log over HTTP that loses no acknowledged write.
///
/// `synod up` runs a whole cluster on this machine. Every flag can also be given as the
/// environment variable that stands beside it.
#[derive(Parser)]
#[command(name = "synod", version, propagate_version = true, after_long_help = exit::TABLE)]
struct Cli {
    #[command(flatten, next_help_heading = "TLS of whoever asks")]
    trust: trust::Args,
    #[command(flatten, next_help_heading = "Token of whoever asks")]
    token: token::TokenArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a whole cluster on 127.0.0.1, each service as a process of its own
    Up(up::Args),
    /// Kill services of a small cluster under load, one after the other, and say what comes of it
    Demo(demo::Args),

    /// Print the value of a key
    Get(verbs::Get),
    /// Store a value under a key
    Put(verbs::Put),
    /// Delete a key, or all keys with a prefix
    Delete(verbs::Delete),
    /// List keys in byte order
    List(verbs::List),
    /// Follow every change of some keys, and have a command run for each
    Watch(verbs::Watch),
    /// Do several things as one step, depending on what is there
    Txn(verbs::Txn),
    /// Show how the state at one revision differs from the state at another
    Diff(verbs::Diff),
    /// Ask a query in SQL, to read
    Sql(verbs::Sql),
    /// Make the keys with a prefix what they were at a revision
    Rollback(verbs::Rollback),
    /// Drop the history before a revision
    Compact(verbs::Compact),
    /// Grant, show, renew and revoke leases
    Lease(verbs::Lease),
    /// Hold a lock while a command runs, or show who holds it
    Lock(verbs::Lock),
    /// Show what Paxos decided, slot by slot
    Log(verbs::Log),
    /// Make, list, show and end the tokens by which a cluster tells who may do what
    Token(verbs::Token),
    /// Put, print, list and delete the policies that say what tokens may do
    Policy(verbs::Policy),
    /// Show who leads, who is primary and how far everyone is
    Status(status::Args),
    /// Show the same on a terminal, second by second, with rates and times
    Top(top::Args),
    /// Show the way of a request, step by step, by its Trace-Id
    Trace(verbs::Trace),
    /// Follow what happens in the cluster
    Events(verbs::Events),
    /// Show which replicas a balancer sends reads to and why; drain and weigh them
    Endpoints(verbs::Endpoints),
    /// Make another replica primary, without a client noticing
    Primary(verbs::Primary),
    /// Put an acceptor into the place of another, or have more of them, or fewer
    Acceptors(verbs::Acceptors),
    /// Take a replica out of the cluster for good, without a client noticing
    Remove(verbs::Remove),
    /// Ask a service whether it is ready; exits with 0 when it is
    Ready(verbs::Ready),

    /// Store all files of a folder, one key each
    Import(import::Args),
    /// Write all keys with a prefix into a folder, one file each
    Export(export::Args),
    /// Fetch the whole state as one SQLite file
    Backup(backup::Args),
    /// Make the data directory of a new cluster of such a file
    Restore(restore::Args),
    /// Check a data directory, or a snapshot, without changing it; or a running cluster
    Verify(verify::Args),
    /// Keep the keys and certificates of a cluster that speaks TLS
    Pki(pki::Args),
    /// Measure a running cluster
    Bench(bench::Args),
    /// Print what a shell needs to complete this command's words
    Completions {
        /// Of which shell
        shell: Shell,
    },

    /// Run one acceptor: a durable voter
    Acceptor(ServiceCommand<acceptor::Args>),
    /// Run one coordinator: the proposer, leading or standing by
    Coordinator(ServiceCommand<coordinator::Args>),
    /// Run one replica: executes the decided log and serves the API
    Replica(ServiceCommand<replica::Args>),
    /// Run one balancer: the front door
    Balancer(ServiceCommand<balancer::Args>),
    /// Carry out the query that a replica hands over on standard input
    #[command(name = replica::sql::WORKER, hide = true)]
    SqlWorker,
}

impl Command {
    /// Whether it is whoever asks a cluster. A service is told otherwise whom it believes, and
    /// `up` believes its own authority; others work on files, which they must do also where
    /// no cluster can be asked.
    fn asks_a_cluster(&self) -> bool {
        !matches!(
            self,
            Self::Up(_)
                | Self::Demo(_)
                | Self::Restore(_)
                | Self::Verify(_)
                | Self::Pki(_)
                | Self::Completions { .. }
                | Self::Acceptor(_)
                | Self::Coordinator(_)
                | Self::Replica(_)
                | Self::Balancer(_)
                | Self::SqlWorker
        )
    }
}

/// The whole command line.
fn command() -> clap::Command {
    output::refused_without(Cli::command())
}

/// Runs the command that the process's arguments name.
#[must_use]
pub fn main() -> ExitCode {
    let parsed = command().try_get_matches().and_then(|matches| {
        Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command()))
    });
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to standard output, a mistake to standard error; neither can be
            // told anyone if that fails.
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    cli.token.remember();
    if cli.command.asks_a_cluster()
        && let Err(error) = cli.trust.apply().and_then(|()| token::read())
    {
        return exit::report(&error);
    }
    match cli.command {
        Command::Acceptor(command) => {
            services::main(Service::Acceptor, command, |args| &args.service, acceptor::run)
        }
        Command::Coordinator(command) => {
            services::main(Service::Coordinator, command, |args| &args.service, coordinator::run)
        }
        Command::Replica(command) => {
            services::main(Service::Replica, command, |args| &args.service, replica::run)
        }
        Command::Balancer(command) => {
            services::main(Service::Balancer, command, |args| &args.service, balancer::run)
        }
        Command::SqlWorker => replica::sql::main(),
        Command::Up(args) => block_on(up::run(args)),
        Command::Demo(args) => block_on(demo::run(args)),
        Command::Get(args) => block_on(verbs::get(args)),
        Command::Put(args) => block_on(verbs::put(args)),
        Command::Delete(args) => block_on(verbs::delete(args)),
        Command::List(args) => block_on(verbs::list(args)),
        Command::Watch(args) => block_on(verbs::watch(args)),
        Command::Txn(args) => block_on(verbs::txn(args)),
        Command::Diff(args) => block_on(verbs::diff(args)),
        Command::Sql(args) => block_on(verbs::sql(args)),
        Command::Rollback(args) => block_on(verbs::rollback(args)),
        Command::Compact(args) => block_on(verbs::compact(args)),
        Command::Lease(args) => block_on(verbs::lease(args)),
        Command::Lock(args) => block_on(verbs::lock(args)),
        Command::Log(args) => block_on(verbs::log(args)),
        Command::Token(args) => block_on(verbs::token(args)),
        Command::Policy(args) => block_on(verbs::policy(args)),
        Command::Status(args) => block_on(status::run(args)),
        Command::Top(args) => block_on(top::run(args)),
        Command::Trace(args) => block_on(verbs::trace(args)),
        Command::Events(args) => block_on(verbs::events(args)),
        Command::Endpoints(args) => block_on(verbs::endpoints(args)),
        Command::Primary(args) => block_on(verbs::primary(args)),
        Command::Acceptors(args) => block_on(verbs::acceptors(args)),
        Command::Remove(args) => block_on(verbs::remove(args)),
        Command::Ready(args) => block_on(verbs::ready(args)),
        Command::Import(args) => block_on(import::run(args)),
        Command::Export(args) => block_on(export::run(args)),
        Command::Backup(args) => block_on(backup::run(args)),
        Command::Restore(args) => block_on(restore::run(args)),
        Command::Verify(args) => block_on(verify::run(args)),
        Command::Pki(args) => pki::run(args).unwrap_or_else(|error| exit::report(&error)),
        Command::Bench(args) => block_on(bench::run(args)),
        Command::Completions { shell } => completions(shell),
    }
}

/// Runs a command to its end on this thread: none of them has work for a second one while
/// a cluster shares the machine.
fn block_on(command: impl Future<Output = anyhow::Result<ExitCode>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome =
        runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(command));
    outcome.unwrap_or_else(|error| exit::report(&error))
}

fn completions(shell: Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "synod", &mut script);
    let written = output::bytes(&script).map(|()| ExitCode::SUCCESS);
    written.unwrap_or_else(|error| exit::report(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn every_flag_is_an_environment_variable_too() {
        fn check(command: &clap::Command) {
            for flag in
                command.get_arguments().filter(|arg| !arg.is_positional() && !arg.is_hide_set())
            {
                let name = flag.get_id().as_str();
                let env = flag.get_env().map(|env| env.to_string_lossy().into_owned());
                let standard = ["help", "version"].contains(&name);
                let named = env
                    .as_deref()
                    .is_some_and(|env| env.starts_with("SYNOD_") || env == "NO_COLOR");
                assert!(
                    standard || named,
                    "{} --{name} has the variable {env:?}",
                    command.get_name()
                );
            }
            command.get_subcommands().for_each(check);
        }
        check(&command());
    }

    #[test]
    fn every_verb_writes_json_or_says_why_it_does_not() {
        fn check(command: &clap::Command, parents: &str, checked: &mut usize) {
            let path = format!("{parents}{}", command.get_name());
            let output = command.get_arguments().find(|arg| arg.get_id() == "output");
            if !command.is_hide_set() && !command.is_subcommand_required_set() {
                let has_none = output::WITHOUT.iter().any(|(name, _)| *name == path);
                let output = output.unwrap_or_else(|| panic!("{path} has no --output"));
                assert_eq!(output.is_hide_set(), has_none, "{path}");
                *checked += 1;
            }
            let parents = format!("{path} ");
            command.get_subcommands().for_each(|command| check(command, &parents, checked));
        }
        let (all, mut checked) = (command(), 0);
        all.get_subcommands().for_each(|command| check(command, "", &mut checked));
        assert!(checked > 50, "only {checked} verbs");
    }

    #[test]
    fn who_asks_for_json_where_there_is_none_is_told_why() {
        for (name, why) in output::WITHOUT {
            for flag in ["--output=json", "-ojson"] {
                let refused = command().try_get_matches_from(["synod", name, flag]).unwrap_err();
                assert!(refused.to_string().contains(why), "{refused}");
            }
        }
    }
}
