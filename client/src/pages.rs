//! Answers that come in pages, as one stream.

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};

use crate::call::Call;
use crate::error::Error;

/// A page, and from where the next one is read.
pub(crate) struct Page<T, N> {
    pub(crate) items: Vec<T>,
    pub(crate) next: Option<N>,
}

/// All items of what is asked for, page by page: each but the first by the cursor that the one
/// before it named.
pub(crate) fn by_cursor<R, P, T>(
    request: R,
    call: fn(&mut R) -> &mut Call,
    parts: fn(P) -> (Vec<T>, Option<String>),
) -> BoxStream<'static, Result<T, Error>>
where
    R: Clone + IntoFuture<Output = Result<P, Error>, IntoFuture: Send> + Send + 'static,
    P: Send + 'static,
    T: Send + 'static,
{
    all(None, move |cursor: Option<String>| {
        let mut page = request.clone();
        if let Some(cursor) = cursor {
            call(&mut page).param("cursor", cursor);
        }
        let page = page.into_future();
        async move {
            let (items, next) = parts(page.await?);
            Ok(Page { items, next: next.map(Some) })
        }
    })
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
