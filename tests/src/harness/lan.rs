//! A small network of real hosts, as far as the kernel can tell: every service in a
//! network namespace of its own, with its own address and cable, all plugged into one
//! bridge. The test's own clients sit at the bridge.
//!
//! Unlike through the proxies of [`network`](super::network), what is lost here is lost
//! *packets*: nobody is told, connections stay half-open on both sides, TCP sends again
//! and waits longer each time, and what it had in hand may yet arrive after the fault.
//!
//! - **Drops** are rules of the receiver: `ip rule add from SENDER blackhole`, which
//!   discards in silence. So one way can be dead while the other is alive. (The same rule
//!   at the sender would tell it so by an error.) Who has which hardware address is
//!   fixed, since otherwise an unanswered ARP request would tell the sender after a while
//!   that the host is gone.
//! - **A cable that is pulled** is `ip link set … down` at the bridge.
//!
//! Needs root and iproute2.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::namespace::{Namespace, has_ip};
use super::process::Host;
use super::skip::skipped;

/// The number of the bridge, where the clients are.
const HUB: u8 = 1;
/// The most that fits into one network of 256 addresses, with room for the bridge.
const MAX_HOSTS: usize = 200;
/// The rule that finds a host's own addresses is the first of all; it has to make room
/// for those that drop.
const LOCAL_RULE: u32 = 30_000;
/// A port on which nobody listens.
const NOBODY: u16 = 9;
/// What `ip` says where the kernel lacks something.
const UNSUPPORTED: [&str; 2] = ["Unknown device type", "not supported"];
/// How long it may take until every host is reached.
const WIRING: Duration = Duration::from_secs(10);

/// Packets of one host that don't reach another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OneWay {
    /// Who sends them.
    pub from: String,
    /// Who doesn't get them.
    pub to: String,
}

impl OneWay {
    /// Of one to another.
    #[must_use]
    pub fn new(from: &str, to: &str) -> Self {
        Self { from: from.to_owned(), to: to.to_owned() }
    }
}

/// Everything that some say to some others, one way.
#[must_use]
pub fn towards(from: &[String], to: &[String]) -> Vec<OneWay> {
    let pairs = from.iter().flat_map(|from| to.iter().map(move |to| (from, to)));
    pairs.filter(|(from, to)| from != to).map(|(from, to)| OneWay::new(from, to)).collect()
}

/// Everything between some and some others, both ways.
#[must_use]
pub fn apart(one: &[String], other: &[String]) -> Vec<OneWay> {
    let mut drops = towards(one, other);
    drops.extend(towards(other, one));
    drops
}

/// The addresses of a network, private ones (RFC 1918). No two networks of a process have
/// the same: the connections that it keeps are found by address, and would lead into
/// another network than the one that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Subnet(u8);

impl Subnet {
    /// One that no network has that is there.
    fn next() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    fn address(self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.0, number)
    }

    fn neighbour(self, commands: &mut String, device: &str, number: u8) {
        commands.push_str(&format!(
            "neighbour add {} lladdr {} dev {device} nud permanent\n",
            self.address(number),
            hardware(number)
        ));
    }
}

#[derive(Debug)]
struct Member {
    number: u8,
    address: Ipv4Addr,
    namespace: Arc<Namespace>,
}

/// The network. It is gone when the last that uses it is dropped.
#[derive(Debug)]
pub struct Lan {
    subnet: Subnet,
    hub: Namespace,
    members: BTreeMap<String, Member>,
    dropped: Mutex<BTreeSet<OneWay>>,
    unplugged: Mutex<BTreeSet<String>>,
}

impl Lan {
    /// Makes a network of these hosts; none, with the reason printed, where the machine
    /// does not allow it.
    ///
    /// # Errors
    /// When that fails for another reason, or it must not be left out.
    pub fn of(names: &[String]) -> Result<Option<Self>> {
        ensure!(names.len() <= MAX_HOSTS, "{} hosts are too many", names.len());
        if !has_ip() {
            return skipped("there is no ip; `apt-get install iproute2` brings it").map(|()| None);
        }
        let Some(hub) = Namespace::create()? else { return Ok(None) };
        let (subnet, mut members) = (Subnet::next(), BTreeMap::new());
        for (number, name) in (HUB + 1..).zip(names) {
            let Some(namespace) = Namespace::create()? else { return Ok(None) };
            let (address, namespace) = (subnet.address(number), Arc::new(namespace));
            members.insert(name.clone(), Member { number, address, namespace });
        }
        let (dropped, unplugged) = Default::default();
        let lan = Self { subnet, hub, members, dropped, unplugged };
        match lan.wire() {
            Ok(()) => Ok(Some(lan)),
            Err(error) if UNSUPPORTED.iter().any(|words| error.to_string().contains(words)) => {
                skipped(&format!("this kernel has no bridges, virtual cables or rules: {error}"))
                    .map(|()| None)
            }
            Err(error) => Err(error.context("wiring hosts to a bridge")),
        }
    }

    fn wire(&self) -> Result<()> {
        let mut commands = format!(
            "link set lo up\nlink add name lan type bridge\nlink set lan address {}\naddress add \
             {}/24 dev lan\nlink set lan up\n",
            hardware(HUB),
            self.subnet.address(HUB)
        );
        for (name, member) in &self.members {
            let (mac, namespace) = (hardware(member.number), member.namespace.path());
            writeln!(
                commands,
                "link add {name} type veth peer name eth0 address {mac} netns {namespace}"
            )?;
            writeln!(commands, "link set {name} master lan up")?;
        }
        let hosts = self.members.values().map(|member| member.number);
        hosts.for_each(|number| self.subnet.neighbour(&mut commands, "lan", number));
        self.hub.ip(&commands)?;
        self.members.values().try_for_each(|member| self.wire_member(member))?;
        self.hub.within(|| self.members.values().try_for_each(wait_for_host))?
    }

