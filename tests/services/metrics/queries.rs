//! What the dashboards and the alert rules ask Prometheus, taken apart. Pure but for reading the
//! shipped files.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// A file below the top of the repository.
pub(super) fn below_top(path: &str) -> Result<PathBuf> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no workspace")?;
    Ok(top.join(path))
}

/// A query of a dashboard: a panel's or an annotation's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    /// The dashboard's file, and the panel or annotation.
    pub(super) place: String,
    pub(super) expr: String,
    /// Whether the panel shows exemplars beside the answer.
    pub(super) exemplar: bool,
}

/// Every query of the shipped dashboards, with times in place of Grafana's variables.
pub(super) fn queries() -> Result<Vec<Query>> {
    let mut queries = Vec::new();
    for file in std::fs::read_dir(below_top("deploy/grafana/dashboards")?)? {
        let path = file?.path();
        let board: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
        let name = path.file_stem().context("a file")?.to_string_lossy().into_owned();
        collect(&board, &name, &mut queries);
    }
    ensure!(queries.len() > 100, "{} queries on all dashboards", queries.len());
    Ok(queries)
}

fn collect(value: &Value, place: &str, found: &mut Vec<Query>) {
    match value {
        Value::Object(fields) => {
            let title = fields.get("title").or_else(|| fields.get("name")).and_then(Value::as_str);
            let place = title.map_or(place.to_owned(), |title| format!("{place}: {title}"));
            if let Some(expr) = fields.get("expr").and_then(Value::as_str) {
                let expr = expr.replace("$__rate_interval", "1m").replace("$__range", "15m");
                let exemplar = fields.get("exemplar") == Some(&Value::Bool(true));
                found.push(Query { place: place.clone(), expr, exemplar });
            }
            fields.values().for_each(|field| collect(field, &place, found));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, place, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What an expression is made of by `and` and `or`, each without what it is compared with: there
/// is an answer to each of these, whether or not anything is wrong.
pub(super) fn parts(expr: &str) -> Vec<&str> {
    let expr = expr.trim();
    let top = outermost(expr);
    let at_top = |words: &[&'static str]| {
        let found = words.iter().flat_map(|word| expr.match_indices(word));
        found.filter(|(at, _)| top[*at]).min_by_key(|(at, _)| *at)
    };
    if let Some((at, word)) = at_top(&[" or ", " and ", " unless "]) {
        let rest = expr[at + word.len()..].trim_start();
        let matched = rest.strip_prefix("on").and_then(|matching| matching.split_once(')'));
        return [parts(&expr[..at]), parts(matched.map_or(rest, |(_, rest)| rest))].concat();
    }
    if let Some((at, _)) = at_top(&[" < ", " > ", " == ", " != ", " <= ", " >= "]) {
        return parts(&expr[..at]);
    }
    let inner = expr.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    match inner {
        Some(inner) if !top[1..expr.len() - 1].contains(&true) => parts(inner),
        Some(_) | None => vec![expr],
    }
}

/// Which bytes stand outside of all brackets and quotes.
fn outermost(expr: &str) -> Vec<bool> {
    let (mut depth, mut quoted) = (0_usize, false);
    let each = expr.bytes().map(|byte| {
        match byte {
            b'"' => quoted = !quoted,
            b'(' | b'[' | b'{' if !quoted => depth += 1,
            b')' | b']' | b'}' if !quoted => depth -= 1,
            _ => {}
        }
        depth == 0 && !quoted
    });
    each.collect()
}

#[test]
fn an_expression_is_taken_apart_where_it_is_joined_and_compared() {
    for (expr, expected) in [
        ("a > 1", ["a"].as_slice()),
        ("(sum(a{b=\"c > 1\"}) or vector(0)) < 1", &["sum(a{b=\"c > 1\"})", "vector(0)"]),
        ("a - time() < 14 * 86400", &["a - time()"]),
        (
            "time() - a > 1800 and on (i) increase(b{c=\"/{*d}\"}[30m]) > 0",
            &["time() - a", "increase(b{c=\"/{*d}\"}[30m])"],
        ),
        ("a > 1 or on(i) b > 5", &["a", "b"]),
        ("(a) / (b)", &["(a) / (b)"]),
        ("sum(rate(a[1m]) > 0)", &["sum(rate(a[1m]) > 0)"]),
    ] {
        assert_eq!(parts(expr), expected, "{expr}");
    }
}
