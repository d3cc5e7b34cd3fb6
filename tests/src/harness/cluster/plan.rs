//! Where everything of a cluster is: addresses, folders, command lines.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::options::{Between, Options};
use crate::harness::ports::Ports;
use crate::harness::process::{Host, Process};

/// The port of every service that has an address of its own.
const PORT: u16 = 8_000;

/// Where one service is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Where it listens, and is reached without a network between.
    pub(super) url: String,
    /// Where the others reach it.
    pub(super) door: String,
    pub(super) data_dir: PathBuf,
    host: Host,
}

/// Where every service is, by its name.
pub(super) fn places(
    options: &Options<'_>,
    dir: &Path,
    ports: &mut Ports,
) -> Result<BTreeMap<String, Place>> {
    let mut places = BTreeMap::new();
    for name in options.size.names() {
        let mut on_loopback =
            || Ok::<_, anyhow::Error>(format!("http://127.0.0.1:{}", ports.take()?));
        let (url, door, host) = match &options.between {
            Between::Loopback => {
                let url = on_loopback()?;
                (url.clone(), url, Host::Machine)
            }
            Between::Proxies => (on_loopback()?, on_loopback()?, Host::Machine),
            Between::Cables(lan) => {
                let url = format!("http://{}:{PORT}", lan.address(&name));
                (url.clone(), url, lan.host(&name))
            }
        };
        let elsewhere = options
            .data_dirs
            .iter()
            .find(|(service, _)| *service == name)
            .map(|(_, path)| path.to_path_buf());
        let data_dir = elsewhere.unwrap_or_else(|| dir.join("data").join(&name));
        places.insert(name, Place { url, door, data_dir, host });
    }
    Ok(places)
}

/// The process of every service, by its name.
pub(super) fn processes(
    synod: &Path,
    options: &Options<'_>,
    places: &BTreeMap<String, Place>,
    dir: &Path,
) -> BTreeMap<String, Process> {
    let acceptors: Vec<&str> = places
        .iter()
        .filter(|(name, _)| name.starts_with("acceptor"))
        .map(|(_, place)| place.door.as_str())
        .collect();
    let acceptors = acceptors.join(",");
    let mut services = BTreeMap::new();
    for (name, place) in places {
        let mut process = Process::new(name, synod, arguments(name, place, &acceptors), dir);
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

fn arguments(name: &str, place: &Place, acceptors: &str) -> Vec<String> {
    let kind = name.split('-').next().expect("split gives at least one part");
    let listen = place.url.trim_start_matches("http://");
    let mut args =
        vec![kind.to_owned(), "--id".into(), name.to_owned(), "--listen".into(), listen.to_owned()];
    if place.door != place.url {
        args.extend(["--advertise-url".into(), place.door.clone()]);
    }
    if kind != "acceptor" {
        args.extend(["--acceptors".into(), acceptors.to_owned()]);
    }
    if kind == "acceptor" || kind == "replica" {
        args.extend(["--data-dir".into(), place.data_dir.to_string_lossy().into_owned()]);
    }
    args
}
