//! What the documentation tells people to type, typed, and what it says they will see,
//! compared.
//!
//! In a block that is marked `console`, a line that begins with `$ ` is a command, and what
//! follows it is what it prints; a line that begins with `> ` goes on with the command. `…`
//! stands for whatever is there, within a line or, alone on one, for lines. The commands of
//! a page are of one shell, before a cluster that is new.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tests::harness::skip::skipped;

use crate::synod;
use crate::up::Up;

/// The front door in the documentation …
const DOOR: &str = "http://127.0.0.1:8000";
/// … and the one of a replica.
const REPLICA: &str = "http://127.0.0.1:8301";
/// Between what two commands print. No text has it.
const SEPARATOR: char = '\u{1e}';
/// What all commands of a page may take.
const LIMIT: Duration = Duration::from_secs(120);

/// A command of a page.
#[derive(Debug, Default, PartialEq, Eq)]
struct Pasted {
    command: String,
    /// What it prints, by lines.
    prints: String,
}

/// The commands of a page, in order.
fn commands(page: &str) -> Vec<Pasted> {
    let mut found: Vec<Pasted> = Vec::new();
    let blocks = page.split("\n```console\n").skip(1);
    for line in blocks.flat_map(|rest| rest.lines().take_while(|line| *line != "```")) {
        if let Some(command) = line.strip_prefix("$ ") {
            found.push(Pasted { command: command.to_owned(), prints: String::new() });
        } else if let Some(last) = found.last_mut() {
            match line.strip_prefix("> ") {
                Some(more) => last.command.extend(["\n", more]),
                None => last.prints.extend([line, "\n"]),
            }
        }
    }
    found
}

/// Whether a text is what the documentation says, where `…` stands for anything.
fn matches(expected: &str, text: &str) -> bool {
    let mut pieces = expected.split('…');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    true
}

/// The pages that have something to paste.
fn pages() -> Result<Vec<PathBuf>> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no workspace")?;
    let docs = std::fs::read_dir(top.join("docs"))?.map(|entry| Ok(entry?.path()));
    let mut pages = docs.collect::<Result<Vec<_>>>()?;
    pages.push(top.join("README.md"));
    pages
        .retain(|page| std::fs::read_to_string(page).is_ok_and(|text| text.contains("```console")));
    pages.sort();
    Ok(pages)
}

/// Runs the commands in one shell; what each printed.
async fn run(commands: &[Pasted], up: &Up, folder: &Path) -> Result<Vec<String>> {
    let (door, replica) = (up.front.as_str(), up.url(301));
    let mut script = String::new();
    for Pasted { command, .. } in commands {
        writeln!(
            script,
            "{}\nprintf '{SEPARATOR}'",
            command.replace(DOOR, door).replace(REPLICA, &replica)
        )?;
    }
    let programs = folder.join("bin");
    std::fs::create_dir(&programs)?;
    std::os::unix::fs::symlink(synod(), programs.join("synod"))?;
    // What it shows of its progress is for terminals.
    std::fs::write(folder.join(".curlrc"), "silent\nshow-error\n")?;
    let path = std::env::var("PATH").unwrap_or_default();
    let shell = tokio::process::Command::new("bash")
        .args(["-c", &format!("exec 2>&1\n{script}")])
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", programs.display()))
        .env("CURL_HOME", folder)
        .env("SYNOD_URL", door)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LIMIT, shell).await.context("it does not end")??;
    let printed = String::from_utf8(output.stdout)?
        .replace(door, DOOR)
        .replace(&replica, REPLICA)
        .replace('\r', "");
    let printed: Vec<String> =
        printed.split(SEPARATOR).take(commands.len()).map(|text| text.trim().to_owned()).collect();
    ensure!(printed.len() == commands.len(), "the shell ended early: {printed:?}");
    Ok(printed)
}

async fn try_page(page: &Path) -> Result<usize> {
    let commands = commands(&std::fs::read_to_string(page)?);
    let folder = tempfile::tempdir()?;
    let up = Up::started(folder.path()).await?;
    up.wait_until_whole().await?;
    let printed = run(&commands, &up, folder.path()).await;
    up.end()?;
    let printed = printed?;
    for (Pasted { command, prints }, printed) in commands.iter().zip(&printed) {
        ensure!(
            matches(prints.trim(), printed),
            "\n$ {command}\nis to print\n{}\nand prints\n{printed}\n",
            prints.trim()
        );
    }
    Ok(commands.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_documentation_shows_is_what_people_see() -> Result<()> {
    let has_curl = std::process::Command::new("curl").arg("--version").output().is_ok();
    if !has_curl {
        return skipped("there is no curl; `apt-get install curl` brings it");
    }
    let mut wrong = Vec::new();
    for page in pages()? {
        match try_page(&page).await {
            Ok(count) => println!("{}: {count} commands", page.display()),
            Err(error) => wrong.push(format!("{}: {error:#}", page.display())),
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    Ok(())
}

#[test]
fn a_page_has_commands_and_what_they_print() {
    let page =
        "text\n```sh\n$ no\n```\n```console\n$ one \\\n> two\nfirst\n…\n$ three\n```\n$ no\n";
    let pasted = |command: &str, prints: &str| Pasted {
        command: command.to_owned(),
        prints: prints.to_owned(),
    };
    assert_eq!(commands(page), [pasted("one \\\ntwo", "first\n…\n"), pasted("three", "")]);
}

#[test]
fn an_ellipsis_stands_for_anything_and_nothing_else_does() {
    for (expected, text) in
        [("", ""), ("a…c", "abbc"), ("…", "x\ny"), ("a…b…", "a1b"), ("a…a", "aa")]
    {
        assert!(matches(expected, text), "{expected:?} {text:?}");
    }
    for (expected, text) in
        [("", "x"), ("a…c", "abcd"), ("a…a", "a"), ("a…b…c", "acb"), ("ab", "abc")]
    {
        assert!(!matches(expected, text), "{expected:?} {text:?}");
    }
}
