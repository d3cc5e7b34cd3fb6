//! What a roll-back asks for, as JSON.

use schemars::JsonSchema;
use serde::Deserialize;
use shared::ids::Revision;
use shared::problem::Problem;
use shared::wire::Encoding;

use super::json::{Object, given};
use super::parameter::KEY_BYTES;
use super::path::fault_of_length;

/// A roll-back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollbackRequest {
    /// The beginning of the keys.
    pub prefix: String,
    /// What they are to be again.
    pub revision: Revision,
}

/// Its body.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Rollback")]
pub(crate) struct RawRollback {
    /// The beginning of the keys.
    #[schemars(length(max = KEY_BYTES))]
    prefix: String,
    /// What they are to be again.
    revision: u64,
    /// Said where every key is meant.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "bool")]
    all: Option<bool>,
}

/// Reads a roll-back.
///
/// # Errors
/// 400 where it is none, or rolls everything back without saying so.
pub fn rollback_of(body: &[u8], key_bytes: usize) -> Result<RollbackRequest, Problem> {
    let Object(RawRollback { prefix, revision, all }) = Encoding::Json
        .decode::<Object<RawRollback>>(body)
        .map_err(|error| Problem::bad_request(format!("this is no roll-back: {error}")))?;
    match (prefix.is_empty(), all.unwrap_or(false)) {
        (true, false) => Err(Problem::bad_request(
            "an empty prefix rolls every key back: say so with \"all\": true, or name a prefix",
        )),
        (false, true) => Err(Problem::bad_request("\"all\": true and a prefix exclude each other")),
        (true, true) | (false, false) => match fault_of_length("prefix", &prefix, key_bytes) {
            Some(fault) => Err(Problem::bad_request(fault)),
            None => Ok(RollbackRequest { prefix, revision: Revision(revision) }),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &str) -> Result<RollbackRequest, String> {
        rollback_of(body.as_bytes(), 8).map_err(|problem| {
            assert_eq!(problem.status(), 400, "{problem}");
            problem.body().detail.clone()
        })
    }

    #[test]
    fn everything_is_rolled_back_only_where_that_is_said() {
        let asked = |prefix: &str| RollbackRequest { prefix: prefix.into(), revision: Revision(7) };
        assert_eq!(of(r#"{"prefix":"a/","revision":7}"#), Ok(asked("a/")));
        assert_eq!(of(r#"{"revision":7,"prefix":"a/","all":false}"#), Ok(asked("a/")));
        assert_eq!(of(r#"{"prefix":"","revision":7,"all":true}"#), Ok(asked("")));
        for body in [
            r#"{"prefix":"","revision":7}"#,
            r#"{"prefix":"a","revision":7,"all":true}"#,
            r#"{"prefix":"","revision":7,"all":false}"#,
        ] {
            assert!(of(body).unwrap_err().contains("all"), "{body}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_and_named() {
        for (body, named) in [
            (r#"{"revision":7}"#, "prefix"),
            (r#"{"prefix":"a"}"#, "revision"),
            (r#"{"prefix":"a","revision":-1}"#, "-1"),
            (r#"{"prefix":"a","revision":1.5}"#, "1.5"),
            (r#"{"prefix":"a","revision":"1"}"#, "\"1\""),
            (r#"{"prefix":"a","revision":18446744073709551616}"#, "1.8446744"),
            (r#"{"prefix":null,"revision":1}"#, "null"),
            (r#"{"prefix":"a","revision":1,"all":null}"#, "null"),
            (r#"{"prefix":"a","revision":1,"dry_run":true}"#, "dry_run"),
            (r#"{"prefix":"a","prefix":"b","revision":1}"#, "prefix"),
            (r#"{"prefix":"123456789","revision":1}"#, "9 bytes"),
            (r#"["a",1]"#, "object"),
            (r#"{"prefix":"a","revision":1"#, "EOF"),
            ("", "EOF"),
        ] {
            let said = of(body).unwrap_err();
            assert!(said.contains(named), "{body}: {said}");
        }
    }
}
