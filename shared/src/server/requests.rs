//! Around every request: its trace, and what is counted of it by its route.
#![expect(clippy::disallowed_methods, reason = "how long requests take is read from the clock")]

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hyper::body::Body;

use super::access;
use crate::ids::Revision;
use crate::metrics::{Counter, Labels, Metrics, Series, TracedHistogram};
use crate::problem::REVISION;
use crate::spans;
use crate::telemetry::{RequestTrace, RequestedTraces, Traced};

/// The routes of all services, which make no spans.
const COMMON: [(&str, &str); 5] = [
    ("GET", "/livez"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/v1/status"),
    ("GET", spans::PATH),
];

/// What is neither a route nor a method that one of them has. Clients can make up any number
/// of these.
const OTHER: (&str, &str) = ("other", "other");

/// The classes of answers; of a client that left before there was one, none.
const CLASSES: [&str; 5] = ["2xx", "3xx", "4xx", "5xx", "none"];
const NONE: usize = 4;

/// From what an answer out of memory takes to the time that clients give by default, in
/// seconds.
const SECONDS: [f64; 13] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// A route that is known, with all that is counted of it.
#[derive(Debug)]
struct Route {
    method: &'static str,
    path: &'static str,
    span: Option<&'static str>,
    counts: Counts,
}

#[derive(Clone, Debug)]
struct Counts {
    answers: [Counter; CLASSES.len()],
    seconds: TracedHistogram,
}

impl Counts {
    fn new() -> Self {
        let answers = CLASSES.map(|_| Counter::default());
        Self { answers, seconds: TracedHistogram::new(SECONDS) }
    }
}

/// The routes of a service.
#[derive(Debug)]
pub struct Requests {
    /// In order of path and method.
    routes: Vec<Route>,
    other: Counts,
    asked: RequestedTraces,
    newest: Option<NewestRevision>,
}

/// Says which revision the service knows of as the newest, where it knows one.
#[derive(Clone)]
pub(super) struct NewestRevision(Arc<dyn Fn() -> Option<Revision> + Send + Sync>);

impl fmt::Debug for NewestRevision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewestRevision({:?})", (self.0)())
    }
}

impl NewestRevision {
    pub(super) fn new(newest: impl Fn() -> Option<Revision> + Send + Sync + 'static) -> Self {
        Self(Arc::new(newest))
    }
}

impl Requests {
    pub(super) fn new(traced: Traced, metrics: &mut Metrics) -> Self {
        let spans = traced.names.iter().map(|(method, path, span)| (*method, *path, Some(*span)));
        let polls = traced.polls.iter().chain(&COMMON);
        let polls = polls.map(|(method, path)| (*method, *path, None));
        let route = |(method, path, span)| Route { method, path, span, counts: Counts::new() };
        let mut routes: Vec<Route> = spans.chain(polls).map(route).collect();
        routes.sort_by_key(|route| (route.path, route.method));
        let asked = RequestedTraces::of(traced.service);
        let requests = Self { routes, other: Counts::new(), asked, newest: None };
        requests.register(metrics);
        requests
    }

    /// Has every answer name a revision, where one is known: that of the state which it speaks
    /// of or, where it speaks of none in particular, the newest.
    #[must_use]
    pub fn naming(self, newest: impl Fn() -> Option<Revision> + Send + Sync + 'static) -> Self {
        self.named_by(Some(NewestRevision::new(newest)))
    }

    pub(super) fn named_by(mut self, newest: Option<NewestRevision>) -> Self {
        self.newest = newest;
        self
    }

    fn register(&self, metrics: &mut Metrics) {
        let listed = self.routes.iter().map(|route| ((route.method, route.path), &route.counts));
        let each: Vec<_> = listed.chain([(OTHER, &self.other)]).collect();
        let labels = |(method, path)| vec![("method", method), ("route", path)];
        let answers = each.iter().flat_map(|(of, counts)| {
            CLASSES.iter().zip(&counts.answers).map(move |(class, counter)| {
                let mut labels: Labels = labels(*of);
                labels.push(("status", *class));
                (labels, counter.clone())
            })
        });
        metrics.register(
            "synod_http_requests_total",
            "Requests by route and class of the answer; none where the client left before it",
            Series::new(answers),
        );
        let seconds = each.iter().map(|(of, counts)| (labels(*of), counts.seconds.clone()));
        metrics.register(
            "synod_http_request_duration_seconds",
            "From the head of a request to the head of its answer",
            Series::new(seconds),
        );
    }

    fn find(&self, method: &str, path: &str) -> Option<&Route> {
        let at = self.routes.binary_search_by_key(&(path, method), |it| (it.path, it.method));
        self.routes.get(at.ok()?)
    }

    /// A request begins, by the template of its route. Says which span it has, if it has
    /// one, and what to tell of its end.
    pub fn begin(&self, method: &Method, path: &str) -> (Option<&'static str>, Underway<'_>) {
        let own = self.find(method.as_str(), path);
        let route = match own {
            None if method == Method::HEAD => self.find("GET", path),
            found => found,
        };
        let counts = route.map_or(&self.other, |route| &route.counts);
        let template = route.map_or(OTHER.1, |route| route.path);
        let span = own.and_then(|route| route.span);
        let began = Instant::now();
        (span, Underway { counts, template, began, class: NONE, trace: None })
    }

