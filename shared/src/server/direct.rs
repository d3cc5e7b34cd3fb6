//! Routes that are answered without the router.
//!
//! On its way through the router a request meets a box for each layer, copies of its head and
//! a search for its route, which together cost more than a short answer does. What is asked
//! for most goes past it: judged, traced and counted as any other request is, by the same
//! code.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse as _, Response};
use http::{Method, Request};

use super::admission::Admission;
use super::body::RequestBody;
use super::requests::{NewestRevision, Requests, observed};
use crate::ids::Revision;
use crate::message::Service;

/// An answer that is on its way.
pub type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;

/// Answers some of a service's requests.
pub trait Direct: Send + Sync {
    /// The template of the route under which the router has the request, where it is answered
    /// here.
    fn route(&self, method: &Method, path: &str) -> Option<&'static str>;

    /// Answers a request of such a route, as the router would.
    fn answer(self: Arc<Self>, request: Request<RequestBody>) -> Answering;
}

/// All routes of a service.
pub struct Routes {
    pub(super) router: Router,
    pub(super) direct: Option<Arc<dyn Direct>>,
    pub(super) newest: Option<NewestRevision>,
}

impl Routes {
    /// Those of the router, of which some are answered without it.
    #[must_use]
    pub fn with_direct(router: Router, direct: Arc<dyn Direct>) -> Self {
        Self { router, direct: Some(direct), newest: None }
    }

    /// Has every answer name a revision: see [`Requests::naming`].
    #[must_use]
    pub fn naming(mut self, newest: impl Fn() -> Option<Revision> + Send + Sync + 'static) -> Self {
        self.newest = Some(NewestRevision::new(newest));
        self
    }
}

impl From<Router> for Routes {
    fn from(router: Router) -> Self {
        Self { router, direct: None, newest: None }
    }
}

/// What stands around direct answers.
pub(super) struct Shortcut {
    pub(super) direct: Arc<dyn Direct>,
    pub(super) asked: Service,
    pub(super) admission: Admission,
    pub(super) requests: Arc<Requests>,
}

impl Shortcut {
    /// The template of a request's route, where it is answered here.
    pub(super) fn route(&self, request: &Request<RequestBody>) -> Option<&'static str> {
        self.direct.route(request.method(), request.uri().path())
    }

    /// Answers it.
    pub(super) async fn answer(
        self: Arc<Self>,
        route: &'static str,
        request: Request<RequestBody>,
    ) -> Response {
        observed(&self.requests, route, request, async |request| {
            let (parts, body) = request.into_parts();
            match self.admission.let_in(self.asked, Some(route), &parts) {
                Ok(_place) => {
                    Arc::clone(&self.direct).answer(Request::from_parts(parts, body)).await
                }
                Err(problem) => problem.into_response(),
            }
        })
        .await
    }
}
