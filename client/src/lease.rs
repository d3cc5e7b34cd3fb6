//! Leases: what lasts as long as somebody says so.

use std::time::Duration;

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::call::{Call, awaited, mutation};
use crate::client::Client;
use crate::error::Error;
use crate::kv::Deleted;

const LEASES: &str = "/v1/leases";

impl Client {
    /// Grants a lease, which expires so long after it was renewed last.
    #[must_use = "nothing is sent before it is awaited"]
    pub fn grant_lease(&self, ttl: Duration) -> GrantLease {
        let mut call = Call::mutation(Method::POST, LEASES);
        call.json(&json!({"ttl_ms": millis(ttl)}));
        GrantLease { client: self.clone(), call }
    }

    /// Renews a lease. [`Error::NotFound`] once it has expired.
    #[must_use = "nothing is sent before it is awaited"]
    pub fn renew_lease(&self, id: u64) -> RenewLease {
        let mut call = Call::mutation(Method::POST, format!("{LEASES}/{id}/renew"));
        // Renewed twice it is renewed, and a lease is renewed often.
        call.unname();
        RenewLease { client: self.clone(), call }
    }

    /// Ends a lease; the keys that are bound to it are deleted, and its locks released.
    #[must_use = "nothing is sent before it is awaited"]
    pub fn revoke_lease(&self, id: u64) -> RevokeLease {
        let call = Call::mutation(Method::DELETE, format!("{LEASES}/{id}"));
        RevokeLease { client: self.clone(), call }
    }

    /// Reads a lease, and the first of its keys.
    #[must_use = "nothing is sent before it is awaited"]
    pub fn lease(&self, id: u64) -> ReadLease {
        let call = Call::read(Method::GET, format!("{LEASES}/{id}"));
        ReadLease { client: self.clone(), call }
    }
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// What it is named by.
    pub id: u64,
    /// How long it lasts after it was renewed, in milliseconds.
    pub ttl_ms: u64,
    /// How much of that is left, of replicated time; none where it was not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining_ms: Option<u64>,
    /// The keys that are bound to it; none where it was not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<String>>,
}

/// Grants a lease: [`Client::grant_lease`].
#[derive(Clone, Debug)]
pub struct GrantLease {
    client: Client,
    call: Call,
}

mutation!(GrantLease => Lease);

impl GrantLease {
    async fn send(self) -> Result<Lease, Error> {
        self.client.send(self.call).await?.json()
    }
}

/// Renews a lease: [`Client::renew_lease`].
#[derive(Clone, Debug)]
pub struct RenewLease {
    client: Client,
    call: Call,
}

awaited!(RenewLease => Lease);

impl RenewLease {
    async fn send(self) -> Result<Lease, Error> {
        self.client.send(self.call).await?.json()
    }
}

/// Ends a lease: [`Client::revoke_lease`].
#[derive(Clone, Debug)]
pub struct RevokeLease {
    client: Client,
    call: Call,
}

mutation!(RevokeLease => Deleted);

impl RevokeLease {
    async fn send(self) -> Result<Deleted, Error> {
        self.client.send(self.call).await?.json()
    }
}

/// Reads a lease: [`Client::lease`].
#[derive(Clone, Debug)]
pub struct ReadLease {
    client: Client,
    call: Call,
}

awaited!(ReadLease => Lease);

impl ReadLease {
    async fn send(self) -> Result<Lease, Error> {
        self.client.send(self.call).await?.json()
    }
}
