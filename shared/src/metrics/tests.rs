use super::*;

fn metrics() -> Metrics {
    Metrics::new(Service::Acceptor, &"acceptor-1".parse().unwrap())
}

#[test]
fn a_name_is_shown_as_it_is_written_in_the_code_with_its_unit_and_help() {
    let mut metrics = metrics();
    metrics.counter("synod_written_bytes_total", "Bytes written").inc_by(7);
    metrics.gauge("synod_votes", "Votes").set(3);
    metrics.histogram("synod_sync_seconds", "Syncs", [0.5]).observe(0.25);
    metrics.at_scrape(|scrape| scrape.counter("synod_read_total", "Reads", 5_u64));
    let text = metrics.text();
    for expected in [
        "# HELP synod_written_bytes Bytes written.\n# TYPE synod_written_bytes counter\n\
         # UNIT synod_written_bytes bytes\nsynod_written_bytes_total 7\n",
        "# TYPE synod_votes gauge\nsynod_votes 3\n",
        "synod_sync_seconds_sum 0.25\nsynod_sync_seconds_count 1\n\
         synod_sync_seconds_bucket{le=\"0.5\"} 1\nsynod_sync_seconds_bucket{le=\"+Inf\"} 1\n",
        "# HELP synod_read Reads.\n# TYPE synod_read counter\nsynod_read_total 5\n",
        "synod_build_info{service=\"acceptor\",name=\"acceptor-1\",version=\"",
    ] {
        assert!(text.contains(expected), "{expected} is not in {text}");
    }
    assert!(text.ends_with("\n# EOF\n"));
}

#[test]
fn what_differs_in_a_label_is_written_in_the_order_of_its_values() {
    let mut metrics = metrics();
    let [_, no] = metrics.counters("synod_asked_total", "Asked", "answer", ["yes", "no"]);
    no.inc();
    metrics.at_scrape(|scrape| {
        scrape.state("synod_phase", "Phase", "phase", &["inactive", "leading"], "leading")
    });
    let text = metrics.text();
    for expected in [
        "synod_asked_total{answer=\"yes\"} 0\nsynod_asked_total{answer=\"no\"} 1\n",
        "synod_phase{phase=\"inactive\"} 0\nsynod_phase{phase=\"leading\"} 1\n",
    ] {
        assert!(text.contains(expected), "{expected} is not in {text}");
    }
}

#[test]
#[should_panic(expected = "synod_votes_total is a gauge: only counters end with _total")]
fn only_counters_end_with_total() {
    metrics().gauge("synod_votes_total", "Votes");
}

#[test]
#[should_panic(expected = "synod_votes is there twice")]
fn a_name_is_there_once() {
    let mut metrics = metrics();
    metrics.gauge("synod_votes", "Votes");
    metrics.gauge("synod_votes", "Votes");
}
