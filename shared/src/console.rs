//! The console: a web page that shows a cluster and works on it, served by balancers and
//! replicas under `/ui`.
//!
//! Its files lie in `shared/ui` as they are sent: nothing is built of them, and nothing is
//! loaded from elsewhere. The page talks to its own origin alone, by the API that everybody
//! has. `POLICY` has the browser hold it to that: what is stored under a key never runs
//! in it, whatever it is.

use std::future::{Ready, ready};

use axum::Router;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

/// What the page may do: run and load what is served beside it, ask its own origin, and be
/// shown by nobody else. No text ever becomes markup or a script (`require-trusted-types-for`
/// with no policy), not even by a mistake in the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

/// Sent with every file.
const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    // Asked for anew each time, and answered 304: a page of an older program is not kept.
    (header::CACHE_CONTROL, "no-cache"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// A file of the console.
#[derive(Clone, Copy, Debug)]
struct File {
    path: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

macro_rules! file {
    (script $name:literal) => {
        file!(concat!("/ui/", $name), $name, "text/javascript; charset=utf-8")
    };
    ($path:expr, $name:literal, $content_type:literal) => {
        File {
            path: $path,
            content_type: $content_type,
            bytes: include_bytes!(concat!("../ui/", $name)),
        }
    };
}

const FILES: &[File] = &[
    file!("/ui", "index.html", "text/html; charset=utf-8"),
    file!("/ui/style.css", "style.css", "text/css; charset=utf-8"),
    file!("/ui/icon.svg", "icon.svg", "image/svg+xml"),
    file!(script "api.js"),
    file!(script "app.js"),
    file!(script "bytes.js"),
    file!(script "cluster.js"),
    file!(script "diff.js"),
    file!(script "dom.js"),
    file!(script "edges.js"),
    file!(script "edit.js"),
    file!(script "events.js"),
    file!(script "facts.js"),
    file!(script "follow.js"),
    file!(script "history.js"),
    file!(script "join.js"),
    file!(script "key.js"),
    file!(script "keys.js"),
    file!(script "kv.js"),
    file!(script "leases.js"),
    file!(script "live.js"),
    file!(script "log.js"),
    file!(script "members.js"),
    file!(script "messages.js"),
    file!(script "model.js"),
    file!(script "parts.js"),
    file!(script "picture.js"),
    file!(script "poll.js"),
    file!(script "rates.js"),
    file!(script "rollback.js"),
    file!(script "routes.js"),
    file!(script "spans.js"),
    file!(script "sql.js"),
    file!(script "stream.js"),
    file!(script "text.js"),
    file!(script "token.js"),
    file!(script "theme.js"),
    file!(script "watch.js"),
];

/// The routes of the page and of everything that it loads.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let router = Router::new().route("/ui/", get(|| ready(Redirect::permanent("/ui"))));
    FILES.iter().fold(router, |router, file| {
        let tag = tag_of(file.bytes);
        let answer = move |headers: HeaderMap| -> Ready<Response> {
            ready(answer_with(*file, &tag, &headers))
        };
        router.route(file.path, get(answer))
    })
}

/// Names what is in a file.
fn tag_of(bytes: &[u8]) -> HeaderValue {
    let hash = blake3::hash(bytes).to_hex();
    HeaderValue::try_from(format!("\"{}\"", &hash[..32])).expect("quoted digits")
}

fn answer_with(file: File, tag: &HeaderValue, asked: &HeaderMap) -> Response {
    let mut response = if has_it(tag, asked) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let content_type = (header::CONTENT_TYPE, HeaderValue::from_static(file.content_type));
        ([content_type], file.bytes).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, tag.clone());
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether `If-None-Match` names the file as it is, compared weakly (RFC 9110, section
/// 13.1.2). A tag of ours has no comma in it.
fn has_it(tag: &HeaderValue, asked: &HeaderMap) -> bool {
    let ours = tag.to_str().unwrap_or_default();
    let lists = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|list| list.to_str().ok());
    let mut tags = lists.flat_map(|list| list.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == ours)
}

#[cfg(test)]
mod tests;
