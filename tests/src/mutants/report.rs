//! What became of the mutants, for people.

use std::fmt;
use std::time::Duration;

/// What a suite made of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A test failed: which, and what it said.
    Caught(String),
    /// It outlasted its time, and its entry says so.
    CaughtHanging,
    /// All tests passed: one is missing.
    Survived,
    /// It outlasted its time, and nobody said that it would.
    Hung,
    /// It failed, but no test did.
    Unclear,
    /// It does not build.
    Broken,
}

/// One mutant in one suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which mutant.
    pub mutant: String,
    /// Which suite.
    pub suite: String,
    /// What came of it.
    pub verdict: Verdict,
    /// How long it took to find out, without building.
    pub took: Duration,
    /// How long building took.
    pub built: Duration,
}

/// All findings of a run of the command.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Each mutant that was tried, in each suite that is to catch it.
    pub found: Vec<Finding>,
    /// The names of those for which no time was left.
    pub not_tried: Vec<String>,
}

impl Verdict {
    /// Whether it is what was demanded.
    #[must_use]
    pub fn is_caught(&self) -> bool {
        match self {
            Self::Caught(_) | Self::CaughtHanging => true,
            Self::Survived | Self::Hung | Self::Unclear | Self::Broken => false,
        }
    }
}

impl Findings {
    /// Those that are not what was demanded.
    #[must_use]
    pub fn failures(&self) -> Vec<&Finding> {
        self.found.iter().filter(|finding| !finding.verdict.is_caught()).collect()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caught(by) => f.write_str(&shorten(by)),
            Self::CaughtHanging => f.write_str("it hangs, as its entry says"),
            Self::Survived => f.write_str("SURVIVED"),
            Self::Hung => f.write_str("HUNG: it outlasted its time"),
            Self::Unclear => f.write_str("UNCLEAR: it ended badly, and no test failed"),
            Self::Broken => f.write_str("BROKEN: it does not build"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mutant, suite, verdict, took, built } = self;
        write!(f, "| {mutant} | {suite} | {verdict} | {} | {} |", took.as_secs(), built.as_secs())
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| mutant | suite | what caught it | seconds | to build |\n| --- | --- | --- | ---: | \
             ---: |"
        )?;
        self.found.iter().try_for_each(|finding| writeln!(f, "{finding}"))?;
        if !self.not_tried.is_empty() {
            let names = self.not_tried.join(", ");
            writeln!(f, "\nNOT TRIED, for want of time: {} ({names})", self.not_tried.len())?;
        }
        Ok(())
    }
}

/// The most that a cell of the table holds. Characters.
const CELL: usize = 160;

fn shorten(text: &str) -> String {
    let text = text.replace('|', "/");
    if text.chars().count() <= CELL {
        text
    } else {
        text.chars().take(CELL - 1).chain(['…']).collect()
    }
}
