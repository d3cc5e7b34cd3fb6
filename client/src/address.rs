//! One of the addresses of a cluster.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header};
use http_body_util::Full;
use shared::client::{Connections, Pool, SendError, user_agent};
use shared::deadline;
use url::{Position, Url};

use crate::answer::Coming;
use crate::call::Call;
use crate::error::{Error, Failure};

/// A balancer or a replica, with the connections to it. No proxy of the environment comes
/// between, and no redirect is followed.
#[derive(Debug)]
pub(crate) struct Address {
    url: Url,
    /// The URL without a slash at its end.
    text: String,
    connections: Arc<Connections>,
}

impl Address {
    pub(crate) fn of(url: &Url, pool: &Pool) -> Result<Self, Error> {
        let host_and_port = &url[..Position::BeforePath];
        let connections =
            pool.to(host_and_port).map_err(|error| Error::Invalid(error.to_string()))?;
        let text = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { url: url.clone(), text, connections })
    }

    /// Whether it can be called as its URL says.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.connections.check().map_err(Error::Invalid)
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Sends a request, for which the server is granted so much time where any is said, and
    /// waits for the head of the answer.
    pub(crate) async fn send(
        &self,
        call: &Call,
        granted: Option<Duration>,
        token: Option<&HeaderValue>,
    ) -> Result<Coming, Failure> {
        let mut request = Request::new(Full::new(call.body.clone()));
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = self.target(call).map_err(|reason| self.unreachable(reason))?;
        *request.headers_mut() = headers(call, granted);
        if let Some(token) = token {
            request.headers_mut().insert(header::AUTHORIZATION, token.clone());
        }
        match self.connections.send(request).await {
            Ok(response) => Ok(Coming::of(&self.text, response)),
            Err(SendError::NeverSent(reason)) => Err(self.unreachable(reason)),
            Err(SendError::NotTaken(reason) | SendError::Broken(reason)) => {
                Err(Failure::Lost { url: self.text.clone(), reason })
            }
        }
    }

    /// What stands in the request's first line.
    fn target(&self, call: &Call) -> Result<Uri, String> {
        let url: Result<Url, _> = format!("{}{}", self.text, call.path).parse();
        let mut url = url.map_err(|error| error.to_string())?;
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        url[Position::BeforePath..Position::AfterQuery]
            .parse()
            .map_err(|error: http::uri::InvalidUri| error.to_string())
    }

    fn unreachable(&self, reason: String) -> Failure {
        Failure::Unreachable { url: self.text.clone(), reason }
    }
}

fn headers(call: &Call, granted: Option<Duration>) -> HeaderMap {
    let mut headers = call.headers.clone();
    headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    headers.insert(header::USER_AGENT, user_agent());
    if let Some(granted) = granted {
        let granted =
            HeaderValue::from_str(&deadline::header_value(granted)).expect("digits and a unit");
        headers.insert(HeaderName::from_static(deadline::HEADER), granted);
    }
    headers
}
