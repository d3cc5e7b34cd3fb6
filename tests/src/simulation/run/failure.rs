//! Why a run failed, and whether another one failed for the same reason.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::panic::{self, AssertUnwindSafe, Location, catch_unwind};
use std::sync::Once;

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of reason.
    pub kind: FailureKind,
    /// In words, with the values.
    pub text: String,
}

/// What went wrong; two runs with the same one failed for the same reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// An assertion of a core, of a shell or of the observer did not hold: where it
    /// stands. Its text would not do, since it has values in it that differ from run to
    /// run.
    Broken {
        /// File and line.
        at: String,
    },
    /// All was healed, and yet something did not come to an end.
    Stuck,
    /// More events than any run needs: messages beget messages.
    Storm,
    /// What clients heard cannot be explained by the chosen log.
    Witness,
    /// What clients heard of one key cannot be put in any order.
    Order,
}

impl Failure {
    /// A failure that is no panic.
    #[must_use]
    pub fn new(kind: FailureKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            FailureKind::Broken { at } => write!(f, "{} ({at})", self.text),
            FailureKind::Stuck | FailureKind::Storm | FailureKind::Witness | FailureKind::Order => {
                f.write_str(&self.text)
            }
        }
    }
}

thread_local! {
    /// While a run is watched: where it panicked last.
    static WATCHED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Does something that may panic. Its panic is not printed, but comes back with the place
/// where it happened.
///
/// # Errors
/// When it panicked.
pub fn watch<T>(work: impl FnOnce() -> T) -> Result<T, Failure> {
    static HOOKED: Once = Once::new();
    HOOKED.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let is_watched = WATCHED.with_borrow_mut(|at| {
                let is_watched = at.is_some();
                if is_watched {
                    *at = Some(info.location().map_or_else(String::new, place));
                }
                is_watched
            });
            if !is_watched {
                before(info);
            }
        }));
    });
    WATCHED.set(Some(String::new()));
    let result = catch_unwind(AssertUnwindSafe(work));
    let at = WATCHED.take().unwrap_or_default();
    result.map_err(|panic| Failure::new(FailureKind::Broken { at }, words(&*panic)))
}

fn place(location: &Location<'_>) -> String {
    format!("{}:{}", location.file(), location.line())
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "a panic".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(value: u64) -> Failure {
        watch(|| assert_eq!(value, 0, "invariant: a value")).expect_err("it panics")
    }

    #[test]
    fn one_assertion_is_one_reason_whatever_its_values_and_another_one_is_another() {
        let (one, same) = (broken(1), broken(2));
        assert_ne!(one.text, same.text);
        assert_eq!(one.kind, same.kind);
        let other = watch(|| assert_eq!(1, 0, "invariant: a value")).expect_err("it panics");
        assert_ne!(one.kind, other.kind);
        assert!(
            one.to_string().contains("invariant: a value")
                && one.to_string().contains("failure.rs"),
            "{one}"
        );
    }

    #[test]
    fn what_does_not_panic_comes_back() {
        assert_eq!(watch(|| 7), Ok(7));
    }
}
