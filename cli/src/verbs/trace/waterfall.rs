//! A trace as it is read: who did what when, and what was decided. Pure.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use client::{Span, Trace};

use crate::output::printable;

/// How long the whole time is on a line, in characters.
const BAR: usize = 24;

/// The deepest that a name is indented: spans of a lying service could go in circles.
const DEEPEST: usize = 12;

/// What of a span is shown, in this order, and by which word.
const SHOWN: [(&str, &str); 16] = [
    ("http.request.method", ""),
    ("http.response.status_code", ""),
    ("outcome", ""),
    ("answer", ""),
    ("slot", "slot"),
    ("slots", "slots"),
    ("ballot", "ballot"),
    ("epoch", "epoch"),
    ("batch", "batch"),
    ("commands", "commands"),
    ("requests", "requests"),
    ("bytes", "bytes"),
    ("keys_written", "keys written"),
    ("keys_deleted", "keys deleted"),
    ("prefixes_deleted", "prefixes deleted"),
    ("leases_ended", "leases ended"),
];

/// A span in its place.
struct Row<'a> {
    span: &'a Span,
    depth: usize,
}

/// A vote that was heard.
struct Vote<'a> {
    acceptor: &'a str,
    after_ns: u64,
}

/// For a terminal.
pub(super) fn drawn(trace: &Trace) -> String {
    let (rows, mut text) = (rows(trace), String::new());
    let began = trace.spans.iter().map(|span| span.start_ns).min().unwrap_or(0);
    let ended = trace.spans.iter().map(|span| span.end_ns).max().unwrap_or(0);
    let whole = ended.saturating_sub(began);
    let width = |wide: &dyn Fn(&Row<'_>) -> usize| rows.iter().map(wide).max().unwrap_or(0);
    let services = width(&|row| printable(&row.span.service).chars().count());
    let names = width(&|row| 2 * row.depth + printable(&row.span.name).chars().count());
    let _infallible = writeln!(text, "trace {}, {} ms", printable(&trace.trace_id), ms(whole));
    for Row { span, depth } in &rows {
        let name = format!("{}{}", "  ".repeat(*depth), printable(&span.name));
        let line = format!(
            "{:>9} {:>8}  {}  {:services$}  {name:names$}  {}",
            ms(span.start_ns.saturating_sub(began)),
            ms(span.end_ns.saturating_sub(span.start_ns)),
            bar(span, began, whole),
            printable(&span.service),
            decided(span),
        );
        let _infallible = writeln!(text, "{}", line.trim_end());
    }
    text + &verdict(trace, &rows) + &lacking(trace)
}

/// For pipes: microseconds since the first began, microseconds that it took, who, what, and
/// what was decided.
pub(super) fn lines(trace: &Trace) -> String {
    let began = trace.spans.iter().map(|span| span.start_ns).min().unwrap_or(0);
    let mut text = String::new();
    for Row { span, .. } in rows(trace) {
        let (at, took) = (span.start_ns - began, span.end_ns.saturating_sub(span.start_ns));
        let (service, name) = (printable(&span.service), printable(&span.name));
        let _infallible = writeln!(
            text,
            "{}\t{}\t{service}\t{name}\t{}",
            at / 1_000,
            took / 1_000,
            decided(span)
        );
    }
    text
}

/// Milliseconds, to the microsecond.
fn ms(ns: u64) -> String {
    format!("{}.{:03}", ns / 1_000_000, ns / 1_000 % 1_000)
}

fn bar(span: &Span, began: u64, whole: u64) -> String {
    let place = |ns: u64| {
        let part = u128::from(ns.saturating_sub(began)) * BAR as u128 / u128::from(whole.max(1));
        usize::try_from(part).unwrap_or(BAR).min(BAR)
    };
    let (from, to) = (place(span.start_ns).min(BAR - 1), place(span.end_ns));
    let long = to.saturating_sub(from).max(1);
    format!("{}{}{}", "·".repeat(from), "━".repeat(long), "·".repeat(BAR - from - long))
}

fn decided(span: &Span) -> String {
    let shown = SHOWN.iter().filter_map(|(name, word)| {
        let value = span.text(name);
        let is_none = value == "0" && name.contains('_');
        let is_said = !value.is_empty() && !is_none;
        is_said.then(|| format!("{word} {}", printable(&value)).trim_start().to_owned())
    });
    let mut words: Vec<String> = shown.collect();
    if span.failed {
        words.push(String::from("failed"));
    }
    words.join(", ")
}

/// All spans, each below what it is part of, in the order in which they began.
fn rows(trace: &Trace) -> Vec<Row<'_>> {
    let (mut rows, mut placed) = (Vec::new(), BTreeSet::new());
    for span in &trace.spans {
        if parent_of(trace, span).is_none() {
            place(trace, span, 0, &mut placed, &mut rows);
        }
    }
    for span in &trace.spans {
        place(trace, span, 0, &mut placed, &mut rows);
    }
    rows
}

