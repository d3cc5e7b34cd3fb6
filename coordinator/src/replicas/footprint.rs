//! See [`Footprint`].

use super::{Heard, Replicas};
use crate::footprint::Footprint;

impl Replicas {
    pub(crate) fn footprint(&self, footprint: &mut Footprint) {
        let Self { heard, view, view_known_at: _, first_heard_at: _, listening_since: _ } = self;
        for (name, Heard { instance, heard_at: _, executed_below, durable_below, former }) in heard
        {
            footprint.note((name, instance, executed_below, durable_below, former));
        }
        let view = view
            .as_ref()
            .map(|view| (view.epoch, &view.primary, view.primary_instance, &view.backups));
        footprint.note(view);
    }
}
