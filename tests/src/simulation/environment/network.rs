//! The network: every directed link by itself loses, repeats, delays and thereby reorders
//! what it carries, and may be cut.

use std::slice;
use std::time::Duration;

use crate::random::Random;
use crate::simulation::nodes::process::NodeId;

/// How the network is at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// Messages lost, in a million.
    pub lost: u32,
    /// Messages given twice, in a million.
    pub repeated: u32,
    /// Messages, in a million, that take `slow` …
    pub late: u32,
    /// … the least and the longest time that these take, each order of magnitude as
    /// likely.
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
    /// No message passes between a node and all these others.
    Alone(NodeId, Vec<NodeId>),
    /// No message passes between a leader and these acceptors.
    Strangled(NodeId, Vec<NodeId>),
    /// No message passes from these acceptors to a leader that they hear.
    Deaf(NodeId, Vec<NodeId>),
}

/// What a cut leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Two groups, and nothing passes between them.
    Full,
    /// Two groups, and nodes that talk to both.
    Bridged,
    /// What one group says does not arrive; what it is told does.
    OneWay,
    /// A node, and all others.
    Alone,
    /// A leader, and acceptors that it does not reach.
    Strangled,
    /// Acceptors that hear a leader, and a leader that does not hear them.
    Deaf,
}

/// Of several cuts the narrower one says why nothing passes: it is there for a purpose.
const SHAPES: [Shape; 6] =
    [Shape::Full, Shape::Bridged, Shape::OneWay, Shape::Alone, Shape::Strangled, Shape::Deaf];

/// Whether a message arrives in the order in which it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// After all that was sent before it on its link.
    Kept,
    /// Before something that was sent earlier.
    Overtakes,
}

/// The links between all nodes.
#[derive(Debug)]
pub struct Network {
    size: Size,
    seed: u64,
    weather: Weather,
    links: Vec<Link>,
}

/// One way from one node to another.
#[derive(Clone, Debug, Default)]
struct Link {
    random: Option<Random>,
    /// How many cuts of each shape hold it down.
    cuts: [u16; SHAPES.len()],
    /// When the latest arrives of what was sent so far.
    latest: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Size {
    acceptors: usize,
    coordinators: usize,
    replicas: usize,
    all: usize,
}

/// Streams of randomness from here on are the links', numbered so that a run with fewer
/// clients has the same ones.
const FIRST_STREAM: u64 = 1 << 32;
const MOST_NODES: usize = 64;

impl Network {
    /// A network of so many nodes of each kind.
    #[must_use]
    pub fn new(
        seed: u64,
        acceptors: usize,
        coordinators: usize,
        replicas: usize,
        clients: usize,
    ) -> Self {
        let all = acceptors + coordinators + replicas + clients;
        let size = Size { acceptors, coordinators, replicas, all };
        Self { size, seed, weather: Weather::CALM, links: vec![Link::default(); all * all] }
    }

    /// How it is from now on.
    pub fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// Cuts links, or gives them back; a link that was cut twice is given back twice.
    pub fn cut(&mut self, cut: &Cut, is_cut: bool) {
        let (from, to, shape) = match cut {
            Cut::Between(some, others) if some.len() + others.len() == self.size.all => {
                (&some[..], &others[..], Shape::Full)
            }
            Cut::Between(some, others) => (&some[..], &others[..], Shape::Bridged),
            Cut::OneWay(from, to) => (&from[..], &to[..], Shape::OneWay),
            Cut::Alone(node, others) => (slice::from_ref(node), &others[..], Shape::Alone),
            Cut::Strangled(leader, acceptors) => {
                (slice::from_ref(leader), &acceptors[..], Shape::Strangled)
            }
            Cut::Deaf(leader, acceptors) => (&acceptors[..], slice::from_ref(leader), Shape::Deaf),
        };
        let is_both_ways = match shape {
            Shape::Full | Shape::Bridged | Shape::Alone | Shape::Strangled => true,
            Shape::OneWay | Shape::Deaf => false,
        };
        for (&one, &other) in from.iter().flat_map(|one| to.iter().map(move |other| (one, other))) {
            self.cut_link(one, other, shape, is_cut);
            if is_both_ways {
                self.cut_link(other, one, shape, is_cut);
            }
        }
    }

