//! The memory that bodies of mutations may take, all together.

use http::{HeaderMap, header};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::refused::Refused;

/// What is counted by, in bytes: a semaphore has no more permits than fit in 29 bits on
/// small machines.
const PIECE: usize = 1 << 10;

/// A place for so many bytes.
#[derive(Debug)]
pub(crate) struct Bodies {
    limit: usize,
    pieces: Semaphore,
}

impl Bodies {
    /// None taken.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, pieces: Semaphore::new(limit / PIECE) }
    }

    /// Takes room for the body that the headers announce, or for the longest one where
    /// they announce none.
    pub(super) fn reserve(
        &self,
        headers: &HeaderMap,
        longest: usize,
    ) -> Result<SemaphorePermit<'_>, Refused> {
        let announced = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        let bytes = announced.unwrap_or(longest).min(longest);
        let pieces = u32::try_from(bytes.div_ceil(PIECE)).unwrap_or(u32::MAX);
        self.pieces.try_acquire_many(pieces).map_err(|_| Refused::BodiesFull { limit: self.limit })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn bodies_take_the_room_that_they_announce_and_give_it_back() {
        let bodies = Bodies::new(10 << 10);
        let announce =
            |bytes: u64| HeaderMap::from_iter([(header::CONTENT_LENGTH, HeaderValue::from(bytes))]);
        let small = bodies.reserve(&announce(4_096), 8_192).unwrap();
        assert!(bodies.reserve(&HeaderMap::new(), 8_192).is_err(), "as long as it may be");
        assert!(bodies.reserve(&announce(u64::MAX), 8_192).is_err(), "and no longer");
        assert!(bodies.reserve(&announce(6_144), 8_192).is_ok());
        drop(small);
        assert!(bodies.reserve(&HeaderMap::new(), 8_192).is_ok());
    }
}
