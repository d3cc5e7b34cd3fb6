//! The part of the HTTP API that import and export use, in memory, and unreliable on
//! purpose.
#![expect(clippy::disallowed_methods, reason = "a server starts tasks")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use serde_json::json;
use tokio::net::TcpListener;

/// Few, so that a listing has several pages.
const PAGE: usize = 40;
/// The limit on a value, in bytes.
pub(crate) const MAX_VALUE: usize = 4_096;

#[derive(Default)]
pub(crate) struct Store {
    pub(crate) values: BTreeMap<String, Bytes>,
    requests: u64,
}

pub(crate) type Shared = Arc<Mutex<Store>>;

/// Every seventh request takes effect, and its answer is lost; every eleventh is refused
/// for now.
enum Mood {
    Fine,
    LoseAnswer,
    Unavailable,
}

/// Serves until the runtime ends.
pub(crate) async fn serve(store: Shared) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let store = Arc::clone(&store);
            let service = service_fn(move |request| answer(Arc::clone(&store), request));
            // A connection that ends early is what the other side is tested for.
            tokio::spawn(async move {
                drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await)
            });
        }
    });
    address
}

async fn answer(
    store: Shared,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let mut store = store.lock().unwrap();
    store.requests += 1;
    let mood = match store.requests {
        count if count.is_multiple_of(11) => Mood::Unavailable,
        count if count.is_multiple_of(7) => Mood::LoseAnswer,
        _count => Mood::Fine,
    };
    if matches!(mood, Mood::Unavailable) {
        return Ok(problem(StatusCode::SERVICE_UNAVAILABLE, "no primary"));
    }
    let Ok(response) =
        store.execute(&parts.method, parts.uri.path(), parts.uri.query().unwrap_or(""), body);
    match mood {
        Mood::LoseAnswer => Err(std::io::Error::other("the connection is cut")),
        Mood::Fine | Mood::Unavailable => Ok(response),
    }
}

impl Store {
    fn execute(
        &mut self,
        method: &Method,
        path: &str,
        query: &str,
        body: Bytes,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let decode = |text: &str| {
            percent_decode_str(&text.replace('+', " ")).decode_utf8().unwrap().into_owned()
        };
        let parameter = |name: &str| {
            let found =
                query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            found.map(decode)
        };
        let Some(key) = path
            .strip_prefix("/v1/kv/")
            .map(|path| percent_decode_str(path).decode_utf8().unwrap().into_owned())
        else {
            assert_eq!((method, path), (&Method::GET, "/v1/kv"));
            assert_eq!(parameter("keys_only").as_deref(), Some("true"));
            return Ok(self.list(&parameter("prefix").unwrap(), parameter("cursor")));
        };
        Ok(match *method {
            Method::PUT if body.len() > MAX_VALUE => {
                problem(StatusCode::PAYLOAD_TOO_LARGE, "above the limit on a value")
            }
            Method::PUT => {
                let stored =
                    json!({"key": &key, "revision": 42, "created_revision": 1, "version": 1});
                self.values.insert(key, body);
                Response::new(Full::new(stored.to_string().into()))
            }
            Method::GET => {
                assert_eq!(
                    parameter("revision").as_deref(),
                    Some("42"),
                    "a value is read at the revision of the listing"
                );
                match self.values.get(&key) {
                    Some(value) => Response::builder()
                        .header("etag", "\"1\"")
                        .header("synod-created-revision", 1)
                        .header("synod-version", 1)
                        .body(Full::new(value.clone()))
                        .unwrap(),
                    None => problem(StatusCode::NOT_FOUND, "no such key"),
                }
            }
            ref other => panic!("{other} is not expected"),
        })
    }

    fn list(&self, prefix: &str, cursor: Option<String>) -> Response<Full<Bytes>> {
        let after = cursor.unwrap_or_default();
        let keys: Vec<&String> = self
            .values
            .keys()
            .filter(|key| key.starts_with(prefix) && **key > after)
            .take(PAGE)
            .collect();
        let next = (keys.len() == PAGE).then(|| keys[PAGE - 1]);
        let items: Vec<_> = keys.iter().map(|key| item(key)).collect();
        Response::new(Full::new(
            json!({"items": items, "revision": 42, "next": next}).to_string().into(),
        ))
    }
}

fn item(key: &str) -> serde_json::Value {
    json!({"key": key, "revision": 1, "created_revision": 1, "version": 1})
}

fn problem(status: StatusCode, detail: &str) -> Response<Full<Bytes>> {
    let body =
        json!({"title": status.canonical_reason(), "status": status.as_u16(), "detail": detail})
            .to_string();
    Response::builder()
        .status(status)
        .header("content-type", "application/problem+json")
        .body(Full::new(body.into()))
        .unwrap()
}
