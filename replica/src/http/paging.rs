//! Answers of many items: page by page, with a link to the next one, or as one stream of
//! lines.

use std::io;
use std::time::Duration;

use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;
use shared::framing::{push_line, wants_ndjson};
use shared::page::PageLimits;
use shared::problem::Problem;
use shared::query::Query;

use super::App;
use super::ndjson::ndjson;

/// How long a stream looks for its next piece before it looks whether somebody still
/// listens.
pub(super) const PIECE_TIME: Duration = Duration::from_secs(1);

/// How many items one kind of answer gives at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// The most bytes of a page; what does not fit comes with the next one. A page is held
    /// in memory until the client has taken it, however slow that is.
    pub(super) page_bytes: usize,
    /// A piece of a stream, of which many may be under way to slow readers.
    pub(super) piece: PageLimits,
}

/// Of keys and their values.
pub(super) const KEYS: Sizes =
    Sizes { page_bytes: 2 << 20, piece: PageLimits { items: 1_000, bytes: 512 << 10 } };

/// How the items that a request asks for are given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paging {
    /// As a stream, and not as a page.
    pub(super) streaming: bool,
    /// How many are asked for.
    limit: Option<usize>,
    /// What is read at once.
    at_once: PageLimits,
}

impl Paging {
    /// What a request says: of a stream it may ask for as many items as it likes.
    ///
    /// # Errors
    /// 400 where there is no such number of them.
    pub(super) fn of(
        app: &App,
        headers: &HeaderMap,
        query: &Query,
        sizes: Sizes,
    ) -> Result<Self, Problem> {
        Self::with(app, wants_ndjson(headers), query, sizes)
    }

    /// What a request says that cannot be answered with a stream.
    ///
    /// # Errors
    /// As [`Paging::of`].
    pub(super) fn page_of(app: &App, query: &Query, sizes: Sizes) -> Result<Self, Problem> {
        Self::with(app, false, query, sizes)
    }

    fn with(app: &App, streaming: bool, query: &Query, sizes: Sizes) -> Result<Self, Problem> {
        let limit: Option<usize> = query.number("limit")?;
        let items = app.limits.page_items;
        let most = if streaming { usize::MAX } else { items };
        if limit.is_some_and(|limit| limit == 0 || limit > most) {
            return Err(Problem::bad_request(format!(
                "query parameter \"limit\" is not in 1 to {most}, the limit on a page's items"
            )));
        }
        let page = PageLimits { items, bytes: sizes.page_bytes };
        Ok(Self { streaming, limit, at_once: if streaming { sizes.piece } else { page } })
    }

    /// What the page holds, or the first piece of the stream.
    pub(super) fn first(self) -> PageLimits {
        self.next(self.limit.unwrap_or(usize::MAX))
    }

    /// What is read next where so many items are left.
    fn next(self, left: usize) -> PageLimits {
        PageLimits { items: self.at_once.items.min(left), ..self.at_once }
    }

    /// Says on a page where the next one is.
    pub(super) fn link_next(self, headers: &mut HeaderMap, target: &str) {
        let limit = self.limit.map(|limit| format!("&limit={limit}")).unwrap_or_default();
        let link = HeaderValue::try_from(format!("<{target}{limit}>; rel=\"next\""));
        headers.insert(header::LINK, link.expect("cursors and numbers are safe in a header"));
    }

    /// The response that streams: the piece that is there, and what the source has after
    /// it.
    pub(super) fn stream(self, first: Piece, source: impl Source) -> Response {
        let left = self.limit.unwrap_or(usize::MAX);
        let rest = Rest { paging: self, left, ready: Some(first), source };
        ndjson(futures::stream::try_unfold(rest, following))
    }
}

/// Lines of a stream, of so many items.
#[derive(Debug, Default)]
pub(super) struct Piece {
    items: usize,
    lines: Vec<u8>,
}

impl Piece {
    /// A line for each item.
    pub(super) fn of<T: Serialize>(items: impl IntoIterator<Item = T>) -> Self {
        let mut piece = Self::default();
        for item in items {
            push_line(&mut piece.lines, &item);
            piece.items += 1;
        }
        piece
    }
}

/// Where a stream gets its pieces from.
pub(super) trait Source: Send + 'static {
    /// The next piece, which may be empty where there are more; none at the end.
    fn next(
        &mut self,
        limits: PageLimits,
    ) -> impl Future<Output = io::Result<Option<Piece>>> + Send;
}

/// What of a stream is still to come.
struct Rest<S> {
    paging: Paging,
    left: usize,
    ready: Option<Piece>,
    source: S,
}

/// The lines that come next; they are read only when the client has taken those before
/// them.
async fn following<S: Source>(mut rest: Rest<S>) -> io::Result<Option<(Bytes, Rest<S>)>> {
    loop {
        let piece = match rest.ready.take() {
            Some(piece) => piece,
            None if rest.left == 0 => return Ok(None),
            None => match rest.source.next(rest.paging.next(rest.left)).await? {
                Some(piece) => piece,
                None => return Ok(None),
            },
        };
        rest.left = rest.left.saturating_sub(piece.items);
        if !piece.lines.is_empty() {
            return Ok(Some((Bytes::from(piece.lines), rest)));
        }
    }
}
