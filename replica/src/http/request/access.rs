//! What requests about tokens and policies say.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::ids::Accessor;
use shared::problem::Problem;
use shared::query::{Query, decode_strict};

use super::cursor;
use super::json::{Object, given};
use super::tenure::body_of;
use crate::machine::access::Force;
use crate::machine::access::policy::{ClusterRights, Policy, PolicyName, Rule};
use crate::machine::command::limits;

const TOKEN: &str = "/v1/tokens/";
const POLICY: &str = "/v1/policies/";

/// The query parameter that has a change made which locks somebody out.
pub(crate) const FORCE: &str = "force";

/// The body of `POST /v1/tokens`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TokenRequest")]
pub struct TokenRequest {
    /// The policies whose rights it has together.
    #[schemars(length(max = limits::TOKEN_POLICIES))]
    pub policies: Vec<PolicyName>,
    /// For how long it lasts, in milliseconds; without an end where it is left out.
    #[serde(default, deserialize_with = "given")]
    #[schemars(
        with = "u64",
        range(min = limits::LEAST_TOKEN_TTL_MS, max = limits::MOST_TOKEN_TTL_MS)
    )]
    pub ttl_ms: Option<u64>,
    /// What it is for.
    #[serde(default)]
    #[schemars(extend("maxLength" = limits::TOKEN_DESCRIPTION_BYTES))]
    pub description: String,
}

/// The body of `PUT /v1/policies/{name}`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PolicyRequest")]
pub(crate) struct RawPolicy {
    /// What may be done with keys and locks: the longest prefix decides.
    #[serde(default)]
    #[schemars(length(max = limits::POLICY_RULES))]
    rules: Vec<Object<Rule>>,
    /// What may be done with the cluster.
    #[serde(default)]
    cluster: ClusterRights,
}

/// Where a page of tokens or policies ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cursor {
    /// After this token.
    Tokens(Accessor),
    /// After this policy.
    Policies(PolicyName),
}

const FORMAT: u8 = 5;

impl Cursor {
    /// The text of it: safe in URLs as it is.
    #[must_use]
    pub fn encode(&self) -> String {
        cursor::encode(FORMAT, self)
    }

    /// Reads the one that a request comes with.
    ///
    /// # Errors
    /// 400 where it is none.
    pub fn of(query: &Query) -> Result<Option<Self>, Problem> {
        query.text("cursor").map(|text| cursor::decode(FORMAT, text)).transpose()
    }
}

/// Reads what token is to be made, with its policies in order, each once.
///
/// # Errors
/// 400 where it is malformed or beyond a limit.
pub fn token_of(body: &[u8]) -> Result<TokenRequest, Problem> {
    let mut asked = body_of::<TokenRequest>(body)?;
    asked.policies.sort();
    asked.policies.dedup();
    let (policies, most) = (asked.policies.len(), limits::TOKEN_POLICIES);
    if policies > most {
        let detail = format!("a token has {policies} policies, the limit is {most}");
        return Err(Problem::bad_request(detail));
    }
    let (bytes, most) = (asked.description.len(), limits::TOKEN_DESCRIPTION_BYTES);
    if bytes > most {
        let detail = format!("the description has {bytes} bytes, the limit is {most}");
        return Err(Problem::bad_request(detail));
    }
    let (least, most) = (limits::LEAST_TOKEN_TTL_MS, limits::MOST_TOKEN_TTL_MS);
    match asked.ttl_ms {
        Some(ttl_ms) if !(least..=most).contains(&ttl_ms) => Err(Problem::bad_request(format!(
            "ttl_ms is {ttl_ms}, and the limits are {least} to {most} milliseconds"
        ))),
        Some(_) | None => Ok(asked),
    }
}

/// Reads what a policy is to be.
///
/// # Errors
/// 400 where it is malformed or beyond a limit.
pub fn policy_of(body: &[u8]) -> Result<Policy, Problem> {
    let RawPolicy { rules, cluster } = body_of::<RawPolicy>(body)?;
    let policy = Policy { rules: rules.into_iter().map(|Object(rule)| rule).collect(), cluster };
    policy.check().map_err(|error| Problem::bad_request(error.to_string()))?;
    Ok(policy)
}

/// Reads which token a raw path is about.
///
/// # Errors
/// 400 where that is no accessor.
pub fn accessor_of_path(path: &str) -> Result<Accessor, Problem> {
    let text = path.strip_prefix(TOKEN).unwrap_or_default();
    let is_accessor =
        text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let number = is_accessor.then(|| u64::from_str_radix(text, 16).ok()).flatten();
    number.map(Accessor).ok_or_else(|| {
        let why = "the token in the path is no accessor: sixteen digits 0-9 a-f. A secret does \
                   not belong into a path";
        Problem::bad_request(why)
    })
}

