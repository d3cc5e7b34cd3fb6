//! Lists of keys, in byte order, all at one revision.

use futures::stream::BoxStream;
use http::Method;
use serde::Deserialize;

use crate::call::{Call, awaited};
use crate::client::Client;
use crate::error::Error;
use crate::item::Item;
use crate::pages;

impl Client {
    /// Lists the keys with a prefix. Awaiting it gives a page, [`List::stream`] all of them.
    #[must_use = "nothing is sent before it is awaited"]
    pub fn list(&self, prefix: &str) -> List {
        let mut call = Call::read(Method::GET, "/v1/kv");
        call.param("prefix", prefix);
        List { client: self.clone(), call }
    }
}

/// Lists keys: [`Client::list`].
#[derive(Clone, Debug)]
pub struct List {
    client: Client,
    call: Call,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Page {
    /// In the order of their keys.
    pub items: Vec<Item>,
    /// The revision that all pages of one list speak of.
    pub revision: u64,
    /// The cursor of the next page.
    pub next: Option<String>,
}

awaited!(List => Page);

impl List {
    /// From this key on.
    #[must_use]
    pub fn start(mut self, key: &str) -> Self {
        self.call.param("start", key);
        self
    }

    /// Below this key.
    #[must_use]
    pub fn end(mut self, key: &str) -> Self {
        self.call.param("end", key);
        self
    }

    /// At most so many in a page.
    #[must_use]
    pub fn limit(mut self, items: u32) -> Self {
        self.call.param("limit", items);
        self
    }

    /// Without values.
    #[must_use]
    pub fn keys_only(mut self) -> Self {
        self.call.param("keys_only", "true");
        self
    }

    /// From the last key to the first.
    #[must_use]
    pub fn reverse(mut self) -> Self {
        self.call.param("reverse", "true");
        self
    }

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

    /// The page that [`Page::next`] names.
    #[must_use]
    pub fn cursor(mut self, cursor: &str) -> Self {
        self.call.param("cursor", cursor);
        self
    }

    async fn send(self) -> Result<Page, Error> {
        self.client.send(self.call).await?.json()
    }

    /// All of them, read page by page and all at the revision of the first one. It ends with
    /// the first error.
    #[must_use]
    pub fn stream(self) -> BoxStream<'static, Result<Item, Error>> {
        pages::by_cursor(
            self,
            |request| &mut request.call,
            |Page { items, next, .. }| (items, next),
        )
    }
}
