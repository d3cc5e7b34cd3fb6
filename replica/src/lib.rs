//! The replica service: a learner that executes the chosen log into SQLite, and serves
//! it. One of them is the primary: it takes mutations, has them proposed in batches, and
//! answers what executing them came to. All of them serve linearizable reads.
//!
//! ```text
//!             ┌──────────────── driver: owns the pure replica, does what it says ───────────────┐
//! client ───▶ http ──Message──▶ replica ──Effect──▶ calls ──▶ coordinators, acceptors, replicas │
//!             │   ◀──Answer──── (pure)  ──Execute─▶ executor ──▶ store: one writer, many readers │
//!             └──────────────── reads, once released ──────────────────────────▶ ┘
//! ```
//!
//! In reading order: [`machine`] (what a log means: commands, executing, outcomes; pure),
//! [`replica`] (who executes what when, and who is answered; pure), [`store`] (SQLite),
//! `watch` (who follows what is executed), [`http`] (the client API), [`sql`] (queries to
//! read), [`snapshot`] (the whole state as one file), `verification` (whether all replicas have
//! the same state), `driver` (performs the core's effects), `leading` (the coordinator that
//! leads), `switch_over` (another primary is asked of it), `change_acceptors` (so are other
//! acceptors), `followed` (which acceptors have followed those of the flags), `metrics`,
//! `args`, `auth`, `jwt` (others that say who asks), `run`.
//!
//! Deliberately absent: a cache beside SQLite, because its page cache is one; votes,
//! because a replica has none: what is chosen is what acceptors say; any decision in the
//! shell.

pub mod machine;
pub mod replica;

pub mod store;

mod watch;

pub mod http;

pub mod sql;

pub mod snapshot;

mod verification;

mod driver;
mod metrics;

mod leading;
mod switch_over;

mod change_acceptors;
mod followed;

mod args;
mod auth;
pub mod jwt;
mod run;

#[cfg(test)]
mod tests;

pub use args::Args;
pub use run::run;
pub use verification::diverged;
