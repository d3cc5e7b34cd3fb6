//! Query parameters: known ones, each at most once, well encoded; anything else is
//! refused by name, so that a slip of the pen never passes for a request.

mod parameter;

use std::collections::BTreeMap;
use std::str::FromStr;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use percent_encoding::percent_decode;

pub use self::parameter::{KEY_BYTES, Kind, Parameter};
use crate::problem::Problem;

/// The parameters of a request, decoded.
#[derive(Debug, Default)]
pub struct Query(BTreeMap<String, Vec<String>>);

impl Query {
    /// Reads the part of a URL behind the `?`, as HTML forms and `curl --data-urlencode`
    /// write it.
    ///
    /// # Errors
    /// 400 for what is unknown, given twice or badly encoded, by name.
    pub fn parse(raw: Option<&str>, known: &[Parameter]) -> Result<Self, Problem> {
        let mut parameters: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pair in raw.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode_form(name)
                .map_err(|reason| bad(&format!("a query parameter's name {reason}")))?;
            let Some(parameter) = known.iter().find(|known| known.name == name) else {
                let names: Vec<&str> = known.iter().map(|known| known.name).collect();
                let listed = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                return Err(bad(&format!(
                    "unknown query parameter {:?}: this request takes {listed}",
                    head(&name)
                )));
            };
            let value = decode_form(value).map_err(|reason| {
                bad(&format!("the value of query parameter {name:?} {reason}"))
            })?;
            let values = parameters.entry(name.clone()).or_default();
            if !values.is_empty() && parameter.most == 1 {
                return Err(bad(&format!("query parameter {name:?} is given more than once")));
            }
            values.push(value);
        }
        Ok(Self(parameters))
    }

    /// The text of a parameter, the first of one that is repeated.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.texts(name).next()
    }

    /// The texts of a parameter that may be repeated, in order.
    pub fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.get(name).into_iter().flatten().map(String::as_str)
    }

    /// Whether a parameter is there.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A parameter that is a whole number.
    ///
    /// # Errors
    /// 400 where it is none, or out of range.
    pub fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        whole_number(text).map(Some).ok_or_else(|| {
            bad(&format!(
                "query parameter {name:?} is {:?}, not a whole number in range",
                head(text)
            ))
        })
    }

    /// A parameter that is `true` (also `1`, or the bare name) or `false` (also `0`);
    /// false where it is not there.
    ///
    /// # Errors
    /// 400 where it is neither.
    pub fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.text(name) {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1" | "") => Ok(true),
            Some(text) => Err(bad(&format!(
                "query parameter {name:?} is {:?}, not true or false",
                head(text)
            ))),
        }
    }

    /// A parameter that is one of a few words; the first of them where it is not there.
    ///
    /// # Errors
    /// 400 where it is none of them.
    ///
    /// # Panics
    /// When there are no words.
    pub fn one_of<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Result<T, Problem> {
        let Some(text) = self.text(name) else { return Ok(words[0].1) };
        words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
            let listed: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            bad(&format!(
                "query parameter {name:?} is {:?}, not one of {}",
                head(text),
                listed.join(", ")
            ))
        })
    }
}