/// Reads which policy a raw path is about.
///
/// # Errors
/// 400 where that is no name of one.
pub fn policy_of_path(path: &str) -> Result<PolicyName, Problem> {
    let raw = path.strip_prefix(POLICY).unwrap_or_default();
    let name = decode_strict(raw)
        .map_err(|reason| Problem::bad_request(format!("the name of the policy {reason}")))?;
    PolicyName::try_from(name).map_err(|error| Problem::bad_request(error.to_string()))
}

/// Whether a change is made that locks somebody out.
///
/// # Errors
/// 400 where the parameter is neither true nor false.
pub fn force_of(query: &Query) -> Result<Force, Problem> {
    Ok(if query.flag(FORCE)? { Force::Forced } else { Force::Unforced })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> PolicyName {
        text.parse().unwrap()
    }

    #[test]
    fn a_tokens_policies_are_put_in_order_each_once() {
        let body = br#"{"policies":["b","a","b"],"ttl_ms":60000,"description":"ci"}"#;
        let asked = TokenRequest {
            policies: vec![name("a"), name("b")],
            ttl_ms: Some(60_000),
            description: "ci".to_owned(),
        };
        assert_eq!(token_of(body), Ok(asked));
        let least = TokenRequest { policies: vec![], ttl_ms: None, description: String::new() };
        assert_eq!(token_of(br#"{"policies":[]}"#), Ok(least));
    }

    #[test]
    fn a_malformed_token_is_refused_by_what_is_wrong() {
        let many: Vec<String> = (0..17).map(|at| format!("\"p{at}\"")).collect();
        let many = format!("{{\"policies\":[{}]}}", many.join(","));
        let long = format!("{{\"policies\":[],\"description\":\"{}\"}}", "d".repeat(257));
        for (body, word) in [
            ("", "EOF"),
            ("[]", "an object"),
            ("{}", "policies"),
            (r#"{"policies":"a"}"#, "a sequence"),
            (r#"{"policies":["a b"]}"#, "no name of a policy"),
            (r#"{"policies":[],"ttl_ms":null}"#, "null"),
            (r#"{"policies":[],"ttl_ms":999}"#, "1000 to 315360000000"),
            (r#"{"policies":[],"ttl_ms":315360000001}"#, "1000 to 315360000000"),
            (r#"{"policies":[],"secret":"mine"}"#, "unknown field"),
            (many.as_str(), "17 policies, the limit is 16"),
            (long.as_str(), "257 bytes, the limit is 256"),
        ] {
            let problem = token_of(body.as_bytes()).unwrap_err();
            assert_eq!(problem.status(), 400, "{body}");
            assert!(problem.body().detail.contains(word), "{body}: {problem}");
        }
    }

    #[test]
    fn a_malformed_policy_is_refused_by_what_is_wrong() {
        let rule = r#"{"prefix":"a","rights":[]}"#;
        let many = format!("{{\"rules\":[{}]}}", [rule; 65].join(","));
        let long = format!(r#"{{"rules":[{{"prefix":"{}","rights":[]}}]}}"#, "p".repeat(8_193));
        for (body, word) in [
            ("[]", "an object"),
            (r#"{"rule":[]}"#, "unknown field"),
            (r#"{"rules":[["a",[]]]}"#, "an object"),
            (r#"{"rules":[{"prefix":"a"}]}"#, "rights"),
            (r#"{"rules":[{"rights":[]}]}"#, "prefix"),
            (r#"{"rules":[{"prefix":"a","rights":["all"]}]}"#, "unknown variant"),
            (r#"{"cluster":["write"]}"#, "unknown variant"),
            (r#"{"cluster":"read"}"#, "a list of rights"),
            (many.as_str(), "65, above the limit of 64"),
            (long.as_str(), "8193, above the limit of 8192"),
        ] {
            let problem = policy_of(body.as_bytes()).unwrap_err();
            assert_eq!(problem.status(), 400, "{body}");
            assert!(problem.body().detail.contains(word), "{body}: {problem}");
        }
    }

    #[test]
    fn paths_name_tokens_by_accessor_and_policies_by_name() {
        assert_eq!(accessor_of_path("/v1/tokens/00000000000000aa"), Ok(Accessor(0xaa)));
        for bad in ["", "aa", "00000000000000AA", "+0000000000000aa", "00000000000000aa/"] {
            let refused = accessor_of_path(&format!("/v1/tokens/{bad}")).unwrap_err();
            assert_eq!(refused.status(), 400, "{bad}");
        }
        assert_eq!(policy_of_path("/v1/policies/team-a"), Ok(name("team-a")));
        assert_eq!(policy_of_path("/v1/policies/team%2Da"), Ok(name("team-a")));
        for bad in ["", "..", "a%2Fb", "a b", "%FF"] {
            let refused = policy_of_path(&format!("/v1/policies/{bad}")).unwrap_err();
            assert_eq!(refused.status(), 400, "{bad}");
        }
    }
}
