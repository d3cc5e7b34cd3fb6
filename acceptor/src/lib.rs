//! The acceptor service: a durable voter, and the cluster's only fixed point.
//!
//! In reading order: [`acceptor`] (the protocol, pure), [`decision`] ("persist before answering", as types), [`limits`] (what
//! it lets in), `invariants` (what always holds).

pub mod acceptor;
pub mod decision;
mod invariants;
pub mod limits;
