//! Many short requests on one connection, between services of ours: frames of bytes. Pure, but
//! for the connection that they are on (`link`).
//!
//! On a connection of HTTP/1.1 one request is under way, so that each costs a write, a read and
//! a search for line ends on either side, which is more than what is asked for costs. Here what
//! is ready together travels together, and an answer comes when it is there, in no order. What
//! travels is HTTP all the same: a head and a body, whole, and who judges, counts and traces a
//! request does not see the difference. Bodies that have no end, or a far one, go the other way
//! ([`crate::client`]).
//!
//! ```text
//! length u32 │ kind u8 │ id u32 │ payload …          big-endian; the length is of all after it
//!
//! 1 request    method u8+… │ target u16+… │ fields │ body
//! 2 answer     status u16 │ fields │ body
//! 3 cancel     nobody waits for it any more
//! 4 not taken  nothing was done of it, and it has to go another way
//! 5 going away there will be no answer to what is sent from here on but "not taken"
//!
//! fields       count u16, of each: name u16+… │ value u16+…
//! ```
//!
//! Both sides begin with [`PREFACE`], which is also its version: to a server of HTTP it is a
//! request in a version that it does not know, which it refuses with 400, and the client knows
//! that this is not to be had there.

mod link;

pub(crate) use link::{Closed, Link, Patience, checks};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};

/// What both sides say first. It ends as a head of HTTP does.
pub const PREFACE: &[u8] = b"MUX * SYNOD/1\r\n\r\n";

/// The longest body of a request that goes this way, in bytes: what is longer is moved no
/// faster, and holds up what is behind it.
pub const REQUEST_BYTES: usize = 64 << 10;
/// The longest body of an answer, in bytes.
pub const ANSWER_BYTES: usize = 256 << 10;
/// The longest head of an answer, in bytes: more than any server makes.
const HEAD_BYTES: usize = 128 << 10;
/// The longest frame, in bytes, without its length.
pub(crate) const FRAME_BYTES: usize = HEAD_BYTES + ANSWER_BYTES;
/// The longest frame of a request, in bytes: what has a longer head goes the other way. Both
/// sides go by this number, whatever heads they admit, for a frame that is too long ends the
/// connection, and what others asked on it.
pub(crate) const REQUEST_FRAME_BYTES: usize = (64 << 10) + REQUEST_BYTES;

/// The most fields of a head.
const FIELDS: usize = 128;

/// How many requests may be under way on a connection.
pub const IN_FLIGHT: usize = 512;

/// Which of a connection's requests.
pub type Id = u32;

/// What is said.
#[derive(Debug)]
pub enum Frame {
    /// Asks.
    Request(Id, Request<Bytes>),
    /// Asks what cannot be read: nothing is known of it but where it ends.
    Unreadable(Id, Malformed),
    /// Answers.
    Answer(Id, Response<Bytes>),
    /// Nobody waits for the answer any more.
    Cancel(Id),
    /// Nothing was done of the request, and it has to go another way.
    NotTaken(Id),
    /// No other request will be taken.
    GoingAway,
}

/// The kind and the number.
const BARE_BYTES: usize = 5;

const REQUEST: u8 = 1;
const ANSWER: u8 = 2;
const CANCEL: u8 = 3;
const NOT_TAKEN: u8 = 4;
const GOING_AWAY: u8 = 5;

/// Its head is longer than a frame has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a head or a body is too long for one frame")]
pub struct TooLong;

