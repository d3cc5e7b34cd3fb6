//! The others: which coordinators and replicas there are, and which coordinator leads.

mod footprint;

use std::collections::BTreeMap;
use std::time::Duration;

use shared::ids::{Ballot, Name};
use shared::message::{Directory, HeartbeatReply, Member, Phase, Service};

use crate::replica::status::Leader;

#[derive(Clone, Debug)]
struct Coordinator {
    member: Member,
    leads: Option<Leads>,
}

#[derive(Clone, Debug)]
struct Leads {
    ballot: Ballot,
    heard_at: Duration,
}

/// The coordinators and replicas that were heard from lately, but for this one.
#[derive(Clone, Debug)]
pub(crate) struct Members {
    own: Name,
    leader_expiry: Duration,
    coordinators: BTreeMap<Name, Coordinator>,
    replicas: BTreeMap<Name, Member>,
}

impl Members {
    pub(crate) fn new(own: Name, leader_expiry: Duration) -> Self {
        Self { own, leader_expiry, coordinators: BTreeMap::new(), replicas: BTreeMap::new() }
    }

    /// Takes the newest directory. What a coordinator said is forgotten when it
    /// restarted.
    pub(crate) fn update(&mut self, directory: Directory) {
        let mut before = std::mem::take(&mut self.coordinators);
        self.replicas.clear();
        for entry in directory.members {
            let member = entry.member;
            match member.service {
                Service::Coordinator => {
                    let known = before
                        .remove(&member.name)
                        .filter(|known| known.member.instance == member.instance);
                    let leads = known.and_then(|known| known.leads);
                    self.coordinators.insert(member.name.clone(), Coordinator { member, leads });
                }
                Service::Replica if member.name != self.own => {
                    self.replicas.insert(member.name.clone(), member);
                }
                Service::Replica | Service::Acceptor | Service::Balancer => {}
            }
        }
    }

    /// Takes what a coordinator said of itself.
    pub(crate) fn heard(&mut self, now: Duration, from: &Name, reply: &HeartbeatReply) {
        let Some(coordinator) = self.coordinators.get_mut(from) else { return };
        coordinator.leads = match (reply.phase, reply.ballot) {
            (Phase::Phase2, Some(ballot)) => Some(Leads { ballot, heard_at: now }),
            (Phase::Phase2, None) | (Phase::Inactive | Phase::Phase1, _) => None,
        };
    }

    /// The coordinator does not lead, or cannot be reached: until it says otherwise.
    pub(crate) fn does_not_lead(&mut self, coordinator: &Name) {
        if let Some(coordinator) = self.coordinators.get_mut(coordinator) {
            coordinator.leads = None;
        }
    }

    /// Of those that say so, the one that leads at the highest ballot: the others are
    /// deposed and don't know it yet.
    pub(crate) fn leader(&self, now: Duration) -> Option<Leader> {
        let fresh = |leads: &&Leads| now.saturating_sub(leads.heard_at) <= self.leader_expiry;
        let leading = self.coordinators.values().filter_map(|coordinator| {
            let ballot = coordinator.leads.as_ref().filter(fresh)?.ballot;
            Some((ballot, &coordinator.member))
        });
        leading
            .max_by_key(|(ballot, _)| *ballot)
            .map(|(ballot, member)| Leader { member: member.clone(), ballot })
    }

    /// Every coordinator, in order of names.
    pub(crate) fn coordinators(&self) -> impl Iterator<Item = &Member> {
        self.coordinators.values().map(|coordinator| &coordinator.member)
    }

    /// Every other replica, in order of names.
    pub(crate) fn replicas(&self) -> impl Iterator<Item = &Member> {
        self.replicas.values()
    }

    /// Another replica.
    pub(crate) fn replica(&self, name: &Name) -> Option<&Member> {
        self.replicas.get(name)
    }
}
