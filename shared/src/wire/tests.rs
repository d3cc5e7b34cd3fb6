//! Bodies in every encoding, and those that are none, too long, or never end.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::routing::post;
use futures::FutureExt as _;
use hyper::body::{Frame, SizeHint};
use serde::Deserialize;
use tower::ServiceExt as _;

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Greeting {
    text: String,
}

async fn echo(reply: Reply, Wire(greeting): Wire<Greeting>) -> Response {
    std::future::ready(reply.send(&greeting)).await
}

async fn answer(
    request: http::request::Builder,
    body: impl Into<Body>,
) -> (StatusCode, String, Bytes) {
    let limit = BodyLimit { what: "greeting", bytes: 64 };
    let router: Router = Router::new().route("/", post(echo)).layer(axum::Extension(limit));
    let response =
        router.oneshot(request.method("POST").uri("/").body(body.into()).unwrap()).await.unwrap();
    let media_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    (response.status(), media_type, response.into_body().collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn curl_speaks_json_and_says_so() {
    for media_type in ["application/json", "Application/JSON; charset=utf-8"] {
        let (status, spoken, body) =
            answer(http::Request::builder().header("content-type", media_type), r#"{"text":"hi"}"#)
                .await;
        assert_eq!(
            (status, spoken.as_str(), &body[..]),
            (StatusCode::OK, JSON, &b"{\"text\":\"hi\"}\n"[..])
        );
    }
}

#[tokio::test]
async fn what_a_web_page_can_send_without_asking_is_no_message() {
    let simple = [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
        "text/plain; application/json",
        "application/json, text/plain",
        "",
    ];
    let with = |media_type| http::Request::builder().header("content-type", media_type);
    let requests = simple.map(with).into_iter().chain([
        http::Request::builder(),
        with("text/plain").header("content-type", JSON),
        with(JSON).header("content-type", "text/plain"),
    ]);
    for request in requests {
        let shown = format!("{request:?}");
        let (status, ..) = answer(request, r#"{"text":"hi"}"#).await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{shown}");
    }
}

#[tokio::test]
async fn services_speak_postcard_unless_they_accept_json() {
    let greeting = Greeting { text: "hi".into() };
    let bytes = Encoding::Postcard.encode(&greeting);
    let request = || http::Request::builder().header("content-type", POSTCARD);
    let (status, spoken, body) = answer(request(), bytes.clone()).await;
    assert_eq!((status, spoken.as_str(), &body), (StatusCode::OK, POSTCARD, &bytes));
    let (_, spoken, _) =
        answer(request().header("accept", "text/html, application/json;q=0.9"), bytes).await;
    assert_eq!(spoken, JSON);
}

#[tokio::test]
async fn a_body_that_is_not_the_message_is_refused_with_a_problem() {
    let greeting = Encoding::Postcard.encode(&Greeting { text: "hi".into() });
    let with_rest = [&greeting[..], b"x"].concat();
    let cases: [(&str, Vec<u8>, u16); 7] = [
        (JSON, b"".to_vec(), 400),
        (JSON, b"{".to_vec(), 400),
        (JSON, br#"{"text":"hi"} x"#.to_vec(), 400),
        (POSTCARD, b"\xff".to_vec(), 400),
        (POSTCARD, with_rest, 400),
        ("text/html", b"hi".to_vec(), 415),
        (JSON, vec![b' '; 65], 413),
    ];
    for (media_type, body, expected) in cases {
        let (status, spoken, body) =
            answer(http::Request::builder().header("content-type", media_type), body).await;
        assert_eq!(
            (status.as_u16(), spoken.as_str()),
            (expected, crate::problem::CONTENT_TYPE),
            "{body:?}"
        );
    }
}

#[test]
fn a_refusal_is_short_however_long_what_it_repeats_is() {
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    let bytes = format!("{{\"{}\":1}}", "x".repeat(100_000));
    let text = Encoding::Json.decode::<Nothing>(bytes.as_bytes()).unwrap_err().to_string();
    assert!(
        text.len() < 600
            && text.contains("unknown field `xxx")
            && text.ends_with("at line 1 column 100003"),
        "{text}"
    );
}

#[tokio::test]
async fn a_body_of_unknown_length_is_refused_at_the_limit() {
    let chunks =
        futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(b"          ")));
    let (status, _, body) =
        answer(http::Request::builder().header("content-type", JSON), Body::from_stream(chunks))
            .await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(String::from_utf8_lossy(&body).contains("the greeting is limited to 64 bytes"));
}

const LIMIT: BodyLimit = BodyLimit { what: "greeting", bytes: 64 };

#[tokio::test]
async fn a_body_that_breaks_off_is_refused_and_not_taken_for_a_shorter_one() {
    let pieces = [Ok(Bytes::from_static(b"half a val")), Err(std::io::Error::other("reset"))];
    let problem =
        read_body(Body::from_stream(futures::stream::iter(pieces)), LIMIT).await.unwrap_err();
    assert_eq!(problem, Problem::bad_request("the body broke off: reset"));
}

#[tokio::test]
async fn a_body_is_read_up_to_its_limit_and_no_further() {
    let too_large = Problem::too_large("greeting", 64);
    assert_eq!(read_body(Body::from(vec![b' '; 64]), LIMIT).await.unwrap().len(), 64);
    assert_eq!(read_body(Body::from(vec![b' '; 65]), LIMIT).await, Err(too_large.clone()));
    let endless = futures::stream::repeat_with(|| {
        Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 1_000]))
    });
    assert_eq!(read_body(Body::from_stream(endless), LIMIT).await, Err(too_large));
}

