//! Locks that are held, as they are read: one, and page by page.

use std::io;

use axum::response::Response;
use http::request::Parts;
use schemars::JsonSchema;
use serde::Serialize;
use shared::deadline::Deadline;
use shared::ids::{LeaseId, Revision};
use shared::page::PageLimits;
use shared::problem::Problem;
use shared::query::Query;
use shared::wire;

use crate::http::App;
use crate::http::authorize::{Caller, Reading, TokenHolder};
use crate::http::paging::{KEYS, PIECE_TIME, Paging, Piece, Source};
use crate::http::reading::released;
use crate::http::refused::Refused;
use crate::http::request::parameter::{CONSISTENCY, CURSOR, LIMIT, Parameter};
use crate::http::request::tenure::{Cursor, lock_of_path, wrong_cursor};
use crate::http::shown::{NotShown, Rest, Rows};
use crate::machine::access::policy::Right;
use crate::store::{LockState, TenurePage, TenureQuery};

/// The parameters of a list.
pub(super) const PAGED: [Parameter; 4] =
    [CONSISTENCY, Parameter::prefix("prefix", "jobs/"), LIMIT, CURSOR];

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Lock")]
pub(super) struct RenderedLock<'a> {
    pub(super) name: &'a str,
    pub(super) lease: LeaseId,
    pub(super) fence: Revision,
    pub(super) waiters: u64,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LockAtRevision")]
pub(super) struct RenderedWhole<'a> {
    #[serde(flatten)]
    pub(super) lock: RenderedLock<'a>,
    pub(super) revision: Revision,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Locks")]
pub(super) struct RenderedPage<'a> {
    pub(super) items: Vec<RenderedLock<'a>>,
    pub(super) revision: Revision,
    pub(super) next: Option<String>,
}

fn rendered(lock: &LockState) -> RenderedLock<'_> {
    let LockState { name, holder, waiters } = lock;
    RenderedLock { name, lease: holder.lease, fence: holder.fence, waiters: *waiters }
}

pub(super) async fn get_answer(app: &App, parts: &Parts) -> Result<Response, Refused> {
    let query = Query::parse(parts.uri.query(), &[CONSISTENCY])?;
    let name = lock_of_path(parts.uri.path())?;
    let released = released(app, &parts.headers, &query).await?;
    let asked = TenureQuery::Lock { name: name.clone(), claim_of: None };
    let page = app.reader.tenure(asked).await?;
    let needed = |holder: &TokenHolder| holder.granted.need_at(Right::Lock, &name);
    released.permit(app, &parts.headers, needed).await?;
    let revision = page.revision;
    let Some(lock) = page.locks.first() else {
        let problem = Problem::not_found(format!("nobody holds lock {name:?}"));
        return Err(problem.with_revision(revision).into());
    };
    let mut response = wire::json(&RenderedWhole { lock: rendered(lock), revision });
    released.describe(response.headers_mut(), revision);
    Ok(response)
}

pub(super) async fn list_answer(app: &App, parts: &Parts) -> Result<Response, Refused> {
    let query = Query::parse(parts.uri.query(), &PAGED)?;
    let prefix = query.text("prefix").map(str::to_owned);
    let (prefix, after) = match (Cursor::of(&query)?, prefix) {
        (None, prefix) => (prefix.unwrap_or_default(), None),
        (Some(Cursor::Locks(of, after)), prefix) if prefix.as_ref().is_none_or(|it| *it == of) => {
            (of, Some(after))
        }
        (Some(_), _) => return Err(wrong_cursor().into()),
    };
    let paging = Paging::of(app, &parts.headers, &query, KEYS)?;
    let deadline = Deadline::of(&parts.headers)?;
    let released = released(app, &parts.headers, &query).await?;
    let needed = |holder: &TokenHolder| holder.granted.need_somewhere(&[Right::Lock], &prefix);
    let caller = released.permit(app, &parts.headers, needed).await?;
    let (reader, reading) = (app.reader.clone(), Reading::new(caller, &app.driver));
    let mut rest = Rest { rows: Locks { prefix }, reader, reading, after };
    let page = rest.page(paging.first(), deadline).await.map_err(|why| why.refused(app))?;
    let revision = page.revision;
    let mut response = if paging.streaming {
        paging.stream(Piece::of(page.locks.iter().map(rendered)), rest)
    } else {
        let last = page.locks.last().filter(|_| page.has_more).map(|last| last.name.clone());
        if last.is_none() && page.has_more {
            return Err(NotShown::Late.refused(app));
        }
        let next = last.map(|last| Cursor::Locks(rest.rows.prefix.clone(), last).encode());
        let items = page.locks.iter().map(rendered).collect();
        let mut response = wire::json(&RenderedPage { items, revision, next: next.clone() });
        if let Some(cursor) = next {
            paging.link_next(response.headers_mut(), &format!("/v1/locks?cursor={cursor}"));
        }
        response
    };
    released.describe(response.headers_mut(), revision);
    Ok(response)
}

/// The locks whose names begin so.
struct Locks {
    prefix: String,
}

impl Rows for Locks {
    type Row = LockState;
    type Place = String;

    fn after(&self, place: Option<String>, page: PageLimits) -> TenureQuery {
        TenureQuery::Locks { prefix: self.prefix.clone(), after: place, page }
    }

    fn of(page: &mut TenurePage) -> &mut Vec<LockState> {
        &mut page.locks
    }

    fn place(lock: &LockState) -> String {
        lock.name.clone()
    }

    fn may_see(caller: &Caller, lock: &LockState) -> bool {
        caller.granted().is_none_or(|granted| granted.at(lock.name.as_bytes()).has(Right::Lock))
    }
}

impl Source for Rest<Locks> {
    async fn next(&mut self, limits: PageLimits) -> io::Result<Option<Piece>> {
        if self.after.is_none() {
            return Ok(None);
        }
        let page = self.page(limits, Deadline::after(PIECE_TIME)).await?;
        Ok(Some(Piece::of(page.locks.iter().map(rendered))))
    }
}
