//! Draws the faults of a run from its seed.

use std::time::Duration;

use super::{Blow, Destroy, Fault, FaultKind, Moment, Power, Target};
use crate::random::{MILLION, Random};
use crate::simulation::environment::drag::{Pace, Slow, Talk};
use crate::simulation::environment::network::{Cut, Weather};
use crate::simulation::nodes::process::{CrashPoint, NodeId};
use crate::simulation::plan::Topology;

/// The kinds of fault, each of which a run has or has not ("swarm testing", Groce and
/// others, 2012: leaving kinds out lets the others get further).
const KINDS: usize = 24;

/// How far a wall clock is set, forward or back, at most: forty years.
const DECADES_MS: u64 = 40 * 365 * 86_400_000;

/// Those in several acts. In some runs there is only one of them, for where others break
/// in it seldom comes to its end.
const PLAYS: [usize; 7] = [15, 16, 17, 17, 18, 19, 20];

/// Draws the faults of a run of this length. `unlucky` are the nodes whose disks may be
/// lost: few enough that nothing that was acknowledged goes with them.
#[must_use]
pub fn draw(
    random: &mut Random,
    topology: &Topology,
    length: Duration,
    unlucky: &[NodeId],
) -> Vec<Fault> {
    let mut weights: Vec<u32> = (0..KINDS)
        .map(|_| {
            if random.chance(450_000) {
                u32::try_from(random.between(1, 10)).expect("small")
            } else {
                0
            }
        })
        .collect();
    let is_play = random.chance(MILLION / 6);
    if is_play {
        weights.fill(0);
        weights[*random.pick(&PLAYS)] = 1;
    }
    if weights.iter().all(|weight| *weight == 0) {
        return Vec::new();
    }
    let least = if is_play { Duration::from_secs(1) } else { Duration::from_millis(100) };
    let interval = random.magnitude(least, Duration::from_secs(10));
    let longest = random.magnitude(Duration::from_millis(50), Duration::from_secs(20));
    let mut draw = Draw { random, topology, unlucky, longest };
    let mut faults = Vec::new();
    let mut at = draw.random.duration(Duration::ZERO, interval * 2);
    while at < length && faults.len() < MOST {
        let kind = draw.random.weighted(&weights);
        faults.extend(draw.kind(kind).map(|kind| Fault { at, kind }));
        at += draw.random.duration(Duration::ZERO, interval * 2);
    }
    faults
}

/// Draws the changes of the acceptors, in a third of all runs, and crashes of whoever is about
/// to carry them out, or of those that come.
#[must_use]
pub fn draw_changes(random: &mut Random, topology: &Topology, length: Duration) -> Vec<Fault> {
    if random.chance(MILLION / 3) { changes(random, topology, length) } else { Vec::new() }
}

/// Draws them.
#[must_use]
pub fn changes(random: &mut Random, topology: &Topology, length: Duration) -> Vec<Fault> {
    let mut faults = Vec::new();
    let interval = random.magnitude(Duration::from_millis(500), Duration::from_secs(10));
    let mut at = random.duration(Duration::from_secs(1), Duration::from_secs(2) + interval);
    while at < length && faults.len() < MOST / 10 {
        let destroy = if random.chance(MILLION / 2) { Destroy::Leavers } else { Destroy::Nobody };
        faults.push(Fault { at, kind: FaultKind::ChangeAcceptors { destroy } });
        if random.chance(MILLION / 2) {
            let blow = *random.pick(&[
                Blow::Crash,
                Blow::Crash,
                Blow::Pause,
                Blow::Isolate,
                Blow::Strangle,
            ]);
            let after = random.magnitude(Duration::from_micros(10), Duration::from_millis(100));
            let lasts = random.magnitude(Duration::from_millis(10), Duration::from_secs(5));
            let kind = FaultKind::Ambush { moment: Moment::Stopped, after, blow, lasts };
            faults.push(Fault { at, kind });
        }
        if random.chance(MILLION / 2) {
            let after = random.magnitude(Duration::from_micros(100), Duration::from_secs(3));
            let target = if random.chance(MILLION / 2) {
                Target::Leader
            } else {
                Target::Node(*random.pick(&topology.spares()))
            };
            let down = random.magnitude(Duration::from_millis(10), Duration::from_secs(3));
            let (point, power) = (CrashPoint::Now, Power::Fails);
            faults.push(Fault {
                at: at + after,
                kind: FaultKind::Crash { target, point, down, power },
            });
        }
        at += random.duration(Duration::from_millis(200), interval * 2);
    }
    faults
}

/// The most faults in a run: enough to keep everybody busy.
const MOST: usize = 400;

struct Draw<'a> {
    random: &'a mut Random,
    topology: &'a Topology,
    unlucky: &'a [NodeId],
    longest: Duration,
}

