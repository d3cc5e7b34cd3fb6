//! The processor time of processes, from `/proc/PID/stat` (proc(5)).

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// A process by a name that people know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) pid: i32,
}

impl Named {
    pub(crate) fn this_process() -> Self {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        Self { name: "generator".to_owned(), pid }
    }
}

/// Processor time by name of the process, user and system together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times(BTreeMap<String, Duration>);

impl Times {
    /// What the processes, each with all its threads, have used since they were started.
    /// One that is gone has no time.
    pub(crate) fn of(processes: &[Named]) -> Self {
        let times = processes.iter().filter_map(|Named { name, pid }| {
            Some((name.clone(), Stat::of(*pid)?.processor_time()))
        });
        Self(times.collect())
    }

    /// What was used since `before`, by whoever was there at both times.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let used = self.0.iter().filter_map(|(name, now)| {
            Some((name.clone(), now.saturating_sub(*before.0.get(name)?)))
        });
        Self(used.collect())
    }

    /// Microseconds for each of so many operations, by process.
    pub(crate) fn micros_for_each(&self, operations: u64) -> BTreeMap<String, f64> {
        let share = |time: &Duration| time.as_secs_f64() * 1e6 / operations.max(1) as f64;
        self.0.iter().map(|(name, time)| (name.clone(), share(time))).collect()
    }

    pub(crate) fn total(&self) -> Duration {
        self.0.values().sum()
    }
}

/// What is of interest in `/proc/PID/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: i32,
    ticks: u64,
}

impl Stat {
    fn of(pid: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The second field is the program's name in parentheses, and may hold any of them.
    fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let (user, system): (u64, u64) =
            (fields.get(11)?.parse().ok()?, fields.get(12)?.parse().ok()?);
        Some(Self { parent: fields.get(1)?.parse().ok()?, ticks: user + system })
    }

    fn processor_time(&self) -> Duration {
        let a_second = rustix::param::clock_ticks_per_second();
        Duration::from_secs_f64(self.ticks as f64 / a_second as f64)
    }
}

/// The children of a process, named by what follows `--id` on their command lines.
pub(crate) fn children_of(pid: i32) -> Vec<Named> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let children = pids.filter(|child| Stat::of(*child).is_some_and(|stat| stat.parent == pid));
    children.filter_map(|child| Some(Named { name: id_of(child)?, pid: child })).collect()
}

fn id_of(pid: i32) -> Option<String> {
    let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
    let mut args = line.split('\0');
    args.find(|arg| *arg == "--id")?;
    args.next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_programs_name_does_not_shift_the_fields() {
        let line = "42 (a) b (c)) S 7 42 42 0 -1 4194560 1 0 0 0 150 25 0 0 20 0 9 0 1 2 3";
        assert_eq!(Stat::parse(line), Some(Stat { parent: 7, ticks: 175 }));
    }

    #[test]
    fn time_for_each_operation_is_of_what_was_used_in_between() {
        let times = |seconds: &[(&str, f64)]| {
            let named =
                |(name, time): &(&str, f64)| ((*name).to_owned(), Duration::from_secs_f64(*time));
            Times(seconds.iter().map(named).collect())
        };
        let used = times(&[("a", 3.0), ("new", 9.0)]).since(&times(&[("a", 1.0), ("gone", 5.0)]));
        assert_eq!(used, times(&[("a", 2.0)]));
        assert_eq!(used.micros_for_each(1_000), BTreeMap::from([("a".to_owned(), 2_000.0)]));
    }
}
