//! Small verbs: one or a few requests, and an answer that a shell script can use.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::builder::{BoolishValueParser, NonEmptyStringValueParser};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use reqwest::Url;

use crate::client::{Answer, Api, Endpoint, Failure, parse_url};
use crate::console;
use crate::retry::{Outcome, persist};

/// The exit code when a key isn't there or a condition doesn't hold: an answer, but not
/// the one hoped for.
const EXIT_NO: u8 = 1;
/// The pause between two questions of `ready --wait-seconds`.
const READY_PAUSE: Duration = Duration::from_millis(100);
/// One question of `ready` may take this long.
const READY_TIMEOUT: Duration = Duration::from_secs(2);
/// A mutation is sent again for so long where nobody knows what became of it: longer than a
/// change of primary takes.
const PATIENCE: Duration = Duration::from_secs(15);
/// More is surely not meant to be a value, and would only be refused after it was read
/// into memory.
const MAX_INPUT_BYTES: u64 = 64 * 1024 * 1024;

#[derive(clap::Args)]
pub(crate) struct Get {
    #[command(flatten)]
    endpoint: Endpoint,
    /// The key
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    key: String,
    /// Read what one replica has executed, without asking a quorum
    #[arg(long, env = "SYNOD_LOCAL", value_parser = BoolishValueParser::new())]
    local: bool,
    /// Read the value that the key had at this revision
    #[arg(long, env = "SYNOD_REVISION", value_name = "N")]
    revision: Option<u64>,
}

/// Prints the value as it is, byte for byte.
pub(crate) async fn get(args: Get) -> anyhow::Result<ExitCode> {
    let revision = args.revision.map(|revision| revision.to_string());
    let mut query = Vec::new();
    if args.local {
        query.push(("consistency", "local"));
    }
    if let Some(revision) = &revision {
        query.push(("revision", revision));
    }
    match found(args.endpoint.api().get(&args.key, &query).await)? {
        Some(answer) => {
            io::stdout()
                .write_all(&answer.body)
                .and_then(|()| io::stdout().flush())
                .context("cannot write the value")?;
            Ok(ExitCode::SUCCESS)
        }
        None => Ok(ExitCode::from(EXIT_NO)),
    }
}

#[derive(clap::Args)]
pub(crate) struct Put {
    #[command(flatten)]
    endpoint: Endpoint,
    /// The key
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    key: String,
    /// The value; standard input where neither a value nor a file is given
    #[arg(conflicts_with = "file")]
    value: Option<String>,
    /// Take the value from a file
    #[arg(long, env = "SYNOD_FILE", value_name = "FILE")]
    file: Option<PathBuf>,
    /// What the value is, kept with it
    #[arg(
        long,
        env = "SYNOD_CONTENT_TYPE",
        value_name = "TYPE",
        default_value = "application/octet-stream"
    )]
    content_type: HeaderValue,
    #[command(flatten)]
    condition: Condition,
    #[command(flatten)]
    once: Once,
}

/// Exactly once.
#[derive(clap::Args)]
struct Once {
    /// Names this request: sent again with the same key, it gets its first answer. Drawn
    /// where none is given
    #[arg(long, env = "SYNOD_IDEMPOTENCY_KEY", value_name = "KEY")]
    idempotency_key: Option<String>,
}

impl Once {
    /// Sends a mutation with its key until its outcome is known, or too much time has
    /// passed.
    async fn send(
        self,
        mut headers: HeaderMap,
        mut attempt: impl AsyncFnMut(HeaderMap) -> Result<Answer, Failure>,
    ) -> anyhow::Result<Result<Answer, Failure>> {
        let key =
            self.idempotency_key.unwrap_or_else(|| format!("{:032x}", rand::random::<u128>()));
        let value = HeaderValue::from_str(&format!("\"{key}\""))
            .context("an idempotency key is 1 to 128 visible ASCII characters")?;
        headers.insert(HeaderName::from_static("idempotency-key"), value);
        match persist(PATIENCE, async || attempt(headers.clone()).await).await {
            Ok(answer) => Ok(Ok(answer)),
            Err(Outcome::Refused(failure)) => Ok(Err(failure)),
            Err(Outcome::Unavailable(failure)) => Err(anyhow::Error::new(failure).context(format!(
                "it may have been executed: the same command with --idempotency-key {key} finds out"
            ))),
        }
    }
}

/// Compare-and-swap.
#[derive(clap::Args)]
#[group(multiple = false)]
struct Condition {
    /// Only if the key was last changed at this revision
    #[arg(long, env = "SYNOD_IF_REVISION", value_name = "N")]
    if_revision: Option<u64>,
    /// Only if the key is not there
    #[arg(long, env = "SYNOD_IF_ABSENT", value_parser = BoolishValueParser::new())]
    if_absent: bool,
}

impl Condition {
    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match (self.if_revision, self.if_absent) {
            (Some(revision), _) => {
                let etag =
                    HeaderValue::from_str(&format!("\"{revision}\"")).expect("digits in quotes");
                Some((header::IF_MATCH, etag))
            }
            (None, true) => Some((header::IF_NONE_MATCH, HeaderValue::from_static("*"))),
            (None, false) => None,
        }
    }
}

