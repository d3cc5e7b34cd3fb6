//! The spans of batches that are executed.

use shared::ids::Slot;
use shared::message::ChosenEntry;
use shared::telemetry::set_parent;
use tracing::Span;
use tracing::field::Empty;

use crate::machine::change::ChangeCounts;
use crate::machine::command::{Commands, TraceContext};
use crate::machine::execute::{Decoded, ExecutionReport, Run};

/// A span for each sampled batch, in the trace of the batch; they last as long as executing
/// takes.
pub(super) fn spans_of(entries: &[ChosenEntry]) -> Vec<(Slot, Span)> {
    if !shared::telemetry::is_recording() {
        return Vec::new();
    }
    // Few batches are recorded: only those are decoded once more.
    let recorded = entries
        .iter()
        .filter(|entry| Commands::trace_of(&entry.value).is_some_and(TraceContext::is_sampled));
    let recorded: Vec<ChosenEntry> = recorded.cloned().collect();
    if recorded.is_empty() {
        return Vec::new();
    }
    let run = Run::new(recorded);
    let traced =
        run.entries().iter().zip(run.decoded()).filter_map(|(entry, decoded)| match decoded {
            Decoded::Batch { epoch, number, commands: Ok(commands) } => {
                let trace = commands.trace.filter(|trace| trace.is_sampled())?;
                let span = tracing::info_span!(
                    parent: None,
                    "replica.execute",
                    slot = entry.slot.0,
                    ballot = %entry.ballot,
                    epoch = epoch.0,
                    batch = number.0,
                    commands = commands.commands.len(),
                    keys_written = Empty,
                    keys_deleted = Empty,
                    prefixes_deleted = Empty,
                    leases_ended = Empty,
                );
                set_parent(&span, trace.to_context());
                Some((entry.slot, span))
            }
            Decoded::Batch { commands: Err(_), .. }
            | Decoded::Noop
            | Decoded::View(_)
            | Decoded::Removal(_)
            | Decoded::Undecodable => None,
        });
    traced.collect()
}

/// Notes in the spans of batches what these have changed.
pub(super) fn record_changes(spans: &[(Slot, Span)], report: &ExecutionReport) {
    for (slot, span) in spans {
        let Some(executed) = report.slots.iter().find(|executed| executed.slot == *slot) else {
            continue;
        };
        let mut counts = ChangeCounts::default();
        counts.add(&executed.changes);
        span.record("keys_written", counts.keys_written);
        span.record("keys_deleted", counts.keys_deleted);
        span.record("prefixes_deleted", counts.prefixes_deleted);
        span.record("leases_ended", counts.leases_ended);
    }
}
