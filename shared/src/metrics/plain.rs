//! The text format that came before OpenMetrics (Prometheus' exposition format 0.0.4), made
//! of that: for whoever does not ask for the newer one. Pure.
//!
//! It has neither units nor exemplars nor an end, the name of a counter ends with `_total` in
//! its head, too, and there are fewer types.

use super::lines::Line;

/// The same numbers in the older format.
pub(super) fn plain(open: &str) -> String {
    let mut text = String::with_capacity(open.len());
    let mut help = None;
    for line in open.lines() {
        match Line::of(line) {
            Line::Help(of, said) => help = Some((of, said)),
            Line::Type(name, kind) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", kind),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    _ => ("", kind),
                };
                if let Some((_, said)) = help.take().filter(|(of, _)| *of == name) {
                    push(&mut text, &["# HELP ", name, suffix, " ", said]);
                }
                push(&mut text, &["# TYPE ", name, suffix, " ", kind]);
            }
            Line::Sample(sample, _) => push(&mut text, &[sample]),
            Line::Unit(..) | Line::Other => {}
        }
    }
    text
}

fn push(text: &mut String, parts: &[&str]) {
    parts.iter().for_each(|part| text.push_str(part));
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_older_format_lacks_is_left_out_and_all_numbers_stay() {
        let open = "# HELP synod_written_bytes Bytes written.\n\
            # TYPE synod_written_bytes counter\n\
            # UNIT synod_written_bytes bytes\n\
            synod_written_bytes_total{of=\"a\"} 7\n\
            # HELP synod_build Which service this is.\n\
            # TYPE synod_build info\n\
            synod_build_info{service=\"acceptor\"} 1\n\
            # HELP synod_sync_seconds Syncs.\n\
            # TYPE synod_sync_seconds histogram\n\
            # UNIT synod_sync_seconds seconds\n\
            synod_sync_seconds_sum 0.25\n\
            synod_sync_seconds_count 1\n\
            synod_sync_seconds_bucket{le=\"0.5\"} 1 # {trace_id=\"4bf9\"} 0.25 1760000000.5\n\
            synod_sync_seconds_bucket{le=\"+Inf\"} 1\n\
            # EOF\n";
        let expected = "# HELP synod_written_bytes_total Bytes written.\n\
            # TYPE synod_written_bytes_total counter\n\
            synod_written_bytes_total{of=\"a\"} 7\n\
            # HELP synod_build_info Which service this is.\n\
            # TYPE synod_build_info gauge\n\
            synod_build_info{service=\"acceptor\"} 1\n\
            # HELP synod_sync_seconds Syncs.\n\
            # TYPE synod_sync_seconds histogram\n\
            synod_sync_seconds_sum 0.25\n\
            synod_sync_seconds_count 1\n\
            synod_sync_seconds_bucket{le=\"0.5\"} 1\n\
            synod_sync_seconds_bucket{le=\"+Inf\"} 1\n";
        assert_eq!(plain(open), expected);
    }
}
