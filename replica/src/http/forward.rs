//! A mutation that came to a replica which is not the primary goes on to the one that is.
//!
//! It is sent once. Only where the primary could not be connected to is it certain that
//! nothing happened; otherwise the client hears that the outcome is unknown.
//!
//! hyper and not reqwest: a URL library would take `..` (also as `%2e%2e`) out of a path,
//! and a key is not a path.

use std::sync::LazyLock;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use shared::client::CONNECT_TIMEOUT;
use shared::deadline::{self, Deadline};
use shared::message::Member;
use shared::telemetry::inject_current;
use shared::wire::{BodyLimit, read_body};

use super::refused::Refused;

/// Marks a request that a replica has forwarded: it is not forwarded again.
const FORWARDED: HeaderName = HeaderName::from_static("synod-forwarded");

/// What of a mutation's headers means something to the primary.
const PASSED_ON: [HeaderName; 4] = [
    header::CONTENT_TYPE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    HeaderName::from_static("synod-min-revision"),
];

/// What of the answer's headers is not for the client: it is about the connection, or
/// this replica says it itself.
const NOT_PASSED_BACK: [HeaderName; 6] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::CONTENT_LENGTH,
    header::DATE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("trace-id"),
];

/// The longest answer to a mutation: a few numbers and a key, or a problem.
const ANSWER: BodyLimit = BodyLimit { what: "answer to a mutation", bytes: 256 << 10 };

/// The time that is kept back, so that the primary's answer arrives before this replica's
/// own deadline: what an answer may take on a busy machine.
const KEPT_BACK: Duration = Duration::from_millis(200);

/// But no more of the remaining time than one part in this many.
const MOST_KEPT_BACK: u32 = 4;

/// How long an idle connection is kept: shorter than servers keep it, so that none is
/// closed while it is being used.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

static CLIENT: LazyLock<Client<HttpConnector, Full<Bytes>>> = LazyLock::new(|| {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .build(connector)
});

/// Whether another replica has forwarded this request.
pub(super) fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.contains_key(FORWARDED)
}

/// Sends the mutation to the primary, and its answer back.
pub(super) async fn forward(
    primary: &Member,
    parts: &Parts,
    body: Bytes,
    deadline: Deadline,
) -> Result<Response, Refused> {
    let name = || primary.name.to_string();
    let request = request_to(primary, parts, body, deadline)?;
    let silent = |_| Refused::PrimarySilent { primary: name(), waited: deadline.timeout() };
    let answer =
        deadline.bound(CLIENT.request(request)).await.map_err(silent)?.map_err(|error| {
            let reason = cause_of(&error);
            if error.is_connect() {
                Refused::PrimaryUnreachable { primary: name(), reason }
            } else {
                Refused::PrimaryBroke { primary: name(), reason }
            }
        })?;
    let (mut head, body) = answer.into_parts();
    let broke = |problem: shared::problem::Problem| Refused::PrimaryBroke {
        primary: name(),
        reason: problem.body().detail.clone(),
    };
    let body = deadline.bound(read_body(body, ANSWER)).await.map_err(silent)?.map_err(broke)?;
    for name in NOT_PASSED_BACK {
        head.headers.remove(name);
    }
    Ok(Response::from_parts(head, Body::from(body)))
}

fn request_to(
    primary: &Member,
    parts: &Parts,
    body: Bytes,
    deadline: Deadline,
) -> Result<Request<Full<Bytes>>, Refused> {
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let uri: Uri =
        format!("{}{path}", primary.url).parse().map_err(|error: http::uri::InvalidUri| {
            Refused::PrimaryUnreachable {
                primary: primary.name.to_string(),
                reason: error.to_string(),
            }
        })?;
    let remaining = deadline.remaining();
    let granted = deadline::header_value(remaining - KEPT_BACK.min(remaining / MOST_KEPT_BACK));
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    for name in PASSED_ON {
        if let Some(value) = parts.headers.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    headers.insert(FORWARDED, HeaderValue::from_static("1"));
    headers.insert(deadline::HEADER, HeaderValue::from_str(&granted).expect("digits and a unit"));
    inject_current(headers);
    Ok(request)
}

/// The innermost reason: the outer ones only repeat where it happened.
fn cause_of(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use shared::ids::Instance;
    use shared::message::Service;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn only_a_primary_that_was_never_reached_has_certainly_done_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let primary = Member {
            name: "replica-1".parse().unwrap(),
            service: Service::Replica,
            url,
            instance: Instance(1),
        };
        let (parts, ()) = Request::put("/v1/kv/a").body(()).unwrap().into_parts();
        let put = || {
            forward(
                &primary,
                &parts,
                Bytes::from_static(b"v"),
                Deadline::after(Duration::from_secs(10)),
            )
        };

        for said in ["", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"] {
            let takes_it_and_breaks_off = async {
                let (mut connection, _) = listener.accept().await.unwrap();
                assert!(connection.read(&mut [0; 1_024]).await.unwrap() > 0);
                connection.write_all(said.as_bytes()).await.unwrap();
            };
            let (answer, ()) = tokio::join!(put(), takes_it_and_breaks_off);
            assert!(matches!(answer, Err(Refused::PrimaryBroke { .. })), "{said:?}");
        }

        let soon = Deadline::after(Duration::from_millis(50));
        let silent = forward(&primary, &parts, Bytes::from_static(b"v"), soon).await;
        assert!(matches!(silent, Err(Refused::PrimarySilent { .. })));

        drop(listener);
        assert!(matches!(put().await, Err(Refused::PrimaryUnreachable { .. })));
    }
}