fn place<'a>(
    trace: &'a Trace,
    span: &'a Span,
    depth: usize,
    placed: &mut BTreeSet<&'a str>,
    rows: &mut Vec<Row<'a>>,
) {
    if depth > DEEPEST || !placed.insert(&span.span_id) {
        return;
    }
    rows.push(Row { span, depth });
    for child in &trace.spans {
        if parent_of(trace, child).is_some_and(|parent| parent.span_id == span.span_id) {
            place(trace, child, depth + 1, placed, rows);
        }
    }
}

/// What a span is part of: the span that it is below; and of another trace than the one
/// that was asked for, what it links to.
fn parent_of<'a>(trace: &'a Trace, span: &Span) -> Option<&'a Span> {
    let find = |id: &str| trace.spans.iter().find(|other| other.span_id == *id);
    let parent = span.parent_span_id.as_deref().and_then(find);
    let linked = || {
        let is_of_another = span.trace_id != trace.trace_id;
        let mut links = span.links.iter().filter(|_| is_of_another);
        links.find_map(|link| find(&link.span_id).filter(|to| to.span_id != span.span_id))
    };
    parent.or_else(linked)
}

/// Which slot was chosen, at which ballot, and who voted when.
fn verdict(trace: &Trace, rows: &[Row<'_>]) -> String {
    let mut text = String::new();
    let proposed = rows.iter().map(|row| row.span);
    for propose in proposed.filter(|span| span.name == "coordinator.propose") {
        let (slot, ballot) = (propose.text("slot"), propose.text("ballot"));
        if slot.is_empty() {
            continue;
        }
        let (votes, asked) = votes(trace, propose);
        // Some are asked together with what other requests wrote, in a trace of those.
        let acceptors = propose.text("acceptors").parse().unwrap_or(asked).max(asked);
        let quorum = acceptors / 2 + 1;
        let _infallible = writeln!(
            text,
            "slot {} was chosen at ballot {} by {quorum} of {acceptors} acceptors:",
            printable(&slot),
            printable(&ballot)
        );
        for (number, vote) in votes.iter().enumerate() {
            let made = if number + 1 == quorum { ", which made it chosen" } else { "" };
            let (acceptor, after) = (printable(vote.acceptor), ms(vote.after_ns));
            let _infallible = writeln!(text, "  {acceptor} voted after {after} ms{made}");
        }
        if asked < acceptors {
            let others = acceptors - asked;
            let _infallible =
                writeln!(text, "  {others} asked a moment later, with what came next");
        }
    }
    text
}

/// The votes for a proposal as the coordinator heard them, and how many acceptors it asked.
fn votes<'a>(trace: &'a Trace, propose: &Span) -> (Vec<Vote<'a>>, usize) {
    let accepts = trace.spans.iter().filter(|span| {
        let is_below = span.parent_span_id.as_deref() == Some(propose.span_id.as_str());
        span.name == "coordinator.accept" && is_below
    });
    let accepts: Vec<&Span> = accepts.collect();
    let asked: BTreeSet<String> = accepts.iter().map(|accept| accept.text("url")).collect();
    let vote = |accept: &&'a Span| {
        let accept: &'a Span = accept;
        let mut spans = trace.spans.iter();
        let at = spans.find(|span| span.parent_span_id.as_ref() == Some(&accept.span_id));
        Vote {
            acceptor: at.map_or("an acceptor", |span| span.service.as_str()),
            after_ns: accept.end_ns.saturating_sub(propose.start_ns),
        }
    };
    let voted = accepts.iter().filter(|accept| accept.text("answer") == "accepted");
    let mut votes: Vec<Vote<'a>> = voted.map(vote).collect();
    votes.sort_by_key(|vote| vote.after_ns);
    (votes, asked.len())
}

