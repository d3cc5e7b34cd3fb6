//! Mutants: small wrong versions of Synod, each of which the tests must notice.
//!
//! A test that has never failed proves little. So `tests/mutants` has an entry for each
//! line that upholds an invariant of the design: the line taken out or turned wrong, as a
//! tired person might write it. One command applies them one after another and demands
//! that each is *caught* (mutation testing: DeMillo, Lipton, Sayward, *Hints on Test Data
//! Selection*, 1978). Mutants are chosen by hand and not generated: what matters is not
//! how many lines are covered, but that no promise of the system rests on a line that
//! nothing holds in place.
//!
//! ```text
//! cargo run -p tests --bin synod-mutants                        all of them
//! cargo run -p tests --bin synod-mutants -- NAME…               those with one of these words in their names
//! cargo run -p tests --bin synod-mutants -- --list              what there is
//! cargo run -p tests --bin synod-mutants -- --in SUITE NAME…    would this suite catch it too?
//! cargo run -p tests --bin synod-mutants -- --changed main      those of files that differ from main's
//! cargo run -p tests --bin synod-mutants -- --seconds 600       begins none after ten minutes, and says which are left
//! cargo run -p tests --bin synod-mutants -- --here              in this checkout, with what it has built
//! ```
//!
//! **A mutant** ([`mutant`]) is an entry in a file of `tests/mutants`, one file for each
//! crate:
//!
//! ```toml
//! [[mutant]]
//! name = "lower-ballot-accepted"
//! why = "What is taken out, and what goes wrong then."
//! caught_by = ["acceptor", "simulation"]
//! [[mutant.edit]]
//! file = "acceptor/src/acceptor.rs"
//! find = "if self.promised > Some(ballot) {"
//! replace = "if false {"
//! ```
//!
//! What is found must stand in the file exactly once, but a formatter may break it into
//! other lines ([`matching`]). *Each* of the [`suite`]s must catch the mutant. One of a
//! core names two where it can: the protocol test that states the rule, and the
//! simulation or the model checker, which know nothing of that rule and find the harm
//! that follows.
//!
//! **The command** ([`campaign`]) works on a copy of the source tree below
//! `target/mutants`, with build artefacts of its own, or with `--here` on the checkout.
//! Before it uses a suite for the first time it runs it *without* any mutant, and goes no
//! further unless it passes: against a suite that fails anyhow, "caught" means nothing. A
//! mutant that does not build is a fault of its entry. It is caught when a test fails *by
//! name* (or a seed with a reason); a suite that only ends badly, or outlasts its time,
//! catches nothing, unless the entry has it in `hangs_in`. A mutant that survives ends the
//! command with an error: it is a missing test.
//!
//! **The gate.** An entry rots when the code under it changes.
//! `cargo test -p tests --lib mutants::` (and so every `cargo test --workspace`) asks
//! whether each still fits, is complete and has a name of its own.

pub mod campaign;
pub mod changed;
pub mod matching;
pub mod mutant;
pub mod report;
pub mod shell;
pub mod suite;
pub mod tree;

#[cfg(test)]
mod tests;
