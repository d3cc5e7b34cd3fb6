//! What a service sends to a collector: spans and metrics.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;

/// Whether the bytes of a request are all there, as its head announces them.
fn is_whole(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .expect("the exporter says how long it is");
    request.len() >= end + 4 + length.trim().parse::<usize>().unwrap()
}

/// A collector that hands on each request it gets, as text as far as it is text. It needs
/// a thread of its own, since tests block theirs while they wait for the end of a
/// process.
async fn collector() -> (String, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !is_whole(&request) {
                assert!(
                    stream.read_buf(&mut request).await.unwrap() > 0,
                    "the exporter breaks off"
                );
            }
            // First: the process may end once it is answered, and the test look at what
            // was sent.
            let _test_over = sender.send(String::from_utf8_lossy(&request).into_owned());
            let _answered = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .await;
        }
    });
    (endpoint, receiver)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_are_exported_when_an_endpoint_is_set_and_the_last_ones_when_the_process_ends() {
    let (endpoint, mut requests) = collector().await;
    let mut process = start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("OTEL_RESOURCE_ATTRIBUTES", "zone=north"),
    ]);
    let response = process.work(PARENT).await;
    assert_eq!(response.headers()["trace-id"], "0af7651916cd43dd8448eb211c80319c");
    process.signal("-TERM");
    // In one request or, where somebody was slow, in several.
    let mut spans = requests.recv().await.unwrap();
    assert!(spans.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{spans}");
    assert_eq!(process.exit_code(), 0);
    while let Ok(more) = requests.try_recv() {
        spans.push_str(&more);
    }
    for word in [
        "synod-replica",
        "replica-1",
        "zone",
        "north",
        "replica.work",
        "/work/{item}",
        "http.route",
        "replica.batch",
    ] {
        assert!(spans.contains(word), "{word} in {spans:?}");
    }
    assert!(!spans.contains("/work/9"), "routes, not paths: {spans:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_caller_does_not_sample_is_not_exported() {
    let (endpoint, mut requests) = collector().await;
    let mut process =
        start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint), ("OTEL_SERVICE_NAME", "mine")]);
    assert_eq!(
        process.work(UNSAMPLED).await.headers()["trace-id"],
        "11111111111111111111111111111111"
    );
    process.signal("-TERM");
    assert_eq!(process.exit_code(), 0);
    let spans = requests.try_recv().unwrap_or_default();
    assert!(!spans.contains("replica.work"), "{spans:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sdk_can_be_disabled() {
    let (endpoint, mut requests) = collector().await;
    let mut process =
        start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint), ("OTEL_SDK_DISABLED", "true")]);
    assert_eq!(process.work(PARENT).await.status(), 200);
    process.signal("-TERM");
    assert_eq!(process.exit_code(), 0);
    assert!(requests.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_exported_again_and_again_and_a_refusal_is_said_once() {
    let (endpoint, mut requests) = collector().await;
    let mut process = start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "20"),
        ("OTEL_RESOURCE_ATTRIBUTES", "zone=north"),
    ]);
    for _ in 0..3 {
        let sent = requests.recv().await.unwrap();
        assert!(sent.starts_with("POST /v1/metrics HTTP/1.1\r\n"), "{sent}");
        for word in ["replica-1", "north", "synod_http_requests_total", "/work/{item}"] {
            assert!(sent.contains(word), "{word} in {sent:?}");
        }
    }
    process.signal("-TERM");
    assert_eq!(process.exit_code(), 0);
    assert!(!process.rest_of_log().contains("not exported"));

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut process = start(&[
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", &format!("http://{nobody}/v1/metrics")),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1"),
    ]);
    let said = line(&mut process.log)["message"].to_string();
    assert!(said.contains(&format!("metrics are not exported to http://{nobody}")), "{said}");
    for _ in 0..20 {
        assert_eq!(process.work(UNSAMPLED).await.status(), 200);
    }
    process.signal("-TERM");
    assert_eq!(process.exit_code(), 0);
    assert!(!process.rest_of_log().contains("not exported"));
}

#[tokio::test]
async fn a_collector_that_never_answers_holds_up_neither_requests_nor_the_end() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "10"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "10"),
        ("RUST_LOG", "error,shared=info"),
    ];
    let mut process = start(&environment);
    let client = reqwest::Client::new();
    let mut longest = Duration::ZERO;
    for _ in 0..3_000 {
        let began = Instant::now();
        let request = client.get(format!("{}/work/9", process.url)).header("traceparent", PARENT);
        assert_eq!(request.send().await.unwrap().status(), 200);
        longest = longest.max(began.elapsed());
    }
    // Spans do not fit the exporter's queue for long, and it would wait for 10 s before
    // it gives one request up.
    assert!(longest < Duration::from_secs(5), "{longest:?}");
    let asked = Instant::now();
    process.signal("-TERM");
    assert_eq!(process.exit_code(), 0);
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}