    fn wire_member(&self, member: &Member) -> Result<()> {
        let mut commands = format!(
            "link set lo up\naddress add {}/24 dev eth0\nlink set eth0 up\n\
            rule add pref {LOCAL_RULE} lookup local\nrule del pref 0 lookup local\n",
            member.address
        );
        let others = self
            .members
            .values()
            .map(|other| other.number)
            .chain([HUB])
            .filter(|number| *number != member.number);
        others.for_each(|number| self.subnet.neighbour(&mut commands, "eth0", number));
        member.namespace.ip(&commands)?;
        // A host counts as dropped what has no way to go; a router would not.
        member
            .namespace
            .within(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "0"))?
            .context("turning forwarding off")
    }

    /// The namespace of the bridge, from where every host is reached whatever is dropped
    /// between them.
    #[must_use]
    pub fn hub(&self) -> &Namespace {
        &self.hub
    }

    /// Where a service of that name is to run.
    ///
    /// # Panics
    /// When there is no such host.
    #[must_use]
    pub fn host(&self, name: &str) -> Host {
        Host::Namespace(Arc::clone(&self.member(name).namespace))
    }

    /// The address of a host.
    ///
    /// # Panics
    /// When there is no such host.
    #[must_use]
    pub fn address(&self, name: &str) -> Ipv4Addr {
        self.member(name).address
    }

    fn member(&self, name: &str) -> &Member {
        self.members.get(name).unwrap_or_else(|| panic!("no host {name}"))
    }

    /// Drops these packets and no others.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn set(&self, drops: Vec<OneWay>) -> Result<()> {
        let wanted: BTreeSet<OneWay> = drops.into_iter().collect();
        let mut dropped = self.dropped.lock().expect("no panic under the lock");
        for (name, member) in &self.members {
            let rule = |verb: &str, drop: &OneWay| {
                let Member { number, address, .. } = self.member(&drop.from);
                format!("rule {verb} pref {number} from {address} iif eth0 blackhole\n")
            };
            let off = dropped
                .difference(&wanted)
                .filter(|drop| drop.to == *name)
                .map(|drop| rule("del", drop));
            let on = wanted
                .difference(&dropped)
                .filter(|drop| drop.to == *name)
                .map(|drop| rule("add", drop));
            let commands: String = off.chain(on).collect();
            if !commands.is_empty() {
                member.namespace.ip(&commands)?;
            }
        }
        *dropped = wanted;
        Ok(())
    }

    /// Pulls the cable of a host.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn unplug(&self, name: &str) -> Result<()> {
        self.unplugged.lock().expect("no panic under the lock").insert(name.to_owned());
        self.hub.ip(&format!("link set {name} down\n"))
    }

    /// Plugs it in again, and waits until it carries packets.
    ///
    /// # Errors
    /// What `ip` says; or when it carries none for too long.
    pub fn plug(&self, name: &str) -> Result<()> {
        self.unplugged.lock().expect("no panic under the lock").remove(name);
        self.hub.ip(&format!("link set {name} up\n"))?;
        self.hub.within(|| wait_for_host(self.member(name)))?
    }

    /// Drops nothing any more, and plugs every cable in.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn heal(&self) -> Result<()> {
        let unplugged: Vec<String> =
            self.unplugged.lock().expect("no panic under the lock").iter().cloned().collect();
        unplugged.iter().try_for_each(|name| self.plug(name))?;
        self.set(Vec::new())
    }

    /// How many packets were dropped at their receivers, and how many segments TCP sent
    /// again: faults that meet nothing prove nothing.
    ///
    /// # Errors
    /// When the kernel doesn't say.
    pub fn losses(&self) -> Result<Losses> {
        let mut losses = Losses::default();
        for member in self.members.values() {
            // Not `/proc/net`, which is about the process's first thread.
            let snmp = member
                .namespace
                .within(|| std::fs::read_to_string("/proc/thread-self/net/snmp"))??;
            losses.dropped += counter(&snmp, "Ip:", "InAddrErrors")
                .context("the kernel counts dropped packets")?;
            losses.sent_again += counter(&snmp, "Tcp:", "RetransSegs")
                .context("the kernel counts segments sent again")?;
        }
        Ok(losses)
    }
}

/// What was lost since the network was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Packets dropped by a rule.
    pub dropped: u64,
    /// TCP segments that were sent once more.
    pub sent_again: u64,
}

/// Waits until a host answers, if only that nobody listens there: a bridge forwards
/// nothing for the first moments.
fn wait_for_host(member: &Member) -> Result<()> {
    let at = SocketAddr::from((member.address, NOBODY));
    let started = Instant::now();
    loop {
        match TcpStream::connect_timeout(&at, Duration::from_millis(50)) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(()),
            tried => ensure!(started.elapsed() < WIRING, "{at} does not answer: {tried:?}"),
        }
    }
}

/// A counter of `/proc/net/snmp`: two lines each, names and numbers.
fn counter(snmp: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = snmp.lines().filter(|line| line.starts_with(group));
    let at = lines.next()?.split_whitespace().position(|word| word == name)?;
    lines.next()?.split_whitespace().nth(at)?.parse().ok()
}

/// Locally administered.
fn hardware(number: u8) -> String {
    format!("02:00:00:00:00:{number:02x}")
}

#[cfg(test)]
mod tests;
