//! Between hyper and the service: what hyper does not do for either.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::{Service, service_fn};

use super::Limits;
use super::body::RequestBody;
use super::refusal::{Refusals, Refused};
use crate::tls::Caller;

/// The service of a connection, which is told who calls and of refused heads, and whose
/// unread bodies are drained.
pub(super) fn guard<S, B>(
    service: S,
    caller: Option<Caller>,
    refusals: Arc<Refusals>,
    limits: Limits,
) -> impl Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send>
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>,
    S::Future: Send,
    B: Body + Send,
{
    service_fn(move |request: Request<Incoming>| {
        let (mut parts, incoming) = request.into_parts();
        // Taken now, not when the future runs: hyper reads a head, calls, and reads on.
        if let Some(problem) = refusals.take() {
            parts.extensions.insert(Refused(problem));
        }
        if let Some(caller) = &caller {
            parts.extensions.insert(caller.clone());
        }
        let (body, leftover) = RequestBody::new(incoming, &parts.headers);
        let answer = service.call(Request::from_parts(parts, body));
        async move {
            let mut response = answer.await?;
            leftover.settle(&mut response, limits.unread_timeout).await;
            Ok(response)
        }
    })
}
