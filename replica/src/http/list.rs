//! `GET /v1/kv`: keys in byte order, page by page or as one stream.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, header};
use serde::Serialize;
use shared::deadline::Deadline;
use shared::ids::Revision;
use shared::page::PageLimits;
use shared::problem::Problem;
use shared::wire;

use super::App;
use super::ndjson::{ndjson, push_line};
use super::reading::released_from;
use super::refused::Refused;
use super::render::RenderedItem;
use crate::http::request::headers::wants_ndjson;
use crate::http::request::listing::{Cursor, ListRequest, Listing, PARAMETERS};
use crate::http::request::query::Query;
use crate::store::{Item, ListPage, ListQuery, Order, Reader, Show, above_prefix, lowest_above};

/// The most bytes of keys and values in a page; what does not fit comes with the next
/// one. A page is held in memory until the client has taken it, however slow that is.
const PAGE_BYTES: usize = 2 << 20;
/// The same for a piece of a stream, of which many may be under way to slow readers.
const PIECE_BYTES: usize = 512 << 10;
/// How long a stream looks for its next piece before it looks whether somebody still
/// listens.
const PIECE_TIME: Duration = Duration::from_secs(1);
/// The most items in a piece of a stream.
const PIECE_ITEMS: usize = 1_000;

/// Answers it.
pub(super) async fn list(State(app): State<Arc<App>>, parts: Parts) -> Response {
    match answer(&app, &parts).await {
        Ok(response) => response,
        Err(refused) => Problem::from(refused).into_response(),
    }
}

async fn answer(app: &App, parts: &Parts) -> Result<Response, Refused> {
    let deadline = Deadline::of(&parts.headers)?;
    let query = Query::parse(parts.uri.query(), &PARAMETERS)?;
    let asked = ListRequest::of(&query)?;
    let streaming = wants_ndjson(&parts.headers);
    let limit = page_limit(app, &query, streaming)?;
    // The revision of a cursor is there: a replica that has not come so far, and is read
    // locally, is only behind.
    let shown = asked.revision.filter(|_| asked.after.is_some());
    let released = released_from(app, &parts.headers, &query, shown).await?;
    let (items, bytes) =
        if streaming { (PIECE_ITEMS, PIECE_BYTES) } else { (app.limits.page_items, PAGE_BYTES) };
    let first = asked.query(PageLimits { items: limit.unwrap_or(items).min(items), bytes });
    let first = app.reader.list(first, deadline).await?;
    let at = first.at;
    let mut response = if streaming {
        stream(app.reader.clone(), asked, first, limit.unwrap_or(usize::MAX))
    } else {
        page(&asked, first, limit)
    };
    released.describe(response.headers_mut(), at);
    Ok(response)
}

/// How many items are asked for: of a stream as many as one likes.
///
/// # Errors
/// 400 where there is no such number of them.
pub(super) fn page_limit(
    app: &App,
    query: &Query,
    streaming: bool,
) -> Result<Option<usize>, Problem> {
    let limit: Option<usize> = query.number("limit")?;
    let most = if streaming { usize::MAX } else { app.limits.page_items };
    if limit.is_some_and(|limit| limit == 0 || limit > most) {
        return Err(Problem::bad_request(format!(
            "query parameter \"limit\" is not in 1 to {most}, the limit on a page's items"
        )));
    }
    Ok(limit)
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

#[derive(Serialize)]
struct RenderedPage<'a> {
    items: Vec<RenderedItem<'a>>,
    revision: Revision,
    next: Option<String>,
}

fn page(asked: &ListRequest, page: ListPage, limit: Option<usize>) -> Response {
    let next = asked.next(&page).map(|cursor| cursor.encode());
    let items = page.items.iter().map(|item| asked.rendered(item)).collect();
    let mut response = wire::json(&RenderedPage { items, revision: page.at, next: next.clone() });
    if let Some(cursor) = next {
        let limit = limit.map(|limit| format!("&limit={limit}")).unwrap_or_default();
        let link = HeaderValue::try_from(format!("</v1/kv?cursor={cursor}{limit}>; rel=\"next\""));
        response.headers_mut().insert(header::LINK, link.expect("a cursor is safe in a URL"));
    }
    response
}

/// What of a stream is still to come.
struct Rest {
    reader: Reader,
    asked: ListRequest,
    page: Option<ListPage>,
    left: usize,
}

fn stream(reader: Reader, asked: ListRequest, first: ListPage, limit: usize) -> Response {
    let rest = Rest { reader, asked, page: Some(first), left: limit };
    ndjson(futures::stream::try_unfold(rest, |rest| async move {
        let Some((lines, rest)) = piece(rest).await? else { return Ok(None) };
        Ok(Some((lines, rest)))
    }))
}

/// The lines of the page at hand; the next one is read only when the client has taken
/// them.
async fn piece(mut rest: Rest) -> io::Result<Option<(Bytes, Rest)>> {
    loop {
        let page = match rest.page.take() {
            Some(page) => page,
            None if rest.left == 0 || rest.asked.after.is_none() => return Ok(None),
            None => {
                let query = rest
                    .asked
                    .query(PageLimits { items: rest.left.min(PIECE_ITEMS), bytes: PIECE_BYTES });
                rest.reader
                    .list(query, Deadline::after(PIECE_TIME))
                    .await
                    .map_err(io::Error::other)?
            }
        };
        let mut lines = Vec::new();
        page.items.iter().for_each(|item| push_line(&mut lines, &rest.asked.rendered(item)));
        rest.left = rest.left.saturating_sub(page.items.len());
        rest.asked.revision = Some(page.at);
        rest.asked.after = page.more_after;
        if !lines.is_empty() {
            return Ok(Some((Bytes::from(lines), rest)));
        }
    }
}

#[cfg(test)]
mod tests {
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
