//! What a request's head must be before anything else looks at it.
//!
//! hyper answers a head that it cannot parse without a body and without a `Trace-Id`, and
//! drops what follows a `#` in the target without a word. So the bytes are judged here
//! first, by the parser that hyper uses itself, and what is refused is answered as any
//! other request is.

use std::mem::MaybeUninit;

use http::Uri;
use httparse::{Request, Status};

use crate::problem::Problem;

/// The most header fields of a request.
const MAX_FIELDS: usize = 100;

/// How a request's body is framed (RFC 9112, section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes; the next head follows.
    Length(u64),
    /// In chunks.
    Chunked,
}

/// How many bytes are blank lines before a head, which mean nothing (RFC 9112, section
/// 2.2).
pub(super) fn blank_lines(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count()
}

/// Where the head ends that these bytes begin with, if they hold its blank line. `seen`
/// is how many of them were looked at before.
pub(super) fn end_of_head(bytes: &[u8], seen: usize) -> Option<usize> {
    let mut line_ends = (seen.saturating_sub(3)..bytes.len()).filter(|&at| bytes[at] == b'\n');
    line_ends.find_map(|at| match &bytes[at + 1..] {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

/// Judges a whole head.
pub(super) fn judge(head: &[u8]) -> Result<Framing, Problem> {
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut request = Request::new(&mut []);
    match request.parse_with_uninit_headers(head, &mut fields) {
        Ok(Status::Complete(length)) if length == head.len() => {}
        Ok(Status::Complete(_) | Status::Partial) => {
            return Err(malformed("it does not end where it seems to"));
        }
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Problem::header_too_large(format!("{MAX_FIELDS} fields")));
        }
        Err(error) => return Err(malformed(error)),
    }
    check_target(request.path.unwrap_or_default())?;
    framing(&request)
}

fn malformed(reason: impl std::fmt::Display) -> Problem {
    Problem::bad_request(format!("the request's head is not one of HTTP/1.1: {reason}"))
}

/// A fragment is for the client alone and never sent (RFC 9110, section 7.1); a `#` that
/// was meant as part of a key is spelt `%23`.
fn check_target(target: &str) -> Result<(), Problem> {
    if target.contains('#') {
        return Err(Problem::bad_request(
            "there is a # in the request's target: in a key it is spelt %23",
        ));
    }
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:@?".contains(&byte);
    if target.starts_with('/') && target.bytes().all(is_plain) {
        return Ok(());
    }
    target.parse::<Uri>().map(drop).map_err(|error| malformed(format!("its target: {error}")))
}

fn framing(request: &Request<'_, '_>) -> Result<Framing, Problem> {
    let mut length = None;
    let mut coding = None;
    for field in request.headers.iter() {
        if field.name.eq_ignore_ascii_case("content-length") {
            let given = parse_length(field.value)
                .ok_or_else(|| Problem::bad_request("Content-Length is not a number of bytes"))?;
            if length.replace(given).is_some_and(|earlier| earlier != given) {
                return Err(Problem::bad_request("Content-Length is given twice, differently"));
            }
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            coding = Some(field.value);
        }
    }
    match (length, coding) {
        (length, None) => Ok(Framing::Length(length.unwrap_or(0))),
        // One of them may be somebody else's request (RFC 9112, section 6.3).
        (Some(_), Some(_)) => {
            Err(Problem::bad_request("Content-Length and Transfer-Encoding exclude each other"))
        }
        (None, Some(_)) if request.version != Some(1) => {
            Err(Problem::bad_request("HTTP/1.0 has no Transfer-Encoding"))
        }
        (None, Some(coding)) => {
            let last = coding.rsplit(|byte| *byte == b',').next().unwrap_or_default();
            if last.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                Ok(Framing::Chunked)
            } else {
                Err(Problem::bad_request("the last coding of Transfer-Encoding is not chunked"))
            }
        }
    }
}

