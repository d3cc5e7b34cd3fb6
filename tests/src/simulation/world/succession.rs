//! An operator has the acceptors changed: whom to take in is chosen so that no roster has
//! more than a minority of those whose disks may be lost. The services are given the new list
//! for their next start one after another, later. The leaving ones may be destroyed once all
//! have it, and all that run know of the change.

use std::collections::BTreeSet;
use std::time::Duration;

use coordinator::effect::{FoundAcceptor, Survey};
use shared::ids::AcceptorId;
use shared::message::{
    AcceptorsReply, AcceptorsRequest, Roster, Seated, SuccessionRequest, WantedAcceptors,
};

use super::World;
use crate::simulation::environment::coverage::Reached;
use crate::simulation::environment::event::Event;
use crate::simulation::nodes::acceptor::{acceptor_at, url_of};
use crate::simulation::nodes::disk::AcceptorDisk;
use crate::simulation::nodes::process::{NodeId, Presence};
use crate::simulation::plan::faults::{Destroy, FaultKind, Power, Target};

impl World {
    /// Asks the leader, if there is one, for other acceptors.
    pub(super) fn change_acceptors(&mut self, destroy: Destroy) {
        let Some(NodeId::Coordinator(leader)) = self.resolve(Target::Leader) else { return };
        let leader = usize::from(leader);
        let Some(roster) = self.coordinators[leader].core().roster().cloned() else { return };
        if self.env.observer.is_foreign(Some(roster.cluster())) {
            return;
        }
        let Some(next) = self.draw_next(&roster) else { return };
        let urls: Vec<String> = next.iter().map(|node| url_of(*node)).collect();
        let present = self.coordinators[leader].core().status(Duration::ZERO).acceptors;
        let present = present.into_iter().map(|seen| seen.url);
        let survey = self.look(present.chain(urls.iter().cloned()));
        let (cluster, base) = (roster.cluster(), Some(roster.generation()));
        let request = AcceptorsRequest { cluster, base, wanted: WantedAcceptors::All(urls) };
        self.destroys = destroy;
        let node = NodeId::Coordinator(u8::try_from(leader).expect("few coordinators"));
        let fate = self.coordinators[leader].ask_for_acceptors(&mut self.env, request, survey);
        self.meet(node, fate);
    }

    /// Whose disk may be lost by the plan.
    fn unlucky(&self) -> BTreeSet<NodeId> {
        let plan = &self.env.plan;
        let losses = plan.faults.iter().filter_map(|fault| {
            if let FaultKind::Wipe { node, .. } | FaultKind::Damage { node } = fault.kind {
                Some(node)
            } else {
                None
            }
        });
        losses.chain(plan.dead.iter().copied()).collect()
    }

    fn draw_next(&mut self, roster: &Roster) -> Option<Vec<NodeId>> {
        let unlucky = self.unlucky();
        let number = |index: usize| NodeId::Acceptor(u8::try_from(index).expect("few acceptors"));
        let is_up = |index: usize| self.acceptors[index].process.presence == Presence::Up;
        let all = 0..self.acceptors.len();
        let (mut stay, mut fresh): (Vec<NodeId>, Vec<NodeId>) = Default::default();
        for index in all.filter(|index| is_up(*index)) {
            let core = self.acceptors[index].core();
            if roster.contains(core.id()) {
                stay.push(number(index));
            } else if core.roster().is_none() && core.promised().is_none() {
                fresh.push(number(index));
            }
        }
        self.random.shuffle(&mut stay);
        self.random.shuffle(&mut fresh);
        let size = if self.random.chance(300_000) { 5 } else { 3 };
        let leaving = self.random.index(stay.len() + 1);
        stay.truncate(stay.len() - leaving.min(fresh.len()));
        let mut next = stay;
        next.extend(fresh);
        next.truncate(size);
        if next.len().is_multiple_of(2) {
            next.pop();
        }
        let at_risk = next.iter().filter(|node| unlucky.contains(node)).count();
        (!next.is_empty() && at_risk <= next.len() / 2).then_some(next)
    }

    /// Looks at these addresses.
    fn look(&self, urls: impl Iterator<Item = String>) -> Survey {
        Survey { found: urls.map(|url| self.find(url)).collect(), left_behind: None }
    }

