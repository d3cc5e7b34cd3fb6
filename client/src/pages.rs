//! Answers that come in pages, as one stream.

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};

use crate::error::Error;

/// A page, and from where the next one is read.
pub(crate) struct Page<T, N> {
    pub(crate) items: Vec<T>,
    pub(crate) next: Option<N>,
}

/// All items, of the first page and of those that come after it.
pub(crate) fn all<T, N, F>(
    first: N,
    fetch: impl Fn(N) -> F + Send + 'static,
) -> BoxStream<'static, Result<T, Error>>
where
    T: Send + 'static,
    N: Send + 'static,
    F: Future<Output = Result<Page<T, N>, Error>> + Send + 'static,
{
    let pages = stream::try_unfold((Some(first), fetch), |(next, fetch)| async move {
        let Some(from) = next else { return Ok(None) };
        let Page { items, next } = fetch(from).await?;
        let items = stream::iter(items.into_iter().map(Ok::<T, Error>));
        Ok::<_, Error>(Some((items, (next, fetch))))
    });
    pages.try_flatten().boxed()
}
