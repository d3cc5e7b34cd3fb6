//! Who waits for what comes of which request.

use std::collections::BTreeMap;

use crate::machine::identity::RequestIdentity;
use crate::replica::event::RequestId;

/// The requests whose commands wait or fly, each with those who want its answer: nobody
/// where all have given up, several where it was sent again.
#[derive(Clone, Debug, Default)]
pub(super) struct Requesters {
    waiting: BTreeMap<RequestIdentity, Vec<RequestId>>,
    requests: BTreeMap<RequestId, RequestIdentity>,
}

impl Requesters {
    /// Whether the request's command waits or flies.
    pub(super) fn knows(&self, request: &RequestIdentity) -> bool {
        self.waiting.contains_key(request)
    }

    /// One more wants to know what comes of the request.
    pub(super) fn add(&mut self, request: RequestIdentity, id: RequestId) {
        self.waiting.entry(request).or_default().push(id);
        self.requests.insert(id, request);
    }

    /// Those who want to know, in the order in which they came.
    pub(super) fn of(&self, request: &RequestIdentity) -> &[RequestId] {
        self.waiting.get(request).map_or(&[], Vec::as_slice)
    }

    /// The request's command is gone: takes those out who wanted to know.
    pub(super) fn take(&mut self, request: &RequestIdentity) -> Vec<RequestId> {
        let ids = self.waiting.remove(request).unwrap_or_default();
        for id in &ids {
            self.requests.remove(id);
        }
        ids
    }

    /// One does not want to know any more: of which request, if it did.
    pub(super) fn give_up(&mut self, id: RequestId) -> Option<RequestIdentity> {
        let request = self.requests.remove(&id)?;
        if let Some(ids) = self.waiting.get_mut(&request) {
            ids.retain(|waiting| *waiting != id);
        }
        Some(request)
    }

    /// All of it, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&RequestIdentity, &Vec<RequestId>)> {
        self.waiting.iter()
    }

    /// How many requests there are.
    pub(super) fn requests(&self) -> usize {
        self.waiting.len()
    }
}