/// Stores the value and prints the answer.
pub(crate) async fn put(args: Put) -> anyhow::Result<ExitCode> {
    let value = match (args.value, &args.file) {
        (Some(value), _) => Bytes::from(value),
        (None, Some(path)) => {
            let file = std::fs::File::open(path)
                .with_context(|| format!("cannot open {}", path.display()))?;
            read_input(file).with_context(|| format!("cannot read {}", path.display()))?
        }
        (None, None) => {
            read_input(io::stdin()).context("cannot read the value from standard input")?
        }
    };
    let mut headers = HeaderMap::from_iter([(header::CONTENT_TYPE, args.content_type)]);
    headers.extend(args.condition.header());
    let api = args.endpoint.api();
    let attempt = async |headers| api.put(&args.key, value.clone(), headers).await;
    print_held(args.once.send(headers, attempt).await?)
}

fn read_input(input: impl Read) -> anyhow::Result<Bytes> {
    let mut bytes = Vec::new();
    input.take(MAX_INPUT_BYTES + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len())? > MAX_INPUT_BYTES {
        bail!("it is longer than {MAX_INPUT_BYTES} bytes");
    }
    Ok(bytes.into())
}

#[derive(clap::Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    endpoint: Endpoint,
    /// The key
    #[arg(
        value_parser = NonEmptyStringValueParser::new(),
        required_unless_present = "prefix",
        conflicts_with = "prefix",
    )]
    key: Option<String>,
    /// Delete every key that begins with this; the empty prefix deletes all
    #[arg(long, env = "SYNOD_DELETE_PREFIX", conflicts_with_all = ["if_revision", "if_absent"])]
    prefix: Option<String>,
    #[command(flatten)]
    condition: Condition,
    #[command(flatten)]
    once: Once,
}

/// Deletes and prints the answer.
pub(crate) async fn delete(args: Delete) -> anyhow::Result<ExitCode> {
    let api = args.endpoint.api();
    let condition = args.condition.header().into_iter().collect();
    let attempt = async |headers| match (&args.key, &args.prefix) {
        (Some(key), _) => api.delete(key, headers).await,
        (None, Some(prefix)) => api.delete_prefix(prefix, headers).await,
        (None, None) => unreachable!("a key or a prefix is required"),
    };
    print_held(args.once.send(condition, attempt).await?)
}

#[derive(clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    endpoint: Endpoint,
    /// Only keys that begin with this
    #[arg(default_value = "")]
    prefix: String,
    /// Show also each key's revision, version and content type, set apart by tabs
    #[arg(long, short, env = "SYNOD_LONG", value_parser = BoolishValueParser::new())]
    long: bool,
}

/// Prints a line for each key, all at one revision.
pub(crate) async fn list(args: List) -> anyhow::Result<ExitCode> {
    let api = args.endpoint.api();
    let mut cursor = None;
    loop {
        let page = api.list(&args.prefix, cursor.as_deref()).await?;
        let mut text = String::new();
        for item in page.items {
            if args.long {
                let content_type = item.content_type.unwrap_or_default();
                text.push_str(&format!(
                    "{}\t{}\t{content_type}\t{}\n",
                    item.revision, item.version, item.key
                ));
            } else {
                text.extend([item.key.as_str(), "\n"]);
            }
        }
        io::stdout().write_all(text.as_bytes()).context("cannot write the keys")?;
        cursor = page.next;
        if cursor.is_none() {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

#[derive(clap::Args)]
pub(crate) struct Ready {
    /// The service to ask
    #[arg(env = "SYNOD_URL", default_value = "http://127.0.0.1:8000", value_parser = parse_url)]
    url: Url,
    /// Ask again for this long before giving up
    #[arg(long, env = "SYNOD_WAIT_SECONDS", value_name = "N", default_value_t = 0)]
    wait_seconds: u32,
}

/// Succeeds once `GET /readyz` does.
pub(crate) async fn ready(args: Ready) -> anyhow::Result<ExitCode> {
    let api = Api::new(&args.url, READY_TIMEOUT);
    let deadline = Instant::now() + Duration::from_secs(args.wait_seconds.into());
    loop {
        match api.page("/readyz").await {
            Ok(_) => return Ok(ExitCode::SUCCESS),
            Err(failure) if Instant::now() >= deadline => return Err(failure.into()),
            Err(_) => tokio::time::sleep(READY_PAUSE).await,
        }
    }
}

/// Sorts "it isn't there" and "the condition doesn't hold" from what went wrong.
fn found(answer: Result<Answer, Failure>) -> Result<Option<Answer>, Failure> {
    match answer {
        Err(failure)
            if matches!(
                failure.status(),
                Some(StatusCode::NOT_FOUND | StatusCode::PRECONDITION_FAILED)
            ) =>
        {
            console::warn(format_args!("synod: {failure}"));
            Ok(None)
        }
        other => other.map(Some),
    }
}

fn print_held(answer: Result<Answer, Failure>) -> anyhow::Result<ExitCode> {
    Ok(match found(answer)? {
        Some(answer) => {
            console::say(String::from_utf8_lossy(&answer.body).trim_end());
            ExitCode::SUCCESS
        }
        None => ExitCode::from(EXIT_NO),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_compare_and_swap() {
        let header = |if_revision, if_absent| Condition { if_revision, if_absent }.header();
        assert_eq!(
            header(Some(7), false),
            Some((header::IF_MATCH, HeaderValue::from_static("\"7\"")))
        );
        assert_eq!(
            header(None, true),
            Some((header::IF_NONE_MATCH, HeaderValue::from_static("*")))
        );
        assert_eq!(header(None, false), None);
    }

    #[test]
    fn missing_is_an_answer_and_other_errors_are_not() {
        let answered =
            |status| Err(Failure::Answered { status, retry_after: None, detail: String::new() });
        assert!(matches!(found(answered(StatusCode::NOT_FOUND)), Ok(None)));
        assert!(found(answered(StatusCode::SERVICE_UNAVAILABLE)).is_err());
    }
}
