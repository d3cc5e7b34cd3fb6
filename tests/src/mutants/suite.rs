//! What may catch a mutant: the test suites by name, how each is built and run, and what
//! it says when it fails.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error as _};

/// A suite of tests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suite {
    /// All tests of a crate; of a service's, its core's protocol tests and its shell's.
    Crate(&'static str),
    /// The checkers of histories on histories that are known to be bad.
    Linearizability,
    /// Simulated clusters under a fixed range of seeds.
    Simulation,
    /// Small clusters, exhaustively.
    Model,
    /// Real processes under faults: the scenarios with this in their names.
    Faults(String),
    /// Real processes: the tests with this in their names.
    Services(String),
}

/// Nothing goes by that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no suite {0:?}: there are acceptor, coordinator, replica, balancer, cli, client, \
     shared, linearizability, simulation, model, \
     `faults TEST` and `services TEST`"
)]
pub struct UnknownSuite(String);

/// A command to be run in the tree: a program, and what it is told.
pub type Command = Vec<String>;

/// The crates whose tests are suites.
const CRATES: [&str; 7] =
    ["acceptor", "balancer", "cli", "client", "coordinator", "replica", "shared"];

const SIMULATOR: &str = "cargo run --locked --quiet --profile sim -p tests --bin synod-sim";

/// Seeds of the simulation: in pieces, each run to its end, so that a mutant that fails
/// early costs little.
const SEEDS: [(u64, u64); 4] = [(1, 30), (31, 170), (201, 300), (501, 500)];

impl Suite {
    /// What builds it, and runs nothing.
    #[must_use]
    pub fn build(&self) -> Command {
        match self {
            Self::Simulation => {
                words("cargo build --locked --profile sim -p tests --bin synod-sim")
            }
            Self::Crate(_)
            | Self::Linearizability
            | Self::Model
            | Self::Faults(_)
            | Self::Services(_) => {
                let mut command = self.cargo_test();
                command.push("--no-run".to_owned());
                command
            }
        }
    }

    /// What runs it, one command after another until one fails.
    #[must_use]
    pub fn runs(&self) -> Vec<Command> {
        match self {
            Self::Simulation => SEEDS
                .iter()
                .map(|(from, runs)| words(&format!("{SIMULATOR} -- --from {from} --runs {runs}")))
                .collect(),
            // Also those that are too long for each change.
            Self::Faults(name) | Self::Services(name) => {
                vec![self.filtered(&["--include-ignored", name])]
            }
            Self::Linearizability => vec![self.filtered(&["linearizability::"])],
            // The tests of a crate in several binaries: the first that fails is enough.
            Self::Crate(_) | Self::Model => vec![self.cargo_test()],
        }
    }

    /// How long a run may take before it counts as hanging: several times what it takes
    /// on two busy cores.
    #[must_use]
    pub fn limit(&self) -> Duration {
        Duration::from_secs(match self {
            Self::Crate(_) | Self::Linearizability => 180,
            Self::Simulation => 420,
            Self::Model | Self::Faults(_) | Self::Services(_) => 600,
        })
    }

    /// Whether `cargo test --workspace` builds it too.
    #[must_use]
    pub fn is_of_cargo_test(&self) -> bool {
        match self {
            Self::Simulation | Self::Model => false,
            Self::Crate(_) | Self::Linearizability | Self::Faults(_) | Self::Services(_) => true,
        }
    }

    fn cargo_test(&self) -> Command {
        words(&match self {
            Self::Crate(name) => format!("cargo test --locked -p {name}"),
            Self::Linearizability => "cargo test --locked -p tests --lib".to_owned(),
            Self::Model => "cargo test --locked --profile sim -p tests --test model".to_owned(),
            Self::Faults(_) => "cargo test --locked -p tests --test faults".to_owned(),
            Self::Services(_) => "cargo test --locked -p tests --test services".to_owned(),
            Self::Simulation => unreachable!("the simulation is run by its own binary"),
        })
    }

    fn filtered(&self, filter: &[&str]) -> Command {
        let mut command = self.cargo_test();
        command.push("--".to_owned());
        command.extend(filter.iter().map(|&word| word.to_owned()));
        command
    }
}

impl FromStr for Suite {
    type Err = UnknownSuite;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if let Some(found) = CRATES.into_iter().find(|found| *found == name) {
            return Ok(Self::Crate(found));
        }
        match name.split_once(' ') {
            Some(("faults", test)) => Ok(Self::Faults(test.trim().to_owned())),
            Some(("services", test)) => Ok(Self::Services(test.trim().to_owned())),
            None if name == "simulation" => Ok(Self::Simulation),
            None if name == "model" => Ok(Self::Model),
            None if name == "linearizability" => Ok(Self::Linearizability),
            Some(_) | None => Err(UnknownSuite(name.to_owned())),
        }
    }
}

impl<'de> Deserialize<'de> for Suite {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crate(name) => f.write_str(name),
            Self::Linearizability => f.write_str("linearizability"),
            Self::Simulation => f.write_str("simulation"),
            Self::Model => f.write_str("model"),
            Self::Faults(test) => write!(f, "faults {test}"),
            Self::Services(test) => write!(f, "services {test}"),
        }
    }
}

/// What failed, in the output of a run that did: the first test by name, or the first
/// seed, and what it said.
#[must_use]
pub fn first_failure(output: &str) -> Option<String> {
    first_failed_seed(output).or_else(|| first_failed_test(output))
}

fn first_failed_seed(output: &str) -> Option<String> {
    let is_failure = |line: &&str| {
        let seed = line.strip_prefix("seed ").and_then(|rest| rest.split_once(": "));
        seed.is_some_and(|(number, _)| number.parse::<u64>().is_ok())
    };
    output.lines().find(is_failure).map(str::to_owned)
}

fn first_failed_test(output: &str) -> Option<String> {
    let failed =
        |line: &str| Some(line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?.to_owned());
    let name = output.lines().find_map(failed)?;
    let reason = words_of(output, &name).unwrap_or_default();
    Some(if reason.is_empty() { name } else { format!("{name}: {reason}") })
}

/// What a failed test said first: the line after the one that says where it panicked.
fn words_of(output: &str, name: &str) -> Option<String> {
    let said = output.split_once(&format!("---- {name} stdout ----"))?.1;
    let said = said.split("\n---- ").next()?;
    let mut lines = said.lines().skip_while(|line| !line.contains("panicked at ")).skip(1);
    match lines.next().map(str::trim).filter(|line| !line.is_empty()) {
        Some(line) => Some(line.to_owned()),
        None => {
            said.lines().map(str::trim).find(|line| line.starts_with("Error: ")).map(str::to_owned)
        }
    }
}

fn words(command: &str) -> Command {
    command.split_whitespace().map(str::to_owned).collect()
}
