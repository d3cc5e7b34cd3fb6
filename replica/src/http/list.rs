//! `GET /v1/kv`: keys in byte order, page by page or as one stream.

use std::io;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;
use schemars::JsonSchema;
use serde::Serialize;
use shared::deadline::Deadline;
use shared::ids::Revision;
use shared::page::PageLimits;
use shared::query::Query;
use shared::wire;

use super::App;
use super::authorize::{Caller, Reading, TokenHolder};
use super::openapi::content::{json, lines};
use super::openapi::{self, Entry};
use super::paging::{KEYS, PIECE_TIME, Paging, Piece, Source};
use super::reading::released_from;
use super::refused::Refused;
use super::render::RenderedItem;
use super::shown::{NotShown, Shown};
use crate::http::request::listing::{Cursor, ListRequest, Listing, PARAMETERS};
use crate::machine::access::authorize::Denied;
use crate::machine::access::granted::Granted;
use crate::machine::access::policy::{Right, Rights};
use crate::store::{Item, ListPage, ListQuery, Order, Reader, Show, above_prefix, lowest_above};

/// What the contract says of it.
pub(super) fn entries() -> Vec<Entry> {
    let items = vec![RenderedItem::example()];
    let page = RenderedPage { items, revision: Revision(42), next: None };
    vec![
        openapi::read("get", "/v1/kv", ("list", "Lists keys in byte order."))
            .query(&PARAMETERS)
            .answers(200, "A page, or all as a stream.", [json(&page), lines(&page.items[0])])
            .refused(&[410]),
    ]
}

/// Answers it.
pub(super) async fn list(State(app): State<Arc<App>>, parts: Parts) -> Response {
    answer(&app, &parts).await.into_response()
}

async fn answer(app: &App, parts: &Parts) -> Result<Response, Refused> {
    let deadline = Deadline::of(&parts.headers)?;
    let query = Query::parse(parts.uri.query(), &PARAMETERS)?;
    let mut asked = ListRequest::of(&query)?;
    let paging = Paging::of(app, &parts.headers, &query, KEYS)?;
    // The revision of a cursor is there: a replica that has not come so far, and is read
    // locally, is only behind.
    let shown = asked.revision.filter(|_| asked.after.is_some());
    let released = released_from(app, &parts.headers, &query, shown).await?;
    let needed = |holder: &TokenHolder| asked.needed(&holder.granted);
    let caller = released.permit(app, &parts.headers, needed).await?;
    if asked.after.is_some() && !asked.may_look_back(&caller) {
        // A cursor names a revision, and whoever has one could name any.
        asked.revision = None;
    }
    let (reader, reading) = (app.reader.clone(), Reading::new(caller, &app.driver));
    let mut rest = Rest { reader, reading, asked };
    let first = rest.page(paging.first(), deadline).await.map_err(|why| why.refused(app))?;
    let at = first.at;
    let mut response = if paging.streaming {
        paging.stream(rest.take(first), rest)
    } else {
        page(&rest.asked, first, paging)
    };
    released.describe(response.headers_mut(), at);
    Ok(response)
}

impl ListRequest {
    fn query(&self, page: PageLimits) -> ListQuery {
        let Listing { prefix, start, end, reverse, keys_only } = &self.listing;
        let above_prefix = above_prefix(prefix.as_bytes());
        let end = end.as_ref().map_or(&*above_prefix, |end| end.as_bytes());
        let mut from = Bytes::copy_from_slice(prefix.as_bytes().max(start.as_bytes()));
        let mut below = Bytes::copy_from_slice(end.min(&above_prefix));
        match &self.after {
            Some(after) if *reverse => below = below.min(after.clone()),
            Some(after) => from = from.max(lowest_above(after)),
            None => {}
        }
        let order = if *reverse { Order::Descending } else { Order::Ascending };
        let show = if *keys_only { Show::KeysOnly } else { Show::Values };
        ListQuery { from, below, at: self.revision, order, show, page }
    }

    /// What is needed at each key to see it here.
    fn rights(&self) -> &'static [Right] {
        if self.listing.keys_only { &[Right::List] } else { &[Right::List, Right::Read] }
    }

    /// What whoever asks needs to see anything.
    fn needed(&self, granted: &Granted) -> Result<(), Denied> {
        let prefix = &self.listing.prefix;
        if self.revision.is_some() && self.after.is_none() {
            granted.need_whole(&[Right::History], prefix)?;
        }
        granted.need_somewhere(self.rights(), prefix)
    }

    /// Whether whoever asks may see what all these keys were.
    fn may_look_back(&self, caller: &Caller) -> bool {
        let history = Rights::of(&[Right::History]);
        let prefix = self.listing.prefix.as_bytes();
        caller.granted().is_none_or(|granted| granted.whole_prefix(prefix, history))
    }

    fn rendered<'a>(&self, item: &'a Item) -> RenderedItem<'a> {
        if self.listing.keys_only {
            RenderedItem::key_only(item)
        } else {
            RenderedItem::whole(item)
        }
    }

    /// Where the page after this one starts, if there is one.
    fn next(&self, page: &ListPage) -> Option<Cursor> {
        let after = page.more_after.clone()?;
        Some(Cursor { listing: self.listing.clone(), revision: page.at, after })
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Page")]
struct RenderedPage<'a> {
    items: Vec<RenderedItem<'a>>,
    revision: Revision,
    /// The cursor of the next page.
    next: Option<String>,
}

