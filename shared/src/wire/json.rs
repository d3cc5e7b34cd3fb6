//! JSON that is not as it should be: what is wrong with it, and where.

use serde::de::DeserializeOwned;
use serde_json::Deserializer;

/// How much of an error is repeated to whoever sent the bytes, in characters: it repeats a
/// field's name, however long that is.
pub(super) const SHOWN_CHARS: usize = 400;

/// How much of the way to it, which does so, too. The way to any field there is, is shorter.
const SHOWN_OF_PATH: usize = 100;

/// Not the JSON that was expected.
#[derive(Debug, thiserror::Error)]
#[error("{place}{reason}")]
pub struct JsonError {
    /// The way to it, as `then[2].put.value: `; empty where it is about the whole.
    place: String,
    reason: String,
}

/// Reads a value, and nothing after it.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, JsonError> {
    // Keeping account of the way costs time, which only what is wrong takes.
    serde_json::from_slice(bytes)
        .map_err(|error| JsonError { place: place::<T>(bytes), reason: head(&error) })
}

fn place<T: DeserializeOwned>(bytes: &[u8]) -> String {
    let read = serde_path_to_error::deserialize::<_, T>(&mut Deserializer::from_slice(bytes));
    let path = read.err().map(|error| error.path().to_string()).unwrap_or_default();
    match path.char_indices().nth(SHOWN_OF_PATH) {
        _ if ["", ".", "?"].contains(&path.as_str()) => String::new(),
        None => format!("{path}: "),
        Some((end, _)) => format!("{}…: ", &path[..end]),
    }
}

/// Where it was met stands at its end.
fn head(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.char_indices().nth(SHOWN_CHARS) {
        None => text,
        Some((end, _)) => {
            format!("{}… at line {} column {}", &text[..end], error.line(), error.column())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "lowercase")]
    enum Op {
        Put { value: BTreeMap<String, Vec<u8>> },
    }

    fn said(text: &str) -> String {
        let read = decode::<Vec<Op>>(text.as_bytes());
        read.map(|ops| ops.into_iter().map(|Op::Put { value }| value.len()).sum::<usize>())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn what_is_wrong_is_told_with_the_way_to_it() {
        for (text, expected) in [
            (
                r#"[{"put":{"value":{"a":[1,"x"]}}}]"#,
                r#"[0].put.value.a[1]: invalid type: string "x", expected u8 at line 1 column 28"#,
            ),
            (r#"{}"#, "invalid type: map, expected a sequence at line 1 column 0"),
            (r#"[{"put":{"value":{}}}] 1"#, "trailing characters at line 1 column 24"),
            ("", "EOF while parsing a value at line 1 column 0"),
        ] {
            assert_eq!(said(text), expected, "{text}");
        }
        let unknown = said(r#"[{"put":{"value":{}}},{"put":{"valeu":{}}}]"#);
        assert!(unknown.starts_with("[1].put.valeu: unknown field `valeu`"), "{unknown}");
        let missing = said(r#"[{"put":{}}]"#);
        assert!(missing.starts_with("[0].put: missing field `value`"), "{missing}");
    }

    #[test]
    fn however_long_a_name_is_it_is_not_repeated_whole() {
        let name = "ö".repeat(100_000);
        let told = said(&format!(r#"[{{"put":{{"{name}":1}}}}]"#));
        assert!(told.chars().count() < 3 * SHOWN_CHARS && told.contains("column"), "{told}");
    }
}
