//! Runs a checker to the end, prints what it saw, and fails with the shortest path to
//! whatever is wrong.

use std::any::Any;
use std::fmt::Debug;
use std::hash::Hash;

use stateright::{Checker, Expectation, HasDiscoveries, Model};

/// A state that can say what is wrong with it.
pub(crate) trait Broken {
    /// What a core said that is not so, or of what it died; empty if nothing is wrong.
    fn broken(&self) -> String;
}

/// Explores everything and judges all properties. Breadth first, so that a counterexample
/// is a shortest one.
#[expect(clippy::print_stdout, reason = "the counts are the report of a model checker")]
pub(crate) fn explore<M>(name: &str, model: M)
where
    M: Model + Send + Sync + 'static,
    M::State: Broken + Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq,
{
    let checker = model.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let (states, transitions, depth) =
        (checker.unique_state_count(), checker.state_count(), checker.max_depth());
    println!("{name}: {states} states, {transitions} transitions, depth {depth}");
    for property in checker.model().properties() {
        let found = checker
            .discovery(property.name)
            .map(|path| (path.last_state().broken(), path.into_actions()));
        match (property.expectation, found) {
            (Expectation::Always | Expectation::Eventually, Some((broken, actions))) => {
                let steps: Vec<String> =
                    actions.iter().map(|action| format!("  {action:?}")).collect();
                panic!(
                    "{name}: \"{}\" does not always hold, but fails after\n{}\n{broken}",
                    property.name,
                    steps.join("\n")
                );
            }
            (Expectation::Sometimes, None) => {
                panic!("{name}: \"{}\" never holds: the model is too small", property.name)
            }
            (Expectation::Always | Expectation::Eventually, None)
            | (Expectation::Sometimes, Some(_)) => {}
        }
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
        .unwrap_or_else(|| "a panic".to_owned())
}
