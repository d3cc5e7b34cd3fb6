//! Flags that services share. Each is also an environment variable.

mod host_name;

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::value_parser;

use crate::client::AcceptorClient;
use crate::ids::Name;
use crate::message::{Roster, Service};
use crate::tls::{Calls, TlsArgs};

pub use crate::base_url::{BaseUrl, BaseUrlError, Scheme};
pub use host_name::{HostName, HostNameError};

/// What every service is told. Flatten it into the service's own `Args`.
#[derive(Clone, Debug, clap::Args)]
pub struct ServiceArgs {
    /// Name of this service, unique in the cluster: 1 to 64 of a-z, 0-9 and '-'
    /// [default: SERVICE-1]
    #[arg(long, env = "SYNOD_ID", value_name = "NAME")]
    pub id: Option<Name>,

    /// Address to listen on; port 0 takes any free port
    /// [default: 127.0.0.1 and the service's first port]
    #[arg(long, env = "SYNOD_LISTEN", value_name = "IP:PORT")]
    pub listen: Option<SocketAddr>,

    /// Address of its own for the other services; what they ask each other is then answered
    /// there alone, and is not there for whoever reaches only --listen. Balancers have none
    #[arg(long, env = "SYNOD_LISTEN_INTERNAL", value_name = "IP:PORT")]
    pub listen_internal: Option<SocketAddr>,

    /// Where the other services reach this one
    /// [default: http:// or https:// and the address listened on for them]
    #[arg(long, env = "SYNOD_ADVERTISE_URL", value_name = "URL")]
    pub advertise_url: Option<BaseUrl>,

    /// Where this service runs, such as a data centre's name: balancers have reads answered in
    /// their own zone while it can; 1 to 64 of a-z, 0-9 and '-'
    #[arg(long, env = "SYNOD_ZONE", value_name = "ZONE")]
    pub zone: Option<Name>,

    /// Threads that handle requests; 1 is the fastest while services share a few cores
    #[arg(long, env = "SYNOD_WORKER_THREADS", value_name = "N", default_value = "1")]
    pub worker_threads: NonZeroUsize,

    /// Connections at once; more are answered 503 and closed. Cut to what the limit on open
    /// files leaves room for
    #[arg(
        long,
        env = "SYNOD_MAX_CONNECTIONS",
        value_name = "N",
        default_value = "4096",
        value_parser = value_parser!(u32).range(1..=1_000_000),
    )]
    pub max_connections: u32,

    /// Further names under which clients ask this service, in their Host field; without
    /// them it answers to every name, but on loopback only to this machine's own and the
    /// one it advertises
    #[arg(long, env = "SYNOD_ALLOWED_HOSTS", value_name = "HOST,HOST", value_delimiter = ',')]
    pub allowed_hosts: Vec<HostName>,

    /// Bytes of memory for the newest spans, which GET /v1/spans tells; 0 for none
    #[arg(
        long,
        env = "SYNOD_SPAN_RING_BYTES",
        value_name = "BYTES",
        default_value = "2097152",
        value_parser = value_parser!(u32).range(0..=67_108_864),
    )]
    pub span_ring_bytes: u32,

    /// Log a line for each request: its method, the template of its route, status, time,
    /// bytes and trace
    #[arg(long, env = "SYNOD_ACCESS_LOG", value_parser = BoolishValueParser::new())]
    pub access_log: bool,

    /// Take what services ask each other from whoever reaches this one: its network is the
    /// cluster's own. Without it, and without --tls-client-ca, a service that others reach
    /// warns at its start; from the next format on it does not start
    #[arg(long, env = "SYNOD_INSECURE", value_parser = BoolishValueParser::new())]
    pub insecure: bool,

    /// With what it listens and calls others with TLS.
    #[command(flatten)]
    pub tls: TlsArgs,
}

impl ServiceArgs {
    /// The name given, or the first of its service: `replica-1`.
    #[must_use]
    pub fn name(&self, service: Service) -> Name {
        let first =
            || format!("{}-1", service.as_str()).parse().expect("a service's word is a name");
        self.id.clone().unwrap_or_else(first)
    }

    /// The address given, or the first port of its service on the loopback interface.
    #[must_use]
    pub fn listen_address(&self, service: Service) -> SocketAddr {
        self.listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, first_port(service))))
    }

    /// The URL given, or the one of the address that was bound, as the service listens there.
    ///
    /// # Errors
    /// When it is not given and the service listens on all addresses, of which nobody can
    /// tell which one the others reach; when it is given and is of the other scheme.
    pub fn advertised(&self, scheme: Scheme, bound: SocketAddr) -> Result<BaseUrl, AdvertiseError> {
        match &self.advertise_url {
            Some(url) if url.scheme() != scheme => {
                Err(AdvertiseError::Scheme { url: url.clone(), scheme: scheme.as_str() })
            }
            Some(url) => Ok(url.clone()),
            None if bound.ip().is_unspecified() => Err(AdvertiseError::Nowhere { bound }),
            None => Ok(BaseUrl::of(scheme, bound)),
        }
    }
}

/// It cannot be told where others reach a service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdvertiseError {
    /// It listens everywhere.
    #[error(
        "listening on {bound}, all addresses: say with --advertise-url (SYNOD_ADVERTISE_URL) where \
         the others reach this service"
    )]
    Nowhere {
        /// All addresses.
        bound: SocketAddr,
    },
    /// It is told to announce a URL by which it cannot be asked.
    #[error(
        "--advertise-url (SYNOD_ADVERTISE_URL) is {url}, and this service is asked by {scheme}://: \
         with --tls-cert it listens with TLS, and else without"
    )]
    Scheme {
        /// That URL.
        url: BaseUrl,
        /// What it is to begin with.
        scheme: &'static str,
    },
}

