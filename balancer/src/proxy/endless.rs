//! Answers that have no end of their own: watches.
//!
//! Begun, such an answer is as any other stream, and holds nothing but its two connections.
//! But it ends with the balancer, at once, so that the client goes on at another one, and
//! once its replica is one that should not be followed any more: the client comes again,
//! and gets another replica.

use std::sync::Arc;

use axum::body::Body;
use futures::StreamExt as _;
use http::uri::PathAndQuery;
use http_body_util::BodyExt as _;
use shared::client::AnswerBody;

use super::Proxy;
use crate::pool::EndpointId;

/// Whether what is asked for has no end of its own.
pub(super) fn is_endless(path: &PathAndQuery) -> bool {
    path.path() == "/v1/watch"
}

impl Proxy {
    /// The body of such an answer of a replica.
    pub(super) fn endless(&self, replica: EndpointId, body: AnswerBody) -> Body {
        let (shutdown, endpoints) = (self.shutdown.clone(), Arc::clone(&self.endpoints));
        let ended = async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = endpoints.outdone(replica) => {}
            }
        };
        Body::from_stream(body.into_data_stream().take_until(ended))
    }
}
