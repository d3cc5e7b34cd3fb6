//! The gate: every mutant fits the sources. And the reading of entries and of what suites
//! print.

use std::path::{Path, PathBuf};

use super::matching::MatchError;
use super::mutant::{Edit, Mutant, MutantError};
use super::suite::{Suite, first_failure};

/// Fewer would be a sign that some were lost.
const AT_LEAST: usize = 100;

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[test]
fn every_mutant_is_complete_and_fits_the_sources() {
    let mutants = Mutant::all(workspace()).unwrap();
    let count = mutants.len();
    assert!(count >= AT_LEAST, "{count} mutants, and there should be at least {AT_LEAST}");
    let stale: Vec<String> = mutants
        .iter()
        .filter_map(|mutant| mutant.changed_files(workspace()).err())
        .map(|error| error.to_string())
        .collect();
    assert!(stale.is_empty(), "mutants that do not fit any more:\n\n{}", stale.join("\n\n"));
    for mutant in &mutants {
        for file in mutant.files() {
            let (name, file) = (&mutant.name, file.as_path());
            assert!(!is_test(file), "{name}: a mutant leaves the tests alone: {}", file.display());
        }
    }
}

/// Below a folder or in a file of tests; the checkers and the harness, in `tests/src`,
/// are none.
fn is_test(file: &Path) -> bool {
    let below = file.strip_prefix("tests/src").unwrap_or(file);
    below.with_extension("").components().any(|part| part.as_os_str() == "tests")
}

const ENTRY: &str = r#"
[[mutant]]
name = "what-is-wrong"
why = "Some words."
caught_by = ["acceptor", "faults kill"]
hangs_in = ["model"]
[[mutant.edit]]
file = "one.rs"
find = "fn one()"
replace = "fn two()"
"#;

fn parse(text: &str) -> Result<Vec<Mutant>, MutantError> {
    Mutant::parse(Path::new("folder/some.toml"), text)
}

#[test]
fn a_mutant_says_what_is_wrong_who_catches_it_and_what_it_changes() {
    let edit = Edit {
        file: PathBuf::from("one.rs"),
        find: "fn one()".to_owned(),
        replace: "fn two()".to_owned(),
    };
    let expected = Mutant {
        name: "what-is-wrong".to_owned(),
        why: "Some words.".to_owned(),
        caught_by: vec![Suite::Crate("acceptor"), Suite::Faults("kill".to_owned())],
        hangs_in: vec![Suite::Model],
        edits: vec![edit],
    };
    assert_eq!(parse(ENTRY).unwrap(), [expected]);

    let with = |old: &str, new: &str| parse(&ENTRY.replace(old, new)).unwrap_err().to_string();
    assert!(with("Some words.", "").contains("does not say what is taken out"));
    assert!(with(r#"["acceptor", "faults kill"]"#, "[]").contains("does not say which suite"));
    assert!(with("faults kill", "faults").contains("there is no suite \"faults\""));
    assert!(with("replace", "replaces").contains("unknown field"));
}

#[test]
fn two_mutants_of_one_name_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let entries = folder.path().join(super::mutant::FOLDER);
    std::fs::create_dir_all(&entries).unwrap();
    std::fs::write(entries.join("one.toml"), ENTRY).unwrap();
    assert_eq!(Mutant::all(folder.path()).unwrap().len(), 1);
    std::fs::write(entries.join("two.toml"), ENTRY).unwrap();
    assert!(matches!(Mutant::all(folder.path()), Err(MutantError::Twice(_))));
}

#[test]
fn a_mutant_that_does_not_fit_the_sources_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("one.rs");
    let mutant = &parse(ENTRY).unwrap()[0];
    std::fs::write(&source, "fn one() {}\n").unwrap();
    let changed = (PathBuf::from("one.rs"), "fn two() {}\n".to_owned());
    assert_eq!(mutant.changed_files(folder.path()).unwrap(), [changed]);

    std::fs::write(&source, "fn uno() {}\n").unwrap();
    let refused = mutant.changed_files(folder.path());
    assert!(matches!(
        refused,
        Err(MutantError::Match { cause: MatchError::Times { times: 0, .. }, .. })
    ));
    std::fs::remove_file(&source).unwrap();
    assert!(matches!(mutant.changed_files(folder.path()), Err(MutantError::Unreadable { .. })));
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
