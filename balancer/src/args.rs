//! The balancer's flags.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use clap::value_parser;
use http::HeaderName;
use ipnet::IpNet;
use shared::config::{AcceptorsArgs, ServiceArgs};
use shared::server::Limits;

use crate::clients::Limits as ClientLimits;
use crate::health::Pace;
use crate::pool::{Policy, Rules, Thresholds};
use crate::proxy::{BodyLimits, HashBy, Patience};

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

    /// How reads are shared out over the replicas
    #[arg(long, env = "SYNOD_POLICY", value_enum, default_value_t)]
    pub policy: Policy,

    /// The header field by whose value consistent-hash places a request; without it, and
    /// where a request has none, by its path
    #[arg(long, env = "SYNOD_HASH_HEADER", value_name = "NAME")]
    pub hash_header: Option<HeaderName>,

    /// Milliseconds in which a replica that comes back grows into its share of the reads
    #[arg(
        long,
        env = "SYNOD_SLOW_START_MS",
        value_name = "MS",
        default_value = "5000",
        value_parser = value_parser!(u64).range(0..=600_000),
    )]
    pub slow_start_ms: u64,

    /// Requests that a replica may have in flight; a replica that has them gets no more
    /// reads
    #[arg(
        long,
        env = "SYNOD_MAX_IN_FLIGHT",
        value_name = "N",
        default_value = "1024",
        value_parser = value_parser!(u32).range(1..=1_000_000),
    )]
    pub max_in_flight: u32,

    /// Of a hundred requests so many may be sent once more to another replica at once,
    /// beside a reserve of 100; further ones wait
    #[arg(
        long,
        env = "SYNOD_RETRY_PERCENT",
        value_name = "N",
        default_value = "20",
        value_parser = value_parser!(u32).range(0..=100),
    )]
    pub retry_percent: u32,

    /// Of a hundred reads so many may be sent to a second replica once they take longer
    /// than 95 of a hundred do
    #[arg(
        long,
        env = "SYNOD_HEDGE_PERCENT",
        value_name = "N",
        default_value = "5",
        value_parser = value_parser!(u32).range(0..=20),
    )]
    pub hedge_percent: u32,

    /// Requests in a second of each client (an address, or an access token); more are answered
    /// 429. 0: any number
    #[arg(long, env = "SYNOD_CLIENT_RATE", value_name = "N", default_value = "0")]
    pub client_rate: u32,

    /// Requests of a client that may come at once after a pause
    /// [default: as many as in a second]
    #[arg(long, env = "SYNOD_CLIENT_BURST", value_name = "N")]
    pub client_burst: Option<NonZeroU32>,

    /// Requests at once of each client; more are answered 429. 0: a fair share of all that are
    /// taken on
    #[arg(long, env = "SYNOD_CLIENT_REQUESTS", value_name = "N", default_value = "0")]
    pub client_requests: u32,

    /// Networks of proxies whose X-Forwarded-For is believed
    #[arg(
        long,
        env = "SYNOD_TRUSTED_PROXIES",
        value_name = "NETWORK,NETWORK",
        value_delimiter = ',',
        value_parser = network,
    )]
    pub trusted_proxies: Vec<IpNet>,

    /// Networks, beside this machine, from which the balancer is told what to do
    /// (PUT /v1/balancer/…)
    #[arg(
        long,
        env = "SYNOD_OPERATORS",
        value_name = "NETWORK,NETWORK",
        value_delimiter = ',',
        value_parser = network,
    )]
    pub operators: Vec<IpNet>,

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
    pub(crate) fn rules(&self) -> Rules {
        Rules {
            thresholds: Thresholds {
                unhealthy_after: self.unhealthy_after,
                healthy_after: self.healthy_after,
                behind_after: Duration::from_millis(self.behind_after_ms),
                slow_start: Duration::from_millis(self.slow_start_ms),
                max_in_flight: self.max_in_flight.into(),
            },
            zone: self.service.zone.clone(),
            policy: self.policy,
            retry_percent: self.retry_percent,
            hedge_percent: self.hedge_percent,
        }
    }

    pub(crate) fn hash_by(&self) -> HashBy {
        self.hash_header.clone().map_or(HashBy::Path, HashBy::Header)
    }

    /// What one client may take.
    pub(crate) fn client_limits(&self) -> ClientLimits {
        let rate = NonZeroU32::new(self.client_rate);
        ClientLimits {
            rate,
            burst: self.client_burst.or(rate).unwrap_or(NonZeroU32::MIN),
            requests: NonZeroU32::new(self.client_requests).map(|most| usize_of(most.get())),
            places: usize_of(self.max_requests),
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

/// A network, or an address alone.
fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse().ok().or_else(address).ok_or_else(|| {
        format!("{text:?} is not a network, such as 10.0.0.0/8 or fd00::/8, nor an address")
    })
}

fn usize_of(number: u32) -> usize {
    usize::try_from(number).expect("a usize has at least 32 bits")
}
