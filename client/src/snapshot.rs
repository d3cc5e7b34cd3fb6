//! Snapshots: the whole state as one SQLite file, streamed.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use http::{HeaderMap, Method, StatusCode, header};
use shared::deadline::SNAPSHOT_WAIT;
use tokio::time::Instant;

use crate::answer::number;
use crate::call::{Call, awaited};
use crate::client::Client;
use crate::error::{Error, Failure};

/// The longest that nothing of a file may come, unless the client waits for less.
const SILENCE: Duration = Duration::from_secs(30);

impl Client {
    /// Asks for the whole state as one file.
    #[must_use = "nothing is sent before it is awaited"]
    pub fn snapshot(&self) -> Snapshot {
        let mut call = Call::read(Method::GET, "/v1/snapshot");
        // It is made before the answer begins.
        call.begins_within = SNAPSHOT_WAIT;
        Snapshot { client: self.clone(), call }
    }
}

/// Asks for a snapshot: [`Client::snapshot`].
#[derive(Clone, Debug)]
pub struct Snapshot {
    client: Client,
    call: Call,
}

awaited!(Snapshot => Download);

impl Snapshot {
    /// The rest of one that was cut off, after so many bytes; or a new one from its
    /// beginning, where that is not kept any more: [`Download::from`] says which.
    #[must_use]
    pub fn resume(mut self, etag: &str, after: u64) -> Self {
        self.call.header(header::IF_RANGE, etag);
        self.call.header(header::RANGE, &format!("bytes={after}-"));
        self
    }

    /// Of what the replica that is asked has executed, without asking a quorum.
    #[must_use]
    pub fn local(mut self) -> Self {
        self.call.param("consistency", "local");
        self
    }

    async fn send(self) -> Result<Download, Error> {
        let response = self.client.open(&self.call).await?;
        let headers = &response.headers;
        let part = Part::of(response.status, headers)?;
        Ok(Download {
            revision: number(headers, "synod-revision")?,
            etag: text(headers, &header::ETAG)?,
            bytes: part.total,
            from: part.from,
            sha256: digest(headers)?,
            left: part.total - part.from,
            silence: SILENCE.min(self.client.timeout()),
            heard_at: Instant::now(),
            url: response.url.clone(),
            stream: response.into_stream(),
        })
    }
}

/// A snapshot that is coming.
pub struct Download {
    /// The revision of the state in it.
    pub revision: u64,
    /// Which file it is: what [`Snapshot::resume`] takes.
    pub etag: String,
    /// The length of the whole file, in bytes.
    pub bytes: u64,
    /// Where in the file what comes begins: 0, unless it goes on with one that was cut off.
    pub from: u64,
    /// The digest (SHA-256) of the whole file.
    pub sha256: [u8; 32],
    left: u64,
    /// How long nothing may come …
    silence: Duration,
    /// … and since when nothing did.
    heard_at: Instant,
    url: String,
    stream: BoxStream<'static, Result<Bytes, String>>,
}

impl std::fmt::Debug for Download {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { revision, etag, bytes, from, .. } = self;
        f.debug_struct("Download")
            .field("revision", revision)
            .field("etag", etag)
            .field("bytes", bytes)
            .field("from", from)
            .finish_non_exhaustive()
    }
}

impl Download {
    /// The next bytes; none at the end.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where it is cut off: it goes on by [`Snapshot::resume`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let piece = tokio::time::timeout(self.silence, self.stream.next()).await;
        match piece {
            Ok(Some(Ok(bytes))) => match self.left.checked_sub(bytes.len() as u64) {
                Some(left) => {
                    (self.left, self.heard_at) = (left, Instant::now());
                    Ok(Some(bytes))
                }
                None => Err(Error::Malformed(String::from("more came than there is"))),
            },
            Ok(None) if self.left == 0 => Ok(None),
            Ok(None) => Err(self.cut(String::from("it ended early"))),
            Ok(Some(Err(error))) => Err(self.cut(error)),
            Err(_elapsed) => Err(self.cut(format!("silent for {:?}", self.silence))),
        }
    }

    fn cut(&self, reason: String) -> Error {
        let last = Failure::Lost { url: self.url.clone(), reason };
        Error::Unavailable { waited: self.heard_at.elapsed(), last }
    }
}

/// Which part of the file an answer has.
struct Part {
    from: u64,
    total: u64,
}

impl Part {
    fn of(status: StatusCode, headers: &HeaderMap) -> Result<Self, Error> {
        let bytes = number(headers, "content-length")?;
        if status != StatusCode::PARTIAL_CONTENT {
            return Ok(Self { from: 0, total: bytes });
        }
        let range = text(headers, &header::CONTENT_RANGE)?;
        let part = range.strip_prefix("bytes ").and_then(|rest| rest.split_once('/'));
        let part = part.and_then(|(range, total)| {
            let from: u64 = range.split_once('-')?.0.parse().ok()?;
            let total: u64 = total.parse().ok()?;
            (from.checked_add(bytes) == Some(total)).then_some(Self { from, total })
        });
        part.ok_or_else(|| Error::Malformed(format!("Content-Range {range:?} is not the rest")))
    }
}

fn text(headers: &HeaderMap, name: &http::HeaderName) -> Result<String, Error> {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.map(str::to_owned).ok_or_else(|| Error::Malformed(format!("the answer has no {name}")))
}

/// Reads `Repr-Digest: sha-256=:BASE64:` (RFC 9530).
fn digest(headers: &HeaderMap) -> Result<[u8; 32], Error> {
    use base64::Engine as _;
    let value = text(headers, &http::HeaderName::from_static("repr-digest"))?;
    let digest = value.split(',').find_map(|digest| {
        let encoded = digest.trim().strip_prefix("sha-256=:")?.strip_suffix(':')?;
        let decoded = base64::engine::general_purpose::STANDARD.decode(encoded).ok()?;
        decoded.try_into().ok()
    });
    digest.ok_or_else(|| Error::Malformed(format!("Repr-Digest {value:?} has no sha-256")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(status: u16, headers: &[(&'static str, &'static str)]) -> Option<(u64, u64)> {
        let headers = headers.iter().map(|(name, value)| {
            (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))
        });
        let status = StatusCode::from_u16(status).unwrap();
        let part = Part::of(status, &headers.collect()).ok()?;
        Some((part.from, part.total))
    }

    #[test]
    fn what_comes_is_the_whole_or_the_rest() {
        assert_eq!(part(200, &[("content-length", "9")]), Some((0, 9)));
        let rest = |range| part(206, &[("content-length", "4"), ("content-range", range)]);
        assert_eq!(rest("bytes 5-8/9"), Some((5, 9)));
        for bad in ["bytes 5-8/10", "bytes */9", "bytes 5-8/*", "lines 5-8/9", ""] {
            assert_eq!(rest(bad), None, "{bad}");
        }
        assert_eq!(part(206, &[("content-length", "4")]), None);
    }

    #[test]
    fn a_digest_is_read_from_the_field_of_rfc_9530() {
        let of = |value: &'static str| {
            let value = http::HeaderValue::from_static(value);
            digest(&HeaderMap::from_iter([(http::HeaderName::from_static("repr-digest"), value)]))
                .ok()
        };
        let zeros = "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:";
        assert_eq!(of(zeros), Some([0; 32]));
        for bad in ["", "sha-256=::", "sha-512=:AAAA:", "sha-256=:AAAA:"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
