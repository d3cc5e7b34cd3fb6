//! Locks: held by one at a time, for as long as it renews a lease.

mod guard;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use http::Method;
use percent_encoding::{percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use self::guard::LockGuard;
use crate::call::{Call, awaited};
use crate::client::Client;
use crate::error::Error;
use crate::key::UNRESERVED;
use crate::lease::millis;

const LOCKS: &str = "/v1/locks/";
/// How long a lock is kept without a word of its holder, where nothing else is said.
const TTL: Duration = Duration::from_secs(10);

impl Client {
    /// Takes a lock, for as long as the guard lives.
    #[must_use = "nothing is sent before it is awaited"]
    pub fn lock(&self, name: &str) -> Lock {
        Lock { client: self.clone(), name: name.to_owned(), ttl: TTL, wait: Duration::ZERO }
    }

    /// Reads who holds a lock. [`Error::NotFound`] where nobody does.
    #[must_use = "nothing is sent before it is awaited"]
    pub fn holder(&self, name: &str) -> ReadHolder {
        let call = Call::read(Method::GET, LOCKS).at_key(name);
        ReadHolder { client: self.clone(), call }
    }
}

/// Takes a lock: [`Client::lock`].
#[derive(Clone, Debug)]
pub struct Lock {
    client: Client,
    name: String,
    ttl: Duration,
    wait: Duration,
}

awaited!(Lock => LockGuard);

impl Lock {
    /// How long the lock is kept when nothing is heard of its holder (10 s if not said): a
    /// holder that is cut off for so long has lost it.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// How long to wait while another one holds it; [`Error::Conflict`] after that, and at
    /// once if not said.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    async fn send(self) -> Result<LockGuard, Error> {
        // Whatever ends this early, the lease goes with the tenure.
        let tenure = guard::Tenure::begin(&self.client, self.ttl).await?;
        let mut call = Call::mutation(Method::PUT, LOCKS).at_key(&self.name);
        // A holder that asks again holds it by the same fence.
        call.unname();
        call.json(&json!({"lease": tenure.lease(), "wait_ms": millis(self.wait)}));
        call.waits = self.wait;
        let held = tokio::select! {
            held = self.client.send(call) => held.and_then(|answer| answer.json())?,
            () = tenure.lost() => return Err(Error::Invalid(format!(
                "the lease ended while lock {:?} was waited for: it was not renewed in time",
                self.name
            ))),
        };
        let Held { fence } = held;
        Ok(LockGuard::new(tenure, Fence { lock: self.name, revision: fence }))
    }
}

#[derive(Deserialize)]
struct Held {
    fence: u64,
}

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The lock.
    pub name: String,
    /// The lease of who holds it.
    pub lease: u64,
    /// The revision since which it does.
    pub fence: u64,
    /// How many wait for it; none where it was not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiters: Option<u64>,
}

/// Reads who holds a lock: [`Client::holder`].
#[derive(Clone, Debug)]
pub struct ReadHolder {
    client: Client,
    call: Call,
}

awaited!(ReadHolder => Holder);

impl ReadHolder {
    async fn send(self) -> Result<Holder, Error> {
        self.client.send(self.call).await?.json()
    }
}

/// The proof that a lock is held: a mutation that is sent with it is executed only while it
/// is, so that one who has lost the lock without knowing does no harm. As text it is the
/// value of `Synod-Fence`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The lock.
    pub lock: String,
    /// The revision since which it is held.
    pub revision: u64,
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", utf8_percent_encode(&self.lock, UNRESERVED), self.revision)
    }
}

impl FromStr for Fence {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.rsplit_once('=').and_then(|(lock, revision)| {
            let lock = percent_decode_str(lock).decode_utf8().ok()?.into_owned();
            Some(Self { lock, revision: revision.parse().ok()? })
        });
        parts.ok_or_else(|| format!("{text:?} is no fence: NAME=REVISION"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_is_read_as_it_is_written_whatever_the_lock_is_called() {
        for lock in ["jobs", "a=b", "grün/%3D ", ""] {
            let fence = Fence { lock: lock.to_owned(), revision: 7 };
            assert_eq!(fence.to_string().parse(), Ok(fence.clone()), "{fence}");
            assert!(fence.to_string().is_ascii());
        }
        for bad in ["jobs", "jobs=", "jobs=x", "=-1", "%FF=1"] {
            assert!(bad.parse::<Fence>().is_err(), "{bad}");
        }
    }
}
