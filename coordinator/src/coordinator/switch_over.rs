//! A planned change of the primary: who asked for it, and what they hear.

use shared::ids::{Epoch, Name};
use shared::message::{PrimaryRefused, PrimaryReply, PrimaryRequest, Value, View, WantedPrimary};

use super::{Coordinator, State};
use crate::effect::{Effect, RequestId};
use crate::replicas::switch_over::{SwitchOver, switch_over};

/// The change that was asked for, until a replica has executed a view of its epoch.
#[derive(Clone, Debug)]
pub(super) struct AskedView {
    pub(super) epoch: Epoch,
    pub(super) primary: Name,
    pub(super) waiters: Vec<RequestId>,
}

impl AskedView {
    /// Whether it makes the one primary that is asked for.
    fn serves(&self, wanted: &WantedPrimary) -> bool {
        match wanted {
            WantedPrimary::Replica(replica) => *replica == self.primary,
            WantedPrimary::Another { than, .. } => *than != self.primary,
        }
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
        let (config, now, replicas) = (&self.config, self.now, &self.replicas);
        match switch_over(config, now, replicas, self.chosen_below, &wanted) {
            Err(why) => self.answer_primary(id, PrimaryReply::Refused(why)),
            Ok(SwitchOver::Done(view)) => self.answer_primary(id, PrimaryReply::Executed(view)),
            Ok(SwitchOver::To(view)) => self.propose_asked(id, view),
        }
    }

    fn propose_asked(&mut self, id: RequestId, view: View) {
        let State::Phase2(leader) = &mut self.state else { return };
        let bytes = Value::View(view.clone()).encode().len();
        if let Some(limit) = leader.phase2.refusal(&self.config, bytes) {
            return self.answer_primary(id, PrimaryReply::Overloaded { limit });
        }
        let (epoch, primary) = (view.epoch, view.primary.clone());
        leader.asked_view = Some(AskedView { epoch, primary, waiters: vec![id] });
        self.propose_view(view);
    }

    /// Tells those who asked for another primary once a replica has executed a view of that
    /// epoch, or of a later one.
    pub(super) fn settle_asked_view(&mut self) {
        let State::Phase2(leader) = &mut self.state else { return };
        let Some(view) = self.replicas.view() else { return };
        let is_settled = |asked: &mut AskedView| view.epoch >= asked.epoch;
        let Some(asked) = leader.asked_view.take_if(is_settled) else { return };
        let reply = if view.primary == asked.primary {
            PrimaryReply::Executed(view.clone())
        } else {
            PrimaryReply::Refused(PrimaryRefused::Overtaken)
        };
        for id in asked.waiters {
            self.answer_primary(id, reply.clone());
        }
    }

    pub(super) fn answer_primary(&mut self, id: RequestId, reply: PrimaryReply) {
        self.effects.push(Effect::PrimaryReply { id, reply });
    }
}
