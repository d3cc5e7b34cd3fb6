//! The spans of batches. A batch is a trace of its own, linked with the requests in it,
//! and they with it.

use std::collections::BTreeMap;

use shared::ids::{BatchNumber, Epoch, Slot};
use shared::telemetry::{TraceContext, link, of_span};
use tracing::Span;

/// The batches that fly, each with its span.
#[derive(Debug, Default)]
pub(super) struct BatchSpans(BTreeMap<(Epoch, BatchNumber), Span>);

impl BatchSpans {
    /// Starts the span of a batch, and links it with the spans of its requests. None
    /// where no request of it is recorded.
    pub(super) fn start<'a>(
        &mut self,
        epoch: Epoch,
        number: BatchNumber,
        commands: usize,
        requests: impl Iterator<Item = &'a Span>,
    ) -> Option<TraceContext> {
        let recorded = requests.filter_map(|request| Some((request, of_span(request)?)));
        let recorded: Vec<(&Span, TraceContext)> = recorded.collect();
        if recorded.is_empty() {
            return None;
        }
        let span = tracing::info_span!(
            parent: None,
            "replica.batch",
            epoch = epoch.0,
            batch = number.0,
            commands,
            slot = tracing::field::Empty,
        );
        let context = of_span(&span)?;
        for (request, its_context) in recorded {
            link(&span, its_context);
            link(request, context);
        }
        self.0.insert((epoch, number), span);
        Some(context)
    }

    /// The context of a batch, for what is done about it.
    pub(super) fn context(&self, epoch: Epoch, number: BatchNumber) -> Option<TraceContext> {
        self.0.get(&(epoch, number)).and_then(of_span)
    }

    /// Ends the span of a batch: it is executed.
    pub(super) fn executed(&mut self, epoch: Epoch, number: BatchNumber, slot: Slot) {
        if let Some(span) = self.0.remove(&(epoch, number)) {
            span.record("slot", slot.0);
        }
    }

    /// Ends the spans of batches that can no longer be executed, since another view is.
    pub(super) fn end_before(&mut self, epoch: Epoch) {
        self.0 = self.0.split_off(&(epoch, BatchNumber(0)));
    }
}
