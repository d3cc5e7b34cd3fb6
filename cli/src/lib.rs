//! The `synod` command: every service as a subcommand, a whole cluster with one command,
//! and what people do with a cluster.
//!
//! - `acceptor`, `coordinator`, `replica`, `balancer` run one service; the code is in the
//!   service's own crate.
//! - `up` runs a whole cluster on 127.0.0.1: each service is a child process of this one,
//!   and none outlives it. `demo` does the same for a while, and kills them under load.
//! - `get`, `put`, `delete`, `list`, `watch`, `txn`, `diff`, `rollback`, `compact`, `sql`,
//!   `lease`, `lock`, `log`, `status`, `top`, `endpoints`, `primary`, `ready`,
//!   `import`, `export` speak the HTTP API by way of the crate `client`, and nothing else.
//! - `backup` fetches the whole state as one file, by way of `client`, too; `restore` makes
//!   the data directory of a new cluster of one, and `verify` checks data directories: both
//!   on the disk alone, but for `verify --cluster`.
//! - `pki` keeps a small authority of certificates in a folder, for TLS.
//! - `bench` measures: closed-loop load, and the longest gap in acknowledged writes when
//!   a process is killed.
//!
//! Results go to standard output, everything said *about* them to standard error, so that
//! output can be piped.
//!
//! In reading order: `args` (the command line), `services`, `up`, `demo`, `endpoint`, `output` and
//! `exit` (whom a command asks, how it answers and how it ends), `seconds` (times), `token` (as whom), `verbs`,
//! `status`, `top`, [`tree`], `transfer`, `import`, `export`, `backup`, `restore`, `verify`, `bench`.
#![expect(
    clippy::disallowed_methods,
    reason = "all of this crate is shell: it reads clocks, draws jitter and starts tasks"
)]

mod args;
mod backup;
mod bench;
mod console;
mod demo;
mod endpoint;
mod exit;
mod export;
mod import;
mod output;
mod pki;
mod restore;
mod seconds;
mod services;
mod signals;
mod status;
mod token;
mod top;
mod transfer;
pub mod tree;
mod trust;
mod up;
mod verbs;
mod verify;

pub use args::main;
