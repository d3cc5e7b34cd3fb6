//! What a request's header fields ask for, beside conditions and deadlines.

use http::HeaderMap;
use shared::fields::only;
use shared::ids::Revision;
use shared::problem::Problem;
use shared::query::whole_number;
use shared::repeat::{NoName, Repeatable};

use super::parameter::{self, Parameter};
use crate::machine::identity::IdempotencyKey;

/// The longest idempotency key, in characters.
const KEY_CHARACTERS: usize = 128;

/// Reads `Synod-Min-Revision`.
///
/// # Errors
/// 400 where it is no whole number, or given more than once.
pub fn min_revision(headers: &HeaderMap) -> Result<Option<Revision>, Problem> {
    revision(headers, parameter::MIN_REVISION)
}

/// Reads `Last-Event-ID`: what a watcher has seen that comes again.
///
/// # Errors
/// 400 where it is no whole number, or given more than once.
pub fn last_event_id(headers: &HeaderMap) -> Result<Option<Revision>, Problem> {
    revision(headers, parameter::LAST_EVENT_ID)
}

fn revision(headers: &HeaderMap, field: Parameter) -> Result<Option<Revision>, Problem> {
    let name = field.name;
    let Some(value) = only(headers, name)? else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let refuse = || Problem::bad_request(format!("{name} is not a revision: a whole number"));
    whole_number(text).map(|number| Some(Revision(number))).ok_or_else(refuse)
}

/// Reads `Synod-Request`: by which name the sender may send it again.
///
/// # Errors
/// 400 where it is none, or given more than once.
pub fn repeatable(headers: &HeaderMap) -> Result<Option<Repeatable>, Problem> {
    let Some(value) = only(headers, "Synod-Request")? else { return Ok(None) };
    let named = value.to_str().unwrap_or_default().parse();
    named.map(Some).map_err(|error: NoName| Problem::bad_request(format!("Synod-Request: {error}")))
}

/// Reads `Idempotency-Key`: quoted or bare, which is the same key.
///
/// # Errors
/// 400 where it is not 1 to 128 visible ASCII characters, or given more than once.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let Some(value) = only(headers, parameter::IDEMPOTENCY_KEY.name)? else { return Ok(None) };
    let key = match value.as_bytes() {
        [b'"', quoted @ .., b'"'] if !quoted.iter().any(|byte| b"\"\\".contains(byte)) => quoted,
        [b'"', ..] => &[],
        bare => bare,
    };
    let is_visible = key.iter().all(u8::is_ascii_graphic);
    match str::from_utf8(key) {
        Ok(key) if is_visible && (1..=KEY_CHARACTERS).contains(&key.len()) => {
            Ok(Some(IdempotencyKey::of(key)))
        }
        Ok(_) | Err(_) => Err(Problem::bad_request(format!(
            "Idempotency-Key is not 1 to {KEY_CHARACTERS} visible ASCII characters, bare or in \
             quotation marks"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use shared::repeat;

    use super::*;

    #[test]
    fn a_request_has_one_name_or_none() {
        let named = |values: &[&'static str]| {
            let field = HeaderName::from_static(repeat::HEADER);
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(field.clone(), HeaderValue::from_static(value));
            }
            repeatable(&headers).map_err(|problem| problem.status().as_u16())
        };
        let name = "000000000000000000000000000000ff;since=7";
        assert_eq!(named(&[]), Ok(None));
        assert_eq!(named(&[name]), Ok(Some(name.parse().unwrap())));
        assert_eq!(named(&["ff;since=7"]), Err(400));
        assert_eq!(named(&[name, name]), Err(400));
    }

    #[test]
    fn a_least_revision_is_a_whole_number_given_once() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("synod-min-revision", HeaderValue::from_static(value));
            }
            min_revision(&headers).map_err(|problem| problem.status().as_u16())
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["17"]), Ok(Some(Revision(17))));
        for bad in [&["x"][..], &[""], &["-1"], &["+1"], &["1", "1"], &["18446744073709551616"]] {
            assert_eq!(of(bad), Err(400), "{bad:?}");
        }
    }

    #[test]
    fn an_idempotency_key_is_visible_ascii_bare_or_quoted_given_once() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers
                    .append(parameter::IDEMPOTENCY_KEY.name, HeaderValue::from_str(value).unwrap());
            }
            idempotency_key(&headers).map_err(|problem| problem.status().as_u16())
        };
        let longest = "k".repeat(128);
        assert_eq!(of(&[]), Ok(None));
        for key in ["k", "8e03978e-40d5-43dd-bc93-6894a57f9324", "a\"b", "~!", &longest] {
            assert_eq!(of(&[key]), Ok(Some(IdempotencyKey::of(key))), "{key}");
        }
        assert_eq!(of(&["\"k\""]), of(&["k"]));
        assert_ne!(of(&["K"]), of(&["k"]));
        let too_long = "k".repeat(129);
        for bad in [
            &[""][..],
            &["\"\""],
            &["\""],
            &["\"k"],
            &["\"a\"b\""],
            &["\"a\\\"\""],
            &["a b"],
            &["schlüssel"],
            &["k", "k"],
            &[&too_long],
        ] {
            assert_eq!(of(bad), Err(400), "{bad:?}");
        }
    }
}
