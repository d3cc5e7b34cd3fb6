//! What the suites beside this crate share: clusters of real processes, clusters of simulated ones, and the checkers of what
//! clients saw of either.

pub mod decoders;
pub mod harness;
pub mod linearizability;
pub mod simulation;
