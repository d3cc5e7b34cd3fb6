//! What comes next for a watcher.
#![expect(clippy::disallowed_methods, reason = "the shell reads clocks")]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use shared::framing::Framing;
use shared::ids::Revision;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::batches::{self, Batches};
use crate::http::authorize::{Caller, Reading};
use crate::http::request::watching::{Start, WatchRequest};
use crate::http::shown::Shown;
use crate::machine::access::Access;
use crate::machine::access::policy::Right;
use crate::store::{
    HistoryQuery, KeyChange, ListQuery, Order, Position, ReadError, Show, lowest_above,
};
use crate::watch::{Event, Found, KeyRange, PIECE, Selection, Watch};

/// Without anything to say for so long, a watch says that.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// What is needed at a key to be told of it.
pub(super) const RIGHTS: &[Right] = &[Right::Watch, Right::Read];

/// How far a watch is.
#[derive(Debug)]
enum Phase {
    /// Nothing is said yet.
    Opening(Start),
    /// The state is told from this key on, of the range that has the number.
    Snapshot(usize, Bytes),
    /// What changes is told.
    Following,
    /// The watcher was too slow, or may not watch any more.
    Ended,
}

/// One who watches.
#[derive(Debug)]
pub(super) struct Watcher {
    watch: Watch,
    reading: Reading,
    /// What of the selection it may see.
    shown: Shown,
    /// Tells when that may be another part.
    changes: watch::Receiver<Arc<Access>>,
    selection: Selection,
    framing: Framing,
    shutdown: CancellationToken,
    phase: Phase,
    /// Up to where it was told everything.
    position: Position,
    /// The newest revision that it can resume after, as it knows.
    resumable: Revision,
    batches: Batches,
    /// Whether it has met the ring.
    is_live: bool,
    /// When a heartbeat is due.
    due: Instant,
}

