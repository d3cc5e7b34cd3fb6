//! What a compaction asks for, as JSON.

use schemars::JsonSchema;
use serde::Deserialize;
use shared::ids::Revision;
use shared::problem::Problem;
use shared::wire::Encoding;

use super::json::Object;

/// Its body.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Compact")]
pub(crate) struct RawCompaction {
    /// The oldest revision whose state can still be read.
    revision: u64,
}

/// Reads which revision is to be the oldest whose state can be read.
///
/// # Errors
/// 400 where it is no compaction.
pub fn compaction_of(body: &[u8]) -> Result<Revision, Problem> {
    let Object(RawCompaction { revision }) =
        Encoding::Json
            .decode::<Object<RawCompaction>>(body)
            .map_err(|error| Problem::bad_request(format!("this is no compaction: {error}")))?;
    Ok(Revision(revision))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_revision_is_refused_and_named() {
        assert_eq!(compaction_of(br#"{"revision":7}"#), Ok(Revision(7)));
        for (body, named) in [
            ("{}", "revision"),
            (r#"{"revision":-1}"#, "-1"),
            (r#"{"revision":1.5}"#, "1.5"),
            (r#"{"revision":"1"}"#, "\"1\""),
            (r#"{"revision":null}"#, "null"),
            (r#"{"revision":18446744073709551616}"#, "1.8446744"),
            (r#"{"revision":1,"all":true}"#, "all"),
            (r#"{"revision":1,"revision":2}"#, "revision"),
            ("[1]", "object"),
            ("7", "object"),
            (r#"{"revision":1"#, "EOF"),
            ("", "EOF"),
        ] {
            let refused = compaction_of(body.as_bytes()).unwrap_err();
            assert_eq!(refused.status(), 400, "{body}");
            let said = &refused.body().detail;
            assert!(said.contains(named), "{body}: {said}");
        }
    }
}
