//! What header fields of clients' requests say, read strictly: a field that has one value is
//! there once, so that nobody has to guess which one was meant.

use http::{HeaderMap, HeaderValue};

use crate::problem::Problem;
use crate::wire::essence_of;

const CONTENT_TYPE: &str = "Content-Type";

/// The one value of a field; none where it is not there. `name` is what a refusal calls it.
///
/// # Errors
/// 400 where it is there more than once.
pub fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a HeaderValue>, Problem> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Problem::bad_request(format!("{name} is given more than once"))),
    }
}

/// What `Content-Type` says.
///
/// # Errors
/// 400 where it is there more than once, or has bytes that are not visible ASCII.
pub fn content_type(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = only(headers, CONTENT_TYPE)? else { return Ok(None) };
    value.to_str().map(Some).map_err(|_| {
        Problem::bad_request(format!("{CONTENT_TYPE} has bytes that are not visible ASCII"))
    })
}

/// Refuses a body that is said to be something else than JSON. curl calls whatever it sends
/// with `-d` a form, and pages of other origins are refused whatever they send.
///
/// # Errors
/// 415; 400 as of [`content_type`].
pub fn refuse_but_json(headers: &HeaderMap, what: &str) -> Result<(), Problem> {
    const TAKEN: [&str; 2] = ["application/json", "application/x-www-form-urlencoded"];
    let Some(said) = content_type(headers)? else { return Ok(()) };
    if TAKEN.iter().any(|taken| essence_of(said).eq_ignore_ascii_case(taken)) {
        return Ok(());
    }
    Err(Problem::unsupported_media_type(format!(
        "{what} is JSON: send it with Content-Type: application/json"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("content-type", HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn json_is_taken_by_its_name_without_one_and_as_curl_calls_it() {
        for (said, status) in [
            (&[][..], None),
            (&["application/json"], None),
            (&["Application/JSON; charset=utf-8"], None),
            (&["application/x-www-form-urlencoded"], None),
            (&["image/png"], Some(415)),
            (&["text/plain"], Some(415)),
            (&["multipart/form-data; boundary=x"], Some(415)),
            (&[""], Some(415)),
            (&["application/json", "application/json"], Some(400)),
            (&["application/json", "image/png"], Some(400)),
        ] {
            let refused = refuse_but_json(&headers(said), "the body").err();
            assert_eq!(refused.map(|problem| problem.status().as_u16()), status, "{said:?}");
        }
    }

    #[test]
    fn a_field_that_is_there_twice_is_refused_by_its_name() {
        assert_eq!(only(&headers(&[]), CONTENT_TYPE), Ok(None));
        assert_eq!(only(&headers(&["a"]), CONTENT_TYPE).unwrap().unwrap(), "a");
        let twice = headers(&["a", "a"]);
        let refused = only(&twice, CONTENT_TYPE).unwrap_err();
        assert_eq!(refused.body().detail, "Content-Type is given more than once");
    }
}