/// Refuses whatever parameter comes: a layer of routes that take none.
pub async fn refuse_all(request: Request, next: Next) -> Response {
    match Query::parse(request.uri().query(), &[]) {
        Ok(_) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn bad(detail: &str) -> Problem {
    Problem::bad_request(detail)
}

/// As much of a text as a message should repeat.
fn head(text: &str) -> String {
    text.chars().take(64).collect()
}

fn decode_form(text: &str) -> Result<String, String> {
    decode_strict(&text.replace('+', " "))
}

/// A number written in digits alone: no sign, which `parse` would take.
#[must_use]
pub fn whole_number<T: FromStr>(text: &str) -> Option<T> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Percent-decodes once.
///
/// # Errors
/// Says what is no encoding, or not of UTF-8.
pub fn decode_strict(text: &str) -> Result<String, String> {
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let well_formed = rest
            .as_bytes()
            .get(at + 1..at + 3)
            .is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit));
        if !well_formed {
            return Err("has a % that is not followed by two hexadecimal digits".to_owned());
        }
        rest = &rest[at + 3..];
    }
    let bytes: Vec<u8> = percent_decode(text.as_bytes()).collect();
    String::from_utf8(bytes)
        .map_err(|error| format!("is not UTF-8 after {} bytes", error.utf8_error().valid_up_to()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSISTENCY: Parameter =
        Parameter::of("consistency", Kind::OneOf(&["linearizable", "local"]), "local");
    const KEY: Parameter = Parameter::key("key", "a");
    const LIMIT: Parameter = Parameter::number("limit", "1");
    const PREFIX: Parameter = Parameter::prefix("prefix", "a");

    fn parse(raw: &str) -> Result<Query, Problem> {
        let known = [PREFIX, LIMIT, Parameter::flag("all", "true"), CONSISTENCY];
        Query::parse(Some(raw), &known)
    }

    #[test]
    fn parameters_are_decoded_as_forms_write_them() {
        let query = parse("prefix=a%2Fb+c%2b&limit=7&&all").unwrap();
        assert_eq!(query.text("prefix"), Some("a/b c+"));
        assert_eq!(query.number::<u64>("limit").unwrap(), Some(7));
        assert!(query.flag("all").unwrap());
        assert!(!query.flag("missing").unwrap());
        assert!(!query.has("consistency"));
    }

    #[test]
    fn what_is_unknown_or_given_twice_is_refused_by_name() {
        for (raw, named) in [
            ("limits=7", "limits"),
            ("limit=7&limit=7", "limit"),
            ("limit=1&LIMIT=1", "LIMIT"),
            ("=1", "\"\""),
        ] {
            let problem = parse(raw).unwrap_err();
            assert_eq!(problem.status(), 400);
            assert!(problem.body().detail.contains(named), "{problem}");
        }
    }

    #[test]
    fn only_what_may_be_repeated_is_taken_more_than_once() {
        let parse = |raw| Query::parse(Some(raw), &[KEY.repeated(8), LIMIT]);
        let query = parse("key=b&limit=1&key=a&key=b").unwrap();
        assert_eq!(query.texts("key").collect::<Vec<_>>(), ["b", "a", "b"]);
        assert_eq!((query.text("key"), query.texts("prefix").count()), (Some("b"), 0));
        assert_eq!(parse("key=a&limit=1&limit=1").unwrap_err().status(), 400);
    }

    #[test]
    fn what_is_badly_encoded_is_refused() {
        for raw in ["prefix=%", "prefix=%4", "prefix=%zz", "prefix=%FF", "%E4=1", "prefix=a%"] {
            assert_eq!(parse(raw).unwrap_err().status(), 400, "{raw}");
        }
    }

    #[test]
    fn numbers_flags_and_words_are_taken_exactly() {
        for raw in [
            "limit=",
            "limit=-1",
            "limit=+1",
            "limit=1.0",
            "limit=0x1",
            "limit=18446744073709551616",
        ] {
            let query = parse(raw).unwrap();
            assert_eq!(query.number::<u64>("limit").unwrap_err().status(), 400, "{raw}");
        }
        assert_eq!(parse("all=yes").unwrap().flag("all").unwrap_err().status(), 400);
        let words = [("linearizable", 1), ("local", 2)];
        assert_eq!(parse("").unwrap().one_of("consistency", &words).unwrap(), 1);
        assert_eq!(parse("consistency=local").unwrap().one_of("consistency", &words).unwrap(), 2);
        let problem =
            parse("consistency=Local").unwrap().one_of("consistency", &words).unwrap_err();
        assert!(problem.body().detail.contains("linearizable, local"), "{problem}");
    }
}
