//! Messages as HTTP bodies: JSON for people and scripts, postcard between the services.
//! The same serde types stand behind both.
//!
//! Bytes of postcard are read only as what they are: their media type names the version
//! of the messages, and one of another version is refused by name (415 for a body, 406
//! for an answer that is asked for), with what is spoken here in `Accept`.

mod json;
mod media_type;

use std::pin::pin;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::accept::ranges;
use crate::deadline::Deadline;
use crate::problem::Problem;
use crate::versions;

pub use json::JsonError;
use json::SHOWN_CHARS;
pub use media_type::{JSON, MediaType, POSTCARD, SPOKEN, VERSION, essence_of};

/// The longest message between services, in bytes: above the largest Accept or page of
/// votes, and small against memory.
pub const MAX_MESSAGE_BYTES: usize = 80 * 1024 * 1024;

/// How a message is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// For people.
    Json,
    /// Between services.
    Postcard,
}

/// Bytes are not the message that was expected.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not the JSON that was expected.
    #[error("not the expected JSON: {0}")]
    Json(#[from] JsonError),
    /// Not the binary message that was expected.
    #[error("not the expected postcard message: {0}")]
    Postcard(#[from] postcard::Error),
    /// The binary message ends before the bytes do.
    #[error("{0} bytes are left over after the message")]
    Trailing(usize),
}

impl Encoding {
    /// Its media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => JSON,
            Self::Postcard => POSTCARD,
        }
    }

    /// Encodes a message.
    ///
    /// # Panics
    /// When the type cannot be encoded at all (a map with keys that are no strings, in
    /// JSON): a defect of the type.
    #[must_use]
    pub fn encode<T: Serialize + ?Sized>(self, message: &T) -> Bytes {
        match self {
            Self::Json => {
                let mut bytes = serde_json::to_vec(message).expect("messages are plain JSON");
                bytes.push(b'\n');
                Bytes::from(bytes)
            }
            Self::Postcard => Bytes::from(
                postcard::to_allocvec(message).expect("encoding into memory does not fail"),
            ),
        }
    }

    /// Decodes a message, and nothing after it.
    ///
    /// # Errors
    /// When the bytes are not exactly one such message.
    pub fn decode<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, DecodeError> {
        match self {
            Self::Json => Ok(json::decode(bytes)?),
            Self::Postcard => match postcard::take_from_bytes(bytes)? {
                (message, []) => Ok(message),
                (_, rest @ [_, ..]) => Err(DecodeError::Trailing(rest.len())),
            },
        }
    }
}

/// The body of a request, decoded by its `Content-Type`.
///
/// Nothing is guessed: a web page can send a form, plain text, or bytes without a type to
/// any address without asking, and all of that is refused. JSON and the services' own
/// type it can send only where the service has said that it may, and none does.
///
/// Refuses with 400 (malformed, or a deadline header that is), 408 (the body took longer
/// than the deadline), 413 (above [`MAX_MESSAGE_BYTES`], or the lower limit set by
/// [`BodyLimit`]) and 415 (another media type, another
/// version of ours, or none).
#[derive(Clone, Copy, Debug)]
pub struct Wire<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Wire<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let encoding = content_encoding(request.headers())?;
        let WholeBody(bytes) = WholeBody::from_request(request, state).await?;
        encoding
            .decode(&bytes)
            .map(Self)
            .map_err(|error| Problem::bad_request(format!("the body is {error}")))
    }
}

fn content_encoding(headers: &HeaderMap) -> Result<Encoding, Problem> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (first, second) = (values.next(), values.next());
    let text = first.and_then(|value| value.to_str().ok()).unwrap_or_default();
    match MediaType::of(text).filter(|_| second.is_none()) {
        Some(MediaType::Spoken(encoding)) => Ok(encoding),
        Some(MediaType::OtherVersion(theirs)) => {
            Err(other_version(StatusCode::UNSUPPORTED_MEDIA_TYPE, theirs, headers))
        }
        None => {
            let given = text.chars().take(SHOWN_CHARS).collect::<String>();
            let detail = format!("send Content-Type: {JSON} or {POSTCARD}, not {given:?}");
            Err(Problem::unsupported_media_type(detail))
        }
    }
}

/// Who sent the request, in its own words.
fn sender(headers: &HeaderMap) -> &str {
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    agent.unwrap_or("somebody without a name")
}

fn other_version(status: StatusCode, theirs: u32, headers: &HeaderMap) -> Problem {
    versions::met_other(sender(headers), theirs);
    Problem::new(
        status,
        "urn:synod:problem:other-version",
        "Other version of messages",
        format!(
            "the messages between services are of version {VERSION} here, and you speak version \
             {theirs}"
        ),
    )
    .with_header(header::ACCEPT, HeaderValue::from_static(SPOKEN))
}

