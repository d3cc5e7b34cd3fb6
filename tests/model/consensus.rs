//! The coordinators' and acceptors' cores among themselves: does Paxos choose one value
//! per slot, whatever happens?

mod action;
mod candidate;
mod digest;
mod message;
mod properties;
mod scope;
mod scopes;
mod state;
mod step;
mod symmetry;
mod voter;
