//! What the suites beside this crate share: clusters of real processes, clusters of
//! simulated ones, the checkers of what clients saw of either, and the mutants that test
//! the tests.

pub mod decoders;
pub mod harness;
pub mod linearizability;
pub mod mutants;
pub mod operations;
pub mod random;
pub mod simulation;
