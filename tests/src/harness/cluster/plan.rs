//! Where everything of a cluster is: addresses, folders, command lines.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::options::{Between, Options};
use crate::harness::pki::Pki;
use crate::harness::ports::Ports;
use crate::harness::process::{Host, Process};
use crate::harness::tunnel::OPERATOR;

/// The port of every service that has an address of its own, and that for the other services.
const PORT: u16 = 8_000;
const INTERNAL_PORT: u16 = 8_001;

/// Where one service is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Where it listens.
    pub(super) listen: SocketAddr,
    /// Where it listens for the other services, if elsewhere.
    pub(super) internal: Option<SocketAddr>,
    /// What stands before that, if anything.
    pub(super) proxy: Option<SocketAddr>,
    /// Where clients reach it without a network between.
    pub(super) url: String,
    /// Where they reach it as the other services do.
    pub(super) door: String,
    pub(super) data_dir: PathBuf,
    host: Host,
}

impl Place {
    /// Where it listens for the other services.
    pub(super) fn inner(&self) -> SocketAddr {
        self.internal.unwrap_or(self.listen)
    }

    /// Where the other services reach it.
    pub(super) fn outer(&self) -> SocketAddr {
        self.proxy.unwrap_or_else(|| self.inner())
    }
}

/// Where every service is, by its name.
pub(super) fn places(
    options: &Options<'_>,
    dir: &Path,
    ports: &mut Ports,
) -> Result<BTreeMap<String, Place>> {
    let mut places = BTreeMap::new();
    for name in options.size.names() {
        let mut on_loopback = || anyhow::Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, ports.take()?)));
        let has_internal = options.internal && !name.starts_with("balancer");
        let (listen, internal, proxy, host) = match &options.between {
            Between::Loopback | Between::Proxies => {
                let listen = on_loopback()?;
                let internal = has_internal.then(&mut on_loopback).transpose()?;
                let is_proxied = matches!(options.between, Between::Proxies);
                let proxy = is_proxied.then(on_loopback).transpose()?;
                (listen, internal, proxy, Host::Machine)
            }
            Between::Cables(lan) => {
                let at = |port| SocketAddr::from((lan.address(&name), port));
                (at(PORT), has_internal.then(|| at(INTERNAL_PORT)), None, lan.host(&name))
            }
        };
        let elsewhere = options
            .data_dirs
            .iter()
            .find(|(service, _)| *service == name)
            .map(|(_, path)| path.to_path_buf());
        let data_dir = elsewhere.unwrap_or_else(|| dir.join("data").join(&name));
        let (url, door) = (String::new(), String::new());
        let place = Place { listen, internal, proxy, url, door, data_dir, host };
        let (url, door) = (format!("http://{listen}"), format!("http://{}", place.outer()));
        places.insert(name, Place { url, door, ..place });
    }
    Ok(places)
}

/// An authority in the cluster's folder, with a certificate of each service, and one of the
/// clients.
pub(super) fn certificates(
    synod: &Path,
    places: &BTreeMap<String, Place>,
    dir: &Path,
) -> Result<Pki> {
    let pki = Pki::create(synod, &dir.join("tls"))?;
    for (name, place) in places {
        pki.issue(kind_of(name), name, place.listen.ip())?;
    }
    pki.issue("operator", OPERATOR, Ipv4Addr::LOCALHOST.into())?;
    Ok(pki)
}

/// The process of every service, by its name.
pub(super) fn processes(
    synod: &Path,
    options: &Options<'_>,
    places: &BTreeMap<String, Place>,
    pki: Option<&Pki>,
    dir: &Path,
) -> BTreeMap<String, Process> {
    let scheme = if pki.is_some() { "https" } else { "http" };
    let reached = |place: &Place| format!("{scheme}://{}", place.outer());
    let acceptors: Vec<String> = places
        .iter()
        .filter(|(name, _)| name.starts_with("acceptor"))
        .map(|(_, place)| reached(place))
        .collect();
    let acceptors = acceptors.join(",");
    let mut services = BTreeMap::new();
    for (name, place) in places {
        let mut args = arguments(name, place, &acceptors);
        if place.proxy.is_some() {
            args.extend(["--advertise-url".into(), reached(place)]);
        }
        args.extend(pki.iter().flat_map(|pki| pki.flags(name)));
        let mut process = Process::new(name, synod, args, dir);
        process.set_host(place.host.clone());
        for (_, args) in options.args.iter().filter(|(service, _)| service == name) {
            process.add_args(args.iter().copied());
        }
        if let Some(files) = options.open_files {
            process.limit_open_files(files);
        }
        for (key, value) in options.env {
            process.set_env(key, value);
        }
        services.insert(name.clone(), process);
    }
    services
}

fn kind_of(name: &str) -> &str {
    name.split('-').next().expect("split gives at least one part")
}

fn arguments(name: &str, place: &Place, acceptors: &str) -> Vec<String> {
    let kind = kind_of(name);
    let listen = place.listen.to_string();
    let mut args = vec![kind.to_owned(), "--id".into(), name.to_owned(), "--listen".into(), listen];
    if let Some(internal) = place.internal {
        args.extend(["--listen-internal".into(), internal.to_string()]);
    }
    if kind != "acceptor" {
        args.extend(["--acceptors".into(), acceptors.to_owned()]);
    }
    if kind == "acceptor" || kind == "replica" {
        args.extend(["--data-dir".into(), place.data_dir.to_string_lossy().into_owned()]);
    }
    args
}
