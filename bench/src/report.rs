//! What was measured, as tables for people and as JSON for programs.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::Serialize;

use crate::args::Args;
use crate::disk;
use crate::gap::{self, Gaps};
use crate::machine::Machine;
use crate::measure::Round;
use crate::proxies::HAPROXY;
use crate::table::Table;

#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    /// By name of the system.
    pub(crate) versions: BTreeMap<String, String>,
    rounds: u32,
    seconds: u32,
    etcd_connections: String,
    /// Of one processor, in percent, while nobody asks for anything.
    pub(crate) cpu_at_rest: BTreeMap<String, f64>,
    pub(crate) loads: Vec<Load>,
    pub(crate) proxying: Vec<Load>,
    pub(crate) gaps: Vec<Gaps>,
    /// Of all nodes together.
    pub(crate) disk: BTreeMap<String, disk::Usage>,
    /// What the others are held against: the first build of ours where there are several,
    /// and whatever is not ours.
    #[serde(skip)]
    references: Vec<String>,
}

impl Report {
    pub(crate) fn new(args: &Args, machine: Machine) -> Self {
        let first = args.synod.first().filter(|_| args.synod.len() > 1);
        let others = ["etcd", "zookeeper", HAPROXY].map(str::to_owned);
        Self {
            machine,
            versions: BTreeMap::new(),
            rounds: args.rounds,
            seconds: args.seconds,
            etcd_connections: format!("{:?}", args.etcd_connections).to_lowercase(),
            cpu_at_rest: BTreeMap::new(),
            loads: Vec::new(),
            proxying: Vec::new(),
            gaps: Vec::new(),
            disk: BTreeMap::new(),
            references: first.map(|build| build.label.clone()).into_iter().chain(others).collect(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let versions = self.versions.iter().map(|(name, version)| format!("{name}: {version}"));
        writeln!(f, "{}", versions.collect::<Vec<_>>().join("; "))?;
        writeln!(f, "medians of {} rounds of {} s\n", self.rounds, self.seconds)?;
        for loads in [&self.loads, &self.proxying] {
            if !loads.is_empty() {
                writeln!(f, "{}", table(loads, &self.references))?;
                writeln!(f, "{}", cpu_by_process(loads))?;
                writeln!(f, "{}", errors(loads))?;
            }
        }
        for (name, percent) in &self.cpu_at_rest {
            writeln!(f, "{name} at rest: {percent:.1} % of a processor")?;
        }
        if !self.gaps.is_empty() {
            writeln!(f, "\n{}", gap::table(&self.gaps))?;
        }
        if !self.disk.is_empty() {
            writeln!(f, "\n{}", disk::table(&self.disk))?;
        }
        Ok(())
    }
}

/// One workload, by all systems in turn.
#[derive(Serialize)]
pub(crate) struct Load {
    pub(crate) workload: &'static str,
    /// In the order in which they were measured.
    pub(crate) systems: Vec<Measured>,
}

/// One system under one workload.
#[derive(Serialize)]
pub(crate) struct Measured {
    pub(crate) system: String,
    pub(crate) median: Option<Round>,
    pub(crate) rounds: Vec<Round>,
}

impl Measured {
    pub(crate) fn new(system: String) -> Self {
        Self { system, median: None, rounds: Vec::new() }
    }

    pub(crate) fn push(&mut self, round: Round) {
        self.rounds.push(round);
        self.median = Some(median_round(&self.rounds));
    }
}

/// The median of each figure by itself; of errors, their sum.
fn median_round(rounds: &[Round]) -> Round {
    let of = |figure: &dyn Fn(&Round) -> f64| median(rounds.iter().map(figure).collect());
    let names = rounds.iter().flat_map(|round| round.cpu_us.keys());
    let cpu_us = names
        .map(|name| (name.clone(), of(&|round| round.cpu_us.get(name).copied().unwrap_or(0.0))))
        .collect();
    let mut errors = BTreeMap::new();
    for (error, count) in rounds.iter().flat_map(|round| &round.errors) {
        *errors.entry(error.clone()).or_insert(0) += count;
    }
    Round {
        per_second: of(&|round| round.per_second),
        p50_ms: of(&|round| round.p50_ms),
        p99_ms: of(&|round| round.p99_ms),
        slowest_ms: of(&|round| round.slowest_ms),
        cpu_us,
        generator_cpu_us: of(&|round| round.generator_cpu_us),
        errors,
    }
}

/// Of an even number of figures, the mean of the two in the middle.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => figures[middle],
        _ => f64::midpoint(figures[middle - 1], figures[middle]),
    }
}

