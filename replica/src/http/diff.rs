//! `GET /v1/diff`: how the state at one revision differs from the state at another.
//!
//! Both are listed side by side, without values, in byte order: a key is changed where
//! its modification revisions differ. So it costs by the keys that there are with the
//! prefix, and is the same however far deletions are swept. Values are read of changed
//! keys only.

use std::io;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::future::try_join;
use http::request::Parts;
use schemars::JsonSchema;
use serde::Serialize;
use shared::deadline::Deadline;
use shared::ids::Revision;
use shared::page::{PageLimits, PageRoom};
use shared::query::Query;
use shared::wire;

use super::App;
use super::authorize::{Reading, TokenHolder};
use super::openapi::content::{json, lines};
use super::openapi::{self, Entry};
use super::paging::{KEYS, PIECE_TIME, Paging, Piece, Source};
use super::reading::released_from;
use super::refused::Refused;
use super::render::RenderedItem;
use super::shown::{NotShown, Shown};
use crate::http::request::diff::{DiffRequest, PARAMETERS};
use crate::http::request::path::text_of;
use crate::machine::access::policy::Right;
use crate::machine::command::Attribution;
use crate::store::{
    Item, ListPage, ListQuery, Order, ReadError, Reader, Show, above_prefix, lowest_above,
};

/// How many keys of each state are looked at in one go.
const COMPARED: PageLimits = PageLimits { items: 2_000, bytes: 1 << 20 };

/// What is needed at each key to see it here.
const RIGHTS: &[Right] = &[Right::History, Right::Read];

/// What the contract says of it.
pub(super) fn entries() -> Vec<Entry> {
    let (from, to) = (Revision(40), Some(Revision(42)));
    let page = RenderedPage { from, to, changes: vec![RenderedChange::example()], next: None };
    vec![
        openapi::read("get", "/v1/diff", ("diff", "How two revisions differ."))
            .query(&PARAMETERS)
            .answers(200, "A page, or all as a stream.", [json(&page), lines(&page.changes[0])])
            .refused(&[410]),
    ]
}

/// Answers it.
pub(super) async fn diff(State(app): State<Arc<App>>, parts: Parts) -> Response {
    answer(&app, &parts).await.into_response()
}

async fn answer(app: &App, parts: &Parts) -> Result<Response, Refused> {
    let deadline = Deadline::of(&parts.headers)?;
    let query = Query::parse(parts.uri.query(), &PARAMETERS)?;
    let asked = DiffRequest::of(&query)?;
    let paging = Paging::of(app, &parts.headers, &query, KEYS)?;
    let shown = asked.to.filter(|_| asked.after.is_some());
    let released = released_from(app, &parts.headers, &query, shown).await?;
    let needed = |holder: &TokenHolder| holder.granted.need_somewhere(RIGHTS, &asked.prefix);
    let caller = released.permit(app, &parts.headers, needed).await?;
    let (reader, reading) = (app.reader.clone(), Reading::new(caller, &app.driver));
    let mut rest = Rest { reader, reading, asked };
    let first = rest.page(paging.first(), deadline).await.map_err(|why| why.refused(app))?;
    let to = rest.asked.to.unwrap_or_default();
    let mut response = if paging.streaming {
        paging.stream(rest.take(first), rest)
    } else {
        page(rest.asked, first, paging)
    };
    released.describe(response.headers_mut(), to);
    Ok(response)
}

/// A key that is not the same at both revisions.
#[derive(Debug)]
struct Changed {
    before: Option<Item>,
    after: Option<Item>,
    /// Who made the last change, where it is known.
    author: Option<Attribution>,
}

/// A page of a comparison.
#[derive(Debug)]
struct DiffPage {
    changes: Vec<Changed>,
    /// The last key that was looked at, where there may be more behind it.
    more_after: Option<Bytes>,
}

