//! What is known of the cluster, from one look to the next: pure.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::cluster::{Cluster, Endpoint, Leader, Service, View};
use super::measures::{Measures, Times};

/// How long a service that is not listed any more is shown as gone.
const REMEMBER: Duration = Duration::from_secs(60);
/// How many changes of leader and primary are kept.
const CHANGES: usize = 32;

/// All that one look gave.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub(super) cluster: Cluster,
    /// What services measure, by name, where they could be asked.
    pub(super) measures: BTreeMap<String, Measures>,
}

/// Which kind a service is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Coordinator,
    Acceptor,
    Replica,
    Balancer,
}

/// A service, and what became of it since the last look.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) service: Service,
    /// Whether the cluster still speaks of it.
    pub(super) is_listed: bool,
    seen_at: Option<Duration>,
    /// Requests a second; unknown at first, and after a restart.
    pub(super) rate: Option<f64>,
    /// A balancer's, to each replica.
    pub(super) flows: Vec<(String, Option<f64>)>,
    /// What it measured since.
    pub(super) measured: Option<Measures>,
}

/// How much is asked, and how long it takes.
#[derive(Clone, Debug, Default)]
pub(super) struct Traffic {
    pub(super) per_second: f64,
    pub(super) times: Times,
}

/// Another leader or another primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) at: Duration,
    pub(super) what: String,
}

/// All that is known. Times are counted from when it was first asked.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) cluster: Cluster,
    /// When the last answer came.
    pub(super) at: Option<Duration>,
    /// Why the last question has none.
    pub(super) error: Option<String>,
    known: BTreeMap<(Kind, String), Known>,
    measures: BTreeMap<String, Measures>,
    /// Of all balancers that could be asked; none where none could.
    pub(super) reads: Option<Traffic>,
    pub(super) writes: Option<Traffic>,
    /// Views that replaced the primary, and elections that replaced the leader, since.
    pub(super) fail_overs: u64,
    pub(super) elections: u64,
    /// The newest first.
    pub(super) changes: VecDeque<Change>,
}

impl State {
    /// Those of a kind, by name.
    pub(super) fn of(&self, kind: Kind) -> impl Iterator<Item = (&str, &Known)> {
        let of_kind = self.known.iter().filter(move |((of, _), _)| *of == kind);
        of_kind.map(|((_, name), known)| (name.as_str(), known))
    }

    /// The name of the coordinator that has drawn an identity, if it is known.
    pub(super) fn coordinator<'a>(&'a self, identity: &'a str) -> &'a str {
        let mut coordinators = self.of(Kind::Coordinator);
        coordinators
            .find(|(_, known)| known.service.coordinator.as_deref() == Some(identity))
            .map_or(identity, |(name, _)| name)
    }

    /// There was no answer.
    pub(super) fn failed(&mut self, error: String) {
        self.error = Some(error);
    }

    /// There was one.
    pub(super) fn answered(&mut self, look: Look, now: Duration) {
        let Look { mut cluster, measures } = look;
        if self.cluster.cluster_id != cluster.cluster_id {
            *self = Self::default();
        }
        self.keep_the_newest(&mut cluster, now);
        let since = self.at.map(|at| now.saturating_sub(at).as_secs_f64());
        let seconds = since.filter(|seconds| *seconds > 0.0);
        self.take_measures(&measures, seconds);
        self.take_services(&cluster, &measures, seconds, now);
        (self.cluster, self.measures) = (cluster, measures);
        (self.at, self.error) = (Some(now), None);
    }

