//! Model checking: every behaviour of small clusters of the real cores, by stateright.
//!
//! No core is described a second time here. A state holds clones of the very
//! [`Acceptor`](acceptor::acceptor::Acceptor)s,
//! [`Coordinator`](coordinator::coordinator::Coordinator)s and replicas that the services
//! run; a transition hands one of them one input. What the model adds is the world around
//! them, in its worst form:
//!
//! - **The network** is the set of all messages ever sent. Any of them arrives at any
//!   time, any number of times, in any order, or never: loss, delay, duplication and
//!   reordering need no actions of their own (as in Lamport's TLA+ specification of
//!   Paxos).
//! - **Time** stands still, and every time-out is zero: a timer fires whenever the model
//!   likes, or never. Polls of acceptors, which only decide *when* somebody stands for
//!   election, shrink to one action: stand, with what some quorum of acceptors says now,
//!   or with what it said at the very beginning.
//! - **A crash** comes between deciding and syncing, and between syncing and answering.
//!
//! Acceptors are alike, so states that differ only in which acceptor is which count as
//! one (see `consensus/digest.rs`). The counts printed are of states after this
//! reduction; run with `--nocapture` to see them.
//!
//! What finite models cannot say: more acceptors, ballots, slots and values than they
//! have. The simulation goes there, at random.
//! ```text
//! cargo test --profile sim -p tests --test model -- --nocapture                      a minute; `.ci/run` does it, less optimised
//! cargo test --profile sim -p tests --test model -- --nocapture --include-ignored    the larger scopes too, as in `.ci/long`: many minutes
//! ```

mod check;
mod cluster;
mod consensus;
mod execution;
mod memo;
mod primaries;
mod reads;
