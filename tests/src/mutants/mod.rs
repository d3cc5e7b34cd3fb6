//! Mutants: small wrong versions of Synod, each of which the tests must notice.
//!
//! A test that has never failed proves little. So `tests/mutants` keeps one patch for
//! each line that upholds an invariant of the design: the line taken out or turned wrong,
//! as a tired person might write it. One command applies them one after another and
//! demands that each is *caught* (mutation testing: DeMillo, Lipton, Sayward, *Hints on
//! Test Data Selection*, 1978). Mutants are chosen by hand and not generated: what
//! matters is not how many lines are covered, but that no promise of the system rests on
//! a line that nothing holds in place.
//!
//! ```text
//! cargo run -p tests --bin synod-mutants                        all of them
//! cargo run -p tests --bin synod-mutants -- NAME…               those with one of these words in their names
//! cargo run -p tests --bin synod-mutants -- --list              what there is
//! cargo run -p tests --bin synod-mutants -- --in SUITE NAME…    would this suite catch it too?
//! ```
//!
//! **A mutant** ([`patch`]) is a file `tests/mutants/WHAT-IS-WRONG.patch`: a few lines
//! that say what is taken out and what goes wrong then; a line `Caught-by:` with the
//! [`suite`]s that must *each* catch it; and a diff as `git diff` prints it. A mutant of
//! a core names two suites where it can: the protocol test that states the rule, and the
//! simulation or the model checker, which know nothing of that rule and find the harm
//! that follows.
//!
//! **The command** ([`campaign`]) works on a copy of the source tree below
//! `target/mutants`, with build artefacts of its own. It first runs every suite that it
//! is going to use on the copy *without* any mutant and goes no further unless all pass:
//! against a suite that fails anyhow, "caught" means nothing. A mutant that does not
//! build is a fault of the patch. It is caught when a test fails *by name* (or a seed
//! with a reason); a suite that only ends badly, or outlasts its time, catches nothing,
//! unless the patch says `Hangs-in:` of that suite. A mutant that survives ends the
//! command with an error: it is a missing test.
//!
//! **The gate.** A patch rots when the code under it changes.
//! `cargo test -p tests --lib mutants::` (and so every `cargo test --workspace`) asks
//! whether each still applies, whether its header is complete, and whether there are
//! enough.

pub mod campaign;
pub mod patch;
pub mod report;
pub mod shell;
pub mod suite;
pub mod tree;

#[cfg(test)]
mod tests;
