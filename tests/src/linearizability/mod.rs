//! Were the answers that clients got those of one machine that does one thing at a time?
//!
//! A history is linearizable (Herlihy & Wing 1990, section 2) when every operation can be
//! put at one instant between its call and its answer so that the answers are those of a
//! sequential store. Two checkers look at a history of
//! [operations](crate::operations), for different reasons:
//!
//! - [`key`]: knows nothing of how Synod works. It searches, key by key, for an order
//!   that explains what clients saw: the just-in-time search of Lowe (*Testing for
//!   linearizability*, 2017, section 4) over Wing & Gong's tree (1993). An unresolved
//!   operation, one whose outcome its client never learnt, may take effect at any time
//!   after its call, or never.
//! - [`witness`]: takes the replicated log for the order and proves it in O(n log n),
//!   across keys. Every answer names a revision, so there is nothing to search: replay
//!   the log, compare each answer with the state at its revision, and check that the
//!   order of revisions does not contradict the order of time.
//!
//! The first would catch a wrong log, the second scales to whole histories, knows double
//! executions from single ones, and alone sees that the keys of a listing are those
//! of one state and that a read at a revision shows that revision. Neither explains a
//! violation beyond naming the operation at which it shows.

pub mod key;
pub mod witness;

#[cfg(test)]
mod brute_force;
#[cfg(test)]
mod known_bad;