/// Bytes that are no frame. Where it is not even known where the next one begins, or an answer
/// cannot be read, that ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no frame: {0}")]
pub struct Malformed(&'static str);

/// Appends a request.
///
/// # Errors
/// Where it is too long; nothing was appended then.
pub fn push_request(
    out: &mut BytesMut,
    id: Id,
    request: &Request<impl AsRef<[u8]>>,
) -> Result<(), TooLong> {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    push(out, (REQUEST, REQUEST_FRAME_BYTES), id, |out| {
        let method = request.method().as_str().as_bytes();
        out.put_u8(u8::try_from(method.len()).map_err(|_| TooLong)?);
        out.put_slice(method);
        put_text(out, target.as_bytes())?;
        put_fields(out, request.headers())?;
        put_body(out, request.body().as_ref(), REQUEST_BYTES)
    })
}

/// Appends an answer.
///
/// # Errors
/// Where it is too long; nothing was appended then.
pub fn push_answer(out: &mut BytesMut, id: Id, answer: &Response<Bytes>) -> Result<(), TooLong> {
    push(out, (ANSWER, FRAME_BYTES), id, |out| {
        out.put_u16(answer.status().as_u16());
        put_fields(out, answer.headers())?;
        put_body(out, answer.body(), ANSWER_BYTES)
    })
}

/// Appends that nobody waits for that answer.
pub fn push_cancel(out: &mut BytesMut, id: Id) {
    push_bare(out, CANCEL, id);
}

/// Appends that nothing was done of that request.
pub fn push_not_taken(out: &mut BytesMut, id: Id) {
    push_bare(out, NOT_TAKEN, id);
}

/// Appends that no other request will be taken.
pub fn push_going_away(out: &mut BytesMut) {
    push_bare(out, GOING_AWAY, 0);
}

/// How long the first frame says that it is, once it does.
pub(crate) fn announced(input: &[u8]) -> Option<usize> {
    input.first_chunk().map(|length| u32::from_be_bytes(*length) as usize)
}

/// Takes the first frame, once it is there whole.
///
/// # Errors
/// Where there is no frame. No more is to be taken of these bytes.
pub fn take(input: &mut BytesMut) -> Result<Option<Frame>, Malformed> {
    let Some(length) = announced(input) else { return Ok(None) };
    if length > FRAME_BYTES {
        return Err(TOO_LONG);
    }
    let Some(frame) = input.get(4..4 + length) else { return Ok(None) };
    // A copy: who keeps a part of it keeps no more than it, and not all that was read with it.
    let mut frame = Bytes::copy_from_slice(frame);
    input.advance(4 + length);
    let kind = frame.try_get_u8().map_err(|_| SHORT)?;
    let id = frame.try_get_u32().map_err(|_| SHORT)?;
    Ok(Some(match kind {
        REQUEST => match take_request(frame) {
            Ok(request) => Frame::Request(id, request),
            Err(malformed) => Frame::Unreadable(id, malformed),
        },
        ANSWER => Frame::Answer(id, take_answer(frame)?),
        CANCEL => Frame::Cancel(id),
        NOT_TAKEN => Frame::NotTaken(id),
        GOING_AWAY => Frame::GoingAway,
        _ => return Err(Malformed("it is of no known kind")),
    }))
}

pub(crate) const TOO_LONG: Malformed = Malformed("it is longer than any");
const SHORT: Malformed = Malformed("it ends too early");
const TOO_MANY_FIELDS: Malformed = Malformed("it has too many fields");

fn take_request(mut frame: Bytes) -> Result<Request<Bytes>, Malformed> {
    if BARE_BYTES + frame.len() > REQUEST_FRAME_BYTES {
        return Err(TOO_LONG);
    }
    let length = frame.try_get_u8().map_err(|_| SHORT)?;
    let method = Method::from_bytes(&take_bytes(&mut frame, usize::from(length))?)
        .map_err(|_| Malformed("it has no method"))?;
    let target = take_text(&mut frame)?;
    // A fragment would be dropped without a word, and mean another target.
    if target.first() != Some(&b'/') || target.contains(&b'#') {
        return Err(Malformed("its target is no path"));
    }
    let target = Uri::from_maybe_shared(target).map_err(|_| Malformed("its target is no path"))?;
    let headers = take_fields(&mut frame)?;
    if frame.len() > REQUEST_BYTES {
        return Err(Malformed("its body is longer than any"));
    }
    let mut request = Request::new(alone(&frame));
    (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, target, headers);
    Ok(request)
}

fn take_answer(mut frame: Bytes) -> Result<Response<Bytes>, Malformed> {
    let status = frame.try_get_u16().map_err(|_| SHORT)?;
    let status = StatusCode::from_u16(status).map_err(|_| Malformed("it has no status"))?;
    let headers = take_fields(&mut frame)?;
    if frame.len() > ANSWER_BYTES {
        return Err(Malformed("its body is longer than any"));
    }
    let mut answer = Response::new(alone(&frame));
    (*answer.status_mut(), *answer.headers_mut()) = (status, headers);
    Ok(answer)
}

/// A copy: who keeps a short body would keep the head with it.
fn alone(body: &[u8]) -> Bytes {
    Bytes::copy_from_slice(body)
}

fn take_fields(frame: &mut Bytes) -> Result<HeaderMap, Malformed> {
    let count = frame.try_get_u16().map_err(|_| SHORT)?;
    if usize::from(count) > FIELDS {
        return Err(TOO_MANY_FIELDS);
    }
    // Each takes four bytes at least: no room is made for more than can be there.
    let mut headers = HeaderMap::with_capacity(usize::from(count).min(frame.len() / 4));
    for _ in 0..count {
        let name = HeaderName::from_bytes(&take_text(frame)?)
            .map_err(|_| Malformed("it has a field without a name"))?;
        let value = HeaderValue::from_maybe_shared(take_text(frame)?)
            .map_err(|_| Malformed("it has a field without a value"))?;
        headers.try_append(name, value).map_err(|_| TOO_MANY_FIELDS)?;
    }
    Ok(headers)
}

fn take_text(frame: &mut Bytes) -> Result<Bytes, Malformed> {
    let length = frame.try_get_u16().map_err(|_| SHORT)?;
    take_bytes(frame, usize::from(length))
}

fn take_bytes(frame: &mut Bytes, length: usize) -> Result<Bytes, Malformed> {
    if frame.len() < length { Err(SHORT) } else { Ok(frame.split_to(length)) }
}

fn push(
    out: &mut BytesMut,
    (kind, longest): (u8, usize),
    id: Id,
    payload: impl FnOnce(&mut BytesMut) -> Result<(), TooLong>,
) -> Result<(), TooLong> {
    let start = out.len();
    out.put_u32(0);
    out.put_u8(kind);
    out.put_u32(id);
    let pushed = payload(out).and_then(|()| {
        let length = out.len() - start - 4;
        let length = u32::try_from(length).ok().filter(|_| length <= longest);
        length.ok_or(TooLong)
    });
    match pushed {
        Ok(length) => out[start..start + 4].copy_from_slice(&length.to_be_bytes()),
        Err(TooLong) => out.truncate(start),
    }
    pushed.map(drop)
}

fn push_bare(out: &mut BytesMut, kind: u8, id: Id) {
    push(out, (kind, FRAME_BYTES), id, |_| Ok(())).expect("nine bytes");
}

fn put_text(out: &mut BytesMut, text: &[u8]) -> Result<(), TooLong> {
    out.put_u16(u16::try_from(text.len()).map_err(|_| TooLong)?);
    out.put_slice(text);
    Ok(())
}

fn put_fields(out: &mut BytesMut, fields: &HeaderMap) -> Result<(), TooLong> {
    let count = u16::try_from(fields.len()).ok().filter(|_| fields.len() <= FIELDS);
    out.put_u16(count.ok_or(TooLong)?);
    for (name, value) in fields {
        put_text(out, name.as_str().as_bytes())?;
        put_text(out, value.as_bytes())?;
    }
    Ok(())
}

fn put_body(out: &mut BytesMut, body: &[u8], limit: usize) -> Result<(), TooLong> {
    if body.len() > limit {
        return Err(TooLong);
    }
    out.put_slice(body);
    Ok(())
}

#[cfg(test)]
mod tests;
