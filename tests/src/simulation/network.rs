//! The network: every directed link by itself loses, repeats, delays and thereby reorders what it carries, and may be cut.

use std::time::Duration;

use super::node::NodeId;
use super::random::Random;

/// How the network is at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// Messages lost, in a million.
    pub lost: u32,
    /// Messages given twice, in a million.
    pub repeated: u32,
    /// Messages, in a million, that take `slow` …
    pub late: u32,
    /// … the least and the longest time that these take, each order of magnitude as likely.
    pub slow: (Duration, Duration),
    /// The least and the longest time that the others take.
    pub quick: (Duration, Duration),
}

impl Weather {
    /// A network that works.
    pub const CALM: Self = Self {
        lost: 0,
        repeated: 0,
        late: 0,
        slow: (Duration::from_millis(1), Duration::from_secs(1)),
        quick: (Duration::from_micros(50), Duration::from_micros(1_000)),
    };
}

/// Which links are cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// No message passes between the two groups.
    Between(Vec<NodeId>, Vec<NodeId>),
    /// No message passes from the first group to the second; the other way all do.
    OneWay(Vec<NodeId>, Vec<NodeId>),
}

/// The links between all nodes.
#[derive(Debug)]
pub struct Network {
    size: Size,
    seed: u64,
    weather: Weather,
    links: Vec<Option<Random>>,
    /// How many cuts hold each link down.
    cuts: Vec<u16>,
}

#[derive(Clone, Copy, Debug)]
struct Size {
    acceptors: usize,
    coordinators: usize,
    replicas: usize,
    all: usize,
}

/// Streams of randomness from here on are the links'.
const FIRST_STREAM: u64 = 1 << 32;

impl Network {
    /// A network of so many nodes of each kind.
    #[must_use]
    pub fn new(seed: u64, acceptors: usize, coordinators: usize, replicas: usize, clients: usize) -> Self {
        let all = acceptors + coordinators + replicas + clients;
        let size = Size { acceptors, coordinators, replicas, all };
        Self { size, seed, weather: Weather::CALM, links: vec![None; all * all], cuts: vec![0; all * all] }
    }

    /// How it is from now on.
    pub fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// Cuts links, or gives them back; a link that was cut twice is given back twice.
    pub fn cut(&mut self, cut: &Cut, is_cut: bool) {
        let (from, to, both) = match cut {
            Cut::Between(some, others) => (some, others, true),
            Cut::OneWay(from, to) => (from, to, false),
        };
        for (&one, &other) in from.iter().flat_map(|one| to.iter().map(move |other| (one, other))) {
            self.cut_link(one, other, is_cut);
            if both {
                self.cut_link(other, one, is_cut);
            }
        }
    }

    /// Mends every link.
    pub fn mend(&mut self) {
        self.cuts.fill(0);
    }

    /// Whether nothing passes from one node to another.
    #[must_use]
    pub fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.cuts[self.link(from, to)] > 0
    }

    /// Decides what becomes of a message: the delays after which it arrives, none if it is lost.
    pub fn carry(&mut self, from: NodeId, to: NodeId, may_be_repeated: bool) -> [Option<Duration>; 2] {
        let link = self.link(from, to);
        if self.cuts[link] > 0 {
            return [None, None];
        }
        let (seed, weather) = (self.seed, self.weather);
        let random = self.links[link].get_or_insert_with(|| Random::new(seed, FIRST_STREAM + link as u64));
        if random.chance(weather.lost) {
            return [None, None];
        }
        let is_repeated = random.chance(weather.repeated) && may_be_repeated;
        let mut delay = || {
            let (low, high) = if random.chance(weather.late) { weather.slow } else { weather.quick };
            random.magnitude(low, high)
        };
        [Some(delay()), is_repeated.then(&mut delay)]
    }

    fn cut_link(&mut self, from: NodeId, to: NodeId, is_cut: bool) {
        let link = self.link(from, to);
        let cuts = &mut self.cuts[link];
        *cuts = if is_cut { *cuts + 1 } else { cuts.saturating_sub(1) };
    }

    fn link(&self, from: NodeId, to: NodeId) -> usize {
        self.place(from) * self.size.all + self.place(to)
    }

    fn place(&self, node: NodeId) -> usize {
        let Size { acceptors, coordinators, replicas, .. } = self.size;
        match node {
            NodeId::Acceptor(number) => usize::from(number),
            NodeId::Coordinator(number) => acceptors + usize::from(number),
            NodeId::Replica(number) => acceptors + coordinators + usize::from(number),
            NodeId::Client(number) => acceptors + coordinators + replicas + usize::from(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: NodeId = NodeId::Acceptor(0);
    const OTHER: NodeId = NodeId::Replica(0);

    fn arrives(network: &mut Network, from: NodeId, to: NodeId) -> bool {
        network.carry(from, to, true)[0].is_some()
    }

    #[test]
    fn a_cut_link_carries_nothing_until_every_cut_is_mended() {
        let mut network = Network::new(1, 1, 1, 1, 1);
        let (both, one_way) = (Cut::Between(vec![ONE], vec![OTHER]), Cut::OneWay(vec![ONE], vec![OTHER]));
        network.cut(&both, true);
        network.cut(&one_way, true);
        assert!(!arrives(&mut network, ONE, OTHER) && !arrives(&mut network, OTHER, ONE));
        network.cut(&both, false);
        assert!(!arrives(&mut network, ONE, OTHER) && arrives(&mut network, OTHER, ONE));
        network.cut(&one_way, false);
        assert!(arrives(&mut network, ONE, OTHER));
    }

    #[test]
    fn weather_decides_what_is_lost_and_repeated() {
        let mut network = Network::new(1, 1, 1, 1, 1);
        network.set_weather(Weather { lost: 1_000_000, ..Weather::CALM });
        assert_eq!(network.carry(ONE, OTHER, true), [None, None]);
        network.set_weather(Weather { repeated: 1_000_000, ..Weather::CALM });
        assert!(network.carry(ONE, OTHER, true).iter().all(Option::is_some));
        assert_eq!(network.carry(ONE, OTHER, false)[1], None);
    }
}