impl Load {
    /// Those of it that others are held against, and how fast they are.
    fn references(&self, references: &[String]) -> Vec<(String, f64)> {
        let find = |name: &String| {
            let found = self.systems.iter().find(|system| system.system == *name)?;
            Some((name.clone(), found.median.as_ref()?.per_second))
        };
        references.iter().filter_map(find).collect()
    }
}

/// A table of loads, each held against the systems that `references` names.
fn table(loads: &[Load], references: &[String]) -> String {
    let mut head = vec!["workload".to_owned(), "system".to_owned(), "ops/s".to_owned()];
    let present: Vec<&String> = references
        .iter()
        .filter(|name| loads.iter().any(|load| load.systems.iter().any(|s| s.system == **name)))
        .collect();
    head.extend(present.iter().map(|name| format!("to {name}")));
    for column in ["p50 ms", "p99 ms", "slowest ms", "CPU µs/op", "generator µs/op", "errors"] {
        head.push(column.to_owned());
    }
    let mut table = Table::new(head, 2);
    for load in loads {
        let held_against = load.references(references);
        for (index, measured) in load.systems.iter().enumerate() {
            let Some(median) = &measured.median else { continue };
            let workload = if index == 0 { load.workload } else { "" };
            let mut row = vec![workload.to_owned(), measured.system.clone()];
            row.push(grouped(median.per_second));
            for name in &present {
                let reference = held_against.iter().find(|(other, _)| other == *name);
                row.push(match reference {
                    Some((other, _)) if *other == measured.system => String::new(),
                    Some((_, per_second)) => format!("{:.2}", median.per_second / per_second),
                    None => String::new(),
                });
            }
            row.extend(
                [median.p50_ms, median.p99_ms, median.slowest_ms].map(|ms| format!("{ms:.2}")),
            );
            row.push(format!("{:.0}", median.cpu_us.values().sum::<f64>()));
            row.push(format!("{:.0}", median.generator_cpu_us));
            row.push(median.errors.values().sum::<u64>().to_string());
            table.push(row);
        }
    }
    table.to_string()
}

/// The processor time of each process, a line for each system and workload.
fn cpu_by_process(loads: &[Load]) -> String {
    let mut table =
        Table::new(["workload", "system", "CPU µs/op by process"].map(str::to_owned).into(), 3);
    for load in loads {
        for (index, measured) in load.systems.iter().enumerate() {
            let Some(median) = &measured.median else { continue };
            let shares = median.cpu_us.iter().map(|(name, micros)| format!("{name} {micros:.0}"));
            let workload = if index == 0 { load.workload } else { "" };
            let shares = shares.collect::<Vec<_>>().join(", ");
            table.push(vec![workload.to_owned(), measured.system.clone(), shares]);
        }
    }
    table.to_string()
}

/// Which errors there were.
fn errors(loads: &[Load]) -> String {
    let mut text = String::new();
    for load in loads {
        for Measured { system, median, .. } in &load.systems {
            for (error, count) in median.iter().flat_map(|median| &median.errors) {
                writeln!(text, "{}, {system}: {count} times {error}", load.workload)
                    .expect("writing into a string does not fail");
            }
        }
    }
    text
}

/// A whole number with its thousands set apart.
pub(crate) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![9.0, 1.0, 2.0, 4.0]), 3.0);
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([7.0, 999.6, 1_234_567.2].map(grouped), ["7", "1,000", "1,234,567"]);
    }
}
