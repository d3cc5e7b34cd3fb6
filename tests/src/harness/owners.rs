//! Which process has opened a connection: what `/proc` knows, looked up for many
//! connections at a time.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::process::PidCell;

/// Who opens connections when it is nobody of the cluster: the clients of the test.
pub const CLIENT: &str = "client";

/// Looking takes some milliseconds: not more often than this.
const PACE: Duration = Duration::from_millis(50);

/// The port of the end that opened a connection, and that of the other end. Both are on
/// 127.0.0.1.
pub(super) type Ports = (u16, u16);

/// Knows the processes of a cluster, and from time to time their connections.
#[derive(Debug)]
pub(super) struct Owners {
    pids: Mutex<BTreeMap<String, PidCell>>,
    table: tokio::sync::Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    looked: Option<Instant>,
    names: BTreeMap<Ports, String>,
}

impl Default for Owners {
    fn default() -> Self {
        let pids = BTreeMap::from([(CLIENT.to_owned(), PidCell::of(std::process::id()))]);
        Self { pids: Mutex::new(pids), table: tokio::sync::Mutex::default() }
    }
}

impl Owners {
    pub(super) fn know(&self, name: &str, pid: PidCell) {
        self.pids.lock().expect("no panic under the lock").insert(name.to_owned(), pid);
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.pids.lock().expect("no panic under the lock").keys().cloned().collect()
    }

    /// The name of the process that opened a connection which was accepted then; empty if
    /// it is not known (any more).
    pub(super) async fn of(&self, ports: Ports, accepted: Instant) -> String {
        let mut table = self.table.lock().await;
        // Ports are used again: what was seen before the connection was there says
        // nothing of it.
        if table.looked.is_none_or(|looked| looked <= accepted) {
            if let Some(looked) = table.looked {
                tokio::time::sleep(PACE.saturating_sub(looked.elapsed())).await;
            }
            let pids = self.pids.lock().expect("no panic under the lock").clone();
            table.looked = Some(Instant::now());
            table.names = look(&pids).unwrap_or_default();
        }
        table.names.get(&ports).cloned().unwrap_or_default()
    }
}

/// All connections of some processes.
fn look(pids: &BTreeMap<String, PidCell>) -> std::io::Result<BTreeMap<Ports, String>> {
    let table = std::fs::read_to_string("/proc/net/tcp")?;
    let sockets = sockets(&table);
    let mut names = BTreeMap::new();
    for (name, pid) in pids {
        let Some(pid) = pid.get() else { continue };
        // A process may end meanwhile.
        let Ok(files) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        for file in files.flatten() {
            let Ok(target) = std::fs::read_link(file.path()) else { continue };
            let inode =
                target.to_str().and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']'));
            if let Some(ports) = inode.and_then(|inode| sockets.get(inode)) {
                names.insert(*ports, name.clone());
            }
        }
    }
    Ok(names)
}

/// The ports of each socket in `/proc/net/tcp`, local and remote, by its inode.
fn sockets(table: &str) -> BTreeMap<&str, Ports> {
    let parsed = table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let ports = (port_of(fields.next()?)?, port_of(fields.next()?)?);
        Some((fields.nth(6)?, ports))
    });
    parsed.collect()
}

/// The port of an address as `/proc/net/tcp` writes it: `0100007F:1F90`.
fn port_of(address: &str) -> Option<u16> {
    u16::from_str_radix(address.split_once(':')?.1, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_inodes_are_read_from_the_table_of_connections() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt  \
             uid  timeout inode\n   \
            0: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 77001 1 0000 20 4 30 10 -1\n";
        assert_eq!(sockets(table), BTreeMap::from([("77001", (8_080, 40_000))]));
    }

    #[tokio::test]
    async fn the_process_that_opened_a_connection_is_found() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        let opened = tokio::net::TcpStream::connect(here).await.unwrap();
        let (_accepted, peer) = listener.accept().await.unwrap();
        let owners = Owners::default();
        assert_eq!(owners.of((peer.port(), here.port()), Instant::now()).await, CLIENT);
        assert_eq!(owners.of((1, here.port()), Instant::now()).await, "");
        drop(opened);
    }
}
