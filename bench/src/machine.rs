//! On what machine this was measured.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde::Serialize;

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    cpu: String,
    cores: usize,
    memory_gib: f64,
    kernel: String,
    file_system: String,
    /// Of the last minute, before anything was started: what else the machine did.
    load_average: String,
}

impl Machine {
    /// Looks at this one, and at the file system of a folder.
    pub(crate) fn look(folder: &Path) -> anyhow::Result<Self> {
        let file_system = file_system_of(folder)?;
        ensure!(
            !["tmpfs", "ramfs"].contains(&file_system.as_str()),
            "{} is in memory ({file_system}): name a --folder on a disk",
            folder.display()
        );
        let memory_kib: f64 = field("/proc/meminfo", "MemTotal")?
            .trim_end_matches(" kB")
            .parse()
            .context("/proc/meminfo")?;
        let load = fs::read_to_string("/proc/loadavg")?;
        Ok(Self {
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(|_| "unknown".to_owned()),
            cores: std::thread::available_parallelism()?.get(),
            memory_gib: memory_kib / f64::from(1 << 20),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            file_system,
            load_average: load.split(' ').next().unwrap_or_default().to_owned(),
        })
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cpu, cores, memory_gib, kernel, file_system, load_average } = self;
        write!(
            f,
            "{cpu}, {cores} cores, {memory_gib:.1} GiB, Linux {kernel}, {file_system}; load \
             average before: {load_average}"
        )
    }
}

fn field(file: &str, name: &str) -> anyhow::Result<String> {
    let text = fs::read_to_string(file).with_context(|| file.to_owned())?;
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let found = lines.into_iter().find(|(key, _)| key.trim() == name);
    Ok(found.with_context(|| format!("{file} has no {name}"))?.1.trim().to_owned())
}

fn file_system_of(folder: &Path) -> anyhow::Result<String> {
    let output = Command::new("findmnt")
        .args(["--noheadings", "--output", "FSTYPE", "--target"])
        .arg(folder)
        .output()
        .context("cannot run findmnt")?;
    let text = String::from_utf8(output.stdout)?.trim().to_owned();
    ensure!(!text.is_empty(), "findmnt does not know {}", folder.display());
    Ok(text)
}
