//! Lists of leases and of locks, of which some may be hidden.

use shared::deadline::Deadline;
use shared::page::PageLimits;

use super::NotShown;
use crate::http::authorize::{Caller, Reading};
use crate::store::{Reader, TenurePage, TenureQuery};

/// What is listed.
pub(in crate::http) trait Rows {
    /// One of them.
    type Row;
    /// Where it stands.
    type Place: Clone;

    /// Those that come after a place, or all.
    fn after(&self, place: Option<Self::Place>, page: PageLimits) -> TenureQuery;

    /// Those of a page.
    fn of(page: &mut TenurePage) -> &mut Vec<Self::Row>;

    /// Where one stands.
    fn place(row: &Self::Row) -> Self::Place;

    /// Whether one is shown to somebody.
    fn may_see(caller: &Caller, row: &Self::Row) -> bool;
}

/// What of a list is still to come.
pub(in crate::http) struct Rest<R: Rows> {
    pub(in crate::http) rows: R,
    pub(in crate::http) reader: Reader,
    pub(in crate::http) reading: Reading,
    /// None before the beginning, and at the end.
    pub(in crate::http) after: Option<R::Place>,
}

impl<R: Rows> Rest<R> {
    /// Reads on until there are as many as are asked for that whoever reads may see, and
    /// whether there is one more of these, or time is up: neither how full a page is nor where
    /// it ends tells of what is hidden.
    pub(in crate::http) async fn page(
        &mut self,
        limits: PageLimits,
        deadline: Deadline,
    ) -> Result<TenurePage, NotShown> {
        let scanned = scanned(self.reading.caller()?, limits);
        let mut shown: Option<TenurePage> = None;
        loop {
            let mut page = self.reader.tenure(self.rows.after(self.after.clone(), scanned)).await?;
            let last = R::of(&mut page).last().map(R::place).filter(|_| page.has_more);
            let caller = self.reading.caller()?;
            R::of(&mut page).retain(|row| R::may_see(caller, row));
            let mut whole = match shown.take() {
                None => page,
                Some(mut before) => {
                    R::of(&mut before).append(R::of(&mut page));
                    before
                }
            };
            let ended = Ended::of(R::of(&mut whole).len(), limits, (scanned, &last), deadline);
            self.after = last;
            if let Some(ended) = ended {
                R::of(&mut whole).truncate(limits.items);
                whole.has_more = ended.is_followed();
                if ended == Ended::Full {
                    self.after = R::of(&mut whole).last().map(R::place);
                }
                return Ok(whole);
            }
            shown = Some(whole);
        }
    }
}

/// How a page ends of which some are not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// It has all there are.
    AtEnd,
    /// There is one more than it holds that may be shown.
    Full,
    /// Time is up.
    Late,
}

/// At least so many are read at once of what may not be shown.
const SCANNED: usize = 256;

/// What is read at once: where some are hidden, one more than are shown, and not few.
fn scanned(caller: &Caller, limits: PageLimits) -> PageLimits {
    match caller.granted() {
        None => limits,
        Some(_) => PageLimits { items: limits.items.saturating_add(1).max(SCANNED), ..limits },
    }
}

impl Ended {
    /// How a page ends that has so many; none: it goes on behind `last`, where there are more.
    fn of<T>(
        shown: usize,
        limits: PageLimits,
        (scanned, last): (PageLimits, &Option<T>),
        deadline: Deadline,
    ) -> Option<Self> {
        if shown > limits.items {
            Some(Self::Full)
        } else if last.is_none() {
            Some(Self::AtEnd)
        } else if scanned.items == limits.items {
            // Nothing is hidden.
            Some(Self::Full)
        } else if deadline.remaining().is_zero() {
            Some(Self::Late)
        } else {
            None
        }
    }

    /// Whether there may be more.
    fn is_followed(self) -> bool {
        self != Self::AtEnd
    }
}