/// The port of the first service of its kind; the second has the next one.
#[must_use]
pub fn first_port(service: Service) -> u16 {
    match service {
        Service::Balancer => 8_000,
        Service::Coordinator => 8_101,
        Service::Acceptor => 8_201,
        Service::Replica => 8_301,
    }
}

/// What every service but the acceptor is told: the cluster's only fixed point.
#[derive(Clone, Debug, clap::Args)]
pub struct AcceptorsArgs {
    /// All acceptors of the cluster, an odd number
    #[arg(
        long,
        env = "SYNOD_ACCEPTORS",
        value_name = "URL,URL,URL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:8201,http://127.0.0.1:8202,http://127.0.0.1:8203"
    )]
    pub acceptors: Vec<BaseUrl>,
}

/// A list of acceptors that no cluster can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptorsError {
    /// An even number tolerates no more faults than one fewer.
    #[error(
        "--acceptors (SYNOD_ACCEPTORS) names {0} acceptors; a cluster has an odd number, at most \
         {max}",
        max = Roster::MAX_LEN,
    )]
    Number(usize),
    /// One stands there twice.
    #[error("--acceptors (SYNOD_ACCEPTORS) names {0} twice")]
    Repeated(BaseUrl),
    /// One is with TLS and this service calls none such, or the reverse.
    #[error("--acceptors (SYNOD_ACCEPTORS): {0}")]
    Scheme(String),
}

impl AcceptorsArgs {
    /// A client for each acceptor, in the order given.
    ///
    /// # Errors
    /// When the number is even or above [`Roster::MAX_LEN`], one is named twice, or this
    /// process cannot call one by its scheme.
    pub fn clients(&self) -> Result<Vec<AcceptorClient>, AcceptorsError> {
        let number = self.acceptors.len();
        if number.is_multiple_of(2) || number > Roster::MAX_LEN {
            return Err(AcceptorsError::Number(number));
        }
        let calls = Calls::of_process();
        for url in &self.acceptors {
            calls.to(url).map_err(AcceptorsError::Scheme)?;
        }
        let mut sorted: Vec<&BaseUrl> = self.acceptors.iter().collect();
        sorted.sort_unstable();
        match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(AcceptorsError::Repeated(pair[0].clone())),
            None => Ok(self.acceptors.iter().cloned().map(AcceptorClient::new).collect()),
        }
    }
}

/// What the services that keep something are told.
#[derive(Clone, Debug, clap::Args)]
pub struct DataDirArgs {
    /// Folder for this service's data, of its own; it is made where it is missing
    #[arg(long, env = "SYNOD_DATA_DIR", value_name = "DIR")]
    pub data_dir: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        service: ServiceArgs,
        #[command(flatten)]
        acceptors: AcceptorsArgs,
    }

    #[test]
    fn a_service_without_flags_is_the_first_of_its_kind() {
        let flags = Flags::parse_from(["synod"]);
        assert_eq!(flags.service.name(Service::Replica).as_str(), "replica-1");
        assert_eq!(flags.service.listen_address(Service::Replica).to_string(), "127.0.0.1:8301");
        assert_eq!(flags.acceptors.acceptors.len(), 3);
        assert_eq!(flags.service.worker_threads.get(), 1);
    }

    #[test]
    fn flags_are_checked_when_they_are_read() {
        for bad in [
            ["--id", "Replica 2"],
            ["--listen", "localhost"],
            ["--advertise-url", "127.0.0.1:8301"],
            ["--acceptors", "http://a,,http://b"],
            ["--worker-threads", "0"],
            ["--zone", "Zone 2"],
            ["--max-connections", "0"],
            ["--span-ring-bytes", "67108865"],
            ["--allowed-hosts", "kv.example.com:8000"],
        ] {
            assert!(Flags::try_parse_from(["synod", bad[0], bad[1]]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_advertised_url_is_the_bound_address_unless_that_is_every_address() {
        let args = Flags::parse_from(["synod"]).service;
        assert_eq!(
            args.advertised(Scheme::Http, "127.0.0.1:4711".parse().unwrap()).unwrap().as_str(),
            "http://127.0.0.1:4711"
        );
        assert_eq!(
            args.advertised(Scheme::Https, "127.0.0.1:4711".parse().unwrap()).unwrap().as_str(),
            "https://127.0.0.1:4711"
        );
        assert!(args.advertised(Scheme::Http, "0.0.0.0:4711".parse().unwrap()).is_err());
        let args =
            Flags::parse_from(["synod", "--advertise-url", "http://replica-1:8301/"]).service;
        assert_eq!(
            args.advertised(Scheme::Http, "0.0.0.0:4711".parse().unwrap()).unwrap().as_str(),
            "http://replica-1:8301"
        );
        let bound = "0.0.0.0:4711".parse().unwrap();
        let error = args.advertised(Scheme::Https, bound).unwrap_err().to_string();
        assert!(error.contains("asked by https://"), "{error}");
    }

    #[test]
    fn a_list_of_acceptors_is_odd_and_without_repeats() {
        let clients = |list| Flags::parse_from(["synod", "--acceptors", list]).acceptors.clients();
        assert_eq!(clients("http://a:1,http://b:1,http://c:1").unwrap().len(), 3);
        assert_eq!(clients("http://a:1,http://b:1").unwrap_err(), AcceptorsError::Number(2));
        let secured = clients("https://a:1").unwrap_err().to_string();
        assert!(secured.contains("--tls-client-ca"), "{secured}");
        let repeated = AcceptorsError::Repeated("http://a:1".parse().unwrap());
        assert_eq!(clients("http://a:1,http://b:1,http://a:1/").unwrap_err(), repeated);
    }
}
