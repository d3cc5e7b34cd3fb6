//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::Parser;
use clap::builder::RangedI64ValueParser;

use crate::systems::{Build, EtcdConnections, Kind};
use crate::workload::Workload;

/// Measures Synod beside etcd and ZooKeeper, all with three nodes on this machine, in turns.
#[derive(Debug, Parser)]
#[command(name = "compare")]
pub(crate) struct Args {
    /// Only these: put-1, put-16, put-64, put-256, put-100k-16, get-1, get-64, get-256,
    /// proxy-256, disk, gap; the last two only where they are named, here or as flags
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// What 100,000 writes take on the disks of all nodes, too
    #[arg(long)]
    disk: bool,
    /// How long writes stop when the primary or the leader is killed, too
    #[arg(long)]
    gap: bool,
    /// How often each is killed
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = number(1_000))]
    pub(crate) kills: u32,
    /// Which systems
    #[arg(
        long,
        value_name = "NAME,NAME",
        value_delimiter = ',',
        default_value = "synod,etcd,zookeeper"
    )]
    pub(crate) systems: Vec<Kind>,
    /// Our program; more than once, with labels, to hold builds against each other
    #[arg(long, value_name = "[LABEL=]PATH", default_value = "target/release/synod")]
    pub(crate) synod: Vec<Build>,
    /// Whether clients share connections to etcd
    #[arg(long, value_enum, value_name = "FOR", default_value_t = EtcdConnections::Node)]
    pub(crate) etcd_connections: EtcdConnections,
    /// How often each is measured
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = number(1_000))]
    pub(crate) rounds: u32,
    /// How long each measurement takes, after half a second that does not count
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = number(3_600))]
    pub(crate) seconds: u32,
    /// Write everything here, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Where the systems' data go, on a disk; removed in the end
    #[arg(long, value_name = "FOLDER", default_value = "target/compare")]
    pub(crate) folder: PathBuf,
    /// A thousand ports for each build of ours from here on; the others' lie among them
    #[arg(
        long,
        value_name = "PORT",
        default_value_t = 20_000,
        value_parser = clap::value_parser!(u16).range(1..=50_000),
    )]
    pub(crate) base_port: u16,
}

fn number(highest: i64) -> RangedI64ValueParser<u32> {
    RangedI64ValueParser::new().range(1..=highest)
}

/// What is to be measured.
pub(crate) struct Chosen {
    pub(crate) workloads: Vec<Workload>,
    pub(crate) proxying: bool,
    pub(crate) disk: bool,
    pub(crate) gap: bool,
}

const DISK: &str = "disk";
const GAP: &str = "gap";

impl Args {
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    pub(crate) fn chosen(&self) -> anyhow::Result<Chosen> {
        let known: Vec<&str> = Workload::ALL
            .iter()
            .chain([&Workload::PROXYING])
            .map(|workload| workload.name)
            .chain([DISK, GAP])
            .collect();
        if let Some(name) = self.only.iter().find(|name| !known.contains(&name.as_str())) {
            bail!("{name} is none of {}", known.join(", "));
        }
        let is_named = |name: &str| self.only.iter().any(|other| other == name);
        let is_wanted = |workload: &Workload| self.only.is_empty() || is_named(workload.name);
        Ok(Chosen {
            workloads: Workload::ALL.into_iter().filter(is_wanted).collect(),
            proxying: is_wanted(&Workload::PROXYING),
            disk: self.disk || is_named(DISK),
            gap: self.gap || is_named(GAP),
        })
    }
}