impl Watcher {
    /// Watches what comes after the revision; or the state at it, and then that.
    pub(super) fn new(
        watch: Watch,
        (caller, reading): (&Caller, Reading),
        request: WatchRequest,
        revision: Revision,
        framing: Framing,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            watch,
            changes: reading.changes(),
            reading,
            shown: Shown::of(caller, RIGHTS),
            selection: request.selection,
            framing,
            shutdown,
            phase: Phase::Opening(request.start),
            position: Position::after(revision),
            resumable: revision,
            batches: Batches::default(),
            is_live: false,
            due: Instant::now() + HEARTBEAT,
        }
    }

    /// The body of the answer. It ends with the process, so that its client goes elsewhere.
    pub(super) fn into_body(self) -> Body {
        Body::from_stream(futures::stream::try_unfold(self, |mut watcher| async move {
            let shutdown = watcher.shutdown.clone();
            match shutdown.run_until_cancelled(watcher.piece()).await {
                Some(piece) => Ok(piece?.map(|piece| (piece, watcher))),
                None => Ok::<_, io::Error>(None),
            }
        }))
    }

    /// Waits for something to say; none at the end.
    async fn piece(&mut self) -> io::Result<Option<Bytes>> {
        let mut out = Vec::new();
        loop {
            match &self.phase {
                Phase::Opening(start) => {
                    let start = *start;
                    self.open(start, &mut out);
                }
                Phase::Snapshot(range, from) => {
                    let (range, from) = (*range, from.clone());
                    self.tell_state(range, from, &mut out).await.map_err(io::Error::other)?;
                }
                Phase::Following => self.follow(&mut out).await.map_err(io::Error::other)?,
                Phase::Ended => return Ok(None),
            }
            if out.is_empty() && self.due <= Instant::now() {
                self.beat(&mut out);
            }
            if !out.is_empty() {
                self.due = Instant::now() + HEARTBEAT;
                return Ok(Some(Bytes::from(out)));
            }
        }
    }

    fn open(&mut self, start: Start, out: &mut Vec<u8>) {
        match start {
            // Before it is whole, nobody can resume after it.
            Start::Snapshot => {
                self.framing.begin(out, None::<Revision>);
                self.tell_range(0, out);
            }
            Start::Present | Start::After(_) => {
                self.framing.begin(out, Some(self.resumable));
                self.phase = Phase::Following;
            }
        }
    }

    /// Goes on with a range of the snapshot, which ends behind the last one.
    fn tell_range(&mut self, number: usize, out: &mut Vec<u8>) {
        match self.selection.ranges().get(number) {
            Some(range) => self.phase = Phase::Snapshot(number, range.from.clone()),
            None => {
                batches::synced(self.framing, out, self.resumable);
                self.phase = Phase::Following;
            }
        }
    }

    async fn tell_state(
        &mut self,
        number: usize,
        from: Bytes,
        out: &mut Vec<u8>,
    ) -> Result<(), ReadError> {
        let query = ListQuery {
            from,
            below: self.selection.ranges()[number].below.clone(),
            at: Some(self.resumable),
            order: Order::Ascending,
            show: Show::Values,
            page: PIECE,
        };
        let page = self.watch.list(query).await?;
        if !self.may_go_on(out) {
            return Ok(());
        }
        for item in page.items.into_iter().filter(|item| self.shown.has(&item.key)) {
            let (key, revision) = (item.key.clone(), item.revision);
            let (previous, item, expired) = (None, Some(item), None);
            let change = KeyChange { key, revision, previous, item, expired };
            batches::change(self.framing, out, &Event::of(&change), None);
        }
        match page.more_after {
            Some(last) => self.phase = Phase::Snapshot(number, lowest_above(&last)),
            None => self.tell_range(number + 1, out),
        }
        Ok(())
    }

    async fn follow(&mut self, out: &mut Vec<u8>) -> Result<(), ReadError> {
        match self.watch.next(&self.position) {
            Some(Found::Piece(piece)) => {
                self.is_live = true;
                if !self.may_go_on(out) {
                    return Ok(());
                }
                let events = piece.events_from(&self.position).iter();
                let events = events.filter(|event| self.is_told_of(&event.key));
                self.tell(events.cloned().collect(), &piece.through, out);
            }
            Some(Found::Behind) if self.is_live => {
                batches::lagged(self.framing, out, self.position.complete);
                self.phase = Phase::Ended;
            }
            Some(Found::Behind) => {
                let KeyRange { from, below } = self.selection.span();
                let after = self.position.clone();
                let query = HistoryQuery { after, from, below, page: PIECE };
                let page = self.watch.history(query).await?;
                if !self.may_go_on(out) {
                    return Ok(());
                }
                let changes = page.changes.iter();
                let changes = changes.filter(|change| self.is_told_of(&change.key));
                self.tell(changes.map(Event::of).collect(), &page.through, out);
            }
            Some(Found::Nothing) => {
                self.is_live = true;
                self.wait(out).await;
            }
            None => self.wait(out).await,
        }
        Ok(())
    }

    fn is_told_of(&self, key: &[u8]) -> bool {
        self.selection.contains(key) && self.shown.has(key)
    }

    /// Looks, after something was read, what the watcher may see by then. Where that is less
    /// than it was, its watch ends: what it is not told of would pass for what did not happen.
    fn may_go_on(&mut self, out: &mut Vec<u8>) -> bool {
        if !self.changes.has_changed().unwrap_or(true) && !self.reading.is_over() {
            return true;
        }
        self.changes.mark_unchanged();
        let why = match self.reading.caller() {
            Err(why) => why.to_string(),
            Ok(caller) => {
                let shown = Shown::of(caller, RIGHTS);
                let mut ranges = self.selection.ranges().iter();
                if ranges.all(|range| shown.has_all_of(&self.shown, (&range.from, &range.below))) {
                    self.shown = shown;
                    return true;
                }
                "the token may not watch all that it watched any more".to_owned()
            }
        };
        batches::denied(self.framing, out, &why);
        self.phase = Phase::Ended;
        false
    }

    /// Waits for something new, or a heartbeat to be due, or other rights.
    async fn wait(&mut self, out: &mut Vec<u8>) {
        tokio::select! {
            _is_due = tokio::time::timeout_at(self.due, self.watch.grown()) => {}
            _is_open = self.changes.changed() => {
                self.changes.mark_changed();
                self.may_go_on(out);
            }
            () = self.reading.over() => {
                self.may_go_on(out);
            }
        }
    }

    /// Tells these, which are all up to the position.
    fn tell(&mut self, events: Vec<Event>, through: &Position, out: &mut Vec<u8>) {
        let (framing, resumable) = (self.framing, &mut self.resumable);
        self.batches.take(events, through, |event, id| {
            batches::change(framing, out, event, id);
            *resumable = id.unwrap_or(*resumable);
        });
        self.position = through.clone();
    }

    fn beat(&mut self, out: &mut Vec<u8>) {
        let complete = self.position.complete;
        let is_new = complete > self.resumable && !self.batches.is_holding();
        self.framing.heartbeat(out, is_new.then_some(complete));
        if is_new {
            self.resumable = complete;
        }
    }
}