impl Draw<'_> {
    fn kind(&mut self, kind: usize) -> Option<FaultKind> {
        let node = *self.random.pick(&self.topology.servers());
        let lasts = self.lasts();
        Some(match kind {
            0 => self.crash(),
            1 => FaultKind::PowerCut { nodes: self.some_servers(), down: lasts },
            2 => FaultKind::Cut { cut: self.cut(), lasts },
            3 => FaultKind::Pause { target: self.target(), lasts },
            4 => FaultKind::Drift {
                node,
                rate: u32::try_from(self.random.between(500_000, 2_000_000)).expect("small"),
            },
            5 => FaultKind::Jump { node, by: self.lasts() },
            6 => {
                let by = i64::try_from(self.random.between(0, 2 * DECADES_MS)).expect("small");
                FaultKind::SetWall { node, by_ms: by - DECADES_MS.cast_signed() }
            }
            7 => FaultKind::Full { node: self.diskful(), lasts },
            8 => FaultKind::SlowDisk { node: self.diskful(), sync: self.lasts(), lasts },
            9 => FaultKind::Wipe { node: self.one_unlucky()?, down: lasts },
            10 => FaultKind::Damage { node: self.one_unlucky()? },
            11 => FaultKind::Weather { weather: self.weather(), lasts },
            12 => FaultKind::Isolate { target: self.target(), lasts },
            13 => FaultKind::Strangle { reached: self.minority(), lasts },
            14 => self.ambush(),
            15 => FaultKind::OrphanVote {
                after: self.random.magnitude(Duration::from_millis(1), Duration::from_millis(400)),
                lasts: self.random.duration(Duration::from_millis(500), Duration::from_secs(4)),
            },
            16 => FaultKind::Drag {
                target: self.leader_or_any(),
                slow: self.slow(),
                lasts: self.scene(),
            },
            17 => FaultKind::Relapse {
                coordinator: self.coordinator(),
                slow: self.slow_past(),
                lasts: self.scene() * 2,
            },
            18 => FaultKind::Deafen {
                missed: self.minority(),
                lasts: self.random.duration(Duration::from_secs(1), Duration::from_secs(3)),
            },
            19 => FaultKind::Oversleep {
                sleeps: self
                    .random
                    .duration(Duration::from_millis(200), Duration::from_millis(1_900)),
            },
            20 => FaultKind::Straggle {
                replica: *self.random.pick(&self.topology.replicas()),
                sleeps: self
                    .random
                    .magnitude(Duration::from_millis(10), Duration::from_millis(500)),
                slow: self.one_behind(),
                lasts: self.scene(),
            },
            21 => FaultKind::SwitchOver {
                asked: *self.random.pick(&self.topology.replicas()),
                wanted: *self.random.pick(&self.topology.replicas()),
            },
            22 => FaultKind::Ending {
                target: self.primary_or_any(),
                after: self.random.magnitude(Duration::from_millis(20), Duration::from_secs(2)),
                down: lasts,
            },
            23 => FaultKind::Remove {
                asked: *self.random.pick(&self.topology.replicas()),
                target: self.primary_or_any(),
            },
            _ => unreachable!("{KINDS} kinds of faults"),
        })
    }

    fn lasts(&mut self) -> Duration {
        self.random.magnitude(Duration::from_millis(1), self.longest)
    }

    /// Anybody, and those on whom all depends more often.
    fn target(&mut self) -> Target {
        match self.random.below(5) {
            0 => Target::Leader,
            1 => Target::Primary,
            _ => Target::Node(*self.random.pick(&self.topology.servers())),
        }
    }

    fn coordinator(&mut self) -> NodeId {
        *self.random.pick(&self.topology.coordinators())
    }

    fn leader_or_any(&mut self) -> Target {
        if self.random.chance(MILLION / 2) {
            Target::Leader
        } else {
            Target::Node(self.coordinator())
        }
    }

    fn primary_or_any(&mut self) -> Target {
        if self.random.chance(MILLION / 2) {
            Target::Primary
        } else {
            Target::Node(*self.random.pick(&self.topology.replicas()))
        }
    }

    /// Long enough to lose an election, to stand back, and to win another.
    fn scene(&mut self) -> Duration {
        self.random.duration(Duration::from_secs(2), Duration::from_secs(8))
    }

    fn slow(&mut self) -> Slow {
        if self.random.chance(MILLION / 4) {
            self.slow_talks(vec![Talk::Votes])
        } else {
            self.slow_phases()
        }
    }

    /// Longer than a leadership that nobody answers, so that what answers it comes to the
    /// next.
    fn slow_past(&mut self) -> Slow {
        if self.random.chance(MILLION / 4) {
            return self.slow_phases();
        }
        let delay = (Duration::from_millis(1_500), Duration::from_millis(3_000));
        Slow { talks: vec![Talk::Accepts], pace: Pace::OneAhead, share: MILLION / 2, delay }
    }

    /// Longer than trimming takes, and not too long for who waits for votes.
    fn one_behind(&mut self) -> Slow {
        let delay = (Duration::from_millis(800), Duration::from_millis(1_900));
        Slow {
            talks: vec![Talk::Votes, Talk::Accepts],
            pace: Pace::OneBehind,
            share: MILLION,
            delay,
        }
    }

    fn slow_phases(&mut self) -> Slow {
        const PHASES: [&[Talk]; 3] =
            [&[Talk::Prepares], &[Talk::Accepts], &[Talk::Prepares, Talk::Accepts]];
        let talks = self.random.pick(&PHASES).to_vec();
        self.slow_talks(talks)
    }

    /// Longer than a round trip, or longer than a leadership that nobody answers.
    fn slow_talks(&mut self, talks: Vec<Talk>) -> Slow {
        let least = Duration::from_millis(*self.random.pick(&[50, 1_500]));
        let most =
            least + self.random.duration(Duration::from_millis(500), Duration::from_millis(1_500));
        Slow {
            talks,
            pace: Pace::Mixed,
            share: *self.random.pick(&[MILLION / 3, MILLION / 2, MILLION / 3 * 2]),
            delay: (least, most),
        }
    }

    fn minority(&mut self) -> u8 {
        u8::try_from(self.random.below(u64::from(self.topology.acceptors / 2) + 1))
            .expect("few acceptors")
    }

    fn ambush(&mut self) -> FaultKind {
        let moment =
            *self.random.pick(&[Moment::Led, Moment::Led, Moment::ViewChosen, Moment::Doubted]);
        let blow = *self.random.pick(&[Blow::Crash, Blow::Pause, Blow::Isolate, Blow::Strangle]);
        let after = self.random.magnitude(Duration::from_micros(10), Duration::from_millis(200));
        FaultKind::Ambush { moment, after, blow, lasts: self.lasts() }
    }

    fn crash(&mut self) -> FaultKind {
        use CrashPoint::{
            Committed, Decided, Now, ReplicaStepped, Stepped, Synced, Written, WrittenMany,
        };
        let target = self.target();
        let point = match target {
            Target::Node(NodeId::Acceptor(_)) => *self.random.pick(&[
                Now,
                Decided,
                Written,
                WrittenMany,
                WrittenMany,
                Synced,
                Synced,
            ]),
            Target::Node(NodeId::Coordinator(_)) | Target::Leader => {
                *self.random.pick(&[Now, Stepped])
            }
            Target::Node(NodeId::Replica(_) | NodeId::Client(_)) | Target::Primary => {
                *self.random.pick(&[Now, ReplicaStepped, Committed])
            }
        };
        let power = if self.random.chance(MILLION / 2) { Power::Fails } else { Power::Stays };
        FaultKind::Crash { target, point, down: self.lasts(), power }
    }

    fn some_servers(&mut self) -> Vec<NodeId> {
        let mut servers = match self.random.below(4) {
            0 => self.topology.acceptors(),
            1 => self.topology.coordinators(),
            2 => self.topology.replicas(),
            _ => self.topology.servers(),
        };
        self.random.shuffle(&mut servers);
        let count = 1 + self.random.index(servers.len());
        servers.truncate(count);
        servers
    }

    /// A partition in two, one way or both; a partition that a few nodes bridge; or one
    /// node cut off.
    fn cut(&mut self) -> Cut {
        let mut nodes = self.topology.all();
        self.random.shuffle(&mut nodes);
        let (first, second) = match self.random.below(4) {
            0 => (vec![*self.random.pick(&self.topology.servers())], nodes),
            1 => {
                // Whoever is in neither group talks to both.
                let bridges = 1 + self.random.index(2);
                let middle = nodes.len() / 2;
                let second = nodes.split_off(middle);
                (nodes, second[bridges..].to_vec())
            }
            _ => {
                let at = 1 + self.random.index(nodes.len() - 1);
                let second = nodes.split_off(at);
                (nodes, second)
            }
        };
        let second: Vec<NodeId> = second.into_iter().filter(|node| !first.contains(node)).collect();
        if self.random.chance(MILLION / 3) {
            Cut::OneWay(first, second)
        } else {
            Cut::Between(first, second)
        }
    }

    fn diskful(&mut self) -> NodeId {
        let mut nodes = self.topology.acceptors();
        nodes.extend(self.topology.replicas());
        *self.random.pick(&nodes)
    }

    fn one_unlucky(&mut self) -> Option<NodeId> {
        if self.unlucky.is_empty() { None } else { Some(*self.random.pick(self.unlucky)) }
    }

    fn weather(&mut self) -> Weather {
        let mut share = |most: u64| u32::try_from(self.random.below(most)).expect("small");
        let (lost, repeated, late) = (share(300_000), share(300_000), share(300_000));
        let slow = (
            Duration::from_millis(1),
            self.random.magnitude(Duration::from_millis(10), Duration::from_secs(10)),
        );
        let quick = (
            Duration::from_micros(10),
            self.random.magnitude(Duration::from_micros(100), Duration::from_millis(300)),
        );
        Weather { lost, repeated, late, slow, quick }
    }
}