fn page(asked: &ListRequest, page: ListPage, paging: Paging) -> Response {
    let next = asked.next(&page).map(|cursor| cursor.encode());
    let items = page.items.iter().map(|item| asked.rendered(item)).collect();
    let mut response = wire::json(&RenderedPage { items, revision: page.at, next: next.clone() });
    if let Some(cursor) = next {
        paging.link_next(response.headers_mut(), &format!("/v1/kv?cursor={cursor}"));
    }
    response
}

/// What of a stream is still to come.
struct Rest {
    reader: Reader,
    reading: Reading,
    asked: ListRequest,
}

impl Rest {
    /// Reads a page of what whoever reads may see, before and after that.
    async fn page(&mut self, limits: PageLimits, deadline: Deadline) -> Result<ListPage, NotShown> {
        let (rights, query) = (self.asked.rights(), self.asked.query(limits));
        let shown = Shown::of(self.reading.caller()?, rights);
        let mut page = shown.list(&self.reader, query, deadline).await?;
        let shown = Shown::of(self.reading.caller()?, rights);
        page.items.retain(|item| shown.has(&item.key));
        Ok(page)
    }

    /// Takes a page, which what comes next comes after.
    fn take(&mut self, page: ListPage) -> Piece {
        let piece = Piece::of(page.items.iter().map(|item| self.asked.rendered(item)));
        self.asked.revision = Some(page.at);
        self.asked.after = page.more_after;
        piece
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
    use shared::problem::Problem;

    use super::*;

    fn asked(raw: &str) -> Result<ListRequest, Problem> {
        ListRequest::of(&Query::parse(Some(raw), &PARAMETERS)?)
    }

    fn bounds(raw: &str) -> (Vec<u8>, Vec<u8>) {
        let query = asked(raw).unwrap().query(PageLimits { items: 1, bytes: 1 });
        (query.from.to_vec(), query.below.to_vec())
    }

    #[test]
    fn bounds_are_where_prefix_start_and_end_meet() {
        let bytes = |from: &str, below: &[u8]| (from.as_bytes().to_vec(), below.to_vec());
        assert_eq!(bounds(""), bytes("", b"\xff"));
        assert_eq!(bounds("prefix=a/"), bytes("a/", b"a/\xff"));
        assert_eq!(bounds("start=b&end=d"), bytes("b", b"d"));
        assert_eq!(bounds("prefix=a/&start=a/b&end=a/d"), bytes("a/b", b"a/d"));
        assert_eq!(bounds("prefix=a/&start=A&end=b"), bytes("a/", b"a/\xff"));
        assert_eq!(bounds("end="), bytes("", b""));
    }

    #[test]
    fn a_cursor_goes_on_after_the_last_key_in_the_state_of_the_first_page() {
        let first = asked("prefix=a/&keys_only=true").unwrap();
        let page = |reverse: bool| {
            let listing = Listing { reverse, ..first.listing.clone() };
            Cursor { listing, revision: Revision(9), after: Bytes::from_static(b"a/m") }.encode()
        };
        let query = asked(&format!("cursor={}&limit=3", page(false)))
            .unwrap()
            .query(PageLimits { items: 3, bytes: 1 });
        assert_eq!(
            (&query.from[..], &query.below[..], query.at),
            (&b"a/m\0"[..], &b"a/\xff"[..], Some(Revision(9)))
        );
        assert_eq!((query.order, query.show), (Order::Ascending, Show::KeysOnly));
        let query = asked(&format!("cursor={}", page(true)))
            .unwrap()
            .query(PageLimits { items: 3, bytes: 1 });
        assert_eq!(
            (&query.from[..], &query.below[..], query.order),
            (&b"a/"[..], &b"a/m"[..], Order::Descending)
        );
    }

    #[test]
    fn beside_a_cursor_only_what_it_says_may_be_repeated() {
        let first = asked("prefix=a/&start=a/b").unwrap();
        let cursor = Cursor {
            listing: first.listing,
            revision: Revision(9),
            after: Bytes::from_static(b"a/m"),
        }
        .encode();
        assert!(
            asked(&format!("prefix=a/&start=a/b&revision=9&reverse=false&cursor={cursor}")).is_ok()
        );
        for (other, named) in [
            ("prefix=b", "prefix"),
            ("end=z", "end"),
            ("reverse=true", "reverse"),
            ("revision=8", "revision"),
        ] {
            let problem = asked(&format!("{other}&cursor={cursor}")).unwrap_err();
            assert!(problem.body().detail.contains(named), "{problem}");
        }
    }
}
