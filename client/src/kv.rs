//! Keys: reading, writing and deleting one, and deleting many.

use bytes::Bytes;
use http::{Method, header};
use serde::{Deserialize, Serialize};

use crate::answer::number;
use crate::call::{Call, awaited, conditional, mutation, repeatable};
use crate::client::Client;
use crate::error::Error;
use crate::item::Item;

const KEYS: &str = "/v1/kv/";

impl Client {
    /// Reads a key. [`Error::NotFound`] where it does not exist.
    #[must_use = "nothing is sent before it is awaited"]
    pub fn get(&self, key: &str) -> Get {
        let call = Call::read(Method::GET, KEYS).at_key(key);
        Get { client: self.clone(), key: key.to_owned(), call }
    }

    /// Stores a value under a key.
    #[must_use = "nothing is sent before it is awaited"]
    pub fn put(&self, key: &str, value: impl Into<Bytes>) -> Put {
        let mut call = Call::mutation(Method::PUT, KEYS).at_key(key);
        call.body = value.into();
        Put { client: self.clone(), call }
    }

    /// Deletes a key, if it exists.
    #[must_use = "nothing is sent before it is awaited"]
    pub fn delete(&self, key: &str) -> Delete {
        let call = Call::mutation(Method::DELETE, KEYS).at_key(key);
        Delete { client: self.clone(), call }
    }

    /// Deletes all keys with a prefix, at once; the empty prefix is that of all.
    #[must_use = "nothing is sent before it is awaited"]
    pub fn delete_prefix(&self, prefix: &str) -> DeletePrefix {
        let mut call = Call::mutation(Method::DELETE, "/v1/kv");
        call.param("prefix", prefix);
        if prefix.is_empty() {
            call.param("all", "true");
        }
        DeletePrefix { client: self.clone(), call }
    }
}

/// Reads a key: [`Client::get`].
#[derive(Clone, Debug)]
pub struct Get {
    client: Client,
    key: String,
    call: Call,
}

awaited!(Get => Item);

impl Get {
    /// As it was at a revision.
    #[must_use]
    pub fn revision(mut self, revision: u64) -> Self {
        self.call.param("revision", revision);
        self
    }

    /// What the replica that is asked has executed, without asking a quorum.
    #[must_use]
    pub fn local(mut self) -> Self {
        self.call.param("consistency", "local");
        self
    }

    /// From a state at least that new, for which the replica waits: with the newest
    /// revision seen, a [local](Self::local) read sees one's own writes.
    #[must_use]
    pub fn min_revision(mut self, revision: u64) -> Self {
        let name = http::HeaderName::from_static("synod-min-revision");
        self.call.header(name, &revision.to_string());
        self
    }

    async fn send(self) -> Result<Item, Error> {
        let answer = self.client.send(self.call).await?;
        let content_type = answer.headers.get(header::CONTENT_TYPE);
        let lease = answer.headers.contains_key("synod-lease");
        Ok(Item {
            key: self.key,
            content_type: content_type.and_then(|value| Some(value.to_str().ok()?.to_owned())),
            revision: number(&answer.headers, "etag")?,
            created_revision: number(&answer.headers, "synod-created-revision")?,
            version: number(&answer.headers, "synod-version")?,
            lease: lease.then(|| number(&answer.headers, "synod-lease")).transpose()?,
            value: Some(answer.body),
        })
    }
}

/// What became of a key that was put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The key.
    pub key: String,
    /// The revision that wrote it.
    pub revision: u64,
    /// The revision that created the key.
    pub created_revision: u64,
    /// How often it was written since then.
    pub version: u64,
}

/// What was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// How many keys.
    pub deleted: u64,
    /// At this revision.
    pub revision: u64,
}

/// Stores a value: [`Client::put`].
#[derive(Clone, Debug)]
pub struct Put {
    client: Client,
    call: Call,
}

mutation!(Put => Stored);
conditional!(Put);
repeatable!(Put);

impl Put {
    /// What the value is, kept with it.
    #[must_use]
    pub fn content_type(mut self, content_type: &str) -> Self {
        self.call.header(header::CONTENT_TYPE, content_type);
        self
    }

    /// Binds the key to a lease, with which it goes. [`Error::NotFound`] where there is no
    /// such lease.
    #[must_use]
    pub fn lease(mut self, id: u64) -> Self {
        self.call.param("lease", id);
        self
    }

    async fn send(self) -> Result<Stored, Error> {
        self.client.send(self.call).await?.json()
    }
}

/// Deletes a key: [`Client::delete`].
#[derive(Clone, Debug)]
pub struct Delete {
    client: Client,
    call: Call,
}

mutation!(Delete => Deleted);
conditional!(Delete);
repeatable!(Delete);

impl Delete {
    async fn send(self) -> Result<Deleted, Error> {
        self.client.send(self.call).await?.json()
    }
}

/// Deletes many keys: [`Client::delete_prefix`].
#[derive(Clone, Debug)]
pub struct DeletePrefix {
    client: Client,
    call: Call,
}

mutation!(DeletePrefix => Deleted);

impl DeletePrefix {
    async fn send(self) -> Result<Deleted, Error> {
        self.client.send(self.call).await?.json()
    }
}