    /// Each answer is another replica's, which may not have heard yet what the last one
    /// knew.
    fn keep_the_newest(&mut self, cluster: &mut Cluster, now: Duration) {
        let round = |leader: &Option<Leader>| leader.as_ref().map(|leader| leader.ballot.round);
        let epoch = |view: &Option<View>| view.as_ref().map(|view| view.epoch);
        if round(&cluster.leader) < round(&self.cluster.leader) {
            cluster.leader.clone_from(&self.cluster.leader);
        }
        if epoch(&cluster.view) < epoch(&self.cluster.view) {
            cluster.view.clone_from(&self.cluster.view);
        }
        cluster.revision = cluster.revision.max(self.cluster.revision);
        if let (Some(before), Some(view)) = (&self.cluster.view, &cluster.view)
            && before.primary != view.primary
        {
            let (from, to, epoch) = (&before.primary, &view.primary, view.epoch);
            let what = format!("primary {from} -> {to}, epoch {epoch}");
            self.fail_overs += 1;
            self.changes.push_front(Change { at: now, what });
        }
        if let (Some(before), Some(leader)) = (&self.cluster.leader, &cluster.leader)
            && before.ballot != leader.ballot
        {
            let (from, to) = (&before.coordinator, &leader.coordinator);
            let what = format!("leader {from} -> {to}, ballot {}", leader.ballot.round);
            self.elections += 1;
            self.changes.push_front(Change { at: now, what });
        }
        self.changes.truncate(CHANGES);
    }

    fn take_measures(&mut self, measures: &BTreeMap<String, Measures>, seconds: Option<f64>) {
        let (mut reads, mut writes) = (Times::default(), Times::default());
        let mut is_known = false;
        for (name, now) in measures {
            let Some(before) = self.measures.get(name) else { continue };
            let since = now.since(before);
            reads.merge(&since.reads);
            writes.merge(&since.writes);
            is_known |= since.reads != Times::default() || since.writes != Times::default();
        }
        let traffic = |times: Times| {
            let seconds = seconds.filter(|_| is_known)?;
            Some(Traffic { per_second: times.count() / seconds, times })
        };
        (self.reads, self.writes) = (traffic(reads), traffic(writes));
    }

    fn take_services(
        &mut self,
        cluster: &Cluster,
        measures: &BTreeMap<String, Measures>,
        seconds: Option<f64>,
        now: Duration,
    ) {
        let mut known = BTreeMap::new();
        for (kind, listed) in [
            (Kind::Coordinator, &cluster.coordinators),
            (Kind::Acceptor, &cluster.acceptors),
            (Kind::Replica, &cluster.replicas),
            (Kind::Balancer, &cluster.balancers),
        ] {
            for service in listed {
                let name = service.name().to_owned();
                let last = self.known.get(&(kind, name.clone()));
                let seen_before = last.and_then(|last| last.seen_at);
                let before = last.map(|last| &last.service);
                let measured = measures.get(&name).zip(self.measures.get(&name));
                let entry = Known {
                    is_listed: true,
                    seen_at: if service.healthy { Some(now) } else { seen_before },
                    rate: rate(before.and_then(|it| it.requests), service.requests, seconds),
                    flows: flows(before, service, seconds),
                    measured: measured.map(|(now, before)| now.since(before)),
                    service: service.clone(),
                };
                known.insert((kind, name), entry);
            }
        }
        for (name, last) in std::mem::take(&mut self.known) {
            let is_remembered = last.seen_at.is_some_and(|at| now.saturating_sub(at) < REMEMBER);
            if is_remembered {
                known.entry(name).or_insert_with(|| gone(last));
            }
        }
        self.known = known;
    }
}

/// What is left of a service that the cluster does not speak of any more.
fn gone(last: Known) -> Known {
    let service = Service { healthy: false, ..last.service };
    Known { service, is_listed: false, rate: None, flows: Vec::new(), measured: None, ..last }
}

fn flows(
    before: Option<&Service>,
    service: &Service,
    seconds: Option<f64>,
) -> Vec<(String, Option<f64>)> {
    let endpoints = |of: &Service| of.endpoints.clone().unwrap_or_default();
    let before = before.map(endpoints).unwrap_or_default();
    let flow = |to: Endpoint| {
        let last = before.iter().find(|it| it.id == to.id).map(|it| it.requests);
        let rate = rate(last, Some(to.requests), seconds);
        to.healthy.then_some((to.id, rate))
    };
    endpoints(service).into_iter().filter_map(flow).collect()
}

fn rate(before: Option<u64>, now: Option<u64>, seconds: Option<f64>) -> Option<f64> {
    let more = now?.checked_sub(before?)?;
    Some(more as f64 / seconds?)
}

#[cfg(test)]
mod tests;
