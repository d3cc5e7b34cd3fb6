//! Policies: rules with a name, which tokens are made with.

use futures::stream::BoxStream;
use http::Method;
use serde::{Deserialize, Serialize};

use crate::call::{Call, awaited, forcible, mutation};
use crate::client::Client;
use crate::error::Error;
use crate::pages;
use crate::token::AccessChanged;

const POLICIES: &str = "/v1/policies";

impl Client {
    /// Puts a policy: tokens that have it may do from then on what it says.
    #[must_use = "nothing is sent before it is awaited"]
    pub fn put_policy(&self, name: &str, policy: &Policy) -> PutPolicy {
        let mut call = Call::mutation(Method::PUT, path(name));
        call.json(policy);
        PutPolicy { client: self.clone(), call }
    }

    /// Reads a policy.
    #[must_use = "nothing is sent before it is awaited"]
    pub fn policy(&self, name: &str) -> ReadPolicy {
        ReadPolicy { client: self.clone(), call: Call::read(Method::GET, path(name)) }
    }

    /// Lists policies. Awaiting it gives a page, [`Policies::stream`] all of them.
    #[must_use = "nothing is sent before it is awaited"]
    pub fn policies(&self) -> Policies {
        Policies { client: self.clone(), call: Call::read(Method::GET, POLICIES) }
    }

    /// Deletes a policy: it gives nothing to the tokens that have it.
    #[must_use = "nothing is sent before it is awaited"]
    pub fn delete_policy(&self, name: &str) -> DeletePolicy {
        DeletePolicy { client: self.clone(), call: Call::mutation(Method::DELETE, path(name)) }
    }
}

fn path(name: &str) -> String {
    let name: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
    format!("{POLICIES}/{name}")
}

/// What tokens that have it may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// With keys and locks: of the rules whose prefix one starts with, the longest decides.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// With the cluster: `read`, `operate`.
    #[serde(default)]
    pub cluster: Vec<String>,
}

/// What may be done with all keys and locks that start so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The beginning of the keys.
    pub prefix: String,
    /// `read`, `write`, `list`, `watch`, `lock`, `history`; nothing where it is empty.
    pub rights: Vec<String>,
}

/// A policy with its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedPolicy {
    /// The name.
    pub name: String,
    /// What it says.
    #[serde(flatten)]
    pub policy: Policy,
}

/// A page of policies.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PolicyPage {
    /// By name.
    pub items: Vec<NamedPolicy>,
    /// The cursor of the next page.
    pub next: Option<String>,
}

/// Puts a policy: [`Client::put_policy`].
#[derive(Clone, Debug)]
pub struct PutPolicy {
    client: Client,
    call: Call,
}

mutation!(PutPolicy => AccessChanged);
forcible!(PutPolicy);

impl PutPolicy {
    async fn send(self) -> Result<AccessChanged, Error> {
        self.client.send(self.call).await?.json()
    }
}

/// Reads a policy: [`Client::policy`].
#[derive(Clone, Debug)]
pub struct ReadPolicy {
    client: Client,
    call: Call,
}

awaited!(ReadPolicy => NamedPolicy);

impl ReadPolicy {
    async fn send(self) -> Result<NamedPolicy, Error> {
        self.client.send(self.call).await?.json()
    }
}

/// Lists policies: [`Client::policies`].
#[derive(Clone, Debug)]
pub struct Policies {
    client: Client,
    call: Call,
}

awaited!(Policies => PolicyPage);

impl Policies {
    async fn send(self) -> Result<PolicyPage, Error> {
        self.client.send(self.call).await?.json()
    }

    /// All of them. It ends with the first error.
    #[must_use]
    pub fn stream(self) -> BoxStream<'static, Result<NamedPolicy, Error>> {
        pages::by_cursor(
            self,
            |request| &mut request.call,
            |PolicyPage { items, next }| (items, next),
        )
    }
}

/// Deletes a policy: [`Client::delete_policy`].
#[derive(Clone, Debug)]
pub struct DeletePolicy {
    client: Client,
    call: Call,
}

mutation!(DeletePolicy => AccessChanged);
forcible!(DeletePolicy);

impl DeletePolicy {
    async fn send(self) -> Result<AccessChanged, Error> {
        self.client.send(self.call).await?.json()
    }
}
