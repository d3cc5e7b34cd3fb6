//! A planned change of the view: who asked for it, and what they hear.

use std::collections::BTreeMap;

use shared::ids::{Epoch, Name};
use shared::message::{
    EncodedValue, PrimaryRefused, PrimaryReply, PrimaryRequest, Removal, Value, View, WantedPrimary,
};

use super::{Coordinator, State};
use crate::effect::{Effect, RequestId};
use crate::replicas::Replicas;
use crate::replicas::switch_over::{LogMarks, SwitchOver, switch_over};

/// The change that was asked for, until it is known what became of it.
#[derive(Clone, Debug)]
pub(super) struct AskedView {
    /// What is proposed.
    pub(super) view: View,
    pub(super) removed: Option<Name>,
    pub(super) waiters: Vec<RequestId>,
}

impl AskedView {
    /// Whether it makes of the view what is asked for.
    fn serves(&self, wanted: &WantedPrimary) -> bool {
        match wanted {
            WantedPrimary::Replica(replica) => *replica == self.view.primary,
            WantedPrimary::Another { than, .. } => *than != self.view.primary,
            WantedPrimary::Without { removed, .. } => self.removed.as_ref() == Some(removed),
        }
    }

    /// Whether it is known what became of it, where a replica has executed this view: it is
    /// another one, or it is this one, and who is its primary takes mutations. Until then the
    /// primary may be dead already, unheard.
    fn is_settled(&self, executed: &View, replicas: &Replicas) -> bool {
        let serves = self.removed.is_some() || replicas.has_begun(&self.view);
        executed.epoch > self.view.epoch
            || executed.epoch == self.view.epoch && (*executed != self.view || serves)
    }

    /// What whoever asked for it is told, when a replica has executed a view of its epoch, or
    /// a later one. Whether a removal is in the log its state knows: a later view says nothing
    /// of that.
    fn reply(&self, executed: &View) -> PrimaryReply {
        let is_served = match &self.removed {
            Some(_) => executed.epoch > self.view.epoch || *executed == self.view,
            None => executed.primary == self.view.primary,
        };
        match self.removed {
            _ if !is_served => PrimaryReply::Refused(PrimaryRefused::Overtaken),
            Some(_) => PrimaryReply::Executed(self.view.clone()),
            None => PrimaryReply::Executed(executed.clone()),
        }
    }
}

/// Whom this leader has proposed to take out in its term, or found proposed when it began, each
/// with the epoch that begins without it. What is told of the view may go back: so they are
/// remembered until that cannot go back before it.
#[derive(Clone, Debug, Default)]
pub(super) struct Leaving(BTreeMap<Name, Epoch>);

impl Leaving {
    /// Whom these values take out.
    pub(super) fn of<'a>(values: impl Iterator<Item = &'a EncodedValue>) -> Self {
        let mut leaving = Self::default();
        for Removal { view, replica } in values.filter_map(|value| Value::removal(value)) {
            leaving.note(replica, view.epoch);
        }
        leaving
    }

    fn note(&mut self, removed: Name, epoch: Epoch) {
        let last = self.0.entry(removed).or_insert(epoch);
        *last = epoch.max(*last);
    }

    /// Forgets whom every view lacks that may yet be told of.
    fn settle(&mut self, lowest: Epoch) {
        self.0.retain(|_, epoch| *epoch > lowest);
    }

    /// Those that a view of this epoch may still name.
    pub(super) fn at(&self, told: Epoch) -> Vec<&Name> {
        self.0.iter().filter(|(_, epoch)| **epoch > told).map(|(name, _)| name).collect()
    }

    pub(super) fn all(&self) -> &BTreeMap<Name, Epoch> {
        &self.0
    }
}

impl Coordinator {
    pub(super) fn on_primary_request(&mut self, id: RequestId, request: PrimaryRequest) {
        let PrimaryRequest { cluster, wanted } = request;
        let ours = self.membership.roster().is_some_and(|roster| roster.cluster() == cluster);
        if !ours {
            return self.answer_primary(id, PrimaryReply::NotLeading);
        }
        if let WantedPrimary::Another { than, instance } = &wanted {
            self.replicas.ends_soon(than, *instance);
        }
        let State::Phase2(leader) = &mut self.state else {
            return self.answer_primary(id, PrimaryReply::NotLeading);
        };
        if let Some(ahead) = &leader.ahead {
            let limit = Self::refuses_for(ahead);
            return self.answer_primary(id, PrimaryReply::Overloaded { limit });
        }
        let trimmed_below = self.trimmed_below.max(leader.phase2.trim_below());
        let refused = PrimaryReply::Refused(PrimaryRefused::ChangeUnderWay);
        if let Some(asked) = &mut leader.asked_view {
            if asked.serves(&wanted) && asked.waiters.len() < self.config.max_waiters_per_slot {
                return asked.waiters.push(id);
            }
            return self.answer_primary(id, refused);
        }
        if self.awaits_view() {
            return self.answer_primary(id, refused);
        }
        let marks = LogMarks { chosen_below: self.chosen_below, trimmed_below };
        match switch_over(&self.config, self.now, &self.replicas, marks, &wanted) {
            Err(why) => self.answer_primary(id, PrimaryReply::Refused(why)),
            Ok(SwitchOver::Done(view)) => self.answer_primary(id, PrimaryReply::Executed(view)),
            Ok(SwitchOver::To(view)) => self.propose_asked(id, view, None),
            Ok(SwitchOver::Without(Removal { view, replica })) => {
                self.propose_asked(id, view, Some(replica))
            }
        }
    }

    fn propose_asked(&mut self, id: RequestId, view: View, removed: Option<Name>) {
        let State::Phase2(leader) = &mut self.state else { return };
        let value = match removed.clone() {
            None => Value::View(view.clone()),
            Some(replica) => Value::Removal(Removal { view: view.clone(), replica }),
        };
        let value = value.encode();
        if let Some(limit) = leader.phase2.refusal(&self.config, value.len()) {
            return self.answer_primary(id, PrimaryReply::Overloaded { limit });
        }
        if let Some(removed) = &removed {
            leader.leaving.settle(self.replicas.lowest_epoch());
            if leader.leaving.all().len() >= self.config.max_replicas {
                let refused = PrimaryReply::Refused(PrimaryRefused::ChangeUnderWay);
                return self.answer_primary(id, refused);
            }
            leader.leaving.note(removed.clone(), view.epoch);
        }
        let waiters = vec![id];
        leader.asked_view = Some(AskedView { view: view.clone(), removed, waiters });
        self.propose_view(view, value);
    }

    /// Tells those who asked for another primary, or one replica less, what became of it.
    pub(super) fn settle_asked_view(&mut self) {
        let State::Phase2(leader) = &mut self.state else { return };
        let Some(view) = self.replicas.view() else { return };
        let is_settled = |asked: &mut AskedView| asked.is_settled(view, &self.replicas);
        let Some(asked) = leader.asked_view.take_if(is_settled) else { return };
        let reply = asked.reply(view);
        if let (Some(removed), PrimaryReply::Executed(_)) = (&asked.removed, &reply) {
            self.replicas.forget(removed);
        }
        for id in asked.waiters {
            self.answer_primary(id, reply.clone());
        }
    }

    pub(super) fn answer_primary(&mut self, id: RequestId, reply: PrimaryReply) {
        self.effects.push(Effect::PrimaryReply { id, reply });
    }
}