    fn find(&self, url: String) -> FoundAcceptor {
        let node = acceptor_at(&url);
        let NodeId::Acceptor(number) = node else { unreachable!("{node} is no acceptor") };
        let acceptor = &self.acceptors[usize::from(number)];
        if acceptor.process.presence != Presence::Up {
            return FoundAcceptor { url, answer: Err("it is down".to_owned()) };
        }
        let told = acceptor.core().plan_succession(&SuccessionRequest::Tell);
        let mut reply = told.expect("a question is within bounds").reply().clone();
        reply.can_write = !acceptor.disk.is_full;
        FoundAcceptor { url, answer: Ok(reply) }
    }

    /// Looks where a coordinator wants a look before it proposes the end of a generation.
    pub(super) fn survey(&mut self, number: u8) {
        let coordinator = &mut self.coordinators[usize::from(number)];
        let Some((id, urls)) = coordinator.to_survey.take() else { return };
        let survey = self.look(urls.into_iter());
        self.coordinators[usize::from(number)].survey(&mut self.env, id, survey);
    }

    /// A coordinator has answered the operator.
    pub(super) fn acceptors_answered(&mut self, reply: AcceptorsReply) {
        let seated = match reply {
            AcceptorsReply::Changed { seated, .. } => seated,
            AcceptorsReply::Refused(_) => return self.env.coverage.hit(Reached::SuccessionRefused),
            AcceptorsReply::NotLeading | AcceptorsReply::Unresolved => return,
        };
        let topology = &self.env.plan.topology;
        for node in [topology.coordinators(), topology.replicas()].concat() {
            let (low, high) = (Duration::from_millis(1), Duration::from_secs(10));
            let after = self.random.magnitude(low, high);
            self.env.queue.after(after, Event::FlagsChanged(node));
        }
        self.seated = Some(seated);
    }

    /// A service is given the new list, for when it is next started.
    pub(super) fn flags_changed(&mut self, node: NodeId) {
        let Some(seated) = self.seated.clone() else { return };
        match node {
            NodeId::Coordinator(number) => {
                self.coordinators[usize::from(number)].flags = seated.urls.clone();
            }
            NodeId::Replica(number) => {
                let flags = seated.urls.iter().map(|url| acceptor_at(url)).collect();
                self.replicas[usize::from(number)].flags = flags;
            }
            NodeId::Acceptor(_) | NodeId::Client(_) => unreachable!("{node} has no such flags"),
        }
        self.destroy_leavers(&seated);
    }

    fn destroy_leavers(&mut self, seated: &Seated) {
        let places: Vec<NodeId> = seated.urls.iter().map(|url| acceptor_at(url)).collect();
        let all_have_it = self.coordinators.iter().all(|node| node.flags == seated.urls)
            && self.replicas.iter().all(|node| node.flags == places);
        if self.destroys == Destroy::Nobody || !all_have_it {
            return;
        }
        let running = self.coordinators.iter().filter(|node| node.process.presence == Presence::Up);
        let know = |roster: Option<&Roster>| {
            roster.is_some_and(|roster| roster.generation() >= seated.roster.generation())
        };
        let all_know = running.clone().all(|node| know(node.core().roster()));
        let replicas_know = self.replicas.iter().all(|node| {
            node.generation() >= seated.roster.generation().0
                || node.process.presence == Presence::Gone
        });
        if !all_know || !replicas_know {
            return;
        }
        self.destroys = Destroy::Nobody;
        let members: BTreeSet<AcceptorId> = seated.roster.acceptors().iter().copied().collect();
        for index in 0..self.acceptors.len() {
            let core = self.acceptors[index].core();
            // One of a later generation is not meant, though nobody was told of that yet.
            let is_earlier = core
                .roster()
                .is_some_and(|roster| roster.generation() <= seated.roster.generation());
            let has_left = is_earlier && !members.contains(&core.id());
            let node = NodeId::Acceptor(u8::try_from(index).expect("few acceptors"));
            if !has_left || self.process(node).presence == Presence::Gone {
                continue;
            }
            self.crash(node, Presence::Down, Power::Fails);
            let empty = AcceptorDisk::draw(&mut self.random);
            self.acceptors[index].wipe(&mut self.env, empty);
            self.env.coverage.hit(Reached::LeaverDestroyed);
            self.restart_after(node, Duration::from_millis(100));
        }
    }
}
