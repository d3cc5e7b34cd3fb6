//! The coordinator as a service: real HTTP, real time, acceptors that are stand-ins.
#![expect(clippy::disallowed_methods, reason = "these tests start tasks and read the clock")]

mod acceptor;
mod api;
mod cluster;
mod leading;
