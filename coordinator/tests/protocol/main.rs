//! The coordinator's core against the papers: each test restates one sentence, and
//! asserts the whole list of effects.

mod support;

mod ability;
mod bounds;
mod duel;
mod election;
mod invariants;
mod leadership;
mod lost;
mod other_cluster;
mod phase1;
mod phase2;
mod recover;
mod removals;
mod safe_values;
mod succession;
mod switch_over;
mod views;
