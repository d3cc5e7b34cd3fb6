//! Who is told of the cluster by the balancer itself: whom a replica tells of it.
//!
//! A balancer knows neither tokens nor rights. So it asks a replica whether whoever asks may
//! follow the cluster's events there (`cluster: ["read"]`), by what they came with; where the
//! replica refuses, for whatever reason that lies with who asks, its answer is the balancer's.
//! What a replica cannot say for now is no refusal, unless one has ever asked for a token, of
//! whomever and for whatever: that no cluster takes back.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use futures::StreamExt as _;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
};
use shared::deadline;
use shared::events;
use shared::problem::Problem;
use shared::server::RequestBody;
use shared::telemetry::RequestTrace;

use crate::clients::ACCESSOR;
use crate::proxy::Proxy;

/// How long a replica may take to say it.
const PATIENCE: Duration = Duration::from_secs(2);

/// So often it is asked whether whoever follows something still may.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// Asks replicas who may be told.
#[derive(Debug)]
pub(super) struct Guard {
    proxy: Arc<Proxy>,
    /// Whether a replica has asked for a token since this balancer started.
    asks_for_tokens: AtomicBool,
}

/// Who asks to be told.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    client: IpAddr,
    /// Each as it came, whatever it is.
    authorization: Vec<HeaderValue>,
}

impl Asker {
    pub(super) fn of(client: IpAddr, headers: &HeaderMap) -> Self {
        let authorization = headers.get_all(header::AUTHORIZATION).iter().cloned().collect();
        Self { client, authorization }
    }
}

impl Guard {
    pub(super) fn new(proxy: Arc<Proxy>) -> Arc<Self> {
        Arc::new(Self { proxy, asks_for_tokens: AtomicBool::new(false) })
    }

    /// Whether somebody may be told.
    ///
    /// # Errors
    /// What they are answered instead.
    pub(super) async fn check(
        &self,
        asker: &Asker,
        trace: &RequestTrace,
    ) -> Result<(), Response<Body>> {
        // What streams sends nothing then.
        let said = self.ask(Method::HEAD, asker, trace).await;
        if said.status().is_success() {
            return Ok(());
        }
        if !is_refusal(said.status()) {
            return match self.without_word() {
                Some(problem) => Err(problem.to_http().map(Body::from)),
                None => Ok(()),
            };
        }
        let said = self.ask(Method::GET, asker, trace).await;
        if said.status().is_success() { Ok(()) } else { Err(said) }
    }

    /// Ends a stream when whoever follows it may be told no more.
    pub(super) fn ending(
        self: &Arc<Self>,
        response: Response<Body>,
        asker: Asker,
    ) -> Response<Body> {
        let guard = Arc::clone(self);
        let refused = async move {
            loop {
                tokio::time::sleep(ASK_EVERY).await;
                let said = guard.ask(Method::HEAD, &asker, &RequestTrace::unsampled()).await;
                let is_told = said.status().is_success();
                if !is_told && (is_refusal(said.status()) || guard.without_word().is_some()) {
                    return;
                }
            }
        };
        let stream = |body: Body| body.into_data_stream().take_until(Box::pin(refused));
        response.map(|body| Body::from_stream(stream(body)))
    }

    async fn ask(&self, method: Method, asker: &Asker, trace: &RequestTrace) -> Response<Body> {
        let mut request = Request::new(RequestBody::empty());
        *request.method_mut() = method;
        *request.uri_mut() = Uri::from_static(events::PATH);
        let headers = request.headers_mut();
        for authorization in &asker.authorization {
            headers.append(header::AUTHORIZATION, authorization.clone());
        }
        let patience = HeaderValue::try_from(deadline::header_value(PATIENCE));
        let patience = patience.expect("digits and a unit");
        headers.insert(HeaderName::from_static(deadline::HEADER), patience);
        let said = self.proxy.forward(asker.client, request, trace).await;
        self.learn(&said);
        if said.status() == StatusCode::FORBIDDEN {
            self.asks_for_tokens.store(true, Ordering::Relaxed);
        }
        said
    }

    /// Takes in what a replica's answer to anybody tells of tokens.
    pub(super) fn learn(&self, answer: &Response<Body>) {
        let tells =
            answer.status() == StatusCode::UNAUTHORIZED || answer.headers().contains_key(ACCESSOR);
        if tells && !self.asks_for_tokens.load(Ordering::Relaxed) {
            self.asks_for_tokens.store(true, Ordering::Relaxed);
        }
    }

    /// Why nobody is told, where no replica says anything; none where no token was ever asked for.
    fn without_word(&self) -> Option<Problem> {
        let asks = self.asks_for_tokens.load(Ordering::Relaxed);
        asks.then(|| {
            Problem::unavailable(
                "no replica can say now whether your token allows to be told of the cluster",
            )
        })
    }
}

/// Whether it is said to whoever may not, or asks as nobody may.
fn is_refusal(status: StatusCode) -> bool {
    status.is_client_error()
}
