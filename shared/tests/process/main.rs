//! A service as a process: signals, exit codes, panics and logs.
//!
//! The service under test is this test program itself: each test starts it again to run
//! `the_service` only.
#![expect(clippy::disallowed_methods, reason = "tests start tasks and read clocks")]

mod export;

use std::io::{BufRead, BufReader, Read as _};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use clap::Parser;
use shared::client::Peer;
use shared::config::{BaseUrl, ServiceArgs};
use shared::message::Service;
use shared::server::serve;
use shared::telemetry::{SpanNames, Traced};
use shared::{service, telemetry, wire};

/// Set for the child process.
const CHILD: &str = "SYNOD_TEST_CHILD";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const UNSAMPLED: &str = "00-11111111111111111111111111111111-b7ad6b7169203331-00";
const NAMES: SpanNames =
    &[("GET", "/work/{item}", "replica.work"), ("GET", "/panic", "replica.panic")];

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    service: ServiceArgs,
}

/// Not a test of its own: the child process of the others.
#[test]
#[ignore = "run by the other tests, as a process of its own"]
fn the_service() -> ExitCode {
    if std::env::var_os(CHILD).is_none() {
        return ExitCode::SUCCESS;
    }
    let args = Flags::parse_from(["service"]).service;
    service::main(Service::Replica, &args, async |running| {
        let orphaned = running.shutdown.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(60)).await;
            orphaned.cancel();
        });
        let admission = running.admission();
        let router = Router::new()
            .route("/work/{item}", get(work))
            .route(
                "/panic",
                get(async || -> &'static str { panic!("invariant of the test: {} != {}", 1, 2) }),
            )
            .route("/open", get(async || tokio::fs::read("/proc/self/limits").await.unwrap()))
            .route("/v1/status", get(async move || wire::json(&running.identity.status(()))));
        let traced = Traced { service: Service::Replica, names: NAMES, polls: &[] };
        serve(running.listener, router, traced, admission, running.metrics, running.shutdown)
            .await?;
        Ok(())
    })
}

async fn work() -> &'static str {
    tracing::info!(item = 7, "working");
    let batch = tracing::info_span!(target: "replica", parent: None, "replica.batch");
    telemetry::link(&batch, telemetry::TraceContext::current().unwrap());
    batch.in_scope(|| tracing::info!("batching"));
    "done"
}

struct Process {
    child: Child,
    url: BaseUrl,
    log: BufReader<std::process::ChildStderr>,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended_before = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn command() -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "the_service", "--ignored", "--nocapture"])
        .env_clear()
        .env(CHILD, "1")
        .env("SYNOD_LISTEN", "127.0.0.1:0");
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Starts the service and waits until it listens, which its log tells.
fn start(environment: &[(&str, &str)]) -> Process {
    let mut child = command().envs(environment.iter().copied()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let first = line(&mut log);
    let url = first["url"].as_str().unwrap_or_else(|| panic!("{first}")).parse().unwrap();
    Process { child, url, log }
}

fn line(log: &mut impl BufRead) -> serde_json::Value {
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
}

impl Process {
    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// The exit code, which must come within a bound.
    fn exit_code(&mut self) -> i32 {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap();
            }
            assert!(began.elapsed() < Duration::from_secs(10), "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn rest_of_log(&mut self) -> String {
        let mut log = String::new();
        self.log.read_to_string(&mut log).unwrap();
        log
    }

    async fn work(&self, traceparent: &'static str) -> reqwest::Response {
        let request = reqwest::Client::new().get(format!("{}/work/9", self.url));
        request.header("traceparent", traceparent).send().await.unwrap()
    }
}

#[tokio::test]
async fn a_service_ends_on_sigterm_and_on_sigint() {
    for signal in ["-TERM", "-INT"] {
        let mut process = start(&[]);
        let status = Peer::new(process.url.clone()).status(Duration::from_secs(5)).await.unwrap();
        assert_eq!((&status["service"], &status["id"]), (&"replica".into(), &"replica-1".into()));
        assert_eq!(status["pid"], process.child.id());
        process.signal(signal);
        assert_eq!(process.exit_code(), 0);
        assert!(process.rest_of_log().contains("replica-1 ends"));
    }
}

#[tokio::test]
async fn a_panic_ends_the_process_loudly_before_it_says_anything_else() {
    let mut process = start(&[]);
    let answer = reqwest::get(format!("{}/panic", process.url)).await;
    assert!(answer.is_err(), "{answer:?}");
    assert_eq!(process.exit_code(), i32::from(service::PANICKED));
    assert!(process.rest_of_log().contains("invariant of the test: 1 != 2"));
}

#[tokio::test]
async fn more_idle_connections_than_open_files_do_not_keep_a_service_from_its_work() {
    let limited = ["-c", "ulimit -n 128 && exec \"$0\" \"$@\""];
    let own = command();
    let mut command = Command::new("sh");
    command.args(limited).arg(own.get_program()).args(own.get_args());
    command.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let (cut, first) = (line(&mut log), line(&mut log));
    let mut process = Process { child, url: first["url"].as_str().unwrap().parse().unwrap(), log };
    assert_eq!((&cut["wanted"], &cut["connections"]), (&4_096.into(), &32.into()), "{cut}");

    let idle: Vec<_> = (0..200)
        .filter_map(|_| std::net::TcpStream::connect(process.url.authority()).ok())
        .collect();
    // Its database, or whatever else it opens: reading its own program will do.
    let refused = reqwest::get(format!("{}/open", process.url)).await;
    assert!(refused.is_err() || refused.unwrap().status() == 503);
    drop(idle);
    let began = Instant::now();
    loop {
        let opened = reqwest::get(format!("{}/open", process.url)).await;
        match opened.map(|answer| answer.status().as_u16()) {
            Ok(200) => break,
            Ok(503) | Err(_) => {}
            Ok(status) => panic!("{status}"),
        }
        assert!(began.elapsed() < Duration::from_secs(10), "it answers again");
    }
    assert!(process.child.try_wait().unwrap().is_none());
}

#[test]
fn a_port_in_use_is_named_and_the_process_fails() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = command().env("SYNOD_LISTEN", &address).output().unwrap();
    assert!(!output.status.success());
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains(&format!("cannot listen on {address}: Address already in use")), "{log}");
}