/// Announces what no memory holds, and never comes.
struct Announced;

impl hyper::body::Body for Announced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::MAX)
    }
}

#[tokio::test]
async fn a_body_that_announces_far_too_much_is_refused_without_memory_or_waiting() {
    let refused = read_body(Announced, LIMIT).now_or_never().expect("it is not waited for");
    assert_eq!(refused.unwrap_err().status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_body_that_dribbles_is_given_up_at_the_deadline() {
    let never = futures::stream::pending::<Result<Bytes, std::io::Error>>();
    let (status, ..) = answer(
        http::Request::builder().header("content-type", JSON).header("synod-timeout", "50ms"),
        Body::from_stream(never),
    )
    .await;
    assert_eq!(status, StatusCode::REQUEST_TIMEOUT);
}

/// A version that nobody speaks yet.
const NEXT: &str = "application/vnd.synod.v2+postcard";

#[test]
fn a_media_type_names_the_version_of_its_messages() {
    assert_eq!(POSTCARD, format!("application/vnd.synod.v{VERSION}+postcard"));
    assert_eq!(SPOKEN, format!("{POSTCARD}, {JSON}"));
    for (text, expected) in [
        (POSTCARD, Some(MediaType::Spoken(Encoding::Postcard))),
        ("Application/Vnd.Synod.V1+Postcard; x=y", Some(MediaType::Spoken(Encoding::Postcard))),
        (NEXT, Some(MediaType::OtherVersion(2))),
        ("application/vnd.synod.v0+postcard", Some(MediaType::OtherVersion(0))),
        ("application/vnd.synod.v4294967295+postcard", Some(MediaType::OtherVersion(u32::MAX))),
        ("application/vnd.synod.v4294967296+postcard", None),
        ("application/vnd.synod.v+1+postcard", None),
        ("application/vnd.synod.v+postcard", None),
        ("application/vnd.synod.v1+json", None),
        ("application/x-postcard", None),
        ("application/postcard", None),
    ] {
        assert_eq!(MediaType::of(text), expected, "{text}");
    }
}

#[tokio::test]
async fn a_message_of_another_version_is_never_read_and_both_versions_are_named() {
    // Bytes that would be read without a complaint.
    let bytes = Encoding::Postcard.encode(&Greeting { text: "hi".into() });
    let request = |of: &str, accept: &str| {
        http::Request::post("/").header("content-type", of).header("accept", accept)
    };
    for (request, expected) in [
        (request(NEXT, POSTCARD), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (request(POSTCARD, NEXT), StatusCode::NOT_ACCEPTABLE),
        (request(NEXT, NEXT), StatusCode::NOT_ACCEPTABLE),
    ] {
        let router: Router = Router::new().route("/", post(echo));
        let response =
            router.oneshot(request.body(Body::from(bytes.clone())).unwrap()).await.unwrap();
        assert_eq!(response.status(), expected);
        assert_eq!(response.headers()["accept"], SPOKEN);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: crate::problem::Body = serde_json::from_slice(&body).unwrap();
        assert_eq!(body.kind, "urn:synod:problem:other-version");
        assert!(body.detail.contains("version 1") && body.detail.contains("version 2"), "{body}");
    }
    let (status, spoken, _) =
        answer(request(POSTCARD, &format!("{NEXT}, {POSTCARD}")), bytes.clone()).await;
    assert_eq!((status, spoken.as_str()), (StatusCode::OK, POSTCARD), "of both ours is taken");
}
