//! Memory that requests share: a share of it is taken before a body is read, so that many
//! long bodies at once cost no more than the limit.

use std::sync::Arc;

use http::{HeaderMap, header};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is counted by, in bytes: a semaphore has no more permits than fit in 29 bits on
/// small machines.
const PIECE: usize = 1 << 10;

/// So many bytes for all.
#[derive(Clone, Debug)]
pub struct ByteBudget {
    limit: usize,
    pieces: Arc<Semaphore>,
}

/// A part of the budget, given back when it is dropped.
#[derive(Debug)]
pub struct ByteShare(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

/// Others hold what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("the requests that are being handled take {limit} bytes, their limit here")]
pub struct BudgetSpent {
    /// The whole budget, in bytes.
    pub limit: usize,
}

impl ByteBudget {
    /// None taken yet.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, pieces: Arc::new(Semaphore::new(limit / PIECE)) }
    }

    /// Takes a share, without waiting.
    ///
    /// # Errors
    /// When too much is taken by others.
    pub fn reserve(&self, bytes: usize) -> Result<ByteShare, BudgetSpent> {
        let pieces = u32::try_from(bytes.div_ceil(PIECE)).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.pieces).try_acquire_many_owned(pieces);
        permit.map(ByteShare).map_err(|_| BudgetSpent { limit: self.limit })
    }

    /// Takes a share for a body of a request: what its header announces, or the longest that
    /// it may be where nothing is announced.
    ///
    /// # Errors
    /// When too much is taken by others.
    pub fn reserve_body(
        &self,
        headers: &HeaderMap,
        longest: usize,
    ) -> Result<ByteShare, BudgetSpent> {
        let announced = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        self.reserve(announced.unwrap_or(longest).min(longest))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn bodies_take_the_room_that_they_announce_and_give_it_back() {
        let budget = ByteBudget::new(10 << 10);
        let announce =
            |bytes: u64| HeaderMap::from_iter([(header::CONTENT_LENGTH, HeaderValue::from(bytes))]);
        let small = budget.reserve_body(&announce(4_096), 8_192).unwrap();
        let spent = budget.reserve_body(&HeaderMap::new(), 8_192).unwrap_err();
        assert_eq!(spent, BudgetSpent { limit: 10 << 10 }, "as long as it may be");
        assert!(budget.reserve_body(&announce(u64::MAX), 8_192).is_err(), "and no longer");
        assert!(budget.reserve_body(&announce(6_144), 8_192).is_ok());
        let nonsense = HeaderMap::from_iter([(header::CONTENT_LENGTH, "x".parse().unwrap())]);
        assert!(budget.reserve_body(&nonsense, 8_192).is_err(), "that may be anything");
        drop(small);
        assert!(budget.reserve_body(&HeaderMap::new(), 8_192).is_ok());
    }
}
