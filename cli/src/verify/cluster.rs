//! `synod verify --cluster`: the replicas against each other, while they run.

use std::process::ExitCode;

use client::{CheckedReplica, StateCheck};

use crate::console::{Align, Table};
use crate::endpoint::Endpoint;
use crate::output::{self, Format, Output, printable};
use crate::{console, exit};

/// Has the states compared, and says what came of it; succeeds only where all are the same.
pub(super) async fn run(endpoint: &Endpoint, output: &Output) -> anyhow::Result<ExitCode> {
    let check = endpoint.client().verify_cluster().await?;
    match output.format() {
        Format::Json => output::json(&check)?,
        Format::Plain => {
            for replica in &check.replicas {
                let [name, verdict, digest, detail] = columns(replica);
                let below = check.executed_below;
                output::line(format_args!("{name}\t{verdict}\t{below}\t{digest}\t{detail}"))?;
            }
        }
        Format::Table => output::line(shown(&check))?,
    }
    let code = match check.verdict.as_str() {
        "agree" => return Ok(ExitCode::SUCCESS),
        "incomplete" => exit::UNAVAILABLE,
        _ => exit::DIVERGED,
    };
    if let Some(advice) = advice(&check) {
        console::warn(format_args!("hint: {advice}"));
    }
    Ok(ExitCode::from(code))
}

fn columns(replica: &CheckedReplica) -> [String; 4] {
    let text = |text: &Option<String>| text.as_deref().map(printable).unwrap_or_default();
    let (name, verdict) = (printable(&replica.replica), printable(&replica.verdict));
    [name, verdict.replace('_', " "), text(&replica.digest), text(&replica.detail)]
}

/// The first digits tell two states apart.
const SHOWN_DIGITS: usize = 16;

fn shown(check: &StateCheck) -> String {
    let columns = ["replica", "verdict", "digest", "detail"].map(|column| (column, Align::Left));
    let mut table = Table::new(columns);
    for replica in &check.replicas {
        let [name, verdict, digest, detail] = columns_of(replica);
        table.row([name, verdict, digest, detail]);
    }
    let verdict = match check.verdict.as_str() {
        "agree" => "all replicas have the same state",
        "incomplete" => "those that could be compared have the same state",
        _ => "not all replicas have the same state",
    };
    let table = table.without_empty_columns();
    format!("{verdict} below slot {}\n\n{table}", check.executed_below)
}

fn columns_of(replica: &CheckedReplica) -> [String; 4] {
    let [name, verdict, mut digest, detail] = columns(replica);
    digest.truncate(SHOWN_DIGITS);
    [name, verdict, digest, detail]
}

fn advice(check: &StateCheck) -> Option<&'static str> {
    let is_any = |verdict: &str| check.replicas.iter().any(|replica| replica.verdict == verdict);
    if is_any("odd") {
        Some(
            "an odd replica ends by itself, and starts no more on its data: keep that for whoever \
             looks into it, and give the replica an empty data directory",
        )
    } else if is_any("differs") {
        Some(
            "no state has a majority of the view, so that nobody ends: `synod verify DIR \
             --execute` on a copy of each data directory says which is not what its log comes to",
        )
    } else if is_any("not_compared") {
        Some("`synod status` shows which replicas answer, and how far they are")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(verdict: &str, replicas: [(&str, Option<&str>); 2]) -> StateCheck {
        let of = |(number, (verdict, detail)): (usize, (&str, Option<&str>))| CheckedReplica {
            replica: format!("replica-{}", number + 1),
            in_view: true,
            verdict: verdict.to_owned(),
            hash: None,
            digest: (verdict != "not_compared").then(|| "0123456789abcdef0123".to_owned()),
            detail: detail.map(str::to_owned),
        };
        let replicas = replicas.into_iter().enumerate().map(of).collect();
        StateCheck { executed_below: 42, verdict: verdict.to_owned(), replicas }
    }

    #[test]
    fn who_is_odd_and_who_was_not_compared_is_said_with_why() {
        let odd = check("diverged", [("agrees", None), ("odd", Some("differs in keys"))]);
        let text = shown(&odd);
        assert!(text.starts_with("not all replicas have the same state below slot 42\n"), "{text}");
        let line = text.lines().last().unwrap().trim();
        assert!(line.starts_with("replica-2") && line.ends_with("differs in keys"), "{text}");
        assert!(line.contains(" 0123456789abcdef "), "{text}");
        assert!(advice(&odd).unwrap().contains("empty data directory"));
        let away =
            check("incomplete", [("agrees", None), ("not_compared", Some("it is not heard of"))]);
        let line = shown(&away).trim_end().lines().last().unwrap().to_owned();
        assert!(line.contains("not compared") && line.ends_with("it is not heard of"), "{line}");
        assert!(advice(&away).unwrap().contains("synod status"));
        assert_eq!(advice(&check("agree", [("agrees", None), ("agrees", None)])), None);
    }
}
