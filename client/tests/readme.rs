//! The README shows the example that the services' tests run.

#[test]
fn the_readme_shows_the_example_as_it_is() {
    let readme = include_str!("../README.md");
    let example = include_str!("../examples/tour.rs");
    let shown = format!("```rust,no_run\n{example}```\n");
    assert!(readme.contains(&shown), "it has to hold this:\n{shown}");
}
