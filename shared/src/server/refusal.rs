//! What is refused before the service is asked, on its way to the answer.

use std::sync::{Mutex, PoisonError};

use crate::problem::Problem;

/// The refusals of one connection's heads: at most one, since nothing is read after it.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Option<Problem>>);

impl Refusals {
    /// The next request that hyper hands to the service is not the client's, but stands
    /// for one that is refused.
    pub(super) fn put(&self, problem: Problem) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(problem);
    }

    pub(super) fn take(&self) -> Option<Problem> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// An extension of a request that stands for one that was refused.
#[derive(Clone, Debug)]
pub(super) struct Refused(pub(super) Problem);
