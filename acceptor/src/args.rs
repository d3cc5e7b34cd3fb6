//! The acceptor's flags.

use clap::value_parser;
use shared::config::{DataDirArgs, ServiceArgs};

use crate::limits::Limits;
use crate::log::Options;

const MIB: u64 = 1 << 20;

/// What an acceptor is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What all services are told.
    #[command(flatten)]
    pub service: ServiceArgs,

    /// Where the promise and the votes are kept. Whoever loses it is another acceptor.
    #[command(flatten)]
    pub data_dir: DataDirArgs,

    /// Mebibytes of one file of the log, claimed in advance
    #[arg(
        long,
        env = "SYNOD_SEGMENT_MIB",
        value_name = "MIB",
        default_value = "16",
        value_parser = value_parser!(u64).range(1..=1_024),
    )]
    pub segment_mib: u64,

    /// Mebibytes of untrimmed votes, which are kept in memory too, up to which new slots
    /// are voted in
    #[arg(
        long,
        env = "SYNOD_MAX_VOTES_MIB",
        value_name = "MIB",
        default_value = "512",
        value_parser = value_parser!(u64).range(1..=65_536),
    )]
    pub max_votes_mib: u64,

    /// Kibibytes of one value
    #[arg(
        long,
        env = "SYNOD_MAX_LOG_VALUE_KIB",
        value_name = "KIB",
        default_value = "8192",
        value_parser = value_parser!(u64).range(1..=16_384),
    )]
    pub max_log_value_kib: u64,
}

impl Args {
    pub(crate) fn limits(&self) -> Limits {
        let default = Limits::default();
        let vote_bytes = usize_of(self.max_votes_mib * MIB);
        Limits {
            vote_bytes,
            recovery_bytes: default.recovery_bytes.min(vote_bytes),
            value_bytes: usize_of(self.max_log_value_kib << 10),
            ..default
        }
    }

    pub(crate) fn options(&self) -> Options {
        let segment_bytes = self.segment_mib * MIB;
        Options { segment_bytes, reserve_bytes: segment_bytes / 16, ..Options::default() }
    }
}

fn usize_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
