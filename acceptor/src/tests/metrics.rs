//! What the writer counts.

use shared::message::{AcceptReply, Prepare, PrepareReply};

use super::*;
use crate::writer::start;

fn value_of(metrics: &Metrics, series: &str) -> f64 {
    let text = metrics.text();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in {text}")).parse().unwrap()
}

#[tokio::test]
async fn messages_are_counted_by_what_became_of_them_and_syncs_with_what_they_wrote() {
    let temp = tempfile::tempdir().unwrap();
    let ((measured, mut metrics), limits) = (measured(), Limits::default());
    let folder = temp.path().join("log");
    let (handle, _ended) = start(Disk::default(), &folder, SMALL, limits, measured).unwrap();
    crate::metrics::expose(&mut metrics, handle.clone(), limits, folder);
    let acceptor = handle.durable().acceptor;
    let prepare =
        |round| Prepare { roster: roster_of(acceptor), ballot: ballot(round), from: Slot(0) };

    assert!(matches!(handle.prepare(prepare(1)).await, Ok(PrepareReply::Promise(_))));
    assert!(matches!(handle.prepare(prepare(0)).await, Ok(PrepareReply::Nack(_))));
    let synced = value_of(&metrics, "synod_acceptor_sync_duration_seconds_count");
    let held = handle.bytes().reserve(10).unwrap();
    let accepted = handle.accept(accept(acceptor, 3, 10), held).await;
    assert!(matches!(accepted, Ok(AcceptReply::Accepted(_))));

    for (series, value) in [
        ("synod_acceptor_prepares_total{answer=\"done\"}", 1.0),
        ("synod_acceptor_prepares_total{answer=\"nack\"}", 1.0),
        ("synod_acceptor_accepts_total{answer=\"done\"}", 1.0),
        ("synod_acceptor_accepts_total{answer=\"nack\"}", 0.0),
        ("synod_acceptor_accepted_slots_total", 1.0),
        ("synod_acceptor_promised_round", 1.0),
        ("synod_acceptor_voted_below", 4.0),
        ("synod_acceptor_votes", 1.0),
        ("synod_acceptor_roster_acceptors", 1.0),
        ("synod_acceptor_quorum_acceptors", 1.0),
        ("synod_acceptor_sync_duration_seconds_count", synced + 1.0),
    ] {
        assert_eq!(value_of(&metrics, series), value, "{series}");
    }
    assert!(value_of(&metrics, "synod_acceptor_log_written_bytes_total") > 10.0);
    assert!(value_of(&metrics, "synod_disk_free_bytes") > 0.0);
}