fn parse_length(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value).ok()?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    // hyper keeps the two highest numbers for itself.
    digits.parse().ok().filter(|length| is_number && *length < u64::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_at_its_blank_line_however_it_comes() {
        let head = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
        for head in [head.to_owned(), head.replace('\r', "")] {
            let bytes = format!("{head}GET");
            let bytes = bytes.as_bytes();
            for seen in 0..head.len() {
                assert_eq!(end_of_head(&bytes[..head.len() - 1], seen), None, "{head:?}");
                assert_eq!(end_of_head(bytes, seen), Some(head.len()), "{head:?} after {seen}");
            }
        }
        assert_eq!(end_of_head(b"", 0), None);
        assert_eq!((blank_lines(b"\r\n\nGET\r\n"), blank_lines(b"GET")), (3, 0));
    }

    #[test]
    fn what_hyper_would_misread_or_refuse_without_a_word_is_refused_here() {
        for (head, expected) in [
            ("GET /v1/kv/a%23b?x=y HTTP/1.1\r\n\r\n", Ok(Framing::Length(0))),
            ("PUT / HTTP/1.1\r\nContent-Length: 7\r\n\r\n", Ok(Framing::Length(7))),
            (
                "PUT / HTTP/1.1\r\ncontent-length: 7\r\ncontent-length: 7\r\n\r\n",
                Ok(Framing::Length(7)),
            ),
            ("PUT / HTTP/1.1\r\ntransfer-encoding: gzip, Chunked\r\n\r\n", Ok(Framing::Chunked)),
            ("GET http://h:1/v1 HTTP/1.1\r\n\r\n", Ok(Framing::Length(0))),
            ("GET /é HTTP/1.1\r\n\r\n", Ok(Framing::Length(0))),
            ("GET /v1/kv/issue#12 HTTP/1.1\r\n\r\n", Err("%23")),
            ("GET /?prefix=a#b HTTP/1.1\r\n\r\n", Err("%23")),
            ("GET #/v1 HTTP/1.1\r\n\r\n", Err("%23")),
            ("GET /a b HTTP/1.1\r\n\r\n", Err("HTTP/1.1")),
            ("GET /<a> HTTP/1.1\r\n\r\n", Err("target")),
            ("GET / HTTP/2.0\r\n\r\n", Err("version")),
            ("GET /\r\n\r\n", Err("HTTP/1.1")),
            ("GET / HTTP/1.1\r\nhost : x\r\n\r\n", Err("header name")),
            ("GET / HTTP/1.1\r\nhost: x\r\n y\r\n\r\n", Err("header name")),
            ("GET / HTTP/1.1\r\nx: \x01\r\n\r\n", Err("header value")),
            ("PUT / HTTP/1.1\r\ncontent-length: +7\r\n\r\n", Err("Content-Length")),
            ("PUT / HTTP/1.1\r\ncontent-length: 7, 7\r\n\r\n", Err("Content-Length")),
            ("PUT / HTTP/1.1\r\ncontent-length:\r\n\r\n", Err("Content-Length")),
            (
                "PUT / HTTP/1.1\r\ncontent-length: 18446744073709551615\r\n\r\n",
                Err("Content-Length"),
            ),
            ("PUT / HTTP/1.1\r\ncontent-length: 7\r\ncontent-length: 8\r\n\r\n", Err("twice")),
            (
                "PUT / HTTP/1.1\r\ncontent-length: 7\r\ntransfer-encoding: chunked\r\n\r\n",
                Err("exclude"),
            ),
            ("PUT / HTTP/1.1\r\ntransfer-encoding: chunked, gzip\r\n\r\n", Err("not chunked")),
            ("PUT / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n", Err("HTTP/1.0")),
        ] {
            match (judge(head.as_bytes()), expected) {
                (Ok(framing), Ok(expected)) => assert_eq!(framing, expected, "{head:?}"),
                (Err(problem), Err(word)) => {
                    assert_eq!(problem.status(), 400, "{head:?}");
                    assert!(problem.body().detail.contains(word), "{head:?}: {problem}");
                }
                (judged, _) => panic!("{head:?}: {judged:?}"),
            }
        }
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(MAX_FIELDS + 1));
        assert_eq!(judge(many.as_bytes()).unwrap_err().status(), 431);
    }
}
