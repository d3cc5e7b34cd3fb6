//! The coordinator's flags.

use std::time::Duration;

use clap::value_parser;
use shared::config::{AcceptorsArgs, ServiceArgs};

use crate::config::Config;

/// What a coordinator is told. The time-outs need not be the same everywhere; safety
/// rests on none of them.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What all services are told.
    #[command(flatten)]
    pub service: ServiceArgs,

    /// The cluster.
    #[command(flatten)]
    pub acceptors: AcceptorsArgs,

    /// Milliseconds of a leader's silence, at a quorum of acceptors, after which another
    /// coordinator tries to lead
    #[arg(
        long,
        env = "SYNOD_ELECTION_TIMEOUT_MS",
        value_name = "MS",
        default_value = "500",
        value_parser = value_parser!(u64).range(200..=60_000),
    )]
    pub election_timeout_ms: u64,

    /// Milliseconds of a primary's silence after which it is replaced
    #[arg(
        long,
        env = "SYNOD_PRIMARY_TIMEOUT_MS",
        value_name = "MS",
        default_value = "600",
        value_parser = value_parser!(u64).range(200..=60_000),
    )]
    pub primary_timeout_ms: u64,

    /// Milliseconds after which what an acceptor did not answer is sent again
    #[arg(
        long,
        env = "SYNOD_RETRANSMIT_MS",
        value_name = "MS",
        default_value = "200",
        value_parser = value_parser!(u64).range(10..=60_000),
    )]
    pub retransmit_ms: u64,

    /// Seconds after which a replica that is silent, or cannot execute, leaves the view
    #[arg(
        long,
        env = "SYNOD_REPLICA_GONE_AFTER",
        value_name = "SECONDS",
        default_value = "120",
        value_parser = value_parser!(u64).range(2..=86_400),
    )]
    pub replica_gone_after: u64,

    /// Bytes of votes up to which acceptors wait with trimming for the slowest replica; past
    /// it a majority of the view, and at least two, must have durably what is trimmed
    #[arg(
        long,
        env = "SYNOD_TRIM_BEHIND_BYTES",
        value_name = "BYTES",
        default_value = "134217728",
        value_parser = value_parser!(u64).range(1..=(1 << 40)),
    )]
    pub trim_behind_bytes: u64,

    /// Seconds that the slowest replica may be behind until trimming waits no longer for it
    #[arg(
        long,
        env = "SYNOD_TRIM_BEHIND_SECONDS",
        value_name = "SECONDS",
        default_value = "60",
        value_parser = value_parser!(u64).range(1..=86_400),
    )]
    pub trim_behind_seconds: u64,

    /// Slots that are proposed and not yet chosen; more proposals are refused
    #[arg(
        long,
        env = "SYNOD_MAX_IN_FLIGHT_SLOTS",
        value_name = "N",
        default_value = "1024",
        value_parser = value_parser!(u64).range(1..=32_768),
    )]
    pub max_in_flight_slots: u64,

    /// Bytes of the values in those slots
    #[arg(
        long,
        env = "SYNOD_MAX_IN_FLIGHT_BYTES",
        value_name = "BYTES",
        default_value = "67108864",
        value_parser = value_parser!(u32).range(8_388_608..=1_073_741_824),
    )]
    pub max_in_flight_bytes: u32,
}

impl Args {
    /// What the core is told.
    pub(crate) fn config(&self) -> Config {
        let election_timeout = Duration::from_millis(self.election_timeout_ms);
        Config {
            acceptors: self.acceptors.acceptors.iter().map(ToString::to_string).collect(),
            election_timeout,
            phase1_timeout: election_timeout,
            primary_timeout: Duration::from_millis(self.primary_timeout_ms),
            retransmit_interval: Duration::from_millis(self.retransmit_ms),
            replica_gone_after: Duration::from_secs(self.replica_gone_after),
            trim_behind_bytes: self.trim_behind_bytes,
            trim_behind_time: Duration::from_secs(self.trim_behind_seconds),
            max_in_flight_slots: self.max_in_flight_slots,
            max_in_flight_bytes: usize::try_from(self.max_in_flight_bytes).unwrap_or(usize::MAX),
            ..Config::new(self.acceptors.acceptors.len())
        }
    }
}
