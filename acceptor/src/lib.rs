//! The acceptor service: a durable voter, and the cluster's only fixed point.
//!
//! In reading order: [`acceptor`] (the protocol, pure), [`decision`] ("persist before answering", as types), [`limits`] (what
//! it lets in), `invariants` (what always holds).

pub mod acceptor;
pub mod decision;
mod disk;
#[cfg(test)]
mod faults;
mod frame;
mod handle;
mod invariants;
pub mod limits;
mod log;
mod record;
mod recovery;
mod scan;
mod segment;
#[cfg(test)]
mod tests;
mod writer;
