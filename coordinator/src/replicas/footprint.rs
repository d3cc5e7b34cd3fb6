//! See [`Footprint`].

use super::{ReplicaProgress, Replicas};
use crate::footprint::Footprint;

impl Replicas {
    pub(crate) fn footprint(&self, footprint: &mut Footprint) {
        let Self { heard, view, vouched, view_known_at: _, first_heard_at: _, listening_since: _ } =
            self;
        for (name, replica) in heard {
            let ReplicaProgress { instance, heard_at: _, executed_below, durable_below, .. } =
                replica;
            let ReplicaProgress { highest_format, former, storage, .. } = replica;
            let ReplicaProgress { said_executed_below, goal, former_durable_below, .. } = replica;
            let marks = (executed_below, durable_below, highest_format);
            footprint.note((name, instance, marks, former, *storage as u8));
            footprint.note((said_executed_below, goal, former_durable_below, replica.has_ended()));
            footprint.note(replica.is_ending());
            footprint.note(replica.view.as_ref().map(|view| view.epoch));
        }
        let view = view
            .as_ref()
            .map(|view| (view.epoch, &view.primary, view.primary_instance, &view.backups))
            .zip(view.as_ref().map(|view| view.format));
        footprint.note(view);
        footprint.note(vouched.as_ref().map(|view| view.epoch));
    }
}
