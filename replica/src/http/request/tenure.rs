//! What requests about leases and locks say.

use bytes::Bytes;
use http::HeaderMap;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shared::fields::only;
use shared::ids::{LeaseId, Revision};
use shared::problem::Problem;
use shared::query::{Query, decode_strict, whole_number};
use shared::wire;

use super::cursor;
use super::json::Object;
use super::parameter::FENCE;
use super::path::fault_of_length;
use crate::machine::command::limits;
use crate::machine::locks::Fence;

const LEASE: &str = "/v1/leases/";
const LOCK: &str = "/v1/locks/";
/// The longest that a request waits for a lock, in milliseconds.
const MOST_WAIT_MS: u64 = 600_000;

/// The body of `POST /v1/leases`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "LeaseRequest")]
pub struct Grant {
    /// How long the lease lasts, in milliseconds.
    #[schemars(range(min = limits::LEAST_TTL_MS, max = limits::MOST_TTL_MS))]
    pub ttl_ms: u64,
}

/// The body of `PUT /v1/locks/{name}`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "LockRequest")]
pub struct Acquire {
    /// Who asks.
    pub lease: LeaseId,
    /// How long it waits, in milliseconds.
    #[serde(default)]
    #[schemars(range(max = MOST_WAIT_MS))]
    pub wait_ms: u64,
}

/// Where a page of keys, leases or locks ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cursor {
    /// Of leases: after this one.
    Leases(LeaseId),
    /// Of a lease's keys: after this one.
    Keys(LeaseId, Bytes),
    /// Of locks whose names begin so: after this one.
    Locks(String, String),
}

const FORMAT: u8 = 3;

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

/// A cursor that another request gave out.
#[must_use]
pub fn wrong_cursor() -> Problem {
    Problem::bad_request("the cursor is of another list")
}

/// Reads a body.
///
/// # Errors
/// 400 where it is not the JSON that is asked for.
pub fn body_of<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let Object(asked) = wire::Encoding::Json.decode(body).map_err(|error| {
        Problem::bad_request(format!("the body is not as it should be: {error}"))
    })?;
    Ok(asked)
}

impl Grant {
    /// Holds it to the limits.
    ///
    /// # Errors
    /// 400 where it is beyond one.
    pub fn checked(self) -> Result<Self, Problem> {
        let (least, most) = (limits::LEAST_TTL_MS, limits::MOST_TTL_MS);
        if (least..=most).contains(&self.ttl_ms) {
            return Ok(self);
        }
        Err(Problem::bad_request(format!(
            "ttl_ms is {}, and the limits are {least} to {most} milliseconds",
            self.ttl_ms
        )))
    }
}

impl Acquire {
    /// Holds it to the limits.
    ///
    /// # Errors
    /// 400 where it is beyond one.
    pub fn checked(self) -> Result<Self, Problem> {
        if self.wait_ms <= MOST_WAIT_MS {
            return Ok(self);
        }
        Err(Problem::bad_request(format!(
            "wait_ms is {}, the limit is {MOST_WAIT_MS} milliseconds",
            self.wait_ms
        )))
    }
}

/// Reads which lease a raw path is about, which ends with `tail`.
///
/// # Errors
/// 400 where that is no whole number.
pub fn lease_of_path(path: &str, tail: &str) -> Result<LeaseId, Problem> {
    let text = path.strip_prefix(LEASE).and_then(|rest| rest.strip_suffix(tail));
    lease_of(text.unwrap_or_default())
        .ok_or_else(|| Problem::bad_request("the lease in the path is not a whole number in range"))
}

/// Reads which lease a query names, if it names one.
///
/// # Errors
/// 400 where that is no whole number.
pub fn lease_of_query(query: &Query) -> Result<Option<LeaseId>, Problem> {
    let Some(text) = query.text("lease") else { return Ok(None) };
    lease_of(text).map(Some).ok_or_else(|| {
        Problem::bad_request("query parameter \"lease\" is not a whole number in range")
    })
}

/// SQLite counts no further.
fn lease_of(text: &str) -> Option<LeaseId> {
    whole_number(text).filter(|id| i64::try_from(*id).is_ok()).map(LeaseId)
}

/// Reads the name of a lock out of a raw path: all of it, percent-decoded once.
///
/// # Errors
/// 400 where it is badly encoded, empty or too long.
pub fn lock_of_path(path: &str) -> Result<String, Problem> {
    lock_of(path.strip_prefix(LOCK).unwrap_or_default()).map_err(Problem::bad_request)
}

