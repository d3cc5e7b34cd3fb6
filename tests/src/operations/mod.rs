//! What clients ask for and what they hear, in one vocabulary: the simulation, the tests
//! of services and both checkers of [`linearizability`](crate::linearizability) share it.
//!
//! Whoever adds an operation adds one arm in each of these:
//!
//! | file | says of an operation |
//! | --- | --- |
//! | `call` | what it names and on which condition |
//! | [`generate`] | how a client makes one up, and what it remembers of the answer |
//! | `reference` | what it does to a store that executes one after the other |
//! | [`command`] | how it stands in the replicated log, and what executing it comes to |
//! | [`http`] | how it is asked for over HTTP, and what an answer says |
//! | `linearizability::key` | what it does to one key, whatever it does to others |
//! | `linearizability::witness` | which answers are of it |
//!
//! What is in a transaction stands in `transaction`, `command::transaction` and
//! `http::transaction`; what is asked of leases and locks in `tenure` and `command::tenure`, and
//! of tokens and policies in `access` and `command::access`.
//!
//! The brute force that the checkers are compared with has words of its own, on purpose.

pub mod access;
mod call;
mod history;
mod listing;
mod reference;
mod tenure;
mod transaction;
mod value;

pub mod command;
pub mod generate;
pub mod http;

pub use access::{AccessAnswer, AccessCall, AccessDeed, Permissions};
pub use call::{Call, Consistency, Guard, Key};
pub use history::{Answer, Operation, OperationId, Outcome, Seen, Time};
pub use listing::{Listing, Order, Page};
pub use reference::{Change, Executed, Reference, Version};
pub use tenure::{Holder, Place, Tenure, TenureAnswer, TenureCall};
pub use transaction::{Effect, Step, StepResult, Taken, Transaction, effect, read_only};
pub use value::Value;
