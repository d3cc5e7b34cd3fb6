//! The name of a run, by which it is replayed: a seed, and which parts of its plan to
//! keep.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::Plan;
use super::faults::FaultKind;
use crate::simulation::environment::network::{Cut, Weather};
use crate::simulation::nodes::process::NodeId;

/// The name of a run.
///
/// As text `SEED`, or `SEED/FAULTS/LENGTH/CLIENTS/WEATHER` with the numbers of the faults
/// that are kept, by commas, the length of the safety phase in milliseconds, how many
/// clients there are, and `drawn` or `calm`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunName {
    /// The seed.
    pub seed: u64,
    /// What a shortened run keeps.
    pub kept: Option<Kept>,
}

/// What a shortened run keeps of its plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The numbers of its faults, ascending.
    pub faults: Vec<usize>,
    /// The length of its safety phase.
    pub length: Duration,
    /// How many of its clients.
    pub clients: u8,
    /// What the network does to messages when no fault changes it.
    pub weather: KeptWeather,
}

/// How the network is at first, in a shortened run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptWeather {
    /// As its seed has it.
    Drawn,
    /// It works: nothing is lost, repeated or late.
    Calm,
}

/// A text names no run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no run: SEED, or SEED/FAULT,FAULT,…/LENGTH_MS/CLIENTS/WEATHER")]
pub struct RunNameError(String);

impl RunName {
    /// The whole run of a seed.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        Self { seed, kept: None }
    }
}

impl fmt::Display for RunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seed)?;
        let Some(Kept { faults, length, clients, weather }) = &self.kept else { return Ok(()) };
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        let weather = match weather {
            KeptWeather::Drawn => "drawn",
            KeptWeather::Calm => "calm",
        };
        write!(f, "/{}/{}/{clients}/{weather}", faults.join(","), length.as_millis())
    }
}

impl FromStr for RunName {
    type Err = RunNameError;

    fn from_str(text: &str) -> Result<Self, RunNameError> {
        let error = || RunNameError(text.chars().take(200).collect());
        let parts: Vec<&str> = text.trim().split('/').collect();
        let (seed, kept) = match parts.as_slice() {
            [seed] => (seed, None),
            [seed, faults, length, clients, weather] => {
                let faults = faults
                    .split(',')
                    .filter(|fault| !fault.is_empty())
                    .map(str::parse)
                    .collect::<Result<Vec<usize>, _>>();
                let length = length.parse().map(Duration::from_millis).map_err(|_| error())?;
                let clients = clients.parse().map_err(|_| error())?;
                let weather = match *weather {
                    "drawn" => KeptWeather::Drawn,
                    "calm" => KeptWeather::Calm,
                    _ => return Err(error()),
                };
                (
                    seed,
                    Some(Kept { faults: faults.map_err(|_| error())?, length, clients, weather }),
                )
            }
            _ => return Err(error()),
        };
        Ok(Self { seed: seed.parse().map_err(|_| error())?, kept })
    }
}

impl Plan {
    /// The plan of a run.
    #[must_use]
    pub fn of(name: &RunName) -> Self {
        let mut plan = Self::new(name.seed);
        let Some(Kept { faults, length, clients, weather }) = &name.kept else { return plan };
        let numbered = std::mem::take(&mut plan.faults).into_iter().enumerate();
        plan.faults = numbered
            .filter(|(number, _)| faults.contains(number))
            .map(|(_, fault)| fault)
            .collect();
        plan.length = *length;
        match weather {
            KeptWeather::Drawn => {}
            KeptWeather::Calm => plan.weather = Weather::CALM,
        }
        plan.topology.clients = plan.topology.clients.min(*clients);
        let is_there = |node: &NodeId| !matches!(node, NodeId::Client(number) if *number >= plan.topology.clients);
        for fault in &mut plan.faults {
            if let FaultKind::Cut {
                cut: Cut::Between(some, others) | Cut::OneWay(some, others),
                ..
            } = &mut fault.kind
            {
                some.retain(is_there);
                others.retain(is_there);
            }
        }
        plan
    }

    /// What the whole plan keeps: all of it.
    #[must_use]
    pub fn all_kept(&self) -> Kept {
        let faults = (0..self.faults.len()).collect();
        Kept {
            faults,
            length: self.length,
            clients: self.topology.clients,
            weather: KeptWeather::Drawn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_replayed_by_its_name() {
        for name in ["18446744073709551615", "7/0,3,12/4500/2/drawn", "7//4500/1/calm"] {
            let parsed: RunName = name.parse().unwrap();
            assert_eq!(parsed.to_string(), name);
        }
        for bad in [
            "",
            "x",
            "7/1",
            "7/1/5/1",
            "7/a/5/1/calm",
            "7/1/5/x/calm",
            "7/1/5/1/1",
            "7/1/5/1/calm/1",
        ] {
            assert!(bad.parse::<RunName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_that_keeps_everything_is_the_whole_run() {
        for seed in 0..50 {
            let whole = Plan::new(seed);
            assert_eq!(Plan::of(&RunName { seed, kept: Some(whole.all_kept()) }), whole);
        }
    }

    #[test]
    fn a_shortened_run_keeps_the_named_faults_and_names_no_client_that_is_gone() {
        let mut cuts = 0;
        for seed in 0..200 {
            let whole = Plan::new(seed);
            let faults = (0..whole.faults.len()).step_by(2).collect();
            let kept = Kept {
                faults,
                length: Duration::from_secs(1),
                clients: 1,
                weather: KeptWeather::Calm,
            };
            let plan = Plan::of(&RunName { seed, kept: Some(kept) });
            assert_eq!(plan.faults.len(), whole.faults.len().div_ceil(2));
            assert_eq!(
                (plan.length, plan.topology.clients, plan.weather),
                (Duration::from_secs(1), 1, Weather::CALM)
            );
            for fault in &plan.faults {
                if let FaultKind::Cut {
                    cut: Cut::Between(some, others) | Cut::OneWay(some, others),
                    ..
                } = &fault.kind
                {
                    cuts += 1;
                    let clients =
                        some.iter().chain(others).filter(|node| matches!(node, NodeId::Client(_)));
                    assert!(
                        clients.eq([&NodeId::Client(0)])
                            || some.iter().chain(others).all(|node| *node != NodeId::Client(1))
                    );
                }
            }
        }
        assert!(cuts > 0, "no seed has a cut");
    }
}
