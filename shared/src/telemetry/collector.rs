//! Where spans and metrics are exported to, as the `OTEL_*` variables say.

use std::env;
use std::time::Duration;

use anyhow::{Context as _, bail};
use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry_sdk::Resource;
use percent_encoding::percent_decode_str;
use url::Url;

/// From one export of metrics to the next, unless `OTEL_METRIC_EXPORT_INTERVAL` says otherwise.
const INTERVAL: Duration = Duration::from_secs(60);
/// How long one may take, unless `OTEL_EXPORTER_OTLP_TIMEOUT` says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What takes metrics, and how.
#[derive(Clone, Debug)]
pub(crate) struct MetricsCollector {
    pub(crate) endpoint: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    /// Who sends them.
    pub(crate) resource: Resource,
}

/// Where spans are to be exported to, if they are.
pub(super) fn of_spans() -> Option<String> {
    let endpoint =
        set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(|| set("OTEL_EXPORTER_OTLP_ENDPOINT"));
    endpoint.filter(|_| is_wanted("OTEL_TRACES_EXPORTER"))
}

/// Where metrics are to be exported to, if they are.
pub(super) fn of_metrics(resource: Resource) -> anyhow::Result<Option<MetricsCollector>> {
    let below = |endpoint: String| format!("{}/v1/metrics", endpoint.trim_end_matches('/'));
    let endpoint = set("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")
        .or_else(|| set("OTEL_EXPORTER_OTLP_ENDPOINT").map(below));
    let Some(endpoint) = endpoint.filter(|_| is_wanted("OTEL_METRICS_EXPORTER")) else {
        return Ok(None);
    };
    // What is wrong is not repeated here either: it may have a password in it.
    let url = Url::parse(&endpoint).context(
        "cannot export metrics to what OTEL_EXPORTER_OTLP_ENDPOINT or \
         OTEL_EXPORTER_OTLP_METRICS_ENDPOINT says",
    );
    let timeout =
        ["OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"].map(duration);
    let [of_metrics, of_all] = timeout;
    let headers =
        set("OTEL_EXPORTER_OTLP_METRICS_HEADERS").or_else(|| set("OTEL_EXPORTER_OTLP_HEADERS"));
    Ok(Some(MetricsCollector {
        endpoint: url?,
        headers: headers_of(&headers.unwrap_or_default())?,
        interval: duration("OTEL_METRIC_EXPORT_INTERVAL")?.unwrap_or(INTERVAL),
        timeout: of_metrics?.or(of_all?).unwrap_or(TIMEOUT),
        resource,
    }))
}

fn set(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|value| !value.trim().is_empty())
}

/// Whether nobody has put it off.
fn is_wanted(exporter: &str) -> bool {
    let is = |variable, word| set(variable).is_some_and(|value| value.eq_ignore_ascii_case(word));
    !is("OTEL_SDK_DISABLED", "true") && !is(exporter, "none")
}

/// Milliseconds that a variable says; 0 is none.
fn duration(variable: &str) -> anyhow::Result<Option<Duration>> {
    let Some(value) = set(variable) else { return Ok(None) };
    match value.trim().parse() {
        Ok(0) | Err(_) => bail!("{variable}: {value} is no number of milliseconds"),
        Ok(millis) => Ok(Some(Duration::from_millis(millis))),
    }
}

/// Reads `name=value,name=value`, values percent-encoded.
fn headers_of(text: &str) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
        // What is wrong is not repeated: it may be a secret.
        let (name, value) = pair.split_once('=').context("OTEL_EXPORTER_OTLP_HEADERS: no value")?;
        let name: HeaderName =
            name.trim().parse().context("OTEL_EXPORTER_OTLP_HEADERS: no name of a header")?;
        let value: Vec<u8> = percent_decode_str(value.trim()).collect();
        let mut value = HeaderValue::from_bytes(&value)
            .with_context(|| format!("OTEL_EXPORTER_OTLP_HEADERS: the value of {name}"))?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

#[test]
fn headers_for_a_collector_are_read_as_opentelemetry_writes_them() {
    let headers = headers_of("authorization=Basic%20x%3D, x-scope = a=b,").unwrap();
    assert_eq!(headers["authorization"], "Basic x=");
    assert_eq!(headers["x-scope"], "a=b");
    for wrong in ["x", "a b=c", "a=%0a"] {
        assert!(headers_of(wrong).is_err(), "{wrong}");
    }
}
