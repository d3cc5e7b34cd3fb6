//! Sending what `GET /metrics` answers to a collector, by OTLP over HTTP, where one is named.
//!
//! One request is under way at most, and none is repeated: the next has newer numbers. What is
//! counted after the last one before the process ends is not sent.
#![expect(clippy::disallowed_methods, reason = "the shell starts tasks and reads clocks")]

use std::sync::{Arc, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderValue, header};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::metrics::v1::{ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use reqwest::redirect::Policy;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::Metrics;
use super::otlp::{self, Times};
use crate::status::VERSION;
use crate::telemetry::{self, MetricsCollector};

/// Why numbers did not arrive.
#[derive(Debug, thiserror::Error)]
enum NotSent {
    #[error("{0}")]
    Failed(#[from] reqwest::Error),
    #[error("it answers {0}")]
    Refused(http::StatusCode),
}

/// Exports these for as long as they are there.
pub(super) fn start(metrics: &Arc<Metrics>) {
    if let Some(collector) = telemetry::metrics_collector() {
        tokio::spawn(export(Arc::downgrade(metrics), collector.clone()));
    }
}

async fn export(metrics: Weak<Metrics>, collector: MetricsCollector) {
    let began = SystemTime::now();
    // What a collector is sent, secrets in the header among it, goes nowhere else.
    let client = match reqwest::Client::builder().redirect(Policy::none()).build() {
        Ok(client) => client,
        Err(error) => return tracing::warn!(%error, "metrics are not exported"),
    };
    let to = collector.endpoint.origin().ascii_serialization();
    let mut ticks = interval_at(Instant::now() + collector.interval, collector.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_failing = false;
    loop {
        ticks.tick().await;
        // Held no longer than that: what it reads from ends by being dropped.
        let Some(text) = metrics.upgrade().map(|metrics| metrics.text()) else { return };
        let times = Times { began: nanos(began), now: nanos(SystemTime::now()) };
        let sent = send(&client, &collector, request(&collector, &text, times)).await;
        match &sent {
            Ok(()) if is_failing => tracing::info!("metrics are exported to {to} again"),
            Err(error) if !is_failing => tracing::warn!(%error, "metrics are not exported to {to}"),
            Ok(()) | Err(_) => {}
        }
        is_failing = sent.is_err();
    }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn request(collector: &MetricsCollector, text: &str, times: Times) -> Vec<u8> {
    let of_service = collector.resource.iter();
    let attributes =
        of_service.map(|(name, value)| otlp::attribute(name.as_str(), &value.as_str()));
    let resource = Resource { attributes: attributes.collect(), ..Resource::default() };
    let scope = InstrumentationScope {
        name: "synod".to_owned(),
        version: VERSION.to_owned(),
        ..InstrumentationScope::default()
    };
    let scope_metrics = ScopeMetrics {
        scope: Some(scope),
        metrics: otlp::metrics(text, times),
        ..ScopeMetrics::default()
    };
    let of_resource = ResourceMetrics {
        resource: Some(resource),
        scope_metrics: vec![scope_metrics],
        ..ResourceMetrics::default()
    };
    ExportMetricsServiceRequest { resource_metrics: vec![of_resource] }.encode_to_vec()
}

/// What is answered is not read, but for whether it is taken.
async fn send(
    client: &reqwest::Client,
    collector: &MetricsCollector,
    body: Vec<u8>,
) -> Result<(), NotSent> {
    let request = client.post(collector.endpoint.clone()).headers(collector.headers.clone());
    let protobuf = HeaderValue::from_static("application/x-protobuf");
    let request = request.header(header::CONTENT_TYPE, protobuf).timeout(collector.timeout);
    let answer = request.body(body).send().await.map_err(reqwest::Error::without_url)?;
    if answer.status().is_success() { Ok(()) } else { Err(NotSent::Refused(answer.status())) }
}