/// Compares on from where the request is, until there is something to show, or the end,
/// or the deadline passes. What it compares with is settled by the first page.
async fn compare(
    (reader, shown): (&Reader, &Shown),
    asked: &mut DiffRequest,
    limits: PageLimits,
    deadline: Deadline,
) -> Result<DiffPage, ReadError> {
    let (mut changes, mut room) = (Vec::new(), limits.begin());
    loop {
        // The older one first: whatever is executed meanwhile, the other is not before it.
        let old = shown.list(reader, asked.keys(Some(asked.from)), deadline).await?;
        let new = shown.list(reader, asked.keys(asked.to), deadline).await?;
        asked.to = Some(new.at);
        let horizon = horizon(&old, &new);
        for Differs { key, .. } in differing(&old, &new, horizon.as_ref()) {
            let changed = read(reader, asked, key).await?;
            if !takes(&mut room, &changed) {
                return Ok(DiffPage { changes, more_after: asked.after.clone() });
            }
            asked.after = Some(changed.key().clone());
            changes.push(changed);
        }
        asked.after.clone_from(&horizon);
        if horizon.is_none() || !changes.is_empty() || deadline.remaining().is_zero() {
            return Ok(DiffPage { changes, more_after: horizon });
        }
    }
}

impl DiffRequest {
    /// Keys without values, from where the request is on.
    pub(super) fn keys(&self, at: Option<Revision>) -> ListQuery {
        let prefix = Bytes::copy_from_slice(self.prefix.as_bytes());
        ListQuery {
            from: self.after.as_ref().map_or(prefix, |after| lowest_above(after)),
            below: above_prefix(self.prefix.as_bytes()),
            at,
            order: Order::Ascending,
            show: Show::KeysOnly,
            page: COMPARED,
        }
    }
}

/// A key of which only one list has the version that it has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Differs {
    pub(super) key: Bytes,
    /// The revision that it has in the older list, if it is there.
    pub(super) before: Option<Revision>,
}

/// Up to which key both lists are whole; none where that is the end.
pub(super) fn horizon(old: &ListPage, new: &ListPage) -> Option<Bytes> {
    [&old.more_after, &new.more_after].into_iter().flatten().min().cloned()
}

/// The keys up to the horizon that differ.
pub(super) fn differing(old: &ListPage, new: &ListPage, horizon: Option<&Bytes>) -> Vec<Differs> {
    let whole = |item: &&Item| horizon.is_none_or(|horizon| item.key <= *horizon);
    let mut old = old.items.iter().filter(whole).peekable();
    let mut new = new.items.iter().filter(whole).peekable();
    let mut changed = Vec::new();
    loop {
        let (before, after) = (old.peek().map(|item| &item.key), new.peek().map(|item| &item.key));
        let Some(key) = [before, after].into_iter().flatten().min().cloned() else {
            return changed;
        };
        let before = old.next_if(|item| item.key == key).map(|item| item.revision);
        let after = new.next_if(|item| item.key == key).map(|item| item.revision);
        if before != after {
            changed.push(Differs { key, before });
        }
    }
}

async fn read(reader: &Reader, asked: &DiffRequest, key: Bytes) -> Result<Changed, ReadError> {
    let (before, after) =
        try_join(reader.point(key.clone(), Some(asked.from)), reader.point(key, asked.to)).await?;
    Ok(Changed { before: before.item, after: after.item, author: None })
}

fn takes(room: &mut PageRoom, changed: &Changed) -> bool {
    let bytes = [&changed.before, &changed.after].into_iter().flatten().map(Item::bytes).sum();
    room.takes(bytes)
}

impl Changed {
    fn key(&self) -> &Bytes {
        let item = self.after.as_ref().or(self.before.as_ref());
        &item.expect("a key that changed is at one of the revisions").key
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Diff")]
struct RenderedPage<'a> {
    from: Revision,
    to: Option<Revision>,
    changes: Vec<RenderedChange<'a>>,
    next: Option<String>,
}

#[derive(Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum ChangeKind {
    Created,
    Updated,
    Deleted,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Change")]
struct RenderedChange<'a> {
    key: String,
    change: ChangeKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<RenderedItem<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<RenderedItem<'a>>,
    /// Who made the last change, where it is known.
    #[serde(flatten)]
    author: Option<&'a Attribution>,
}

impl RenderedChange<'static> {
    /// One for the contract.
    fn example() -> Self {
        let after = Some(RenderedItem::example());
        Self {
            key: "app/web".to_owned(),
            change: ChangeKind::Created,
            before: None,
            after,
            author: None,
        }
    }
}

