//! How a command ends: a code that scripts can tell apart, and for people what to do next.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};

use client::Error;
use shared::causes::causes;

use crate::{console, output};

/// The key, slot, lease or lock is not there.
pub(crate) const NOT_FOUND: u8 = 3;
/// A condition, or a guard of a transaction, does not hold.
pub(crate) const CONDITION_FAILED: u8 = 4;
/// The cluster could not serve it; a mutation was not executed.
pub(crate) const UNAVAILABLE: u8 = 5;
/// A mutation may have been executed.
const UNKNOWN_OUTCOME: u8 = 6;
/// A lock is held by another one, or was lost; or the cluster is not in a state to do it.
pub(crate) const CONFLICT: u8 = 7;
/// What was asked for is not kept any more.
const GONE: u8 = 8;
/// It is not allowed.
const DENIED: u8 = 9;
/// Not all replicas have the same state.
pub(crate) const DIVERGED: u8 = 10;

/// All of them, as `synod help` shows them.
pub(crate) const TABLE: &str = "Exit codes:
  0  done
  1  failed in another way: refused by the cluster, a file that cannot be read, …
  2  bad usage
  3  not found: the key, slot, lease or lock is not there
  4  condition failed: --if-revision, --if-absent, a fence, the guards of a transaction
  5  unavailable: no answer in --timeout-seconds, and nothing was executed
  6  unknown outcome: it may have been executed; the same --idempotency-key finds out
  7  conflict: a lock is held by another one, or was lost; a replica cannot be primary, or out
  8  gone: the revision was compacted, the slot trimmed
  9  denied: no token, one that does not exist any more, or one that lacks a right
  10 diverged: not all replicas have the same state";

/// Says why a command failed and what to do next, and gives its code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if output::is_reader_gone(error) {
        return ExitCode::SUCCESS;
    }
    console::warn(format_args!("synod: {}", causes(error)));
    let Some(error) = error.chain().find_map(|cause| cause.downcast_ref::<Error>()) else {
        return ExitCode::FAILURE;
    };
    if let Some(advice) = advice(error) {
        console::warn(format_args!("hint: {advice}"));
    }
    ExitCode::from(code(error))
}

/// The code of a command that was run: as shells give it, 128 and the number of the signal
/// that ended it.
pub(crate) fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| Some(128 + status.signal()?));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

fn code(error: &Error) -> u8 {
    match error {
        Error::NotFound(_) => NOT_FOUND,
        Error::ConditionFailed(_) => CONDITION_FAILED,
        Error::Conflict(_) => CONFLICT,
        Error::Gone(_) => GONE,
        Error::Denied(_) => DENIED,
        Error::Unavailable { .. } => UNAVAILABLE,
        Error::UnknownOutcome { .. } => UNKNOWN_OUTCOME,
        Error::Refused(_) | Error::Invalid(_) | Error::Malformed(_) => 1,
    }
}

/// What to do next, where that is more than reading what went wrong.
fn advice(error: &Error) -> Option<String> {
    Some(match error {
        Error::NotFound(problem) => String::from(of_missing(&problem.detail)?),
        Error::ConditionFailed(problem) if problem.detail.contains("Synod-Fence") => String::from(
            "the lock was lost, and maybe others changed since what it guards: take it again \
             (`synod lock NAME -- COMMAND`), and begin anew",
        ),
        Error::ConditionFailed(_) => String::from(
            "it is not what it was: read it again (`synod get KEY --output json` shows its \
             revision), and decide anew",
        ),
        Error::Conflict(problem) if problem.kind.ends_with(":lock-conflict") => {
            String::from("`synod lock NAME` shows who holds it; --wait-seconds waits for it")
        }
        Error::Gone(problem) => {
            let oldest = problem.oldest_revision?;
            format!("the oldest revision that is left is {oldest}")
        }
        Error::Unavailable { last, .. } if last.problem().is_some() => String::from(
            "`synod status` shows who leads and who is primary; --timeout-seconds waits longer",
        ),
        Error::Unavailable { .. } => String::from(
            "does a cluster run there? `synod up` starts one; --url, or SYNOD_URL, names others",
        ),
        Error::UnknownOutcome { idempotency_key: Some(key), .. } => format!(
            "the same command with --idempotency-key {key} finds out, and executes it at most once"
        ),
        Error::Refused(problem) if problem.status == 422 => {
            String::from("that --idempotency-key is another command's: take another one")
        }
        Error::Refused(problem) => String::from(of_refused(&problem.detail)?),
        Error::Denied(problem) if problem.status == 401 => {
            String::from("SYNOD_TOKEN is the secret to ask with, or --token-file names its file")
        }
        Error::Denied(problem) if problem.kind.ends_with(":forbidden") => String::from(
            "`synod token self` shows which policies there are for whoever asks, and `synod policy \
             get NAME` what one allows",
        ),
        Error::Malformed(_) => String::from(
            "what answers there may be something else: --url, or SYNOD_URL, names balancers or \
             replicas",
        ),
        Error::Conflict(_)
        | Error::Denied(_)
        | Error::UnknownOutcome { idempotency_key: None, .. }
        | Error::Invalid(_) => return None,
    })
}

