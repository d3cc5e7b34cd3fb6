//! The dashboards, the alert rules and the documentation name metrics that there are, and the
//! documentation all of them.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use tests::harness::cluster::{Cluster, Size};

use super::queries::{below_top, queries};
use super::scrape_all;
use crate::synod;

/// The names in a text that are of our metrics.
fn names_in(text: &str) -> impl Iterator<Item = &str> {
    let is_of_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let words = text.split(move |character| !is_of_name(character));
    words.filter(|word| word.starts_with("synod_") || word.starts_with("process_"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_names_a_metric_names_one_that_there_is() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let (mut names, mut families) = (BTreeSet::new(), BTreeSet::new());
    for exposition in scrape_all(&cluster).await?.values() {
        names.extend(exposition.names().iter().cloned());
        families.extend(exposition.families());
    }
    // Of what this cluster has not, such as certificates, there are names and no samples.
    let is_silent = |family: &&String| !names.iter().any(|name| name.starts_with(family.as_str()));
    let silent: Vec<String> = families.iter().filter(is_silent).cloned().collect();
    names.extend(silent);
    let mut wrong = Vec::new();
    let mut hold = |place: &str, text: &str| {
        let unknown = names_in(text).filter(|name| !names.contains(*name));
        wrong.extend(unknown.map(|name| format!("{place}: {name}")));
    };
    for query in queries()? {
        hold(&query.place, &query.expr);
    }
    for rules in ["deploy/prometheus/alerts.yml", "deploy/prometheus/alerts_test.yml"] {
        hold(rules, &std::fs::read_to_string(below_top(rules)?)?);
    }
    // Tables name families, and what is told of them their samples.
    names.extend(families.iter().cloned());
    let page = std::fs::read_to_string(below_top("docs/metrics.md")?)?;
    let told: BTreeSet<&str> = names_in(&page).collect();
    wrong.extend(
        told.iter().filter(|name| !names.contains(**name)).map(|name| format!("docs: {name}")),
    );
    let untold = families.iter().filter(|family| !told.contains(family.as_str()));
    wrong.extend(untold.map(|family| format!("the docs do not tell of {family}")));
    ensure!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}
