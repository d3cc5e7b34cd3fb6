//! The coordinator: the distinguished proposer. One leads (Phase 2), the others stand by (Inactive). It gives every value its
//! slot, has the acceptors vote, and counts; it chooses nothing by itself and keeps nothing on disk.
//!
//! The core does no I/O and reads no clock. In reading order: [`effect`] (what goes in and what comes out), [`coordinator`] (the
//! state machine), [`membership`] with [`membership::formation`] (who the acceptors are), `election` (when to try to lead),
//! [`phase1`] (a quorum's promises and the safe values), `phase2` with `reach` (values in flight), `replicas` and `view_change`
//! (who is primary), [`chosen_window`] and [`recover`] (the chosen log for who fetches it), [`config`] (every limit), [`footprint`] (states told apart, for
//! a model checker).

pub mod effect;

pub mod coordinator;

pub mod membership;

mod election;

pub mod phase1;

mod phase2;
mod reach;

mod replicas;
mod view_change;

pub mod chosen_window;
pub mod recover;

pub mod config;

pub mod footprint;
