//! The gate: no patch has gone stale. And the reading of patches and of what suites
//! print.

use std::path::{Path, PathBuf};

use super::patch::{Mutant, PatchError};
use super::suite::{Suite, first_failure};
use super::tree::check;

/// Fewer would be a sign that some were lost.
const AT_LEAST: usize = 30;

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[test]
fn every_mutant_is_complete_and_still_applies() {
    let mutants = Mutant::all(workspace()).unwrap();
    assert!(
        mutants.len() >= AT_LEAST,
        "{} mutants, and there should be at least {AT_LEAST}",
        mutants.len()
    );
    let stale: Vec<String> = mutants
        .iter()
        .filter_map(|mutant| check(workspace(), &mutant.path).err())
        .map(|e| e.to_string())
        .collect();
    assert!(stale.is_empty(), "patches that do not apply any more:\n{}", stale.join("\n"));
    for mutant in &mutants {
        for file in &mutant.files {
            assert!(
                workspace().join(file).is_file(),
                "{}: there is no {}",
                mutant.name,
                file.display()
            );
            assert!(
                !is_test(file),
                "{}: a mutant leaves the tests alone: {}",
                mutant.name,
                file.display()
            );
        }
    }
}

/// Below a folder or in a file of tests; the checkers and the harness, in `tests/src`,
/// are none.
fn is_test(file: &Path) -> bool {
    let below = file.strip_prefix("tests/src").unwrap_or(file);
    below.with_extension("").components().any(|part| part.as_os_str() == "tests")
}

#[test]
fn a_patch_that_does_not_apply_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("one.rs"), "fn one() {}\n").unwrap();
    let patch = folder.path().join("wrong.patch");
    let diff = |old: &str| {
        format!(
            "Why.\nCaught-by: acceptor\n\ndiff --git a/one.rs b/one.rs\n--- a/one.rs\n+++ b/one.rs\n@@ -1 +1 @@\n-{old}\n+fn two() {{}}\n"
        )
    };
    std::fs::write(&patch, diff("fn one() {}")).unwrap();
    check(folder.path(), &patch).unwrap();
    std::fs::write(&patch, diff("fn uno() {}")).unwrap();
    assert!(check(folder.path(), &patch).unwrap_err().to_string().contains("does not apply"));
}

#[test]
fn a_mutant_says_what_is_wrong_who_catches_it_and_what_it_changes() {
    let text = "Two lines\nof words.\nCaught-by: acceptor, faults kill\nCaught-by: model\nHangs-in: model\n\n\
        diff --git a/one.rs b/one.rs\n--- a/one.rs\n+++ b/one.rs\n@@ -1 +1 @@\n-a\n+b\n";
    let path = PathBuf::from("folder/what-is-wrong.patch");
    let expected = Mutant {
        name: "what-is-wrong".to_owned(),
        path: path.clone(),
        about: "Two lines of words.".to_owned(),
        caught_by: vec![Suite::Crate("acceptor"), Suite::Faults("kill".to_owned()), Suite::Model],
        hangs_in: vec![Suite::Model],
        files: [PathBuf::from("one.rs")].into(),
    };
    assert_eq!(Mutant::parse(&path, text).unwrap(), expected);

    let without = |part: &str| Mutant::parse(&path, &text.replace(part, ""));
    assert!(matches!(without("Two lines\nof words.\n"), Err(PatchError::NoAbout(_))));
    assert!(matches!(
        without("Caught-by: acceptor, faults kill\nCaught-by: model\n"),
        Err(PatchError::NoSuite(_))
    ));
    assert!(matches!(without("+++ b/one.rs\n"), Err(PatchError::NoDiff(_))));
    assert!(matches!(
        Mutant::parse(&path, &text.replace("faults kill", "faults")),
        Err(PatchError::Suite { .. })
    ));
}

#[test]
fn a_suite_goes_by_its_name() {
    for name in [
        "acceptor",
        "balancer",
        "linearizability",
        "simulation",
        "model",
        "faults pause",
        "services up",
    ] {
        assert_eq!(name.parse::<Suite>().unwrap().to_string(), name);
    }
}

#[test]
fn of_what_failed_the_first_test_is_named_with_its_reason() {
    let output = "\
        running 2 tests\n\
        test one ... ok\n\
        test two ... FAILED\n\
        \n\
        failures:\n\
        \n\
        ---- two stdout ----\n\
        \n\
        thread 'two' (12) panicked at acceptor/src/invariants.rs:41:9:\n\
        a watermark went back\n\
        note: run with `RUST_BACKTRACE=1`\n\
        \n\
        failures:\n    two\n";
    assert_eq!(first_failure(output).as_deref(), Some("two: a watermark went back"));
    let simulated =
        "seeds from 1 on\nseed 7: invariant: promises rise\n    SYNOD_SEED=7 …\nseed 9: more\n";
    assert_eq!(first_failure(simulated).as_deref(), Some("seed 7: invariant: promises rise"));
    assert_eq!(first_failure("error: could not compile `acceptor`"), None);
}
