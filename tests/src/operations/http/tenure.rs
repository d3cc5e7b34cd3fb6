//! What is asked of leases and locks over HTTP, and what an answer says.

use anyhow::{Context, Result, bail};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};

use super::text;
use crate::operations::{Holder, TenureAnswer, TenureCall};

/// The request. Who waits for a lock waits for a moment only.
///
/// # Panics
/// When nobody asks for it.
pub(super) fn request(http: &Client, door: &str, call: &TenureCall) -> RequestBuilder {
    let leases = format!("{door}/v1/leases");
    match call {
        TenureCall::Grant { ttl_ms } => http.post(leases).json(&json!({"ttl_ms": ttl_ms})),
        TenureCall::Renew { lease } => http.post(format!("{leases}/{lease}/renew")),
        TenureCall::Revoke { lease } => http.delete(format!("{leases}/{lease}")),
        TenureCall::LeasedPut { lease, key, value } => {
            let put = http.put(format!("{door}/v1/kv/{key}")).query(&[("lease", lease)]);
            put.body(value.encode())
        }
        TenureCall::FencedPut { lock, fence, key, value } => {
            let put = http.put(format!("{door}/v1/kv/{key}"));
            put.header("synod-fence", format!("{lock}={fence}")).body(value.encode())
        }
        TenureCall::Acquire { lock, lease, wait } => {
            let wait_ms = if *wait { 100 } else { 0 };
            let asked = http.put(format!("{door}/v1/locks/{lock}"));
            asked.json(&json!({"lease": lease, "wait_ms": wait_ms}))
        }
        TenureCall::Release { lock, lease } => {
            http.delete(format!("{door}/v1/locks/{lock}")).query(&[("lease", lease)])
        }
        TenureCall::Leave { .. } | TenureCall::Expire { .. } => {
            unreachable!("nobody asks for it")
        }
    }
}

/// What an answer says.
pub(super) fn answer(call: &TenureCall, status: StatusCode, body: &[u8]) -> Result<TenureAnswer> {
    let said: Json = serde_json::from_slice(body).with_context(|| text(body))?;
    let number = |name: &str| said[name].as_u64().with_context(|| format!("no {name}: {said}"));
    Ok(match (call, status) {
        (_, StatusCode::NOT_FOUND) => TenureAnswer::NoSuchLease,
        (TenureCall::Grant { .. }, StatusCode::CREATED) => TenureAnswer::Granted,
        (TenureCall::Renew { .. }, StatusCode::OK) => TenureAnswer::Renewed(number("ttl_ms")?),
        (TenureCall::Revoke { .. }, StatusCode::OK) => TenureAnswer::Ended(number("deleted")?),
        (
            TenureCall::LeasedPut { .. } | TenureCall::FencedPut { .. },
            StatusCode::OK | StatusCode::CREATED,
        ) => TenureAnswer::Put,
        (TenureCall::FencedPut { .. }, StatusCode::PRECONDITION_FAILED) => {
            TenureAnswer::FenceFailed(holder(&said))
        }
        (TenureCall::Acquire { .. }, StatusCode::OK) => TenureAnswer::Held(number("fence")?),
        // Its place was given up by an earlier request of the same lease, and nobody is left.
        (TenureCall::Acquire { .. }, StatusCode::CONFLICT) => {
            holder(&said).map_or(TenureAnswer::NotHeld(None), TenureAnswer::Busy)
        }
        (TenureCall::Release { .. }, StatusCode::OK) => TenureAnswer::Released,
        (TenureCall::Release { .. }, StatusCode::CONFLICT) => TenureAnswer::NotHeld(holder(&said)),
        _ => bail!("answered {status}: {said}"),
    })
}

fn holder(said: &Json) -> Option<Holder> {
    let holder = said.get("holder")?;
    Some((holder["lease"].as_u64()?, holder["fence"].as_u64()?))
}
