//! Keys and slots as they stand in paths: a key is everything after `/v1/kv/`,
//! percent-decoded once.

use bytes::Bytes;
use shared::ids::Slot;
use shared::problem::Problem;
use shared::query::{decode_strict, whole_number};

/// What a key's path starts with.
const KEY: &str = "/v1/kv/";
/// What a slot's path starts with.
const SLOT: &str = "/v1/log/";

/// Reads the key out of a raw path.
///
/// # Errors
/// 400 where it is badly encoded, empty, or longer than `max_bytes`.
pub fn key_of_path(path: &str, max_bytes: usize) -> Result<Bytes, Problem> {
    let raw = path.strip_prefix(KEY).unwrap_or_default();
    let key =
        decode_strict(raw).map_err(|reason| Problem::bad_request(format!("the key {reason}")))?;
    check_key(key, max_bytes)
}

/// Holds a key to its limits.
pub(super) fn check_key(key: String, max_bytes: usize) -> Result<Bytes, Problem> {
    match fault_of_key(&key, max_bytes) {
        Some(fault) => Err(Problem::bad_request(fault)),
        None => Ok(Bytes::from(key)),
    }
}

/// What is wrong with a key, if anything is.
pub(super) fn fault_of_key(key: &str, max_bytes: usize) -> Option<String> {
    if key.is_empty() {
        return Some(format!("the key is empty: a key has 1 to {max_bytes} bytes of UTF-8"));
    }
    fault_of_length("key", key, max_bytes)
}

/// What is wrong with the length of a key or a prefix, if anything is.
pub fn fault_of_length(what: &str, text: &str, max_bytes: usize) -> Option<String> {
    let length = text.len();
    (length > max_bytes)
        .then(|| format!("the {what} has {length} bytes, the limit is {max_bytes} bytes of UTF-8"))
}

/// Reads the slot out of a raw path.
///
/// # Errors
/// 400 where it is no whole number, or one that nothing can count to.
pub fn slot_of_path(path: &str) -> Result<Slot, Problem> {
    let text = path.strip_prefix(SLOT).unwrap_or_default();
    // SQLite counts no further, and neither will anyone.
    let slot = whole_number(text).filter(|slot| i64::try_from(*slot).is_ok()).map(Slot);
    slot.ok_or_else(|| Problem::bad_request("the slot in the path is not a whole number in range"))
}

/// A key as text. All stored keys are UTF-8.
#[must_use]
pub fn text_of(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(path: &str) -> Result<Bytes, u16> {
        key_of_path(path, 1_024).map_err(|problem| problem.status().as_u16())
    }

    #[test]
    fn a_key_is_all_of_the_path_decoded_once() {
        assert_eq!(key("/v1/kv/a").unwrap(), "a");
        assert_eq!(key("/v1/kv/a/b").unwrap(), "a/b");
        assert_eq!(key("/v1/kv/a%2Fb").unwrap(), "a/b");
        assert_eq!(key("/v1/kv/a%252Fb").unwrap(), "a%2Fb");
        assert_eq!(key("/v1/kv//a/").unwrap(), "/a/");
        assert_eq!(key("/v1/kv/a+b").unwrap(), "a+b");
        assert_eq!(key("/v1/kv/%C3%A4%00").unwrap(), "ä\0");
        assert_eq!(key("/v1/kv/A").unwrap(), "A");
    }

    #[test]
    fn a_key_that_is_none_is_refused() {
        for bad in ["/v1/kv/", "/v1/kv/%FF", "/v1/kv/%", "/v1/kv/%g0", "/v1/kv/a%C3"] {
            assert_eq!(key(bad), Err(400), "{bad}");
        }
    }

    #[test]
    fn the_limit_counts_decoded_bytes_and_is_named() {
        assert!(key(&format!("/v1/kv/{}", "%41".repeat(1_024))).is_ok());
        let problem = key_of_path(&format!("/v1/kv/{}", "a".repeat(1_025)), 1_024).unwrap_err();
        assert_eq!(problem.status(), 400);
        assert!(problem.body().detail.contains("1024"), "{problem}");
    }

    #[test]
    fn a_slot_in_a_path_is_a_whole_number() {
        assert_eq!(slot_of_path("/v1/log/17"), Ok(Slot(17)));
        for bad in [
            "/v1/log/",
            "/v1/log/first",
            "/v1/log/-1",
            "/v1/log/1/2",
            "/v1/log/9223372036854775808",
        ] {
            let problem = slot_of_path(bad).unwrap_err();
            assert!(
                problem.status() == 400 && problem.body().detail.contains("slot"),
                "{bad}: {problem}"
            );
        }
    }
}
