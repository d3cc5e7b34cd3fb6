//! `synod diff`.

use std::process::ExitCode;

use client::{Change, ChangeKind};
use futures::TryStreamExt;

use super::log::whom;
use crate::console::Paint;
use crate::endpoint::Endpoint;
use crate::output::{self, Format, Output};

#[derive(clap::Args)]
pub(crate) struct Diff {
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    output: Output,
    /// The older revision
    from: u64,
    /// The newer revision; that of now where it is not given
    to: Option<u64>,
    /// Only keys that begin with this
    #[arg(long, env = "SYNOD_DIFF_PREFIX", default_value = "")]
    prefix: String,
}

/// Prints a line for each key that differs.
pub(crate) async fn diff(args: Diff) -> anyhow::Result<ExitCode> {
    let mut diff = args.endpoint.client().diff(args.from).prefix(&args.prefix);
    if let Some(to) = args.to {
        diff = diff.to(to);
    }
    let (format, paint) = (args.output.format(), Paint::for_stdout());
    let mut changes = diff.stream();
    while let Some(change) = changes.try_next().await? {
        match format {
            Format::Table => output::line(shown(&change, paint))?,
            Format::Plain => output::line(plain(&change))?,
            Format::Json => output::json(&change)?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn revisions(change: &Change) -> [Option<u64>; 2] {
    [&change.before, &change.after].map(|item| item.as_ref().map(|item| item.revision))
}

fn plain(change: &Change) -> String {
    let kind = match change.change {
        ChangeKind::Created => "created",
        ChangeKind::Updated => "updated",
        ChangeKind::Deleted => "deleted",
    };
    let [before, after] = revisions(change).map(|revision| {
        revision.map_or_else(|| String::from("-"), |revision| revision.to_string())
    });
    format!("{kind}\t{before}\t{after}\t{}", change.key)
}

/// As people know it from texts: what is gone, and what is there instead.
fn shown(change: &Change, paint: Paint) -> String {
    let key = output::printable(&change.key);
    let by = whom(change.by.as_deref(), change.subject.as_ref());
    let done = |what| by.as_ref().map_or_else(String::new, |by| format!(", {what}by {by}"));
    let deleted = if change.after.is_none() { done("deleted ") } else { String::new() };
    let side = |sign, item: &Option<client::Item>, done: String| {
        let item = item.as_ref()?;
        let value = output::preview(item.value.as_deref().unwrap_or_default());
        Some(format!("{sign} {key} (revision {}{done}): {value}", item.revision))
    };
    let lines = [
        side('-', &change.before, deleted).map(|line| paint.red(line)),
        side('+', &change.after, done("")).map(|line| paint.green(line)),
    ];
    lines.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_shows_what_was_and_what_is() {
        let item = |value, revision| {
            json!({"key": "a", "value": value, "encoding": "utf8", "revision": revision,
                "created_revision": 1, "version": 1})
        };
        let change: Change = serde_json::from_value(
            json!({"key": "a", "change": "updated", "before": item("x", 3), "after": item("y", 7)}),
        )
        .unwrap();
        assert_eq!(plain(&change), "updated\t3\t7\ta");
        assert_eq!(shown(&change, Paint::plain()), "- a (revision 3): x\n+ a (revision 7): y");
        let created = Change { before: None, change: ChangeKind::Created, ..change };
        assert_eq!(plain(&created), "created\t-\t7\ta");
        assert_eq!(shown(&created, Paint::plain()), "+ a (revision 7): y");
        let by = Some("00000000000000aa".to_owned());
        let made = Change { by: by.clone(), ..created };
        let expected = "+ a (revision 7, by token 00000000000000aa): y";
        assert_eq!(shown(&made, Paint::plain()), expected);
        let (before, after, change) = (made.after, None, ChangeKind::Deleted);
        let subject = serde_json::from_value(json!({"issuer": "spiffe://s", "subject": "ci/a"}));
        let subject = Some(subject.unwrap());
        let deleted = Change { key: made.key, change, before, after, by, subject };
        let expected = "- a (revision 7, deleted by ci/a of spiffe://s): y";
        assert_eq!(shown(&deleted, Paint::plain()), expected);
    }
}
