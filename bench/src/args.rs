//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::systems::{Build, Kind};

/// Measures Synod beside etcd and ZooKeeper, all with three nodes on this machine, in turns.
#[derive(Debug, Parser)]
#[command(name = "compare")]
pub(crate) struct Args {
    /// Only these, by name: put-1, put-16, …, get-64, …
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',')]
    pub(crate) only: Option<Vec<String>>,
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
    /// How often each is measured
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
    /// How long each measurement takes, after half a second that does not count
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) seconds: u32,
    /// Write everything here, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Where the systems' data go, on a disk; removed in the end
    #[arg(long, value_name = "FOLDER", default_value = "target/compare")]
    pub(crate) folder: PathBuf,
    /// A thousand ports for each build of ours from here on; the others' lie among them
    #[arg(long, value_name = "PORT", default_value_t = 20_000, value_parser = clap::value_parser!(u16).range(1..=50_000))]
    pub(crate) base_port: u16,
}
