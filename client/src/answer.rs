//! What is answered.

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use shared::client::AnswerBody;

use crate::error::{Error, Failure};
use crate::problem;

/// The largest answer taken: a full page of the largest values, encoded, stays well below.
const MAX_ANSWER_BYTES: usize = 256 * 1024 * 1024;
/// The longest error that is read, in bytes.
const MAX_PROBLEM_BYTES: usize = 64 * 1024;

/// A successful answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// Reads the body as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Error::Malformed(format!("the answer is not what was asked for: {error}"))
        })
    }
}

/// A header field that is a number.
pub(crate) fn number(headers: &HeaderMap, name: &str) -> Result<u64, Error> {
    let text = headers.get(name).and_then(|value| value.to_str().ok());
    let number = text.and_then(|text| text.trim_matches('"').parse().ok());
    number.ok_or_else(|| Error::Malformed(format!("the answer has no {name}: {text:?}")))
}

/// An answer whose body is still to come.
#[derive(Debug)]
pub(crate) struct Coming {
    /// Who answers.
    pub(crate) url: String,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: AnswerBody,
}

impl Coming {
    pub(crate) fn of(url: &str, response: Response<AnswerBody>) -> Self {
        let (parts, body) = response.into_parts();
        Self { url: url.to_owned(), status: parts.status, headers: parts.headers, body }
    }

    /// Turns an error that was answered into one.
    pub(crate) async fn accepted(self) -> Result<Self, Failure> {
        if self.status.is_success() {
            return Ok(self);
        }
        let retry_after = problem::retry_after(&self.headers);
        let (status, mut body) = (self.status, BytesMut::new());
        let mut pieces = self.into_stream();
        // Of a body that breaks off, or is too long, what there is has to do.
        while let Some(Ok(piece)) = pieces.next().await
            && body.len() + piece.len() <= MAX_PROBLEM_BYTES
        {
            body.extend_from_slice(&piece);
        }
        let (problem, secret) = (problem::read(status, &body), problem::secret(&body));
        Err(Failure::Answered { problem, retry_after, secret })
    }

    /// All of it.
    pub(crate) async fn whole(mut self) -> Result<Answer, Failure> {
        let (url, headers) = (self.url.clone(), std::mem::take(&mut self.headers));
        let (mut body, mut pieces) = (BytesMut::new(), self.into_stream());
        while let Some(piece) = pieces.next().await {
            let piece = match piece {
                Ok(piece) => piece,
                Err(reason) => return Err(Failure::Lost { url, reason }),
            };
            if body.len() + piece.len() > MAX_ANSWER_BYTES {
                let reason = format!("the answer is longer than {MAX_ANSWER_BYTES} bytes");
                return Err(Failure::Lost { url, reason });
            }
            body.extend_from_slice(&piece);
        }
        Ok(Answer { headers, body: body.freeze() })
    }

    /// Its body, piece by piece; in words what cut it off.
    pub(crate) fn into_stream(self) -> BoxStream<'static, Result<Bytes, String>> {
        let pieces = self.body.into_data_stream();
        pieces.map(|piece| piece.map_err(|error| root_cause(&error))).boxed()
    }
}

/// The innermost error of a chain: the outer ones only say that there was one.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
