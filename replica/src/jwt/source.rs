//! Where an issuer's keys come from: a file, or a URL.

use std::fmt;
use std::fs::Metadata;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use shared::client::{Connections, Pool, PoolLimits, user_agent};
use shared::tls::{Calls, Trust};
use tokio::io::AsyncReadExt as _;

/// The longest set of keys, in bytes.
const MOST_BYTES: usize = 1 << 20;
/// How long a URL may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether a file has changed …
const FILE_EVERY: Duration = Duration::from_secs(1);
/// … a URL is asked …
const URL_EVERY: Duration = Duration::from_secs(300);
/// … and asked again where it gave nothing.
const URL_AGAIN: Duration = Duration::from_secs(10);

/// A file, or a URL.
#[derive(Debug)]
pub(super) enum Source {
    File { path: PathBuf, seen: Mutex<Option<Stamp>> },
    Url { text: String, path: PathAndQuery, connections: Arc<Connections>, patience: Duration },
}

/// By what a changed file is known: its time, length and inode, through links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(i64, i64, u64, u64);

/// When something is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looked {
    /// In any case.
    Always,
    /// A file only where it has changed.
    IfChanged,
}

impl Source {
    /// Of what a flag says.
    ///
    /// # Errors
    /// Why nothing can be read there, in words.
    pub(super) fn of(text: &str, authorities: Option<&Path>) -> Result<Self, String> {
        if !text.starts_with("https://") && !text.starts_with("http://") {
            let path = PathBuf::from(text);
            std::fs::File::open(&path).map_err(|error| error.to_string())?;
            return Ok(Self::File { path, seen: Mutex::default() });
        }
        let uri: Uri = text.parse().map_err(|error| format!("{error}"))?;
        let host = uri.host().unwrap_or_default();
        let calls = match (uri.scheme_str(), authorities) {
            (Some("https"), Some(file)) => {
                Calls::OnlyTls(Trust::of_files(file, None).map_err(|error| error.to_string())?)
            }
            (Some("https"), None) => {
                return Err("https:// takes --jwt-ca (SYNOD_JWT_CA): whose certificates to \
                            believe, such as /etc/ssl/certs/ca-certificates.crt"
                    .to_owned());
            }
            _ if is_here(host) => Calls::Plain,
            _ => return Err(format!("{host} is not of this machine: it must be https://")),
        };
        let base = format!(
            "{}://{}",
            uri.scheme_str().unwrap_or_default(),
            uri.authority().map_or("", |authority| authority.as_str())
        );
        let pool = Pool::new(PoolLimits::default()).calling(calls);
        let connections = pool.to(&base).map_err(|error| error.to_string())?;
        connections.check()?;
        let path = uri.path_and_query().cloned();
        let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
        Ok(Self::Url { text: text.to_owned(), path, connections, patience: PATIENCE })
    }

    /// How long it takes until it is looked at again.
    pub(super) fn pause(&self, is_refused: bool) -> Duration {
        match self {
            Self::File { .. } => FILE_EVERY,
            Self::Url { .. } if is_refused => URL_AGAIN,
            Self::Url { .. } => URL_EVERY,
        }
    }

    /// What is there; none where that has not changed.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(super) async fn read(&self, looked: Looked) -> Result<Option<Bytes>, String> {
        match self {
            Self::File { path, seen } => {
                let file = tokio::fs::File::open(path).await;
                let file = file.map_err(|error| error.to_string())?;
                let metadata = file.metadata().await.map_err(|error| error.to_string())?;
                // Taken before it is read: what changes meanwhile is read once more.
                let found = Some(Stamp::of(&metadata));
                let before = std::mem::replace(
                    &mut *seen.lock().unwrap_or_else(PoisonError::into_inner),
                    found,
                );
                if before == found && looked == Looked::IfChanged {
                    return Ok(None);
                }
                let mut bytes = Vec::new();
                let most = MOST_BYTES as u64 + 1;
                let read = file.take(most).read_to_end(&mut bytes).await;
                read.map_err(|error| error.to_string())?;
                if bytes.len() > MOST_BYTES { Err(too_long()) } else { Ok(Some(bytes.into())) }
            }
            Self::Url { text: _, path, connections, patience } => {
                let asked = tokio::time::timeout(*patience, ask(connections, path.clone())).await;
                let late = |_| format!("no answer within {patience:?}");
                asked.map_err(late)?.map(Some)
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => path.display().fmt(f),
            Self::Url { text, .. } => f.write_str(text),
        }
    }
}

impl Stamp {
    fn of(file: &Metadata) -> Self {
        Self(file.mtime(), file.mtime_nsec(), file.len(), file.ino())
    }
}

/// Nothing else is followed: what the URL says is what is believed.
async fn ask(connections: &Arc<Connections>, path: PathAndQuery) -> Result<Bytes, String> {
    let mut request = Request::new(Full::new(Bytes::new()));
    *request.uri_mut() = Uri::from(path);
    request.headers_mut().insert(header::USER_AGENT, user_agent());
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    let answer = connections.send(request).await.map_err(|error| error.to_string())?;
    if answer.status() != StatusCode::OK {
        return Err(format!("it answers {}", answer.status()));
    }
    let body = Limited::new(answer.into_body(), MOST_BYTES).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() { too_long() } else { error.to_string() }
    })
}

fn too_long() -> String {
    format!("it has more than the {MOST_BYTES} bytes that a set of keys may have")
}

/// Whether a host is this machine, whatever names are looked up to.
fn is_here(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
