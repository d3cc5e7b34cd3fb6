//! Keys as they stand in URLs.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The unreserved characters of RFC 3986 stand for themselves.
pub(crate) const UNRESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// In a path `/` does too, which keeps URLs readable.
const IN_PATH: &AsciiSet = &UNRESERVED.remove(b'/');

/// A key that HTTP has no words for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key {key:?} cannot be said in a URL")]
pub struct Unsayable {
    key: String,
}

/// A key as it stands in a URL's path.
///
/// # Errors
/// When no URL can hold it.
pub fn encode_key(key: &str) -> Result<String, Unsayable> {
    if key == "." || key == ".." {
        // Every URL library takes these for "here" and "up", also when they are
        // percent-encoded.
        return Err(Unsayable { key: key.to_owned() });
    }
    // A whole segment of dots would be taken for a step in the tree; with its slashes
    // encoded there is no such segment.
    let has_dot_segment = key.split('/').any(|segment| segment == "." || segment == "..");
    let set = if has_dot_segment { UNRESERVED } else { IN_PATH };
    Ok(utf8_percent_encode(key, set).to_string())
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    #[test]
    fn a_key_is_percent_encoded_once_and_its_slashes_stay() {
        assert_eq!(encode_key("inc/sys/a b%2F?#é.h").unwrap(), "inc/sys/a%20b%252F%3F%23%C3%A9.h");
        assert_eq!(encode_key("/lead//double/").unwrap(), "/lead//double/");
    }

    #[test]
    fn a_key_with_dot_segments_survives_url_normalisation() {
        for key in ["a/../b", "./a", "../../etc/passwd", "a/."] {
            let encoded = encode_key(key).unwrap();
            let url: Url = format!("http://localhost/v1/kv/{encoded}").parse().unwrap();
            let sent = url.path().strip_prefix("/v1/kv/").unwrap();
            assert_eq!(percent_encoding::percent_decode_str(sent).decode_utf8().unwrap(), key);
        }
        assert!(encode_key("..").is_err());
        assert!(encode_key(".").is_err());
        assert!(encode_key("...").is_ok());
    }
}