fn lock_of(encoded: &str) -> Result<String, String> {
    let name = decode_strict(encoded).map_err(|reason| format!("the name of the lock {reason}"))?;
    let most = limits::LOCK_NAME_BYTES;
    if name.is_empty() {
        return Err(format!("the name of the lock is empty: it has 1 to {most} bytes of UTF-8"));
    }
    match fault_of_length("name of the lock", &name, most) {
        Some(fault) => Err(fault),
        None => Ok(name),
    }
}

/// Reads `Synod-Fence: NAME=REV`, the name percent-encoded.
///
/// # Errors
/// 400 where it is not that, or given more than once.
pub fn fence_of(headers: &HeaderMap) -> Result<Option<Fence>, Problem> {
    let Some(value) = only(headers, FENCE.name)? else { return Ok(None) };
    let value = value.to_str().unwrap_or_default().trim();
    let malformed = || {
        Problem::bad_request(
            "Synod-Fence is not NAME=REV: the percent-encoded name of a lock, and the fence at \
             which it is held",
        )
    };
    let (name, revision) = value.rsplit_once('=').ok_or_else(malformed)?;
    let revision = whole_number(revision).map(Revision).ok_or_else(malformed)?;
    let name = lock_of(name).map_err(|why| Problem::bad_request(format!("Synod-Fence: {why}")))?;
    Ok(Some(Fence { name, revision }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fence(values: &[&str]) -> Result<Option<(String, u64)>, u16> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(FENCE.name, value.parse().unwrap());
        }
        let fence = fence_of(&headers).map_err(|problem| problem.status().as_u16())?;
        Ok(fence.map(|fence| (fence.name, fence.revision.0)))
    }

    #[test]
    fn a_fence_is_a_name_and_a_revision() {
        assert_eq!(fence(&[]), Ok(None));
        for (text, name, revision) in
            [("l=7", "l", 7), ("a=b=7", "a=b", 7), ("a%2Fb%20=0", "a/b ", 0), (" l=1 ", "l", 1)]
        {
            assert_eq!(fence(&[text]), Ok(Some((name.to_owned(), revision))), "{text}");
        }
        let long = format!("{}=1", "n".repeat(1_025));
        for bad in ["", "l", "=7", "l=", "l=-1", "l=x", "%zz=1", "%ff=1", &long] {
            assert_eq!(fence(&[bad]), Err(400), "{bad}");
        }
        assert_eq!(fence(&["l=1", "l=1"]), Err(400));
    }

    #[test]
    fn leases_in_paths_are_whole_numbers() {
        fn of(path: &str, tail: &str) -> Result<LeaseId, u16> {
            lease_of_path(path, tail).map_err(|problem| problem.status().as_u16())
        }
        assert_eq!(of("/v1/leases/7", ""), Ok(LeaseId(7)));
        assert_eq!(of("/v1/leases/7/renew", "/renew"), Ok(LeaseId(7)));
        for bad in ["", "x", "-1", "+1", "7/", "18446744073709551615", "9223372036854775808"] {
            assert_eq!(of(&format!("/v1/leases/{bad}"), ""), Err(400), "{bad}");
        }
    }

    #[test]
    fn bodies_are_read_strictly() {
        assert_eq!(body_of::<Grant>(b"{\"ttl_ms\":500}").unwrap().checked().unwrap().ttl_ms, 500);
        for bad in ["", "{}", "{\"ttl_ms\":\"1\"}", "{\"ttl_ms\":-1}", "{\"ttl_ms\":500,\"x\":1}"] {
            assert_eq!(body_of::<Grant>(bad.as_bytes()).unwrap_err().status(), 400, "{bad}");
        }
        for ttl_ms in [0, 99, 604_800_001, u64::MAX] {
            assert_eq!(Grant { ttl_ms }.checked().unwrap_err().status(), 400, "{ttl_ms}");
        }
        let acquire = body_of::<Acquire>(b"{\"lease\":7}").unwrap().checked().unwrap();
        assert_eq!((acquire.lease, acquire.wait_ms), (LeaseId(7), 0));
        let acquire = Acquire { wait_ms: 600_001, ..acquire };
        assert_eq!(acquire.checked().unwrap_err().status(), 400);
    }
}