    /// The trace of a request, by the name of its span, where it has one.
    #[must_use]
    pub fn trace(
        &self,
        span: Option<&'static str>,
        method: &Method,
        route: &str,
        headers: &HeaderMap,
    ) -> RequestTrace {
        RequestTrace::start(span, method, route, headers, &self.asked)
    }

    /// A request is answered so: counts it, and puts on the answer what stands on every one,
    /// `Trace-Id` and `Synod-Revision`.
    pub fn end<B: Body>(
        &self,
        underway: Underway<'_>,
        method: &Method,
        response: &mut http::Response<B>,
        trace: RequestTrace,
    ) {
        let (status, bytes) = (response.status(), response.body().size_hint().exact());
        underway.answered(method, status, bytes, &trace);
        let headers = response.headers_mut();
        trace.finish(status, headers);
        if let Some(NewestRevision(newest)) = &self.newest
            && !headers.contains_key(&REVISION)
            && let Some(revision) = newest()
        {
            headers.insert(REVISION, HeaderValue::from(revision.0));
        }
    }
}

/// A request that is under way: counted when this is dropped.
#[derive(Debug)]
pub struct Underway<'a> {
    counts: &'a Counts,
    template: &'static str,
    began: Instant,
    class: usize,
    /// Its identity, where it is recorded.
    trace: Option<String>,
}

impl Underway<'_> {
    /// It is answered, by a body of so many bytes where that is known. Its line goes into
    /// the access log.
    fn answered(
        mut self,
        method: &Method,
        status: StatusCode,
        bytes: Option<u64>,
        trace: &RequestTrace,
    ) {
        access::say((method, self.template), status, self.began.elapsed(), bytes, trace);
        self.trace = trace.recorded();
        self.class = match status.as_u16() {
            0..300 => 0,
            300..400 => 1,
            400..500 => 2,
            500.. => 3,
        };
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        self.counts.answers[self.class].inc();
        self.counts.seconds.observe(self.began.elapsed().as_secs_f64(), self.trace.take());
    }
}

/// Middleware for `axum::middleware::from_fn_with_state`; the server puts it around every
/// route.
pub(super) async fn observe(
    State(requests): State<Arc<Requests>>,
    request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("", MatchedPath::as_str);
    observed(&requests, route, request, |request| next.run(request)).await
}

/// Has a request of that route answered, in its trace, and counts it.
pub(super) async fn observed<B, F: Future<Output = Response>>(
    requests: &Requests,
    route: &str,
    request: http::Request<B>,
    answer: impl FnOnce(http::Request<B>) -> F,
) -> Response {
    let method = request.method().clone();
    let (name, underway) = requests.begin(&method, route);
    let trace = requests.trace(name, &method, route, request.headers());
    let mut response = trace.run(answer(request)).await;
    requests.end(underway, &method, &mut response, trace);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Service;

    fn requests() -> (Requests, Metrics) {
        const TRACED: Traced = Traced {
            service: Service::Replica,
            names: &[("GET", "/v1/kv/{*key}", "replica.get"), ("HEAD", "/v1/kv", "replica.head")],
            polls: &[("GET", "/v1/kv")],
        };
        let mut metrics = Metrics::new(Service::Replica, &"replica-1".parse().unwrap());
        (Requests::new(TRACED, &mut metrics), metrics)
    }

    #[test]
    fn a_request_is_counted_once_by_its_route_and_what_came_of_it() {
        let (requests, metrics) = requests();
        let (span, underway) = requests.begin(&Method::GET, "/v1/kv/{*key}");
        assert_eq!(span, Some("replica.get"));
        let trace = RequestTrace::unsampled();
        underway.answered(&Method::GET, StatusCode::NOT_FOUND, None, &trace);
        drop(requests.begin(&Method::GET, "/v1/kv/{*key}"));
        let of = "{method=\"GET\",route=\"/v1/kv/{*key}\"";
        for expected in [
            format!("synod_http_requests_total{of},status=\"4xx\"}} 1\n"),
            format!("synod_http_requests_total{of},status=\"none\"}} 1\n"),
            format!("synod_http_requests_total{of},status=\"2xx\"}} 0\n"),
            format!("synod_http_request_duration_seconds_count{of}}} 2\n"),
        ] {
            assert!(metrics.text().contains(&expected), "{expected}");
        }
    }

    #[test]
    fn head_counts_as_get_where_it_is_no_route_of_its_own_and_has_no_span_of_it() {
        let (requests, metrics) = requests();
        assert_eq!(requests.begin(&Method::HEAD, "/v1/kv").0, Some("replica.head"));
        assert_eq!(requests.begin(&Method::HEAD, "/v1/kv/{*key}").0, None);
        let got =
            "synod_http_request_duration_seconds_count{method=\"GET\",route=\"/v1/kv/{*key}\"} 1\n";
        assert!(metrics.text().contains(got));
    }

    #[test]
    fn whatever_clients_make_up_adds_no_line() {
        let (requests, metrics) = requests();
        let lines = metrics.text().lines().count();
        for made_up in 0..1_000 {
            let method = Method::from_bytes(format!("M{made_up}").as_bytes()).unwrap();
            drop(requests.begin(&method, "/v1/kv"));
            drop(requests.begin(&Method::GET, &format!("/{made_up}")));
        }
        let text = metrics.text();
        assert_eq!(text.lines().count(), lines);
        let other = "{method=\"other\",route=\"other\",status=\"none\"} 2000\n";
        assert!(text.contains(other));
    }
}