/// The first of these whose words are there.
fn first_of(detail: &str, advice: &[(&str, &'static str)]) -> Option<&'static str> {
    advice.iter().find(|(words, _)| detail.contains(words)).map(|(_, advice)| *advice)
}

/// What to do where nothing is there.
fn of_missing(detail: &str) -> Option<&'static str> {
    let advice = [
        ("no key", "`synod list PREFIX` shows which keys there are"),
        ("no lease", "`synod lease grant SECONDS` grants another one"),
        ("nobody holds", "`synod lock NAME -- COMMAND` takes it"),
        ("no token", "`synod token list` shows which tokens there are"),
        ("no policy", "`synod policy list` shows which policies there are"),
        ("/v1/balancer", "balancers answer that: --url, or SYNOD_URL, names one"),
    ];
    first_of(detail, &advice)
}

/// What to do where the request is at fault.
fn of_refused(detail: &str) -> Option<&'static str> {
    let advice = [
        ("in the future", "`synod status` shows the newest revision, which is read without any"),
        ("SQLite says", "`synod sql 'SELECT * FROM kv LIMIT 1'` shows the columns of a view"),
    ];
    first_of(detail, &advice)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use client::{Failure, problem};
    use http::StatusCode;

    use super::*;

    fn answered(status: u16, body: &[u8]) -> Box<client::Problem> {
        problem::read(StatusCode::from_u16(status).unwrap(), body)
    }

    #[test]
    fn every_failure_has_a_code_of_its_own() {
        let lost = || Failure::Lost { url: String::from("http://a"), reason: String::from("cut") };
        let waited = Duration::from_secs(30);
        let codes = [
            Error::Refused(answered(413, b"")),
            Error::NotFound(answered(404, b"")),
            Error::ConditionFailed(answered(412, b"")),
            Error::Unavailable { waited, last: lost() },
            Error::UnknownOutcome { idempotency_key: None, last: lost() },
            Error::Conflict(answered(409, b"")),
            Error::Gone(answered(410, b"")),
            Error::Denied(answered(403, b"")),
        ];
        assert_eq!(codes.each_ref().map(code), [1, 3, 4, 5, 6, 7, 8, 9]);
        for code in codes.each_ref().map(code) {
            assert!(TABLE.contains(&format!("\n  {code}  ")), "{code} is not told");
        }
    }

    #[test]
    fn advice_names_what_to_do_it_with() {
        let last = Failure::Lost { url: String::from("http://a"), reason: String::from("cut") };
        let unknown = Error::UnknownOutcome { idempotency_key: Some(String::from("k1")), last };
        assert!(advice(&unknown).unwrap().contains("--idempotency-key k1"));
        let gone = Error::Gone(answered(410, br#"{"oldest_revision": 7}"#));
        assert!(advice(&gone).unwrap().ends_with("is 7"));
    }

    #[test]
    fn whoever_errs_hears_what_to_do_next() {
        let told = |status: u16, kind: &str, detail: &str| {
            let kind = format!("urn:synod:problem:{kind}");
            let body = serde_json::json!({"type": kind, "title": "x", "detail": detail});
            let problem = answered(status, body.to_string().as_bytes());
            advice(&match status {
                404 => Error::NotFound(problem),
                412 => Error::ConditionFailed(problem),
                401 | 403 => Error::Denied(problem),
                _other => Error::Refused(problem),
            })
        };
        for (status, kind, detail, word) in [
            (400, "bad-request", "revision 9 is in the future: the state is at 3", "synod status"),
            (400, "bad-request", "SQLite says: no such column: x", "synod sql"),
            (404, "not-found", "there is no key \"a\" at revision 3", "synod list"),
            (404, "not-found", "there is no lease 5: it has expired, or never was", "lease grant"),
            (404, "not-found", "nobody holds lock \"jobs\"", "synod lock NAME -- COMMAND"),
            (404, "not-found", "there is no token 00", "synod token list"),
            (404, "not-found", "there is no policy x", "synod policy list"),
            (404, "not-found", "there is no GET /v1/balancer here", "--url"),
            (412, "precondition-failed", "the fence of Synod-Fence: nobody does", "lock was lost"),
            (412, "precondition-failed", "the key is at revision 4", "synod get"),
            (401, "unauthorized", "a token is required", "SYNOD_TOKEN"),
            (403, "forbidden", "the token lacks the right read", "synod token self"),
        ] {
            let advice = told(status, kind, detail).unwrap_or_default();
            assert!(advice.contains(word), "{detail}: {advice}");
        }
        assert_eq!(told(403, "foreign-origin", "pages of other origins may ask nothing"), None);
    }
}