/// Who did not tell, and what is left out.
fn lacking(trace: &Trace) -> String {
    let mut text = String::new();
    for missing in &trace.missing {
        let who = missing.id.as_deref().or(missing.url.as_deref()).unwrap_or("somebody");
        let (who, reason) = (printable(who), printable(&missing.reason));
        let _infallible = writeln!(text, "missing: {who}: {reason}");
    }
    if trace.left_out > 0 {
        let _infallible = writeln!(text, "left out: {} spans", trace.left_out);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use client::{MissingService, SpanLink};
    use serde_json::{Value, json};

    use super::*;

    const REQUEST: &str = "aa";
    const BATCH: &str = "bb";

    fn span(
        (trace, id, parent): (&str, &str, &str),
        (service, name): (&str, &str),
        (start, end): (u64, u64),
        attributes: &[(&str, Value)],
    ) -> Span {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        Span {
            trace_id: trace.to_owned(),
            span_id: id.to_owned(),
            parent_span_id: Some(parent.to_owned()).filter(|parent| !parent.is_empty()),
            name: name.to_owned(),
            service: service.to_owned(),
            start_ns: start * 1_000,
            end_ns: end * 1_000,
            attributes: attributes.collect::<BTreeMap<_, _>>(),
            links: Vec::new(),
            failed: false,
        }
    }

    fn trace() -> Trace {
        let accepted = |acceptor: &str| [("url", json!(acceptor)), ("answer", json!("accepted"))];
        let chosen = [("slot", json!(42)), ("ballot", json!("1.cc"))];
        let mut batch = span((BATCH, "3", ""), ("replica-1", "replica.batch"), (20, 900), &[]);
        batch.links = vec![SpanLink { trace_id: REQUEST.to_owned(), span_id: String::from("2") }];
        let hostile = [("http.request.method", json!("PUT\u{1b}[31m"))];
        let accept = |id, end| {
            let ids = (BATCH, id, "4");
            span(ids, ("coordinator-1", "coordinator.accept"), (100, end), &accepted(id))
        };
        let spans = vec![
            span((REQUEST, "1", "0"), ("balancer-1", "balancer.forward"), (0, 1_000), &hostile),
            span((REQUEST, "2", "1"), ("replica-1", "replica.put"), (10, 950), &[]),
            batch,
            span((BATCH, "4", "3"), ("coordinator-1", "coordinator.propose"), (50, 700), &chosen),
            accept("5", 400),
            accept("6", 300),
            accept("7", 600),
            span((BATCH, "8", "6"), ("acceptor-2", "acceptor.accept"), (150, 250), &[]),
        ];
        let reason = String::from("no answer");
        let missing =
            vec![MissingService { id: Some(String::from("acceptor-3")), url: None, reason }];
        Trace { trace_id: REQUEST.to_owned(), spans, missing, left_out: 0 }
    }

    #[test]
    fn a_batch_stands_below_the_request_that_it_is_linked_with() {
        let trace = trace();
        let depths: Vec<(&str, usize)> =
            rows(&trace).iter().map(|row| (row.span.name.as_str(), row.depth)).collect();
        let expected = [
            ("balancer.forward", 0),
            ("replica.put", 1),
            ("replica.batch", 2),
            ("coordinator.propose", 3),
            ("coordinator.accept", 4),
            ("coordinator.accept", 4),
            ("acceptor.accept", 5),
            ("coordinator.accept", 4),
        ];
        assert_eq!(depths, expected);
    }

    #[test]
    fn who_voted_when_and_whose_vote_decided_is_said() {
        let text = drawn(&trace());
        assert!(text.starts_with("trace aa, 1.000 ms\n"), "{text}");
        let verdict = "slot 42 was chosen at ballot 1.cc by 2 of 3 acceptors:\n  \
            acceptor-2 voted after 0.250 ms\n  \
            an acceptor voted after 0.350 ms, which made it chosen\n  \
            an acceptor voted after 0.550 ms\n\
            missing: acceptor-3: no answer\n";
        assert!(text.ends_with(verdict), "{text}");
        assert!(!text.contains('\u{1b}') && text.contains("PUT\\u{1b}[31m"), "{text}");
    }

    #[test]
    fn spans_that_lie_end_the_drawing_no_later() {
        let mut circle = trace();
        for span in &mut circle.spans {
            span.parent_span_id = Some(span.span_id.clone());
        }
        circle.spans[0].parent_span_id = Some(String::from("2"));
        circle.spans[1].parent_span_id = Some(String::from("1"));
        assert_eq!(rows(&circle).len(), circle.spans.len());
        circle.spans[3].end_ns = 0;
        circle.spans[4].start_ns = u64::MAX;
        assert!(drawn(&circle).lines().count() >= circle.spans.len());
        let spans = Vec::new();
        assert!(drawn(&Trace { spans, ..trace() }).contains("missing"));
    }
}