/// A request extension that sets the limit on bodies read by [`Wire`] and [`WholeBody`];
/// a layer of `axum::Extension(BodyLimit { … })` on a route puts it there.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimit {
    /// What is limited, for the refusal: `value`, for instance.
    pub what: &'static str,
    /// The longest body, in bytes.
    pub bytes: usize,
}

/// The whole body of a request as bytes: bounded in length by [`BodyLimit`] (413) and in
/// time by the deadline (408).
#[derive(Clone, Debug)]
pub struct WholeBody(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for WholeBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let deadline = Deadline::from_request_parts(&mut parts, state).await?;
        let limit = parts
            .extensions
            .get()
            .copied()
            .unwrap_or(BodyLimit { what: "message", bytes: MAX_MESSAGE_BYTES });
        read_in_time(body, limit, deadline).await.map(Self)
    }
}

/// Reads a body to its end, within the time that there is for the request.
///
/// # Errors
/// Those of [`read_body`], and 408 past the deadline.
pub async fn read_in_time<B>(
    body: B,
    limit: BodyLimit,
    deadline: Deadline,
) -> Result<Bytes, Problem>
where
    B: hyper::body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    deadline.bound(read_body(body, limit)).await.map_err(|elapsed| {
        Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "urn:synod:problem:slow-body",
            "Body too slow",
            format!("{elapsed} before the body was read"),
        )
    })?
}

/// What is set aside for a body before it comes, whatever length it announces, in bytes.
const FIRST_BUFFER: usize = 64 << 10;

/// Reads a body to its end. Of one that is too long nothing more is read: what is left of
/// a request's body is drained by the server.
///
/// # Errors
/// 413 above the limit, 400 where the connection breaks.
pub async fn read_body<B>(body: B, limit: BodyLimit) -> Result<Bytes, Problem>
where
    B: hyper::body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let too_large = || Problem::too_large(limit.what, limit.bytes);
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limit.bytes {
        return Err(too_large());
    }
    let mut body = pin!(body);
    let mut kept = Vec::with_capacity(announced.min(FIRST_BUFFER));
    while let Some(frame) = body.as_mut().frame().await {
        let frame = frame.map_err(|error| {
            Problem::bad_request(format!("the body broke off: {}", error.into()))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > limit.bytes - kept.len() {
            return Err(too_large());
        }
        kept.extend_from_slice(&data);
    }
    Ok(Bytes::from(kept))
}

/// In which encoding the caller wants the answer: the one that `Accept` prefers of those
/// that it names and that are spoken here, the first on a tie, else that of its body, else JSON. Refuses with 406 a caller that
/// accepts a message of another version only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply(pub Encoding);

impl Reply {
    /// What the request's headers ask for.
    ///
    /// # Errors
    /// 406, see [`Reply`].
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let (mut spoken, mut other) = (None, None);
        for (named, quality) in ranges(headers).filter(|(_, quality)| *quality > 0) {
            match MediaType::of(named) {
                Some(MediaType::Spoken(encoding)) => {
                    let best = spoken.get_or_insert((quality, encoding));
                    if quality > best.0 {
                        *best = (quality, encoding);
                    }
                }
                Some(MediaType::OtherVersion(theirs)) => other = other.or(Some(theirs)),
                None => {}
            }
        }
        if let Some((_, encoding)) = spoken {
            if encoding == Encoding::Postcard {
                versions::met_own(sender(headers));
            }
            return Ok(Self(encoding));
        }
        if let Some(theirs) = other {
            return Err(other_version(StatusCode::NOT_ACCEPTABLE, theirs, headers));
        }
        let sent = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        match sent.and_then(MediaType::of) {
            Some(MediaType::Spoken(encoding)) => Ok(Self(encoding)),
            Some(MediaType::OtherVersion(_)) | None => Ok(Self(Encoding::Json)),
        }
    }

    /// 200 with the message.
    #[must_use]
    pub fn send<T: Serialize + ?Sized>(self, message: &T) -> Response {
        let mut response = Response::new(Body::from(self.0.encode(message)));
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(self.0.media_type()));
        response
    }
}

impl<S: Sync> FromRequestParts<S> for Reply {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Self::of(&parts.headers)
    }
}

/// 200 with JSON, whatever the caller accepts: for what only people and scripts read.
#[must_use]
pub fn json<T: Serialize + ?Sized>(message: &T) -> Response {
    Reply(Encoding::Json).send(message)
}

#[cfg(test)]
mod tests;
