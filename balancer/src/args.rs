//! The balancer's flags.

use std::time::Duration;

use clap::value_parser;
use shared::config::{AcceptorsArgs, ServiceArgs};
use shared::server::Limits;

use crate::health::Pace;
use crate::pool::Thresholds;
use crate::proxy::{BodyLimits, Patience};

/// What a balancer is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What all services are told.
    #[command(flatten)]
    pub service: ServiceArgs,

    /// Where the directory of services is.
    #[command(flatten)]
    pub acceptors: AcceptorsArgs,

    /// Milliseconds from one check of a replica to the next
    #[arg(
        long,
        env = "SYNOD_CHECK_INTERVAL_MS",
        value_name = "MS",
        default_value = "200",
        value_parser = value_parser!(u64).range(10..=60_000),
    )]
    pub check_interval_ms: u64,

    /// Milliseconds that a check may take
    #[arg(
        long,
        env = "SYNOD_CHECK_TIMEOUT_MS",
        value_name = "MS",
        default_value = "500",
        value_parser = value_parser!(u64).range(10..=60_000),
    )]
    pub check_timeout_ms: u64,

    /// Failures in a row, of checks or requests, after which a replica gets no more
    /// requests
    #[arg(
        long,
        env = "SYNOD_UNHEALTHY_AFTER",
        value_name = "N",
        default_value = "3",
        value_parser = value_parser!(u32).range(1..=1_000),
    )]
    pub unhealthy_after: u32,

    /// Good checks in a row after which such a replica gets requests again
    #[arg(
        long,
        env = "SYNOD_HEALTHY_AFTER",
        value_name = "N",
        default_value = "2",
        value_parser = value_parser!(u32).range(1..=1_000),
    )]
    pub healthy_after: u32,

    /// Milliseconds since a replica last knew itself current past which it gets
    /// linearizable reads only where no other is current
    #[arg(
        long,
        env = "SYNOD_BEHIND_AFTER_MS",
        value_name = "MS",
        default_value = "5000",
        value_parser = value_parser!(u64).range(1_000..=3_600_000),
    )]
    pub behind_after_ms: u64,

    /// Milliseconds without an answer after which a read is sent to one more replica
    #[arg(
        long,
        env = "SYNOD_SLOW_READ_AFTER_MS",
        value_name = "MS",
        default_value = "500",
        value_parser = value_parser!(u64).range(10..=60_000),
    )]
    pub slow_read_after_ms: u64,

    /// Requests at once that wait for another primary or a replica, within their time; more
    /// are answered 503
    #[arg(
        long,
        env = "SYNOD_MAX_WAITING",
        value_name = "N",
        default_value = "512",
        value_parser = value_parser!(u32).range(1..=1_000_000),
    )]
    pub max_waiting: u32,

    /// Requests at once that wait for an answer; more are answered 503
    #[arg(
        long,
        env = "SYNOD_MAX_REQUESTS",
        value_name = "N",
        default_value = "1024",
        value_parser = value_parser!(u32).range(1..=1_000_000),
    )]
    pub max_requests: u32,

    /// Bytes of request line and header fields; more are answered 431
    #[arg(
        long,
        env = "SYNOD_MAX_HEADER_BYTES",
        value_name = "BYTES",
        default_value = "16384",
        value_parser = value_parser!(u32).range(1_024..=262_144),
    )]
    pub max_header_bytes: u32,

    /// Bytes of a request's body, above the largest value that replicas take; more are
    /// answered 413
    #[arg(
        long,
        env = "SYNOD_MAX_BODY_BYTES",
        value_name = "BYTES",
        default_value = "1114112",
        value_parser = value_parser!(u32).range(1..=67_108_864),
    )]
    pub max_body_bytes: u32,

    /// Bytes of all requests' bodies held at once; more are answered 503
    #[arg(
        long,
        env = "SYNOD_MAX_BUFFERED_BYTES",
        value_name = "BYTES",
        default_value = "134217728",
        value_parser = value_parser!(u32).range(67_108_864..),
    )]
    pub max_buffered_bytes: u32,
}

impl Args {
    pub(crate) fn thresholds(&self) -> Thresholds {
        Thresholds {
            unhealthy_after: self.unhealthy_after,
            healthy_after: self.healthy_after,
            behind_after: Duration::from_millis(self.behind_after_ms),
        }
    }

    pub(crate) fn pace(&self) -> Pace {
        Pace {
            interval: Duration::from_millis(self.check_interval_ms),
            timeout: Duration::from_millis(self.check_timeout_ms),
        }
    }

    pub(crate) fn patience(&self) -> Patience {
        Patience {
            slow_read_after: Duration::from_millis(self.slow_read_after_ms),
            max_waiting: usize_of(self.max_waiting),
        }
    }

    /// What the server takes on, of what all services do.
    pub(crate) fn server_limits(&self, common: Limits) -> Limits {
        Limits {
            requests: usize_of(self.max_requests),
            header_bytes: usize_of(self.max_header_bytes),
            ..common
        }
    }

    pub(crate) fn body_limits(&self) -> BodyLimits {
        // The ranges of the two flags see to it that the longest body fits.
        BodyLimits {
            body_bytes: usize_of(self.max_body_bytes),
            buffered_bytes: usize_of(self.max_buffered_bytes),
        }
    }
}

fn usize_of(number: u32) -> usize {
    usize::try_from(number).expect("a usize has at least 32 bits")
}