impl<'a> RenderedChange<'a> {
    fn of(changed: &'a Changed) -> Self {
        let change = match (&changed.before, &changed.after) {
            (None, _) => ChangeKind::Created,
            (Some(_), Some(_)) => ChangeKind::Updated,
            (Some(_), None) => ChangeKind::Deleted,
        };
        Self {
            key: text_of(changed.key()),
            change,
            before: changed.before.as_ref().map(RenderedItem::whole),
            after: changed.after.as_ref().map(RenderedItem::whole),
            author: changed.author.as_ref(),
        }
    }
}

fn page(asked: DiffRequest, page: DiffPage, paging: Paging) -> Response {
    let changes = page.changes.iter().map(RenderedChange::of).collect();
    let (from, to) = (asked.from, asked.to);
    let after = |after| DiffRequest { after: Some(after), ..asked }.encode();
    let next = page.more_after.map(after);
    let mut response = wire::json(&RenderedPage { from, to, changes, next: next.clone() });
    if let Some(cursor) = next {
        paging.link_next(response.headers_mut(), &format!("/v1/diff?cursor={cursor}"));
    }
    response
}

/// What of a stream is still to come.
struct Rest {
    reader: Reader,
    reading: Reading,
    asked: DiffRequest,
}

impl Rest {
    /// Compares what whoever reads may see, before and after that.
    async fn page(&mut self, limits: PageLimits, deadline: Deadline) -> Result<DiffPage, NotShown> {
        let shown = Shown::of(self.reading.caller()?, RIGHTS);
        let mut page = compare((&self.reader, &shown), &mut self.asked, limits, deadline).await?;
        let keys = page.changes.iter().map(|changed| changed.key().clone()).collect();
        let authors = self.reader.authors(keys, self.asked.to.unwrap_or_default()).await?;
        for (changed, author) in page.changes.iter_mut().zip(authors) {
            changed.author = author;
        }
        let shown = Shown::of(self.reading.caller()?, RIGHTS);
        page.changes.retain(|changed| shown.has(changed.key()));
        Ok(page)
    }

    /// Takes a page, which what comes next comes after.
    fn take(&mut self, page: DiffPage) -> Piece {
        self.asked.after = page.more_after;
        Piece::of(page.changes.iter().map(RenderedChange::of))
    }
}

impl Source for Rest {
    async fn next(&mut self, limits: PageLimits) -> io::Result<Option<Piece>> {
        if self.asked.after.is_none() {
            return Ok(None);
        }
        let page = self.page(limits, Deadline::after(PIECE_TIME)).await?;
        Ok(Some(self.take(page)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(keys: &[(&'static str, u64)], more_after: Option<&'static str>) -> ListPage {
        let item = |&(key, revision): &(&'static str, u64)| Item {
            key: Bytes::from_static(key.as_bytes()),
            value: Bytes::new(),
            content_type: None,
            revision: Revision(revision),
            created_revision: Revision(1),
            version: 1,
            lease: None,
        };
        let more_after = more_after.map(|key| Bytes::from_static(key.as_bytes()));
        ListPage { items: keys.iter().map(item).collect(), at: Revision(9), more_after }
    }

    #[test]
    fn what_only_one_of_two_pages_reaches_is_not_compared() {
        let old = list(&[("a", 1), ("b", 2)], Some("b"));
        let new = list(&[("a", 3), ("c", 4), ("d", 5)], Some("e"));
        let horizon = horizon(&old, &new);
        assert_eq!(horizon, Some(Bytes::from_static(b"b")));
        let keys = |horizon| -> Vec<(Bytes, Option<Revision>)> {
            let differs = differing(&old, &new, horizon).into_iter();
            differs.map(|it| (it.key, it.before)).collect()
        };
        let of = |key: &'static str, before| {
            (Bytes::from_static(key.as_bytes()), Some(before).filter(|it| *it > 0).map(Revision))
        };
        assert_eq!(keys(horizon.as_ref()), [of("a", 1), of("b", 2)]);
        assert_eq!(keys(None), [of("a", 1), of("b", 2), of("c", 0), of("d", 0)]);
    }
}
