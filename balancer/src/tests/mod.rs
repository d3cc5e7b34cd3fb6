//! The whole balancer on real sockets, in front of replicas that do what a test tells
//! them to.

mod failures;
mod fake;
mod forwarding;
mod harness;
mod health;
mod hedging;
mod limits;
mod operator;
mod own;
mod repeats;
mod successor;
mod waiting;
mod watching;
