//! The `synod` command against real clusters: what each verb prints for people, pipes and
//! scripts, and how it ends.

mod acceptors;
pub(crate) mod command;
mod endpoints;
mod failover;
mod held;
mod keys;
mod primary;
mod steps;
mod watching;
