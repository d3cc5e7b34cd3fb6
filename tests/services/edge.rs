//! The edge of HTTP at every service, byte by byte: what a library would not let a client
//! do.

use anyhow::{Context as _, Result, ensure};
use tests::harness::cluster::{Cluster, Options, PATIENCE, Size, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::synod;

async fn connect(cluster: &Cluster, service: &str) -> Result<TcpStream> {
    let url = cluster.url(service);
    Ok(TcpStream::connect(url.strip_prefix("http://").context("a URL")?).await?)
}

/// Sends all of it, and only then reads, until the connection ends.
async fn answer(cluster: &Cluster, service: &str, request: &[u8]) -> Result<String> {
    let mut stream = connect(cluster, service).await?;
    let exchange = async {
        stream.write_all(request).await.context("sending")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.context("reading")?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    tokio::time::timeout(PATIENCE, exchange).await?
}

fn request(line: &str, fields: &str, body: usize) -> Vec<u8> {
    let fields = format!("{fields}connection: close\r\ncontent-length: {body}\r\n");
    [format!("{line} HTTP/1.1\r\n{fields}\r\n").into_bytes(), vec![b'x'; body]].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_service_refuses_what_it_must_so_that_the_client_hears_it() -> Result<()> {
    const HOST: &str = "host: localhost\r\n";
    const MIB: usize = 1 << 20;
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let with = |fields: &str| format!("{HOST}{fields}\r\n");
    let long = with(&format!("x: {}", "x".repeat(17_000)));
    let cases = [
        ("GET /livez", HOST.to_owned(), 0, 200),
        ("GET /livez", HOST.to_owned(), MIB, 200),
        ("PUT /nothing", HOST.to_owned(), MIB, 404),
        ("PUT /v1/status", HOST.to_owned(), MIB, 405),
        ("PUT /v1/status", long, MIB, 431),
        ("PUT /v1/status#x", HOST.to_owned(), MIB, 400),
        ("PUT /v1/status", String::new(), MIB, 400),
        ("PUT /v1/status", with("host: localhost"), 0, 400),
        ("GET /v1/status", "host: evil.example\r\n".to_owned(), 0, 421),
        ("PUT /v1/status", with("origin: http://evil.example"), MIB, 403),
        ("GET /v1/status", with("sec-fetch-site: cross-site"), 0, 403),
    ];
    for service in cluster.all() {
        for (line, fields, body, status) in &cases {
            let answer = answer(&cluster, &service, &request(line, fields, *body))
                .await
                .with_context(|| format!("{line} {fields:.99} at {service}"))?;
            let is_whole = *status == 200 || answer.contains("application/problem+json");
            ensure!(
                answer.starts_with(&format!("HTTP/1.1 {status} "))
                    && answer.contains("\r\ntrace-id: ")
                    && is_whole,
                "{line} {fields:.99} at {service}: {answer}"
            );
        }
    }
    for (service, line) in [
        ("acceptor-1", "POST /v1/prepare"),
        ("acceptor-1", "POST /v1/accept"),
        ("acceptor-1", "PUT /v1/members/replica-9"),
        ("coordinator-1", "POST /v1/proposals"),
        ("coordinator-1", "POST /v1/heartbeats"),
        ("acceptor-1", "POST /v1/succession"),
        ("coordinator-1", "POST /v1/endings"),
        ("coordinator-1", "POST /v1/primary"),
        ("coordinator-1", "POST /v1/acceptors"),
        ("replica-1", "POST /v1/replication/commands"),
        ("replica-1", "POST /v1/replication/suspicions"),
    ] {
        for kind in ["application/x-www-form-urlencoded", "text/plain"] {
            let fields = with(&format!("content-type: {kind}"));
            let answer = answer(&cluster, service, &request(line, &fields, MIB)).await?;
            ensure!(answer.starts_with("HTTP/1.1 415 "), "{line} {kind}: {answer}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_with_a_fragment_writes_no_other_key_and_a_list_of_tags_is_a_guard() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    for door in ["balancer-1", "replica-1", "replica-2"] {
        let put = |target: &str, fields: &str| {
            let fields = format!("host: localhost\r\n{fields}");
            request(&format!("PUT /v1/kv/{target}"), &fields, 1)
        };
        let refused = answer(&cluster, door, &put(&format!("{door}#12"), "")).await?;
        ensure!(
            refused.starts_with("HTTP/1.1 400 ") && refused.contains("not_applied"),
            "{refused}"
        );
        let created = eventually("a put is taken", async || {
            let created = answer(&cluster, door, &put(door, "if-none-match: *\r\n")).await?;
            ensure!(created.starts_with("HTTP/1.1 201 "), "{created}");
            Ok(created)
        })
        .await?;
        let tag = created.split("etag: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let tag = tag.context("an entity tag")?;
        for (list, status) in [
            ("if-match: \"a,b\", \"999999\"\r\n".to_owned(), 412),
            (format!("if-match: W/{tag}\r\n"), 412),
            (format!("if-match: \"a,b\", {tag}, \"999999\"\r\n"), 200),
        ] {
            let answer = answer(&cluster, door, &put(door, &list)).await?;
            ensure!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{door} {list}: {answer}");
        }
    }
    Ok(())
}

/// Whether so many more connections are served at once.
async fn serves(cluster: &Cluster, service: &str, connections: usize) -> Result<()> {
    let mut open = Vec::new();
    for _ in 0..connections {
        let mut stream = connect(cluster, service).await?;
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
        let mut status = [0; 12];
        tokio::time::timeout(PATIENCE, stream.read_exact(&mut status)).await??;
        ensure!(&status == b"HTTP/1.1 200", "{}", String::from_utf8_lossy(&status));
        open.push(stream);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `.ci/long` runs it"]
async fn clients_that_never_read_a_stream_do_not_hold_the_balancers_places() -> Result<()> {
    const PLACES: usize = 20;
    let few: &[&str] = &["--max-connections", "20"];
    let args = [("balancer-1", few)];
    let options = Options { args: &args, ..Options::default() };
    let cluster = Cluster::start_with(synod(), &options).await?;
    for key in 0..4 {
        let put = format!("{}/v1/kv/{key}", cluster.url("replica-1"));
        let put = cluster.http().put(put).body(vec![b'x'; 1 << 20]);
        ensure!(put.send().await?.status().is_success());
    }
    // Far more than the systems on the way hold for those who don't read.
    let list = "GET /v1/kv HTTP/1.1\r\nhost: localhost\r\naccept: application/x-ndjson\r\n\r\n";
    let mut held = Vec::new();
    for _ in 0..PLACES {
        let mut stream = connect(&cluster, "balancer-1").await?;
        stream.write_all(list.repeat(16).as_bytes()).await?;
        held.push(stream);
    }
    ensure!(serves(&cluster, "balancer-1", PLACES / 2).await.is_err(), "all places are held");
    eventually("places are free", || serves(&cluster, "balancer-1", PLACES / 2)).await
}
