//! Which services there will be: names, ports and command lines, all computed before
//! anything is started.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::builder::RangedI64ValueParser;
use shared::config::{BaseUrl, Scheme, first_port};
use shared::message::{Roster, Service};

/// The most coordinators, replicas or balancers; their ports lie in ranges of a hundred.
const MAX_OF_A_KIND: u16 = 64;

/// How many of each service.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Counts {
    /// How many coordinators; one leads, the others stand by
    #[arg(
        long,
        env = "SYNOD_UP_COORDINATORS",
        value_name = "N",
        default_value_t = 2,
        value_parser = of_a_kind(),
    )]
    pub(crate) coordinators: u16,
    /// Those that keep data.
    #[command(flatten)]
    pub(crate) keepers: Keepers,
    /// How many balancers
    #[arg(
        long,
        env = "SYNOD_UP_BALANCERS",
        value_name = "N",
        default_value_t = 1,
        value_parser = of_a_kind(),
    )]
    pub(crate) balancers: u16,
}

/// How many of each service that keeps data.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Keepers {
    /// How many acceptors, an odd number; a majority of them must live
    #[arg(
        long,
        env = "SYNOD_UP_ACCEPTORS",
        value_name = "N",
        default_value_t = 3,
        value_parser = odd,
    )]
    pub(crate) acceptors: u16,
    /// How many replicas
    #[arg(
        long,
        env = "SYNOD_UP_REPLICAS",
        value_name = "N",
        default_value_t = 3,
        value_parser = of_a_kind(),
    )]
    pub(crate) replicas: u16,
}

fn of_a_kind() -> RangedI64ValueParser<u16> {
    RangedI64ValueParser::new().range(1..=MAX_OF_A_KIND.into())
}

fn odd(text: &str) -> Result<u16, String> {
    let number: u16 = text.parse().map_err(|error| format!("{error}"))?;
    if number % 2 == 1 && usize::from(number) <= Roster::MAX_LEN {
        Ok(number)
    } else {
        Err(format!(
            "a cluster has an odd number of acceptors, at most {}: one more would tolerate no more \
             failures",
            Roster::MAX_LEN
        ))
    }
}

/// Takes a port from which all offsets are still ports.
pub(crate) fn base_port() -> RangedI64ValueParser<u16> {
    let highest =
        i64::from(u16::MAX) - i64::from(offset(Service::Replica)) - i64::from(MAX_OF_A_KIND);
    RangedI64ValueParser::new().range(1..=highest)
}

/// How far the first service of a kind stands from the first balancer.
fn offset(service: Service) -> u16 {
    first_port(service) - first_port(Service::Balancer)
}

/// A service that is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) service: Service,
    pub(crate) name: String,
    pub(crate) port: u16,
    /// How it is spoken to.
    pub(crate) scheme: Scheme,
    /// What follows the program on its command line.
    pub(crate) args: Vec<OsString>,
}

impl Planned {
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    pub(crate) fn url(&self) -> String {
        BaseUrl::of(self.scheme, self.address()).to_string()
    }
}

/// All services, in order of their ports.
pub(crate) fn plan(
    counts: &Counts,
    base_port: u16,
    data_dir: &Path,
    scheme: Scheme,
) -> Vec<Planned> {
    let kinds = [
        (Service::Balancer, counts.balancers),
        (Service::Coordinator, counts.coordinators),
        (Service::Acceptor, counts.keepers.acceptors),
        (Service::Replica, counts.keepers.replicas),
    ];
    let first = |service| base_port + offset(service);
    let acceptors: Vec<String> = (0..counts.keepers.acceptors)
        .map(|index| {
            let port = first(Service::Acceptor) + index;
            BaseUrl::of(scheme, SocketAddr::from((Ipv4Addr::LOCALHOST, port))).to_string()
        })
        .collect();
    let acceptors = acceptors.join(",");
    let mut plan = Vec::new();
    for (service, count) in kinds {
        for index in 0..count {
            let (name, port) =
                (format!("{}-{}", service.as_str(), index + 1), first(service) + index);
            let mut planned = Planned { service, name, port, scheme, args: Vec::new() };
            planned.args = arguments(&planned, &acceptors, data_dir);
            plan.push(planned);
        }
    }
    plan
}

/// Has all replicas require tokens.
pub(crate) fn require_tokens(plan: &mut [Planned]) {
    for replica in plan.iter_mut().filter(|planned| planned.service == Service::Replica) {
        replica.args.push("--auth".into());
    }
}

/// Everything that tells one service from another is said here, so that no variable of
/// the environment can.
fn arguments(planned: &Planned, acceptors: &str, data_dir: &Path) -> Vec<OsString> {
    let (name, address, url) =
        (planned.name.as_str(), planned.address().to_string(), planned.url());
    let mut args: Vec<OsString> =
        vec![planned.service.as_str().into(), "--exit-with-parent".into()];
    let mut flag = |flag: &str, value: OsString| args.extend([flag.into(), value]);
    flag("--id", name.into());
    flag("--listen", address.into());
    flag("--advertise-url", url.into());
    if planned.service != Service::Acceptor {
        flag("--acceptors", acceptors.into());
    }
    match planned.service {
        Service::Acceptor | Service::Replica => {
            flag("--data-dir", PathBuf::from(data_dir).join(name).into())
        }
        Service::Coordinator | Service::Balancer => {}
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(coordinators: u16, acceptors: u16, replicas: u16, balancers: u16) -> Counts {
        Counts { coordinators, keepers: Keepers { acceptors, replicas }, balancers }
    }

    #[test]
    fn the_default_cluster_has_the_names_and_ports_of_the_documents() {
        let plan = plan(&counts(2, 3, 3, 1), 8000, Path::new("synod-data"), Scheme::Http);
        let found: Vec<(&str, u16)> =
            plan.iter().map(|planned| (planned.name.as_str(), planned.port)).collect();
        let expected = [
            ("balancer-1", 8000),
            ("coordinator-1", 8101),
            ("coordinator-2", 8102),
            ("acceptor-1", 8201),
            ("acceptor-2", 8202),
            ("acceptor-3", 8203),
            ("replica-1", 8301),
            ("replica-2", 8302),
            ("replica-3", 8303),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn another_base_port_moves_them_all() {
        let plan = plan(&counts(1, 1, 1, 2), 9000, Path::new("d"), Scheme::Http);
        let ports: Vec<u16> = plan.iter().map(|planned| planned.port).collect();
        assert_eq!(ports, [9000, 9001, 9101, 9201, 9301]);
        let replica: Vec<&str> = plan[4].args.iter().map(|arg| arg.to_str().unwrap()).collect();
        let expected = "replica --exit-with-parent --id replica-1 --listen 127.0.0.1:9301 \
                        --advertise-url http://127.0.0.1:9301 \
                        --acceptors http://127.0.0.1:9201 --data-dir d/replica-1";
        assert_eq!(replica.join(" "), expected);
        let acceptor: Vec<&str> = plan[3].args.iter().map(|arg| arg.to_str().unwrap()).collect();
        let expected = "acceptor --exit-with-parent --id acceptor-1 --listen 127.0.0.1:9201 \
                        --advertise-url http://127.0.0.1:9201 \
                        --data-dir d/acceptor-1";
        assert_eq!(acceptor.join(" "), expected);
    }

    #[test]
    fn an_even_number_of_acceptors_is_refused() {
        assert_eq!(odd("5"), Ok(5));
        for bad in ["0", "2", "11", "-1", "three"] {
            assert!(odd(bad).is_err(), "{bad}");
        }
    }
}
