//! What a collector gets where one is named: from every service what its `GET /metrics` answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric, number_data_point};
use prost::Message as _;
use tests::harness::cluster::{Cluster, Size, eventually};

use crate::synod;

/// What each service sent last, by the name of its instance.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<BTreeMap<String, Vec<Metric>>>>);

/// The value of an attribute.
fn of<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    let value = found.value.as_ref()?.value.as_ref()?;
    let any_value::Value::StringValue(text) = value else { panic!("{key} is {value:?}") };
    Some(text)
}

async fn collect(
    State(collector): State<Collector>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let sent = ExportMetricsServiceRequest::decode(body);
    let is_protobuf = headers["content-type"] == "application/x-protobuf";
    let Some(sent) = sent.ok().filter(|_| is_protobuf && headers["x-scope"] == "a b") else {
        return StatusCode::BAD_REQUEST;
    };
    let mut seen = collector.0.lock().unwrap_or_else(PoisonError::into_inner);
    for sent in sent.resource_metrics {
        let resource = sent.resource.unwrap_or_default();
        let name = of(&resource.attributes, "service.instance.id").unwrap_or_default().to_owned();
        seen.insert(name, sent.scope_metrics.into_iter().flat_map(|it| it.metrics).collect());
    }
    StatusCode::OK
}

impl Collector {
    async fn serve(&self) -> Result<String> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let router = Router::new().route("/v1/metrics", post(collect)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(url)
    }

    /// What a service sent last of a metric.
    fn metric(&self, service: &str, name: &str) -> Result<metric::Data> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = seen.get(service).with_context(|| format!("{service} has sent nothing"))?;
        let found = sent.iter().find(|metric| metric.name == name);
        let found = found.with_context(|| format!("{service} has not sent {name}"))?;
        found.data.clone().context("it has no data")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_gets_the_counters_and_histograms_of_every_service() -> Result<()> {
    let collector = Collector::default();
    let endpoint = format!("{}/v1/metrics", collector.serve().await?);
    let env = [
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-scope=a%20b"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "200"),
    ];
    let cluster = Cluster::start(synod(), Size::default(), &env).await?;
    let key = format!("{}/v1/kv/k", cluster.front());
    cluster.http().put(key).body("v").send().await?.error_for_status()?;
    eventually("every service's counters and histograms arrive", async || {
        for service in cluster.all() {
            let counter = collector.metric(&service, "synod_http_requests_total")?;
            let metric::Data::Sum(counter) = counter else { panic!("{counter:?}") };
            ensure!(counter.is_monotonic && counter.aggregation_temporality == 2, "{counter:?}");
            let count = counter.data_points.iter().map(|point| match point.value {
                Some(number_data_point::Value::AsDouble(count)) => count,
                ref other => panic!("{other:?}"),
            });
            ensure!(count.sum::<f64>() >= 1.0, "{service}: {:?}", counter.data_points);
            let seconds = collector.metric(&service, "synod_http_request_duration_seconds")?;
            let metric::Data::Histogram(seconds) = seconds else { panic!("{seconds:?}") };
            for point in &seconds.data_points {
                let buckets = (point.bucket_counts.len(), point.bucket_counts.iter().sum::<u64>());
                ensure!(buckets == (point.explicit_bounds.len() + 1, point.count), "{point:?}");
                ensure!(point.start_time_unix_nano < point.time_unix_nano, "{point:?}");
            }
            ensure!(seconds.data_points.iter().any(|point| point.count > 0), "{service}");
        }
        let written = collector.metric("balancer-1", "synod_balancer_requests_total")?;
        let metric::Data::Sum(written) = written else { panic!("{written:?}") };
        let mutations =
            written.data_points.iter().find(|it| of(&it.attributes, "intent") == Some("mutation"));
        let mutations = mutations.context("no mutations")?;
        let scraped = super::scrape(&cluster, "balancer-1").await?;
        let scraped = scraped.value("synod_balancer_requests_total{intent=\"mutation\"}")?;
        let expected = Some(number_data_point::Value::AsDouble(scraped));
        ensure!(mutations.value == expected, "{mutations:?}, and {scraped} in /metrics");
        Ok(())
    })
    .await
}