#[test]
fn a_malformed_environment_is_named_and_the_process_fails() {
    for (variable, value, named) in [
        ("SYNOD_ID", "Replica 1", "is not a service name"),
        ("SYNOD_LISTEN", "0.0.0.0:0", "--advertise-url"),
        ("RUST_LOG", "info,replica=lout", "RUST_LOG"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "not a url", "cannot export traces"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://u:hush@h /", "OTLP_TRACES_ENDPOINT"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://u:hush@h:x", "OTLP_METRICS_ENDPOINT"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0", "OTEL_METRIC_EXPORT_INTERVAL: 0 is no number of"),
    ] {
        let collector = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://127.0.0.1:9/");
        let output = command().envs([collector]).env(variable, value).output().unwrap();
        assert!(!output.status.success());
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(log.contains(named), "{variable}: {log}");
        assert!(!log.contains("hush"), "{variable}: {log}");
    }
}

#[tokio::test]
async fn a_log_line_is_json_and_names_the_trace() {
    let mut process = start(&[("SYNOD_ID", "replica-7"), ("SYNOD_SPAN_RING_BYTES", "0")]);
    assert_eq!(process.work(PARENT).await.status(), 200);
    let line = line(&mut process.log);
    for (field, value) in [
        ("level", "INFO"),
        ("service", "replica"),
        ("id", "replica-7"),
        ("message", "working"),
        ("trace_id", "0af7651916cd43dd8448eb211c80319c"),
        ("span_id", "b7ad6b7169203331"),
    ] {
        assert_eq!(line[field], value, "{line}");
    }
    assert_eq!(line["item"], 7, "{line}");
}

#[tokio::test]
async fn an_access_log_has_a_line_for_each_request_by_its_route_and_with_its_own_trace() {
    let mut process = start(&[("SYNOD_ACCESS_LOG", "true")]);
    assert_eq!(process.work(PARENT).await.status(), 200);
    let _working = line(&mut process.log);
    let _batching = line(&mut process.log);
    let said = line(&mut process.log);
    for (field, value) in [
        ("target", "access"),
        ("method", "GET"),
        ("route", "/work/{item}"),
        ("trace_id", "0af7651916cd43dd8448eb211c80319c"),
    ] {
        assert_eq!(said[field], value, "{said}");
    }
    assert_eq!((&said["status"], &said["bytes"]), (&200.into(), &4.into()), "{said}");
    assert!(said["duration_ms"].is_f64() && !said.to_string().contains("/work/9"), "{said}");
    let made_up = reqwest::get(format!("{}/made/up", process.url)).await.unwrap();
    assert_eq!(made_up.status(), 404);
    assert_eq!(line(&mut process.log)["route"], "other");
}

#[tokio::test]
async fn rust_log_is_obeyed() {
    let mut process = start(&[("RUST_LOG", "shared=info")]);
    assert_eq!(process.work(PARENT).await.status(), 200);
    process.signal("-TERM");
    process.exit_code();
    assert!(!process.rest_of_log().contains("working"));
}