    /// Mends every link.
    pub fn mend(&mut self) {
        self.links.iter_mut().for_each(|link| link.cuts = [0; SHAPES.len()]);
    }

    /// What lets nothing pass from one node to another, if anything does.
    #[must_use]
    pub fn cut_by(&self, from: NodeId, to: NodeId) -> Option<Shape> {
        self.links[self.link(from, to)].cut_by()
    }

    /// Notes when a message arrives.
    pub fn arrives(&mut self, from: NodeId, to: NodeId, at: Duration) -> Order {
        let place = self.link(from, to);
        let link = &mut self.links[place];
        let order = if at < link.latest { Order::Overtakes } else { Order::Kept };
        link.latest = link.latest.max(at);
        order
    }

    /// Decides what becomes of a message: the delays after which it arrives, none if it
    /// is lost.
    pub fn carry(
        &mut self,
        from: NodeId,
        to: NodeId,
        may_be_repeated: bool,
    ) -> [Option<Duration>; 2] {
        let (seed, weather, place) = (self.seed, self.weather, self.link(from, to));
        let stream = FIRST_STREAM + (self.place(from) * MOST_NODES + self.place(to)) as u64;
        let link = &mut self.links[place];
        if link.cut_by().is_some() {
            return [None, None];
        }
        let random = link.random.get_or_insert_with(|| Random::new(seed, stream));
        if random.chance(weather.lost) {
            return [None, None];
        }
        let is_repeated = random.chance(weather.repeated) && may_be_repeated;
        let mut delay = || {
            let (low, high) =
                if random.chance(weather.late) { weather.slow } else { weather.quick };
            random.magnitude(low, high)
        };
        [Some(delay()), is_repeated.then(&mut delay)]
    }

    fn cut_link(&mut self, from: NodeId, to: NodeId, shape: Shape, is_cut: bool) {
        let place = self.link(from, to);
        let cuts = &mut self.links[place].cuts[shape as usize];
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

impl Link {
    fn cut_by(&self) -> Option<Shape> {
        SHAPES.into_iter().rfind(|shape| self.cuts[*shape as usize] > 0)
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
        let (both, one_way) =
            (Cut::Between(vec![ONE], vec![OTHER]), Cut::OneWay(vec![ONE], vec![OTHER]));
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

    #[test]
    fn a_cut_has_the_shape_of_what_it_leaves() {
        let mut network = Network::new(1, 1, 0, 1, 1);
        let client = NodeId::Client(0);
        let cuts = [
            (Cut::Between(vec![ONE], vec![OTHER, client]), Shape::Full),
            (Cut::Between(vec![ONE], vec![OTHER]), Shape::Bridged),
            (Cut::OneWay(vec![ONE], vec![OTHER, client]), Shape::OneWay),
            (Cut::Alone(ONE, vec![OTHER, client]), Shape::Alone),
            (Cut::Strangled(OTHER, vec![ONE]), Shape::Strangled),
            (Cut::Deaf(OTHER, vec![ONE]), Shape::Deaf),
        ];
        for (cut, shape) in cuts {
            network.cut(&cut, true);
            assert_eq!(network.cut_by(ONE, OTHER), Some(shape));
            network.cut(&cut, false);
            assert_eq!(network.cut_by(ONE, OTHER), None);
        }
    }

    #[test]
    fn a_message_that_arrives_before_an_earlier_one_overtakes_it() {
        let mut network = Network::new(1, 1, 1, 1, 1);
        let ms = Duration::from_millis;
        let arrivals = [
            (ms(5), Order::Kept),
            (ms(3), Order::Overtakes),
            (ms(5), Order::Kept),
            (ms(4), Order::Overtakes),
        ];
        for (at, order) in arrivals {
            assert_eq!(network.arrives(ONE, OTHER, at), order);
        }
        assert_eq!(network.arrives(OTHER, ONE, ms(1)), Order::Kept);
    }
}
