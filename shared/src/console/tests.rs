//! How the files are answered, and what must be so of what is in them.

use std::collections::BTreeSet;

use axum::body::Body;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::*;
use crate::message::Service;
use crate::server::with_fallbacks;

/// What all files may have together, in bytes.
const ALL_BYTES: usize = 200_000;

async fn ask(method: Method, path: &str, fields: &[(&str, &str)]) -> Response {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    with_fallbacks(routes(), Service::Replica).oneshot(request).await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap()
}

fn text(file: &File) -> &'static str {
    str::from_utf8(file.bytes).unwrap()
}

#[tokio::test]
async fn every_file_says_what_it_is_and_what_the_page_may_do() {
    for file in FILES {
        let response = ask(Method::GET, file.path, &[]).await;
        assert_eq!(response.status(), 200, "{}", file.path);
        assert_eq!(header(&response, "content-type"), file.content_type);
        let policy = header(&response, "content-security-policy");
        for rule in
            ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"]
        {
            assert!(policy.contains(rule), "{policy}");
        }
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"));
        assert_eq!(header(&response, "x-content-type-options"), "nosniff");
        assert_eq!(header(&response, "cache-control"), "no-cache");
        assert_eq!(header(&response, "referrer-policy"), "no-referrer");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, file.bytes);
    }
}

#[tokio::test]
async fn a_file_that_the_browser_has_is_not_sent_again() {
    let response = ask(Method::GET, "/ui", &[]).await;
    let tag = header(&response, "etag").to_owned();
    for list in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
        let response = ask(Method::GET, "/ui", &[("if-none-match", &list)]).await;
        assert_eq!(response.status(), 304, "{list}");
        assert_eq!(header(&response, "etag"), tag);
        assert_eq!(header(&response, "content-security-policy"), POLICY);
        assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
    }
    let response = ask(Method::GET, "/ui/app.js", &[("if-none-match", &tag)]).await;
    assert_eq!(response.status(), 200, "another file has another tag");
}

#[tokio::test]
async fn it_is_read_and_nothing_else() {
    let response = ask(Method::HEAD, "/ui", &[]).await;
    assert_eq!(response.status(), 200);
    assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
    for path in ["/ui", "/ui/", "/ui/app.js"] {
        for method in [Method::PUT, Method::POST, Method::DELETE] {
            let response = ask(method.clone(), path, &[]).await;
            assert_eq!(response.status(), 405, "{method} {path}");
            assert_eq!(header(&response, "allow"), "GET,HEAD");
            assert_eq!(header(&response, "content-type"), "application/problem+json");
        }
    }
    for path in ["/ui/index.html", "/ui/nothing.js", "/ui/../ui", "/ui/%2e%2e/app.js"] {
        assert_eq!(ask(Method::GET, path, &[]).await.status(), 404, "{path}");
    }
    let response = ask(Method::GET, "/ui/", &[]).await;
    assert_eq!((response.status().as_u16(), header(&response, "location")), (308, "/ui"));
}

#[test]
fn all_files_of_the_folder_are_served_and_small_together() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/ui");
    let there: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .map(|name| if name == "index.html" { "/ui".to_owned() } else { format!("/ui/{name}") })
        .collect();
    let served: BTreeSet<String> = FILES.iter().map(|file| file.path.to_owned()).collect();
    assert_eq!(served, there);
    let bytes: usize = FILES.iter().map(|file| file.bytes.len()).sum();
    assert!(bytes < ALL_BYTES, "{bytes} bytes");
}

#[test]
fn what_a_file_loads_is_served() {
    let served: BTreeSet<&str> = FILES.iter().map(|file| file.path).collect();
    for file in FILES {
        let text = text(file);
        let imported = text.split("from \"./").skip(1).map(|rest| format!("/ui/{rest}"));
        let named = ["src=\"", "href=\"/"].into_iter().flat_map(|by| {
            text.split(by).skip(1).map(move |rest| {
                if by.starts_with("href") { format!("/{rest}") } else { rest.to_owned() }
            })
        });
        for loaded in imported.chain(named) {
            let path = loaded.split('"').next().unwrap_or_default();
            assert!(served.contains(path), "{} loads {path}", file.path);
        }
    }
}

/// The policy would refuse it, and then a part of the page would not work.
#[test]
fn no_file_has_markup_in_text_or_code_in_markup_or_an_address_elsewhere() {
    for file in FILES {
        let text = text(file).replace("http://www.w3.org/2000/svg", "");
        for forbidden in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "javascript:",
            "http://",
            "https://",
            " style=",
            " onclick=",
            "@import",
            "url(",
        ] {
            assert!(!text.contains(forbidden), "{} has {forbidden}", file.path);
        }
    }
}
