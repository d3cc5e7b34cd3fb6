//! How the state at one revision differs from the state at another.

use futures::stream::BoxStream;
use http::Method;
use serde::{Deserialize, Serialize};

use crate::call::{Call, awaited};
use crate::client::Client;
use crate::error::Error;
use crate::item::Item;
use crate::log::Author;
use crate::pages;

impl Client {
    /// Compares the state at a revision with that of now. Awaiting it gives a page,
    /// [`Diff::stream`] all of them.
    #[must_use = "nothing is sent before it is awaited"]
    pub fn diff(&self, from: u64) -> Diff {
        let mut call = Call::read(Method::GET, "/v1/diff");
        call.param("from", from);
        Diff { client: self.clone(), call }
    }
}

/// Compares two states: [`Client::diff`].
#[derive(Clone, Debug)]
pub struct Diff {
    client: Client,
    call: Call,
}

/// A page of a comparison.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DiffPage {
    /// The older revision.
    pub from: u64,
    /// The newer one.
    pub to: u64,
    /// In the order of their keys.
    pub changes: Vec<Change>,
    /// The cursor of the next page.
    pub next: Option<String>,
}

/// How a key differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The key.
    pub key: String,
    /// In which way.
    pub change: ChangeKind,
    /// As it was at the older revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Item>,
    /// As it was at the newer one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Item>,
    /// Who made the last change, where it is known: the accessor of a token, or of whom an
    /// issuer or a certificate vouches for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Who that is, where one vouches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Author>,
}

/// In which way a key differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It exists at the newer revision only.
    Created,
    /// It was written in between.
    Updated,
    /// It existed at the older revision only.
    Deleted,
}

awaited!(Diff => DiffPage);

impl Diff {
    /// With the state at this revision.
    #[must_use]
    pub fn to(mut self, revision: u64) -> Self {
        self.call.param("to", revision);
        self
    }

    /// Of the keys with a prefix.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        self.call.param("prefix", prefix);
        self
    }

    /// At most so many in a page.
    #[must_use]
    pub fn limit(mut self, changes: u32) -> Self {
        self.call.param("limit", changes);
        self
    }

    /// The page that [`DiffPage::next`] names.
    #[must_use]
    pub fn cursor(mut self, cursor: &str) -> Self {
        self.call.param("cursor", cursor);
        self
    }

    async fn send(self) -> Result<DiffPage, Error> {
        self.client.send(self.call).await?.json()
    }

    /// All of them, read page by page and all of the revisions of the first one. It ends
    /// with the first error.
    #[must_use]
    pub fn stream(self) -> BoxStream<'static, Result<Change, Error>> {
        pages::by_cursor(
            self,
            |request| &mut request.call,
            |DiffPage { changes, next, .. }| (changes, next),
        )
    }
}
